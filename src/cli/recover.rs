//! `rmsc cluster recover`: a new lineage for a cluster that has lost its quorum.

use super::output::{self, Format, remark};
use super::words::date;
use super::{Exit, host, owner};
use crate::cluster::{self, Comparison, Known, Loss, Offline, Recovered, Survey};
use crate::config::{Any, Basics};
use crate::control::{Context, WrittenContext};
use crate::enrolment::{self, CloudAnew, CloudLogin, NewAdministrator};
use crate::seal;
use crate::state::Timestamp;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Begin anew with this node alone, when most voters are lost for ever.
///
/// Run it on a survivor whose server is stopped, best on the one that has most: run it with --inspect
/// on every survivor, and give the outputs of the others with --compare. It says what could be lost,
/// asks for the cluster's id, keeps a copy of what was there, and makes a new lineage: nodes of the
/// old one are removed and cannot come back by accident.
///
/// Examples:
///   rmsc cluster recover --inspect -o json > node-2.json
///   rmsc cluster recover --compare node-2.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Recover {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Only say what this node has.
    #[arg(long)]
    inspect: bool,
    /// What another survivor has: the JSON of --inspect there. Once for each.
    #[arg(long, value_name = "FILE", conflicts_with = "inspect")]
    compare: Vec<PathBuf>,
    /// Go on although another survivor has more, or nodes of the cluster still answer.
    #[arg(long, conflicts_with = "inspect")]
    force: bool,
    /// Do not ask for confirmation.
    #[arg(long, conflicts_with = "inspect")]
    yes: bool,
    /// Do not go on with the login at the cloud: other nodes of the cluster run, and use it.
    #[arg(long, conflicts_with = "inspect")]
    forget_cloud_login: bool,
    /// Also make a new administrator of this name, where no key of one is left. If there is one of that name,
    /// its old key is good no more.
    #[arg(long, value_name = "NAME", conflicts_with = "inspect", requires = "context_dir", value_parser = host::word)]
    administrator: Option<String>,
    /// Where to write that administrator's context.
    #[arg(long, value_name = "DIR", requires = "administrator")]
    context_dir: Option<PathBuf>,
}

