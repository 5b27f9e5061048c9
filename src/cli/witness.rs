//! `rmsc witness`: runs a voter that relays nothing.

use super::{Exit, server};
use crate::config;
use crate::node::Node;
use std::path::PathBuf;

/// Run a witness: a node that votes and keeps the log, and neither takes nor relays requests.
///
/// With two nodes that relay and a witness, changes go on when any one of the three fails. It needs little:
/// no certificate for calling servers, no way to the service, and no [identity] or [upstream] in its file.
/// On its ops port /readyz answers 503, so that nobody sends it requests; /clusterz tells how it fares.
///
/// Examples:
///   rmsc witness --config /etc/rmsc/rmsc.toml
///   rmsc config check --witness --config /etc/rmsc/rmsc.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Witness {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Stop when standard input ends, as the lab's nodes do when the lab is gone.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

impl Witness {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let config = config::Witness::load(&self.config)?;
        let stop = server::prepare(&config.log, self.stop_with_stdin)?;
        Node::start_witness(config).await?.run_until(stop).await?;
        Ok(Exit::Fine)
    }
}
