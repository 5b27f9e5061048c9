//! `rmsc admin`: who may administer the cluster.

use super::output::{self, Format};
use super::words::date;
use super::{Exit, Global, effect, host};
use crate::control::{Context, NewContext};
use crate::enrolment::NewKey;
use crate::proto::control::v1 as proto;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The administrators: whose keys the admin port takes.
#[derive(Debug, Subcommand)]
pub enum Admin {
    Add(Add),
    Request(Request),
    List(List),
    Remove(Remove),
}

/// Let another administrator in, and write the context for them into a folder.
///
/// With --request their private key never leaves their own host: they run `rmsc admin request`
/// there and give you the file it names; what is written here then holds nothing secret, and
/// belongs beside their key. Without it the key is made here, and the whole folder has to be
/// handed over as a password is: over a way that nobody else can read, and nothing of it kept.
///
/// Examples:
///   rmsc admin add alice --request admin.csr --context-dir ./alice
///   rmsc admin add alice --context-dir ./alice
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Add {
    /// The name, letters and digits: it stands beside every change.
    #[arg(value_name = "NAME", value_parser = host::word)]
    name: String,
    /// What `rmsc admin request` made on their host.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Where to write the context; nothing in it is written over.
    #[arg(long, value_name = "DIR")]
    context_dir: PathBuf,
}

/// Make the key of a new administrator on this host, and the request that another one adds it with.
///
/// The key stays in the folder. Give admin.csr to an administrator, who runs `rmsc admin add NAME
/// --request`; put the files that come back beside the key.
///
/// Examples:
///   rmsc admin request --context-dir ~/.config/rmsc
///   rmsc admin request --context-dir ~/.config/rmsc -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Request {
    /// Where the context will be; nothing in it is written over.
    #[arg(long, value_name = "DIR")]
    context_dir: PathBuf,
}

/// Show all administrators, and those that were removed.
///
/// Examples:
///   rmsc admin list
///   rmsc admin list -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct List {}

/// Take an administrator's rights, for ever: connections are closed, and the key is not taken again.
///
/// The last one cannot be removed. A node that is cut off lets the key in until it hears of it; no
/// change can be made through such a node. Ends with 4 if it is refused.
///
/// Examples:
///   rmsc admin remove alice
///   rmsc admin remove alice -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// The name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Also yourself.
    #[arg(long)]
    force: bool,
}

impl Admin {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Admin::Add(add) => add.run(global).await,
            Admin::Request(request) => request.run(global.output),
            Admin::List(List {}) => list(global).await,
            Admin::Remove(remove) => remove.run(global).await,
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        host::keep_private();
        Context::check_free(&self.context_dir)?;
        let (key, certificate_request) = match &self.request {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                (None, text.with_context(|| format!("cannot read {}", path.display()))?)
            }
            None => {
                let NewKey { key, request } = NewKey::new()?;
                (Some(key), request)
            }
        };
        let request = proto::AddAdministratorRequest { name: self.name.clone(), certificate_request };
        let added = global.client().await?.administrators().add(request).await?.into_inner();
        let new =
            NewContext { authority: &added.authority, certificate: &added.certificate, key: key.as_ref() };
        let written = Context::write(&self.context_dir, new, added.endpoints).with_context(|| {
            format!("{0} was added, but has no context: rmsc admin remove {0}, then add it again", self.name)
        })?;
        let effect = added.effect.unwrap_or_default();
        match global.output {
            Format::Json => {
                let administrator = added.administrator.unwrap_or_default();
                let own = json!({
                    "name": self.name, "key": administrator.key, "added_by": administrator.added_by,
                    "added_at": date(administrator.added_at_ms), "context": written.path(),
                    "has_key": key.is_some(),
                });
                output::json(&output::merged(own, effect::json(&effect)))?;
            }
            Format::Table => {
                output::line(&format!("added {}: {}", self.name, written.path().display()));
                effect::print(&effect);
                output::line(&to_be_handed_over(&self.context_dir, key.is_some()));
            }
        }
        Ok(effect::exit(&effect))
    }
}

fn to_be_handed_over(folder: &Path, has_key: bool) -> String {
    let folder = folder.display();
    if has_key {
        format!(
            "‼ {folder} has the private key: hand it over so that nobody else can read it, and keep no copy"
        )
    } else {
        format!("Nothing in {folder} is secret: its files go beside the key on their host")
    }
}

impl Request {
    fn run(self, format: Format) -> anyhow::Result<Exit> {
        host::keep_private();
        let written = Context::begin(&self.context_dir, &NewKey::new()?)?;
        let request = written.path();
        match format {
            Format::Json => output::json(&json!({ "request": request }))?,
            Format::Table => {
                output::line(&format!(
                    "the key stays in {}; give an administrator:",
                    self.context_dir.display()
                ));
                output::line(&format!("  {}", request.display()));
            }
        }
        Ok(Exit::Fine)
    }
}

async fn list(global: &Global) -> anyhow::Result<Exit> {
    let mut client = global.client().await?.administrators();
    let proto::ListAdministratorsResponse { administrators, former } =
        client.list(proto::ListAdministratorsRequest {}).await?.into_inner();
    match global.output {
        Format::Json => {
            let administrators = administrators.iter().map(|it| {
                json!({
                    "name": it.name, "key": it.key, "added_by": it.added_by, "added_at": date(it.added_at_ms),
                    "self": it.own,
                })
            });
            let former = former
                .iter()
                .map(|it| json!({ "name": it.name, "key": it.key, "by": it.by, "at": date(it.at_ms) }));
            output::json(&json!({
                "administrators": administrators.collect::<Vec<_>>(), "removed": former.collect::<Vec<_>>(),
            }))?;
        }
        Format::Table => {
            let is = administrators.iter().map(|it| {
                let name = if it.own { format!("{} (you)", it.name) } else { it.name.clone() };
                [name, short(&it.key), it.added_by.clone(), date(it.added_at_ms), String::new()]
            });
            let was = former.iter().map(|it| {
                let removed = format!("by {} at {}", it.by, date(it.at_ms));
                [it.name.clone(), short(&it.key), String::new(), String::new(), removed]
            });
            output::table(["NAME", "KEY", "ADDED BY", "ADDED AT", "REMOVED"], is.chain(was));
        }
    }
    Ok(Exit::Fine)
}

/// Enough to tell keys apart.
fn short(key: &str) -> String {
    key.chars().take(16).collect()
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request_id = rand::random::<[u8; 16]>().to_vec();
        let request =
            proto::RemoveAdministratorRequest { name: self.name.clone(), force: self.force, request_id };
        let removed = global.client().await?.administrators().remove(request).await?.into_inner();
        let (name, effect) = (&removed.name, removed.effect.as_ref());
        match global.output {
            Format::Json => {
                let own = json!({ "name": name, "removed": true, "already": removed.already });
                let effect = effect.map_or_else(|| json!({}), effect::json);
                output::json(&output::merged(own, effect))?;
            }
            Format::Table if removed.already => {
                output::line(&format!("{name} was removed before; nothing was changed"));
            }
            Format::Table => {
                output::line(&format!("removed {name}: the key is good no more, and connections are closed"));
                effect.into_iter().for_each(effect::print);
            }
        }
        Ok(effect.map_or(Exit::Fine, effect::exit))
    }
}
