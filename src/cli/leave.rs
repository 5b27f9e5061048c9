//! `rmsc leave`: this host is a node no more.

use super::output::{self, Format, remark};
use super::{Exit, Global, host, owner};
use crate::config::{Any, Basics};
use crate::enrolment::{self, Card};
use crate::proto::control::v1 as proto;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Take this host out of its cluster, for ever.
///
/// The cluster removes the node. If the node runs, it ends by itself; what it kept is put aside in its data
/// folder, and its keys are deleted. The host can join again, as a new node.
///
/// Examples:
///   rmsc leave --yes
///   rmsc leave --config /etc/rmsc/rmsc.toml --context /etc/rmsc/context.toml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Leave {
    /// The node file.
    #[arg(long, value_name = "FILE", default_value = "/etc/rmsc/rmsc.toml", env = "RMSC_CONFIG")]
    config: PathBuf,
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    /// Also if no change can be made any more after it.
    #[arg(long)]
    force: bool,
}

impl Leave {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        host::keep_private();
        let config = Any::load(&self.config)?;
        let config = config.basics();
        let _owned = owner::of(&config.node.data_dir);
        let name = config.node.name.clone();
        let Some(card) = enrolment::card(&config.node.data_dir)? else {
            output::line("this host is no node; nothing was changed");
            return Ok(Exit::Fine);
        };
        if !self.yes && !confirmed(&name, card.node_id)? {
            remark("Not confirmed; nothing was changed. Give --yes where nobody can be asked.");
            return Ok(Exit::Refused);
        }
        let request = proto::LeaveRequest {
            cluster_id: card.cluster_id.clone(),
            node_id: card.node_id,
            force: self.force,
        };
        global.client().await?.tokens().leave(request).await?;
        let aside = settle(config, &card).await?;
        match global.output {
            Format::Json => output::json(&json!({
                "cluster_id": card.cluster_id, "node_id": card.node_id, "name": name, "aside": aside,
            }))?,
            Format::Table => {
                output::line(&format!("✔ node {} ({name}) is removed from the cluster", card.node_id));
                output::line(&format!("✔ what it kept is in {}", aside.display()));
            }
        }
        Ok(Exit::Fine)
    }
}

/// Waits until the node has ended and has put its data aside, or does it where no node runs.
async fn settle(config: Basics<'_>, card: &Card) -> anyhow::Result<PathBuf> {
    let data_dir = &config.node.data_dir;
    let begun = Instant::now();
    let patience = config.drain_timeout * 3 + SETTLE_TIMEOUT;
    while runs(config.listen.peer).await {
        if enrolment::card(data_dir)?.is_none() {
            break;
        }
        if begun.elapsed() > patience {
            bail!(
                "the node is to go, but it has not ended; see rmsc status at another node. While that lists it, it may \
                 have a vote that the others need: bring them back rather than stop this one, then run this again. If \
                 it is listed no more, it has not heard so: stop it, and run this again"
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    enrolment::put_aside(data_dir, card.node_id).context("the node is removed, but its data are still there")
}

async fn runs(peer: SocketAddr) -> bool {
    matches!(tokio::time::timeout(LOOK_TIMEOUT, TcpStream::connect(peer)).await, Ok(Ok(_)))
}

fn confirmed(name: &str, node_id: u64) -> anyhow::Result<bool> {
    remark(&format!(
        "‼ {name} (node {node_id}) leaves its cluster for ever; it can only join as a new node."
    ));
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    remark("  Type its name to go on:");
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).context("cannot read the answer")?;
    Ok(typed.trim() == name)
}

const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// Beside the draining: the news has to come, and the store to close.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
