//! `rmsc cert`: the certificate that calling servers see, once for all nodes.

mod remove;
mod renew;

use super::output::{self, Format};
use super::words::{self, date};
use super::{Exit, Global, effect, prompt};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::UnshownCertificate;
use crate::secret::{Secret, read_password};
use crate::tls::{Bundle, BundleError};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The certificate that calling servers see, once for all nodes.
#[derive(Debug, Subcommand)]
pub enum Certificate {
    Import(Import),
    Show(Show),
    Renew(renew::Renew),
    Remove(remove::Remove),
}

/// Take a certificate, on every node within a second; nothing is restarted, and open connections go on.
///
/// FILE is a PFX (PKCS #12) as Windows exports it, or PEM. The name must be the service's, the chain
/// complete, the key strong; what is wrong is said, and nothing is taken. The key is kept sealed, as
/// all secrets of the cluster are, so the file is not needed any more. A node whose file names a
/// certificate of its own under [listen] goes on showing that one, and is named.
///
/// Without a key in the file it is that of `rmsc cert renew`, or that of the certificate before.
///
/// Examples:
///   rmsc cert import rmsconnector.pfx
///   rmsc cert import rms.pem --key rms.key --chain authority.pem
///   rmsc cert import signed.cer --chain authority.cer
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Import {
    /// The certificate: PFX, PEM or DER.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its private key, if it is in a file of its own (PEM).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificates of the authorities above it, if they are in a file of their own.
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// A file whose first line is the PFX file's password; - reads standard input. Otherwise it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take it also if the name is another one, the chain ends before a trusted authority, it is issued by
    /// itself, or its time has not come.
    #[arg(long)]
    force: bool,
}

/// Show the certificate of the cluster and what each node shows, by asking the nodes.
///
/// Ends with 0 if all is well, and with 3 if something is not.
///
/// Examples:
///   rmsc cert show
///   rmsc cert show -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {}

impl Certificate {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self {
            Certificate::Import(import) => import.run(global).await,
            Certificate::Show(Show {}) => show(global).await,
            Certificate::Renew(renew) => renew.run(global).await,
            Certificate::Remove(remove) => remove.run(global).await,
        }
    }
}

