//! `rmsc cluster`: the cluster as such.

use super::output::{self, Format};
use super::{Exit, Global, recover, status};
use crate::proto::control::v1 as proto;
use clap::{Args, Subcommand};
use serde_json::json;

/// The cluster as such.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    Show(Show),
    StepDown(StepDown),
    Transfer(Transfer),
    Upgrade(Upgrade),
    Recover(recover::Recover),
}

/// Show what the nodes agree on, and how their agreement stands.
///
/// Examples:
///   rmsc cluster show
///   rmsc cluster show -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {}

/// Have the leader hand over to the best other voter: one that answers, is no witness and not drained.
///
/// Requests are not held up; changes wait for a moment.
///
/// Examples:
///   rmsc cluster step-down
///   rmsc cluster step-down -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct StepDown {}

/// Have the leader hand over to this node, which must be a voter.
///
/// Examples:
///   rmsc cluster transfer rmsc-2
///   rmsc cluster transfer witness-1 --force
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Transfer {
    /// Its name or id.
    #[arg(value_name = "NODE")]
    node: String,
    /// Also to a witness, which is better left to vote.
    #[arg(long)]
    force: bool,
}

/// Keep to the newest rules that all nodes know. A node with an older build cannot join after that.
///
/// After an update of the program the cluster keeps to the rules of before, so that the old program can be
/// put back. Do this when all nodes have the new one and are to keep it.
///
/// Examples:
///   rmsc cluster upgrade
///   rmsc cluster upgrade -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Upgrade {}

impl Cluster {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Cluster::Show(Show {}) => show(global).await,
            Cluster::StepDown(StepDown {}) => transfer(global, String::new(), false).await,
            Cluster::Transfer(Transfer { node, force }) => transfer(global, node, force).await,
            Cluster::Upgrade(Upgrade {}) => upgrade(global).await,
            Cluster::Recover(recover) => recover.run(global.output).await,
        }
    }
}

async fn show(global: &Global) -> anyhow::Result<Exit> {
    let shown = global.client().await?.cluster().show(proto::ShowRequest {}).await?.into_inner();
    match global.output {
        Format::Json => output::json(&json!({
            "cluster_id": shown.cluster_id, "service_name": shown.service_name, "version": shown.version,
            "version_known": shown.version_known, "group": shown.group,
            "leader": Some(&shown.leader).filter(|leader| !leader.is_empty()), "term": shown.term,
            "voters": shown.voters, "learners": shown.learners, "witnesses": shown.witnesses,
            "relay_survives": shown.relay_survives, "changes_survive": shown.changes_survive,
            "last_log_index": shown.last_log_index, "applied": shown.applied,
            "snapshot_index": shown.snapshot_index, "authority_key": shown.authority_key,
            "roster_revision": shown.roster_revision, "current": shown.current,
        }))?,
        Format::Table => print(&shown),
    }
    if shown.current {
        return Ok(Exit::Fine);
    }
    output::remark("‼ no leader could be asked: this is what one node knew last");
    Ok(Exit::Warnings)
}

fn print(shown: &proto::ShowResponse) {
    let rules = if shown.version_known > shown.version {
        format!("version {}; all nodes know {}: rmsc cluster upgrade", shown.version, shown.version_known)
    } else {
        format!("version {}, the newest that all nodes know", shown.version)
    };
    let leader = if shown.leader.is_empty() { "none" } else { &shown.leader };
    let lines = [
        ("Cluster", format!("{} ({})", shown.service_name, shown.cluster_id)),
        ("Rules", rules),
        ("Lineage", or_none(&shown.group)),
        ("Leader", format!("{leader}, term {}", shown.term)),
        ("Voters", or_none(&shown.voters.join(" "))),
        ("Learners", or_none(&shown.learners.join(" "))),
        ("Witnesses", or_none(&shown.witnesses.join(" "))),
        ("Relay", status::survives(shown.relay_survives)),
        ("Changes", status::survives(shown.changes_survive)),
        (
            "Log",
            format!(
                "last entry {}, applied {}, snapshot up to {}",
                shown.last_log_index, shown.applied, shown.snapshot_index
            ),
        ),
        ("CA key", or_none(&shown.authority_key)),
    ];
    for (what, words) in lines {
        output::line(&format!("{what:<10} {words}"));
    }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".into() } else { text.into() }
}

async fn transfer(global: &Global, to: String, force: bool) -> anyhow::Result<Exit> {
    let request = proto::TransferRequest { to, force };
    let response = global.client().await?.cluster().transfer(request).await?.into_inner();
    let proto::TransferResponse { from, to, term, took_ms, already } = &response;
    match global.output {
        Format::Json => output::json(&json!({
            "from": from, "to": to, "term": term, "took_ms": took_ms, "already": already,
        }))?,
        Format::Table if *already => output::line(&format!("{to} leads already; nothing was changed")),
        Format::Table => output::line(&format!("{to} leads now, after {from}: {took_ms} ms, term {term}")),
    }
    Ok(Exit::Fine)
}

async fn upgrade(global: &Global) -> anyhow::Result<Exit> {
    let request = proto::UpgradeRequest { request_id: rand::random::<[u8; 16]>().to_vec() };
    let response = global.client().await?.cluster().upgrade(request).await?.into_inner();
    let proto::UpgradeResponse { before, now, oldest, newest } = &response;
    match global.output {
        Format::Json => output::json(&json!({
            "before": before, "now": now, "newest": newest, "oldest": oldest, "changed": now > before,
        }))?,
        Format::Table => {
            if now > before {
                output::line(&format!(
                    "the cluster keeps to the rules of version {now} now, before to {before}; a build that does not \
                     know them cannot take part any more"
                ));
            } else {
                output::line(&format!(
                    "nothing to do: the cluster keeps to version {now}, the newest that all nodes know"
                ));
            }
            if newest > now {
                output::line(&format!("version {newest} waits for a newer program on {}", oldest.join(", ")));
            }
        }
    }
    Ok(Exit::Fine)
}