impl Recover {
    pub(super) async fn run(self, format: Format) -> anyhow::Result<Exit> {
        host::keep_private();
        let config = Any::load(&self.config)?;
        let config = config.basics();
        let data_dir = &config.node.data_dir;
        let _owned = owner::of(data_dir);
        if enrolment::card(data_dir)?.is_none() {
            bail!("this host is no node: there is no identity in {}", data_dir.display());
        }
        let offline = Offline::open(data_dir)
            .await
            .context("cannot open this node's data; its server must be stopped first: systemctl stop rmsc")?;
        let survey = offline.survey();
        if self.inspect {
            offline.close().await;
            return show(&survey, format);
        }
        let others = self.compare.iter().map(|path| load(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let comparison = cluster::compare(&survey, &others)?;
        let mut objections: Vec<String> = objection(&survey, &comparison).into_iter().collect();
        // Always asked: who forces one objection must have seen the others.
        objections.extend(alive(config, &survey).await.unwrap_or_else(|error| {
            vec![format!(
                "whether other nodes run could not be asked ({error:#}): make sure that they are off, or there will \
                 be two clusters with one name"
            )]
        }));
        if !objections.is_empty() {
            objections.iter().for_each(|words| remark(&format!("‼ {words}")));
            if !self.force {
                remark("Nothing was changed. --force goes on nevertheless.");
                offline.close().await;
                return Ok(Exit::Refused);
            }
        }
        what_is_lost(&survey, &comparison).iter().for_each(|line| remark(line));
        if !self.yes
            && !output::typed(
                &format!("‼ A new lineage of the cluster {} begins with this node alone.", survey.cluster_id),
                &survey.cluster_id,
            )?
        {
            remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
            offline.close().await;
            return Ok(Exit::Refused);
        }
        let made = self.make_administrator(config, &offline)?;
        let (written, new) = made.unzip();
        let cloud = self.cloud_anew(config, &offline);
        let recovered = match offline.recover(new, (BY, &cloud.forgotten), now()).await {
            Ok(recovered) => recovered,
            Err(error) => {
                written.into_iter().for_each(WrittenContext::undo);
                return Err(error.into());
            }
        };
        told(&survey, &recovered, (written.as_ref().map(WrittenContext::path), &cloud), format)
    }
}

impl Recover {
    /// What the new lineage does about the login at the cloud.
    fn cloud_anew(&self, config: Basics<'_>, offline: &Offline) -> CloudAnew {
        let key = seal::find(config.secrets).ok();
        let identity = key.and_then(|found| enrolment::load(&config.node.data_dir, &found.key).ok());
        let keys = identity.as_ref().map(|identity| (identity.cluster_id.as_str(), &identity.data_key));
        // The others are no majority any more, without which none of them asks for a token.
        let wanted = if self.forget_cloud_login { CloudLogin::Forget } else { CloudLogin::Keep };
        enrolment::cloud_anew(&offline.roster(), keys, wanted)
    }

    /// A new administrator's context, written before it counts; and what the roster is to have.
    fn make_administrator(
        &self,
        config: Basics<'_>,
        offline: &Offline,
    ) -> anyhow::Result<Option<(WrittenContext, NewAdministrator)>> {
        let (Some(name), Some(folder)) = (&self.administrator, &self.context_dir) else { return Ok(None) };
        let identity = enrolment::load(&config.node.data_dir, &seal::find(config.secrets)?.key)?;
        let keys = (identity.cluster_id.as_str(), &identity.data_key);
        let (administrator, new) =
            enrolment::of_roster(&offline.roster(), keys, name, OffsetDateTime::now_utc())?;
        let endpoints = vec![config.listen.admin.to_string()];
        let written = Context::write(folder, (&administrator).into(), endpoints)?;
        Ok(Some((written, new)))
    }
}

fn load(path: &Path) -> anyhow::Result<Survey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!("{} is not what `rmsc cluster recover --inspect -o json` prints", path.display())
    })
}

/// What speaks against it, out of what is known.
fn objection(survey: &Survey, comparison: &Comparison) -> Option<String> {
    if let Some(most) = comparison.ahead.first() {
        return Some(format!(
            "{} has more than this node: recover there, or changes that were acknowledged are lost",
            most.name
        ));
    }
    if survey.is_alone() {
        return Some("this node votes alone, so no quorum is lost: start it".into());
    }
    comparison.quorum.then(|| {
        "the survivors are a majority of the voters: start them all, and the cluster goes on as it was".into()
    })
}

/// The nodes of the cluster that run.
async fn alive(config: Basics<'_>, survey: &Survey) -> anyhow::Result<Vec<String>> {
    let data_dir = &config.node.data_dir;
    let identity = enrolment::load(data_dir, &seal::find(config.secrets)?.key)?;
    let membership = enrolment::membership(&identity, data_dir.join("identity"))?;
    let others = survey.nodes.iter().filter(|node| node.node_id != survey.node_id);
    let others: Vec<_> = others.map(|node| (node.name.clone(), node.peer_address.clone())).collect();
    let answering = enrolment::answering(&membership, &others).await;
    Ok(answering
        .into_iter()
        .map(|node| format!("{node} runs: start this node if that is a majority, else stop it and compare"))
        .collect())
}

