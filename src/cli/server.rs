//! `rmsc server`: runs a node.

use super::{Exit, host};
use crate::config::{Config, Log};
use crate::node::Node;
use crate::telemetry;
use anyhow::Context as _;
use std::future::Future;
use std::path::PathBuf;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Run a node.
///
/// It runs until SIGTERM or SIGINT, and then drains: it leaves the rotation, ends the requests it has
/// accepted, and closes its store.
///
/// A host becomes a node by `rmsc init` or `rmsc join`; without that it ends with 2.
///
/// Examples:
///   rmsc server --config /etc/rmsc/rmsc.toml
///   rmsc config check --config /etc/rmsc/rmsc.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Server {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Stop when standard input ends, as the lab's nodes do when the lab is gone.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

impl Server {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let config = Config::load(&self.config)?;
        let stop = prepare(&config.log, self.stop_with_stdin)?;
        Node::start(config).await?.run_until(stop).await?;
        Ok(Exit::Fine)
    }
}

/// Prepares the process to be a node; what it gives ends when the node should.
pub(super) fn prepare(log: &Log, stop_with_stdin: bool) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    host::keep_private();
    telemetry::start(&log.level, log.target).context("[log]")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_end(stop_with_stdin) => {}
        }
    })
}

async fn stdin_end(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 64];
    while stdin.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
}
