//! `rmsc config`: the node file.

use super::{Exit, output};
use crate::config::Config;
use std::path::PathBuf;

/// The node file.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Check a node file without starting anything: every fault at once, with its line.
    Check {
        /// The node file.
        #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
        config: PathBuf,
    },
}

impl ConfigCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let ConfigCommand::Check { config } = self;
        let checked = Config::load(&config)?;
        output::line(&format!("{} is good: node {}", config.display(), checked.node.name));
        Ok(Exit::Fine)
    }
}
