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
        let (kind, node) = if witness {
            ("witness", config::Witness::load(&config)?.node)
        } else {
            ("node", Config::load(&config)?.node)
        };
        output::line(&format!("{} is good: {kind} {}", config.display(), node.name));
        Ok(Exit::Fine)
    }
}
