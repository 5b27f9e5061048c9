//! `rmsc kerberos`: the keys with which the cluster opens Kerberos tickets.

mod spn;

use super::output::{self, Format};
use super::words::{self, date};
use super::{Exit, Global, effect};
use crate::proto::control::v1 as proto;
use crate::secret::Secret;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The keys with which Kerberos tickets are opened, on every node.
#[derive(Debug, Subcommand)]
pub enum Kerberos {
    Import(Import),
    Rotate(Rotate),
    Show(Show),
    Test(Test),
    Remove(Remove),
    SpnCommands(spn::SpnCommands),
}

/// Take the keys of a keytab, on every node within a second; nothing is restarted.
///
/// Only AES keys of services HTTP/HOST are taken; what else is in the file is named. The keys are
/// kept sealed, as all secrets of the cluster are, so the file is not needed any more. The same
/// again changes nothing.
///
/// Examples:
///   rmsc kerberos import rmsc.keytab
///   ssh dc1 cat rmsc.keytab | rmsc kerberos import -
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Import {
    /// The keytab; - reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take keys as well that were removed before, by mistake.
    #[arg(long)]
    removed_too: bool,
}

/// Take the keys of a new password, and let the old ones go when no ticket is made with them any more.
///
/// Of each service the newest version in the file is taken alone; what it has of older ones is to go.
///
/// No request fails if the nodes have the new keys before the domain uses them: make the keytab of
/// the new password with the next version (kvno), rotate, then set the password. The lines for it:
/// rmsc kerberos spn-commands --rotate.
///
/// Examples:
///   rmsc kerberos rotate new.keytab
///   rmsc kerberos rotate new.keytab --keep 24h
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Rotate {
    /// The keytab; - reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How long the old keys are taken: as long as tickets live (10h), clocks differ (5m), and the password
    /// is not set yet.
    #[arg(long, value_name = "TIME", value_parser = words::duration, default_value = "11h")]
    keep: Duration,
}

/// Show the keys: of which service, which version, where they come from, when they were of use last.
///
/// Examples:
///   rmsc kerberos show
///   rmsc kerberos show -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {}

/// Ask every node which keys it uses, whether it has one of the service name, and what time it is.
///
/// Ends with 0 if all is well, and with 3 if something is not.
///
/// Examples:
///   rmsc kerberos test
///   rmsc kerberos test -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Test {}

/// Forget a key, on every node within a second: for one that somebody else may have.
///
/// Tickets that were made with it are refused from then on. Set a new password in the domain as
/// well; the old one still makes tickets there.
///
/// Examples:
///   rmsc kerberos remove HTTP/rms.contoso.test@CONTOSO.TEST --kvno 3
///   rmsc kerberos remove HTTP/rms-old.contoso.test@CONTOSO.TEST
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// The service, as `rmsc kerberos show` has it.
    #[arg(value_name = "PRINCIPAL")]
    principal: String,
    /// Its keys of this version alone.
    #[arg(long, value_name = "N")]
    kvno: Option<u32>,
}

impl Kerberos {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Kerberos::Import(Import { file, removed_too }) => import(&file, None, removed_too, global).await,
            Kerberos::Rotate(Rotate { file, keep }) => import(&file, Some(keep), false, global).await,
            Kerberos::Show(Show {}) => show(global).await,
            Kerberos::Test(Test {}) => test(global).await,
            Kerberos::Remove(remove) => remove.run(global).await,
            Kerberos::SpnCommands(commands) => commands.run(global).await,
        }
    }
}

async fn import(
    file: &Path,
    keep_others: Option<Duration>,
    removed_too: bool,
    global: &Global,
) -> anyhow::Result<Exit> {
    let keytab = read(file)?;
    let request = proto::ImportKeysRequest {
        keytab: keytab.expose().clone(),
        keep_others_s: keep_others.map(|keep| keep.as_secs()),
        request_id: Vec::new(),
        removed_too,
    };
    let imported = global.client().await?.kerberos_keys().import(request).await?.into_inner();
    match global.output {
        Format::Json => {
            let own = json!({
                "keys": imported.imported.iter().map(|key| json!({
                    "service": key.service, "kvno": key.version, "etype": key.etype, "already": key.already,
                })).collect::<Vec<_>>(),
                "left_out": imported.left_out.iter().map(|key| json!({
                    "service": key.service, "kvno": key.version, "etype": key.etype, "why": key.why,
                })).collect::<Vec<_>>(),
                "retiring": imported.retiring.iter().map(as_json).collect::<Vec<_>>(),
                "hints": imported.hints, "changed": imported.effect.is_some(),
            });
            let effect = imported.effect.as_ref().map_or_else(|| json!({}), effect::json);
            output::json(&output::merged(own, effect))?;
        }
        Format::Table => print_imported(&imported, file),
    }
    let exit = imported.effect.as_ref().map_or(Exit::Fine, effect::exit);
    Ok(if imported.hints.is_empty() { exit } else { Exit::Warnings })
}

