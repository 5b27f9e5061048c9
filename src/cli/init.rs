//! `rmsc init`: founds a cluster on this host.

use super::output::{self, Format};
use super::{Exit, host, owner};
use crate::config::Config;
use crate::control::Context;
use crate::enrolment::{self, hex};
use serde_json::json;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// Found a new cluster, with this host as its first node.
///
/// Makes the cluster's certificate authority and data key, this node's certificate, and the first
/// administrator's context. The cluster begins when the node is started. Run it on one host; the others join.
///
/// Examples:
///   rmsc init
///   rmsc init --config /etc/rmsc/rmsc.toml --context-dir ~/.config/rmsc
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Init {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Where to write the administrator's context and certificate; by default beside the node file.
    #[arg(long, value_name = "DIR")]
    context_dir: Option<PathBuf>,
    /// The administrator's name, letters and digits: it stands beside every change.
    #[arg(long, value_name = "NAME", default_value = "admin", value_parser = host::word)]
    administrator: String,
}

impl Init {
    pub(super) fn run(self, format: Format) -> anyhow::Result<Exit> {
        host::keep_private();
        let config = Config::load(&self.config)?;
        let _owned = owner::of(&config.node.data_dir);
        let beside = self.config.parent().map(Path::to_owned).unwrap_or_default();
        let folder = self.context_dir.unwrap_or(beside);
        let life = config.node.certificate_life;
        let founding = enrolment::init(
            &host::of(config.basics()),
            &self.administrator,
            OffsetDateTime::now_utc(),
            life,
        )?;
        // First: a cluster whose only administrator has no key is of no use.
        let endpoints = vec![config.listen.admin.to_string()];
        let written = Context::write(&folder, (&founding.administrator).into(), endpoints)?;
        if let Err(error) = founding.commit() {
            written.undo();
            return Err(error.into());
        }
        let context = written.path();
        let fingerprint = hex(&founding.pin);
        match format {
            Format::Json => output::json(&json!({
                "cluster_id": founding.cluster_id, "node_id": 1, "name": config.node.name,
                "fingerprint": fingerprint, "context": context,
            }))?,
            Format::Table => {
                output::line(&format!(
                    "✔ cluster {} founded, fingerprint {fingerprint}",
                    founding.cluster_id
                ));
                output::line(&format!("✔ this host is its first node, {} (node 1)", config.node.name));
                output::line(&format!("✔ administrator {}: {}", self.administrator, context.display()));
                output::line("");
                output::line("Next:");
                output::line(&format!(
                    "  systemctl enable --now rmsc        or: rmsc server --config {}",
                    self.config.display()
                ));
                output::line(&format!("  export RMSC_CONTEXT={}", context.display()));
                output::line("  rmsc token create                  for each further host");
            }
        }
        host::warn_of_plain_key(founding.plain_seal_file.as_deref());
        Ok(Exit::Fine)
    }
}
