//! `rmsc backup`: copies of everything that the nodes agree on, and a cluster out of one.

mod file;
mod unlock;

use super::output::{self, Format};
use super::words::date;
use super::{Exit, Global, host, owner};
use crate::backup::{Lock, NewKey, OldNodes, Restore, Restored, Summary, verify};
use crate::config::Config;
use crate::control::Context;
use crate::enrolment::CloudLogin;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::backup_part::Part;
use crate::secret::Secret;
use crate::state::Timestamp;
use anyhow::{Context as _, bail};
use clap::Subcommand;
use file::{NewFile, Scratch};
use serde_json::json;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use unlock::UnlockWith;

/// Copies of everything that the nodes agree on, encrypted.
#[derive(Debug, Subcommand)]
pub enum Backup {
    Key(Key),
    Create(Create),
    List(List),
    Verify(Verify),
    #[command(name = "restore")]
    Restore(RestoreBackup),
}

/// Make a key that opens backups.
///
/// The file is secret: keep it off the nodes, and more than once. The recipient is not: backups are
/// encrypted for it. Keys of the tool age are taken, too.
///
/// Examples:
///   rmsc backup key --to /srv/keys/backup.key
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Key {
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Make a backup, through any node.
///
/// It holds everything that was acknowledged before: accounts, nodes, settings, and the cluster's
/// secrets. The node encrypts it; only who has the key can read it.
///
/// Examples:
///   rmsc backup create --to /srv/backup --recipient age1…
///   rmsc backup create --to rmsc.age --passphrase-file /srv/keys/passphrase
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Create {
    /// A folder, where it gets a name with cluster, time and revision; or the file to make.
    #[arg(long, value_name = "FILE|DIR")]
    to: PathBuf,
    /// For whom to encrypt; may be given more than once.
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,
    /// A file with recipients, one a line.
    #[arg(long, value_name = "FILE")]
    recipient_file: Option<PathBuf>,
    /// A file whose first line is the passphrase to encrypt with.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "recipient_file"])]
    passphrase_file: Option<PathBuf>,
}

/// List the backups in a folder.
///
/// Examples:
///   rmsc backup list /srv/backup
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// The folder.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Check a backup: decrypt it, open its secrets, and boot a copy of the cluster out of it.
///
/// The copy is a real node of its own in a folder for that time, with no way to any other node.
/// Everything is read back through it, and it has to accept a change. Ends with 0 if all that works,
/// else with 1.
///
/// Examples:
///   rmsc backup verify /srv/backup/rmsc-….age --identity /srv/keys/backup.key
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Verify {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    unlock: UnlockWith,
}

/// Begin the cluster anew out of a backup, with this host as its only node.
///
/// For the day on which all nodes are lost. The host must have no data. It gets a node id that was
/// never used, all nodes of the backup are removed, open tokens are revoked, and no revision comes
/// twice. Accounts, settings, certificate authority and administrators stay.
///
/// Examples:
///   rmsc backup restore rmsc-….age --identity backup.key --config /etc/rmsc/rmsc.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RestoreBackup {
    /// The backup.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    unlock: UnlockWith,
    /// The node file of this host.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Where to write the new administrator's context; nothing there is written over. By default beside the node file.
    #[arg(long, value_name = "DIR")]
    context_dir: Option<PathBuf>,
    /// The new administrator's name. Where the backup has one of that name, its old key is good no more.
    #[arg(long, value_name = "NAME", default_value = "admin", value_parser = host::word)]
    administrator: String,
    /// Go on although nodes of the cluster still answer.
    #[arg(long)]
    force: bool,
    /// Go on with the login at the cloud, and its token: nobody else uses it. Without this a person's login is forgotten.
    #[arg(long)]
    keep_cloud_login: bool,
}

impl Backup {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        host::keep_private();
        match self {
            Backup::Key(key) => key.run(global.output),
            Backup::Create(create) => create.run(global).await,
            Backup::List(list) => list.run(global.output),
            Backup::Verify(verify) => verify.run(global.output).await,
            Backup::Restore(restore) => restore.run(global.output).await,
        }
    }
}

impl Key {
    fn run(&self, format: Format) -> anyhow::Result<Exit> {
        let key = NewKey::new();
        let mut file = NewFile::create(&self.to)?;
        file.write(key.file.expose().as_bytes())?;
        file.finish()?;
        match format {
            Format::Json => output::json(&json!({ "recipient": key.recipient, "file": self.to }))?,
            Format::Table => {
                output::line(&format!("✔ {} opens backups; keep it safe, off the nodes", self.to.display()));
                output::line(&format!("  rmsc backup create --to DIR --recipient {}", key.recipient));
            }
        }
        Ok(Exit::Fine)
    }
}