fn print_imported(imported: &proto::ImportKeysResponse, file: &Path) {
    output::table(
        ["SERVICE", "KVNO", "ENCRYPTION", ""],
        imported.imported.iter().map(|key| {
            let already = if key.already { "the cluster had it" } else { "taken" };
            [key.service.clone(), key.version.to_string(), key.etype.clone(), already.into()]
        }),
    );
    for key in &imported.left_out {
        output::line(&format!(
            "left out: {} version {} ({}): {}",
            key.service, key.version, key.etype, key.why
        ));
    }
    for key in &imported.retiring {
        output::line(&format!(
            "{} version {} ({}) is taken until {} ({})",
            key.service,
            key.version,
            key.etype,
            date(key.retires_at_ms),
            words::until(key.retires_at_ms)
        ));
    }
    match &imported.effect {
        Some(effect) => effect::print(effect),
        None => output::line("nothing was changed"),
    }
    imported.hints.iter().for_each(|hint| output::line(&format!("‼ {hint}")));
    if file != Path::new(STANDARD_INPUT) {
        output::remark(&format!("The file is not needed any more: shred -u {}", file.display()));
    }
}

/// The bytes of a keytab; a remark if others can read it.
fn read(file: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let mut bytes = Secret::new(Vec::new());
    let read = if file == Path::new(STANDARD_INPUT) {
        std::io::stdin().lock().take(KEYTAB_BYTES_MAX + 1).read_to_end(bytes.expose_mut())
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mode = opened.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        if mode & 0o077 != 0 {
            output::remark(&format!(
                "‼ {0} has mode {mode:04o}: whoever read it can be anybody here. Remove it after this, and if \
                 somebody may have read it, set another password",
                file.display()
            ));
        }
        opened.take(KEYTAB_BYTES_MAX + 1).read_to_end(bytes.expose_mut())
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.expose().len() as u64 > KEYTAB_BYTES_MAX {
        bail!("{} is too long for a keytab: more than {KEYTAB_BYTES_MAX} bytes", file.display());
    }
    Ok(bytes)
}

async fn shown(global: &Global) -> anyhow::Result<proto::ShowKeysResponse> {
    Ok(global.client().await?.kerberos_keys().show(proto::ShowKeysRequest {}).await?.into_inner())
}

async fn show(global: &Global) -> anyhow::Result<Exit> {
    let shown = shown(global).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "service_name": shown.service_name, "keys": shown.keys.iter().map(as_json).collect::<Vec<_>>(),
            "current": shown.current,
        }))?,
        Format::Table => {
            output::table(
                ["SERVICE", "KVNO", "ENCRYPTION", "FROM", "AGE", "ADDED BY", "TAKEN UNTIL", "LAST USED"],
                shown.keys.iter().map(|key| {
                    [
                        key.service.clone(),
                        key.version.to_string(),
                        key.etype.clone(),
                        sources(key),
                        ago(key.added_at_ms).unwrap_or_else(|| "-".into()),
                        key.added_by.clone(),
                        if key.retires_at_ms == 0 { String::new() } else { date(key.retires_at_ms) },
                        ago(key.used_at_ms).map_or_else(|| "-".into(), |ago| format!("{ago} ago")),
                    ]
                }),
            );
            if shown.keys.is_empty() {
                output::line("there is no key: rmsc kerberos spn-commands, then rmsc kerberos import FILE");
            }
        }
    }
    Ok(Exit::Fine)
}

fn sources(key: &proto::KerberosKey) -> String {
    let cluster = key.cluster.then(|| "cluster".to_owned());
    let files = (!key.files.is_empty()).then(|| format!("file of {}", key.files.join(", ")));
    cluster.into_iter().chain(files).collect::<Vec<_>>().join("; ")
}