impl Import {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let bundle = self.bundle()?;
        let request = proto::ImportCertificateRequest {
            certificates: bundle.certificates,
            key: bundle.key.map(|key| key.expose().clone()).unwrap_or_default(),
            force: self.force,
            request_id: Vec::new(),
        };
        let imported = global.client().await?.certificates().import(request).await?.into_inner();
        match global.output {
            Format::Json => {
                let own = json!({
                    "chain": imported.chain.iter().map(as_json).collect::<Vec<_>>(), "faults": imported.faults,
                    "key_from": imported.key_from, "files": imported.files,
                    "changed": imported.effect.is_some(),
                    "unshown": unshown_json(&imported.unshown), "ends": some(&imported.ends),
                    "unreadable_before": some(&imported.unreadable_before),
                });
                let effect = imported.effect.as_ref().map_or_else(|| json!({}), effect::json);
                output::json(&output::merged(own, effect))?;
            }
            Format::Table => self.print(&imported),
        }
        let exit = imported.effect.as_ref().map_or(Exit::Fine, effect::exit);
        let fine = imported.faults.is_empty() && imported.files.is_empty() && imported.unshown.is_empty();
        let fine = fine && imported.ends.is_empty();
        Ok(if fine { exit } else { Exit::Warnings })
    }

    fn print(&self, imported: &proto::ImportCertificateResponse) {
        imported.chain.first().iter().for_each(|leaf| print_certificate(leaf));
        match &imported.effect {
            Some(effect) => effect::print(effect),
            None => output::line("the cluster had it; nothing was changed"),
        }
        if !imported.unreadable_before.is_empty() {
            output::line(&format!(
                "the one before could not be read, and this one is in its place: {}",
                imported.unreadable_before
            ));
        }
        for UnshownCertificate { name, reason } in &imported.unshown {
            output::line(&format!("‼ {name} does not show it: {reason}"));
        }
        let ends = some(&imported.ends).into_iter();
        let faults = imported.faults.iter().map(String::as_str).chain(ends);
        faults.for_each(|fault| output::line(&format!("‼ {fault}")));
        if !imported.files.is_empty() {
            output::line(&format!(
                "‼ {} show the certificate of their own file: take certificate and key out of [listen] there, and \
                 restart them",
                imported.files.join(", ")
            ));
        }
        match imported.key_from.as_str() {
            "request" => output::remark("Its key was made by rmsc cert renew."),
            "before" => output::remark("Its key is that of the certificate before."),
            _ => {
                let key = self.key.as_ref().unwrap_or(&self.file);
                output::remark(&format!(
                    "The file with the key is not needed any more: shred -u {}",
                    key.display()
                ));
            }
        }
    }

    fn bundle(&self) -> anyhow::Result<Bundle> {
        let mut bundle = self.opened(&self.file)?;
        for file in [&self.key, &self.chain].into_iter().flatten() {
            let more = self.opened(file)?;
            if Some(file) == self.key.as_ref() && more.key.is_none() {
                bail!("there is no private key in {}; name the file that has it with --key", file.display());
            }
            bundle = bundle.and(more).with_context(|| format!("cannot use {}", file.display()))?;
        }
        if bundle.certificates.is_empty() {
            bail!("there is no certificate in {}", self.file.display());
        }
        Ok(bundle)
    }

    fn opened(&self, file: &Path) -> anyhow::Result<Bundle> {
        let bytes = read(file)?;
        let failed = || format!("cannot use {}", file.display());
        let empty = Secret::new(String::new());
        if !Bundle::is_pfx(bytes.expose()) {
            return Bundle::read(bytes.expose(), &empty).with_context(failed);
        }
        if let Some(password) = &self.password_file {
            let password = if password == Path::new(STANDARD_INPUT) {
                let mut line = Secret::new(String::new());
                let read = std::io::stdin().read_line(line.expose_mut());
                read.context("cannot read the password")?;
                Secret::new(line.expose().trim_end_matches(['\r', '\n']).to_owned())
            } else {
                read_password("the PFX file's password file", password)?
            };
            return Bundle::read(bytes.expose(), &password).with_context(failed);
        }
        match Bundle::read(bytes.expose(), &empty) {
            Err(BundleError::Password) => {}
            read => return read.with_context(failed),
        }
        let question = format!("Password of {}: ", file.display());
        let password = prompt::password(
            &question,
            "the PFX file has a password, and there is no terminal to ask for it: --password-file FILE",
        )?;
        Bundle::read(bytes.expose(), &password).with_context(failed)
    }
}

fn read(file: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let failed = || format!("cannot read {}", file.display());
    let mut bytes = Secret::new(Vec::new());
    let opened = std::fs::File::open(file).with_context(failed)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(bytes.expose_mut()).with_context(failed)?;
    if bytes.expose().len() as u64 > FILE_BYTES_MAX {
        bail!("{} is too long for a certificate: more than {FILE_BYTES_MAX} bytes", file.display());
    }
    Ok(bytes)
}

async fn show(global: &Global) -> anyhow::Result<Exit> {
    let request = proto::ShowCertificateRequest {};
    let shown = global.client().await?.certificates().show(request).await?.into_inner();
    match global.output {
        Format::Json => output::json(&json!({
            "service_name": shown.service_name,
            "chain": shown.chain.iter().map(as_json).collect::<Vec<_>>(),
            "imported_by": some(&shown.by), "imported_at": at(shown.at_ms),
            "requested_by": some(&shown.requested_by), "requested_at": at(shown.requested_at_ms),
            "removed_by": some(&shown.removed_by), "removed_at": at(shown.removed_at_ms),
            "unreadable": shown.unreadable,
            "nodes": shown.nodes.iter().map(|node| json!({
                "name": node.name, "up": node.up, "source": some(&node.source),
                "fingerprint": some(&hex(&node.fingerprint)),
                "subject": node.subject, "issuer": node.issuer,
                "not_after": at(node.not_after_ms),
                "days_left": (node.not_after_ms != 0).then(|| days_left(node.not_after_ms)),
            })).collect::<Vec<_>>(),
            "problems": shown.problems, "current": shown.current,
        }))?,
        Format::Table => print_shown(&shown),
    }
    Ok(if shown.problems.is_empty() { Exit::Fine } else { Exit::Warnings })
}