impl Create {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let mut recipients = self.recipient;
        if let Some(path) = &self.recipient_file {
            let text = file::text(path)?;
            let lines = text.expose().lines().map(str::trim);
            recipients
                .extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Into::into));
        }
        let passphrase = self.passphrase_file.as_deref().map(file::first_line).transpose()?;
        let passphrase = passphrase.unwrap_or_else(|| Secret::new(String::new()));
        file::check_target(&self.to)?;
        // Before a node is asked; it checks again.
        Lock::new(&recipients, passphrase.clone())?;
        let request = proto::CreateBackupRequest { recipients, passphrase: passphrase.expose().clone() };
        let mut parts = global.client().await?.backups().create(request).await?.into_inner();
        let Some(Part::Summary(summary)) = parts.message().await?.and_then(|part| part.part) else {
            bail!("the node sent no backup");
        };
        let path = if self.to.is_dir() { self.to.join(file::name(&summary)) } else { self.to.clone() };
        let mut file = NewFile::create(&path)?;
        while let Some(part) = parts.message().await? {
            match part.part {
                Some(Part::Data(bytes)) => file.write(&bytes)?,
                Some(Part::Summary(_)) | None => bail!("the node sent something that is no backup"),
            }
        }
        let bytes = file.finish()?;
        match global.output {
            Format::Json => output::json(&json!({
                "file": path, "bytes": bytes, "cluster_id": summary.cluster_id, "revision": summary.revision,
                "log_index": summary.log_index, "entries": summary.entries, "nodes": summary.nodes,
                "taken_at": date(summary.taken_at_ms), "node": summary.taken_at,
            }))?,
            Format::Table => {
                output::line(&format!(
                    "✔ {} ({bytes} bytes): table revision {}, {} accounts, taken at {}",
                    path.display(),
                    summary.revision,
                    summary.entries,
                    summary.taken_at
                ));
                output::line(&format!("  rmsc backup verify {} --identity KEYFILE", path.display()));
            }
        }
        Ok(Exit::Fine)
    }
}

impl List {
    fn run(&self, format: Format) -> anyhow::Result<Exit> {
        let found = file::found(&self.folder)?;
        match format {
            Format::Json => output::json(&found)?,
            Format::Table => output::table(
                ["FILE", "CLUSTER", "TAKEN", "REVISION", "BYTES"],
                found.into_iter().map(|it| {
                    [it.file, it.cluster_id, it.taken_at, it.revision.to_string(), it.bytes.to_string()]
                }),
            ),
        }
        Ok(Exit::Fine)
    }
}

impl Verify {
    async fn run(self, format: Format) -> anyhow::Result<Exit> {
        let scratch = Scratch::make(self.unlock.scratch.as_deref())?;
        let archive = self.unlock.open(&self.file, scratch.path())?;
        let verified = verify(archive, scratch.path(), now).await;
        let verified = verified.with_context(|| format!("{} is of no use", self.file.display()))?;
        let summary = &verified.summary;
        let age = file::age(summary.taken_at_ms, now().0);
        match format {
            Format::Json => {
                let more = json!({
                    "age_s": age.as_secs(), "secrets": verified.secrets,
                    "booted_in_ms": u64::try_from(verified.booted_in.as_millis()).unwrap_or(u64::MAX),
                    "next_revision": verified.next_revision,
                });
                output::json(&output::merged(in_json(summary), more))?;
            }
            Format::Table => {
                output::line(&format!(
                    "✔ {} is whole, and {} opens",
                    self.file.display(),
                    secrets(&verified)
                ));
                output::line(&format!(
                    "✔ a copy of the cluster booted out of it in {:.1} s: {} accounts read back, a change accepted",
                    verified.booted_in.as_secs_f64(),
                    summary.entries
                ));
                print(summary, &file::in_words(age));
            }
        }
        Ok(Exit::Fine)
    }
}

fn secrets(verified: &crate::backup::Verified) -> String {
    match verified.secrets {
        1 => "its one secret".into(),
        more => format!("what seals its {more} secrets"),
    }
}

