//! `rmsc cert remove`.

use super::{as_json, hex, print_certificate, unshown_json};
use crate::cli::output::{self, Format};
use crate::cli::{Exit, Global, effect};
use crate::proto::control::v1 as proto;
use clap::Args;
use serde_json::json;

/// Take the cluster's certificate away, with its key: each node shows that of its own file again.
///
/// A node whose file names no certificate under [listen] shows none from then on, and calling servers
/// do not reach it over https; so that is refused unless it is forced. Open connections go on. A key of
/// `rmsc cert renew` goes on waiting. Backups that were taken before hold the certificate still.
/// If another certificate was imported while you were asked, that one stays.
///
/// Examples:
///   rmsc cert remove
///   rmsc cert remove --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Remove {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Also if a node has no file of its own, or does not say so.
    #[arg(long)]
    force: bool,
}

impl Remove {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let client = global.client().await?;
        let shown = client.certificates().show(proto::ShowCertificateRequest {}).await?.into_inner();
        if !shown.current {
            output::remark(
                "No leader could be asked, so which certificate there is now is not known; nothing was changed. See \
                 rmsc status.",
            );
            return Ok(Exit::NoQuorum);
        }
        if shown.chain.is_empty() && !shown.unreadable {
            return self.end(global, &proto::RemoveCertificateResponse::default());
        }
        let name = &shown.service_name;
        if !self.yes && !output::typed(&warning(&shown), name)? {
            output::remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
            return Ok(Exit::Refused);
        }
        let fingerprint = shown.chain.first().map(|leaf| leaf.fingerprint.clone()).unwrap_or_default();
        let request =
            proto::RemoveCertificateRequest { force: self.force, request_id: Vec::new(), fingerprint };
        let removed = client.certificates().remove(request).await?.into_inner();
        self.end(global, &removed)
    }

    fn end(&self, global: &Global, removed: &proto::RemoveCertificateResponse) -> anyhow::Result<Exit> {
        match global.output {
            Format::Json => {
                let own = json!({
                    "chain": removed.chain.iter().map(as_json).collect::<Vec<_>>(),
                    "without": removed.without, "changed": removed.effect.is_some(),
                    "still": unshown_json(&removed.still),
                });
                let effect = removed.effect.as_ref().map_or_else(|| json!({}), effect::json);
                output::json(&output::merged(own, effect))?;
            }
            Format::Table => print(removed),
        }
        let exit = removed.effect.as_ref().map_or(Exit::Fine, effect::exit);
        Ok(if removed.without.is_empty() && removed.still.is_empty() { exit } else { Exit::Warnings })
    }
}

fn warning(shown: &proto::ShowCertificateResponse) -> String {
    let name = &shown.service_name;
    let fingerprint = shown.chain.first().map(|leaf| format!("\n  SHA-256: {}", hex(&leaf.fingerprint)));
    format!(
        "‼ The certificate for {name} and its key go out of the cluster.{}\n  The name: {name}",
        fingerprint.unwrap_or_default()
    )
}

fn print(removed: &proto::RemoveCertificateResponse) {
    let Some(effect) = &removed.effect else {
        return output::line("the cluster has no certificate; nothing was changed");
    };
    output::line("the cluster's certificate was taken away:");
    removed.chain.iter().take(1).for_each(print_certificate);
    effect::print(effect);
    for name in &removed.without {
        output::line(&format!("‼ {name} shows no certificate now: rmsc cert import FILE"));
    }
    for node in &removed.still {
        output::line(&format!("‼ {} may show it still: {}", node.name, node.reason));
    }
}