fn what_is_lost(survey: &Survey, comparison: &Comparison) -> Vec<String> {
    let newest = survey.changed_at_ms.map(|at| format!(", made {}", date(at))).unwrap_or_default();
    let (term, index) = (survey.last.term, survey.last.index);
    let mut lines = vec![format!(
        "{} has the log up to index {index} of term {term}{newest}: table revision {}, {} accounts.",
        survey.name, survey.revision, survey.entries
    )];
    lines.push(match comparison.loss {
        Loss::Nothing => "Nothing that was acknowledged can be lost: every majority had one of the nodes that \
                          were compared."
            .into(),
        Loss::Possible => format!(
            "‼ Lost could be what was acknowledged after that by {}: they are a majority, and nobody has looked \
             at what they have. If one of their disks can be read, inspect it first.",
            names(&comparison.missing)
        ),
    });
    if survey.unsure() > 0 {
        lines.push(format!(
            "The last {} entries may never have been acknowledged. They are kept.",
            survey.unsure()
        ));
    }
    let others = survey.nodes.iter().filter(|node| node.node_id != survey.node_id).cloned();
    let others: Vec<_> = others.collect();
    lines.push(format!("Removed for ever: {}. Open tokens are revoked.", names(&others)));
    lines
}

fn names(nodes: &[Known]) -> String {
    if nodes.is_empty() {
        return "nobody".into();
    }
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn show(survey: &Survey, format: Format) -> anyhow::Result<Exit> {
    if format == Format::Json {
        output::json(survey)?;
        return Ok(Exit::Fine);
    }
    let place = |place: cluster::Place| format!("index {} of term {}", place.index, place.term);
    let voters: Vec<String> = survey
        .nodes
        .iter()
        .filter(|node| survey.voters.iter().any(|set| set.contains(&node.node_id)))
        .map(|node| node.name.clone())
        .collect();
    let rows = [
        ("Cluster", survey.cluster_id.clone()),
        ("Lineage", survey.group.clone()),
        ("Node", format!("{} (node {})", survey.name, survey.node_id)),
        ("Term", survey.term.to_string()),
        ("Log ends", place(survey.last)),
        ("Committed", format!("{}, as far as this node knows", place(survey.committed))),
        ("Snapshot", format!("up to index {}", survey.snapshot)),
        ("Table", format!("revision {}, {} accounts", survey.revision, survey.entries)),
        ("Last change", survey.changed_at_ms.map_or_else(|| "before the snapshot".into(), date)),
        ("Voters", voters.join(", ")),
    ];
    output::table(["", ""], rows.map(|(name, value)| [name.to_owned(), value]));
    Ok(Exit::Fine)
}

fn told(
    survey: &Survey,
    recovered: &Recovered,
    (context, cloud): (Option<&Path>, &CloudAnew),
    format: Format,
) -> anyhow::Result<Exit> {
    match format {
        Format::Json => output::json(&json!({
            "cluster_id": survey.cluster_id, "node_id": survey.node_id, "name": survey.name,
            "group": recovered.group, "log_index": recovered.log_index, "copy": recovered.copy, "context": context,
            "cloud_login": cloud.words(),
            "removed": recovered.removed.iter().map(|node| &node.name).collect::<Vec<_>>(),
        }))?,
        Format::Table => {
            output::line(&format!(
                "✔ new lineage {} with {} alone, from index {} on",
                recovered.group, survey.name, recovered.log_index
            ));
            output::line(&format!("✔ what was there before: {}", recovered.copy.display()));
            if let Some(context) = context {
                output::line(&format!("✔ a new administrator: {}", context.display()));
            }
            cloud.words().iter().for_each(|words| output::line(&format!("‼ {words}")));
            output::line("");
            output::line("Next:");
            output::line("  systemctl start rmsc               on this host; it serves and accepts changes");
            output::line(&format!(
                "  on the hosts of {}: never start the old node again;",
                names(&recovered.removed)
            ));
            output::line("  empty its data folder, then join as a new node:");
            output::line("  rmsc token create                  on this host, for each of them");
        }
    }
    Ok(Exit::Fine)
}

fn now() -> Timestamp {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Timestamp(i64::try_from(now).unwrap_or(i64::MAX))
}

/// Who removed the nodes, for the record.
const BY: &str = "rmsc cluster recover";
