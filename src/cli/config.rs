//! `rmsc config`: the node file.

use super::{Exit, output};
use crate::config::{self, Config};
use std::path::PathBuf;

/// The node file.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Check a node file without starting anything: every fault at once, with its line.
    Check {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
        config: PathBuf,
        /// The file is a witness's.
        #[arg(long)]
        witness: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let ConfigCommand::Check { config, witness } = self;
        if witness {
            let node = config::Witness::load(&config)?.node;
            output::line(&format!("{} is good: witness {}", config.display(), node.name));
            return Ok(Exit::Fine);
        }
        let Config { node, identity, .. } = Config::load(&config)?;
        output::line(&format!("{} is good: node {}", config.display(), node.name));
        let file = identity.keytab.map(|path| format!(", and those of {}", path.display()));
        output::line(&format!("Kerberos keys: those of the cluster{}", file.unwrap_or_default()));
        Ok(Exit::Fine)
    }
}