impl RestoreBackup {
    async fn run(self, format: Format) -> anyhow::Result<Exit> {
        let config = Config::load(&self.config)?;
        let scratch = Scratch::make(self.unlock.scratch.as_deref())?;
        let archive = self.unlock.open(&self.file, scratch.path())?;
        let beside = self.config.parent().map(Path::to_owned).unwrap_or_default();
        let folder = self.context_dir.unwrap_or(beside);
        let host = host::of(config.basics());
        let _owned = owner::of(&host.data_dir);
        let restored = archive.restore(Restore {
            host: &host,
            administrator: &self.administrator,
            now: OffsetDateTime::now_utc(),
            certificate_life: config.node.certificate_life,
            old_nodes: if self.force { OldNodes::MayRun } else { OldNodes::MustBeOff },
            cloud_login: if self.keep_cloud_login { CloudLogin::Keep } else { CloudLogin::Forget },
        });
        let restored = restored.await?;
        let endpoints = vec![config.listen.admin.to_string()];
        // Before it counts: the key is nowhere else, and a second run would find the folder full.
        let written = Context::write(&folder, restored.administrator().into(), endpoints)?;
        if let Err(error) = restored.commit() {
            written.undo();
            return Err(error.into());
        }
        let context = written.path();
        host::warn_of_plain_key(restored.plain_seal_file());
        match format {
            Format::Json => {
                let more = json!({
                    "node_id": restored.node_id, "name": config.node.name, "context": context,
                    "administrator": self.administrator, "other_administrators": restored.administrators,
                    "kerberos_keys": restored.service_keys, "cloud_login": restored.cloud.words(),
                });
                output::json(&output::merged(in_json(&restored.summary), more))?;
            }
            Format::Table => {
                told(&restored, &config.node.name);
                say_administrators(&self.administrator, context, &restored.administrators);
                say_service_keys(&restored.service_keys);
                restored.cloud.words().iter().for_each(|words| output::line(&format!("‼ {words}")));
                output::line("\nNext:");
                output::line(&format!(
                    "  systemctl enable --now rmsc        or: rmsc server --config {}",
                    self.config.display()
                ));
                output::line(
                    "  rmsc token create                  for each further host; they join as new nodes",
                );
                output::line(
                    "  On the old hosts: never start the old node again; empty its data folder first",
                );
            }
        }
        Ok(Exit::Fine)
    }
}

fn told(restored: &Restored, name: &str) {
    let summary = &restored.summary;
    output::line(&format!(
        "✔ cluster {} begins anew with {name} (node {}): {} accounts of revision {}",
        summary.cluster_id, restored.node_id, summary.entries, summary.revision
    ));
    let removed: Vec<_> = restored.removed.iter().map(|(name, _)| name.as_str()).collect();
    output::line(&format!("✔ removed for ever: {}; open tokens are revoked", removed.join(", ")));
}

/// The list is the backup's: who was removed since is in it again.
fn say_administrators(name: &str, context: &Path, others: &[String]) {
    output::line(&format!("✔ administrator {name}: {}", context.display()));
    if !others.is_empty() {
        let names = others.join(", ");
        output::line(&format!(
            "‼ the backup has more: {names}; take out who should be none: rmsc admin remove"
        ));
    }
}

/// So are the keys.
fn say_service_keys(keys: &[String]) {
    if !keys.is_empty() {
        output::line(&format!(
            "‼ Kerberos keys of the backup are taken again: {}; take out those that were removed since (rmsc kerberos \
             remove), and import those that came since",
            keys.join(", ")
        ));
    }
}

fn print(summary: &Summary, age: &str) {
    let rows = [
        ("Cluster", format!("{}, {}", summary.cluster_id, summary.service_name)),
        (
            "Taken",
            format!(
                "{}, {age} ago, by {} at {}",
                date(summary.taken_at_ms),
                summary.taken_by,
                summary.taken_at
            ),
        ),
        ("Table", format!("revision {}, {} accounts", summary.revision, summary.entries)),
        ("Nodes", summary.nodes.to_string()),
        ("Version", summary.version.clone()),
    ];
    output::table(["", ""], rows.map(|(name, value)| [name.to_owned(), value]));
}

fn in_json(summary: &Summary) -> serde_json::Value {
    json!({
        "cluster_id": summary.cluster_id, "service_name": summary.service_name,
        "log_index": summary.log_index, "revision": summary.revision, "entries": summary.entries,
        "nodes": summary.nodes, "taken_at": date(summary.taken_at_ms), "taken_by": summary.taken_by,
        "node": summary.taken_at, "version": summary.version,
    })
}

fn now() -> Timestamp {
    let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Timestamp(i64::try_from(now).unwrap_or(i64::MAX))
}