fn as_json(key: &proto::KerberosKey) -> Value {
    let when = |milliseconds: i64| (milliseconds != 0).then(|| date(milliseconds));
    json!({
        "service": key.service, "kvno": key.version, "etype": key.etype, "cluster": key.cluster,
        "files": key.files, "added_by": Some(&key.added_by).filter(|by| !by.is_empty()),
        "added_at": when(key.added_at_ms), "retires_at": when(key.retires_at_ms),
        "used_at": when(key.used_at_ms),
    })
}

async fn test(global: &Global) -> anyhow::Result<Exit> {
    let shown = shown(global).await?;
    match global.output {
        Format::Json => output::json(&json!({
            "service_name": shown.service_name,
            "nodes": shown.nodes.iter().map(|node| json!({
                "name": node.name, "up": node.up, "keys": node.keys, "missing": node.missing,
                "serves": node.serves, "clock_ahead_ms": node.clock_ahead_ms,
            })).collect::<Vec<_>>(),
            "problems": shown.problems, "current": shown.current,
        }))?,
        Format::Table => {
            let of_name = format!("HTTP/{}", shown.service_name);
            output::table(
                ["NODE", "KEYS", &of_name, "CLOCK"],
                shown.nodes.iter().map(|node| {
                    let serves = if node.serves { "has an AES key" } else { "no AES key" };
                    let clock = match node.clock_ahead_ms {
                        0 => "right".into(),
                        apart => format!("{apart:+} ms"),
                    };
                    let (serves, clock) = if node.up {
                        (serves.into(), clock)
                    } else {
                        ("does not answer".into(), String::new())
                    };
                    [node.name.clone(), node.keys.to_string(), serves, clock]
                }),
            );
            shown.problems.iter().for_each(|problem| output::line(&format!("‼ {problem}")));
        }
    }
    Ok(if shown.problems.is_empty() { Exit::Fine } else { Exit::Warnings })
}

impl Remove {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let Remove { principal, kvno } = self;
        let request = proto::RemoveKeysRequest { service: principal, version: kvno, request_id: Vec::new() };
        let removed = global.client().await?.kerberos_keys().remove(request).await?.into_inner();
        let effect = removed.effect.unwrap_or_default();
        match global.output {
            Format::Json => {
                let own = json!({
                    "removed": removed.removed.iter().map(|key| json!({
                        "service": key.service, "kvno": key.version, "etype": key.etype,
                    })).collect::<Vec<_>>(),
                    "files": removed.files, "silent": removed.silent,
                    "same": removed.same.iter().map(|key| json!({
                        "service": key.service, "kvno": key.version, "etype": key.etype,
                    })).collect::<Vec<_>>(),
                });
                output::json(&output::merged(own, effect::json(&effect)))?;
            }
            Format::Table => {
                for key in &removed.removed {
                    output::line(&format!("removed {} version {} ({})", key.service, key.version, key.etype));
                }
                effect::print(&effect);
                for key in &removed.same {
                    output::line(&format!(
                        "‼ the same key is still taken as {0} version {1} ({2}): rmsc kerberos remove {0} --kvno {1}",
                        key.service, key.version, key.etype
                    ));
                }
                if !removed.silent.is_empty() {
                    output::line(&format!(
                        "‼ {} do not answer: nobody knows whether they have it in a file of their own",
                        removed.silent.join(", ")
                    ));
                }
                if !removed.files.is_empty() {
                    output::line(&format!(
                        "‼ {} still take it out of their own file: take [identity.kerberos] out of the node file, or \
                         the key out of the keytab, and restart them",
                        removed.files.join(", ")
                    ));
                }
            }
        }
        let exit = effect::exit(&effect);
        let all_gone = removed.files.is_empty() && removed.same.is_empty() && removed.silent.is_empty();
        Ok(if all_gone { exit } else { Exit::Warnings })
    }
}

/// How long ago that was; nothing if it never was.
fn ago(milliseconds: i64) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let passed = i128::try_from(now).unwrap_or(i128::MAX) - i128::from(milliseconds);
    (milliseconds != 0).then(|| words::span(u64::try_from(passed).unwrap_or(0)))
}

const STANDARD_INPUT: &str = "-";
/// Thousands of keys.
const KEYTAB_BYTES_MAX: u64 = 1 << 20;