fn print_shown(shown: &proto::ShowCertificateResponse) {
    output::line(&format!("service name  {}", shown.service_name));
    match shown.chain.split_first() {
        Some((leaf, others)) => {
            print_certificate(leaf);
            let others: Vec<_> = others.iter().map(|it| it.subject.as_str()).collect();
            output::line(&format!("chain         {}", others.join(" < ")));
            output::line(&format!("imported      by {}, {}", shown.by, date(shown.at_ms)));
        }
        None if shown.unreadable => {
            output::line("the cluster has one that cannot be read: rmsc cert import FILE");
        }
        None if !shown.removed_by.is_empty() => output::line(&format!(
            "the cluster has none since {} took it away, {}: rmsc cert import FILE",
            shown.removed_by,
            date(shown.removed_at_ms)
        )),
        None => output::line("the cluster has none: rmsc cert import FILE"),
    }
    if !shown.requested_by.is_empty() {
        output::line(&format!(
            "a key of {} ({}) waits for its certificate: rmsc cert import FILE",
            shown.requested_by,
            date(shown.requested_at_ms)
        ));
    }
    output::table(
        ["NODE", "FROM", "SUBJECT", "ISSUER", "EXPIRES", "FINGERPRINT"],
        shown.nodes.iter().map(|node| {
            let from = match (node.up, node.source.as_str()) {
                (false, _) => "does not answer",
                (true, "") => "none",
                (true, "file") => "its own file",
                (true, source) => source,
            };
            let expires = match node.not_after_ms {
                0 => String::new(),
                at => words::until(at),
            };
            let fingerprint: String = hex(&node.fingerprint).chars().take(SHORT_CHARS).collect();
            [node.name.clone(), from.into(), node.subject.clone(), node.issuer.clone(), expires, fingerprint]
        }),
    );
    shown.problems.iter().for_each(|problem| output::line(&format!("‼ {problem}")));
}

fn print_certificate(leaf: &proto::Certificate) {
    output::line(&format!("subject       {}", leaf.subject));
    output::line(&format!("names         {}", leaf.names.join(", ")));
    output::line(&format!("issuer        {}", leaf.issuer));
    let (from, until) = (date(leaf.not_before_ms), date(leaf.not_after_ms));
    output::line(&format!(
        "valid         {from} until {until} ({})",
        words::left(days_left(leaf.not_after_ms))
    ));
    output::line(&format!("fingerprint   {} (SHA-256)", hex(&leaf.fingerprint)));
}

fn as_json(certificate: &proto::Certificate) -> Value {
    json!({
        "subject": certificate.subject, "issuer": certificate.issuer, "names": certificate.names,
        "not_before": date(certificate.not_before_ms), "not_after": date(certificate.not_after_ms),
        "days_left": days_left(certificate.not_after_ms), "fingerprint": hex(&certificate.fingerprint),
    })
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn at(at_ms: i64) -> Option<String> {
    (at_ms != 0).then(|| date(at_ms))
}

fn days_left(at_ms: i64) -> i64 {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().saturating_mul(1_000);
    at_ms.saturating_sub(now).div_euclid(DAY_MS)
}

fn unshown_json(nodes: &[UnshownCertificate]) -> Vec<Value> {
    nodes.iter().map(|node| json!({ "node": node.name, "reason": node.reason })).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const STANDARD_INPUT: &str = "-";
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// A PFX with a whole chain has some ten thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Enough to tell two apart.
const SHORT_CHARS: usize = 16;
