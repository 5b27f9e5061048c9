//! `rmsc dev`: a throw-away lab.

use super::output::{self, Format};
use super::{Exit, output::remark, words};
use crate::lab::{self, Lab, Options};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run a throw-away lab: a cluster of real node processes, a simulated service and sample traffic, all
/// on this machine. Nothing here is safe for production.
///
/// Examples:
///   rmsc dev
///   rmsc dev --nodes 5 --for 20s -o json
///   sudo rmsc dev --ad
///   rmsc dev restart node-2 --dir /tmp/lab
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Dev {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Keep everything in this folder, which must be empty or new; by default a new one that goes away at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End by itself after this time, for instance 20s or 5m, with a summary.
    #[arg(long = "for", value_name = "TIME", value_parser = words::duration)]
    run_for: Option<Duration>,
    /// Send no sample traffic.
    #[arg(long)]
    no_traffic: bool,
    /// Requests a second of the sample traffic, over all fronts.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Make an Active Directory domain as well (a Samba domain controller), and call with Kerberos tickets of it. Must
    /// be run as root; says what to install.
    #[arg(long)]
    ad: bool,
    /// How long the certificates of nodes live, which are renewed at two thirds of it.
    #[arg(long, hide = true, value_name = "TIME", value_parser = words::duration, default_value = "2160h")]
    certificate_life: Duration,
    #[command(subcommand)]
    command: Option<DevCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum DevCommand {
    /// Start a node of a running lab again.
    Restart {
        /// The node's name, for instance node-2.
        name: String,
        /// The lab's folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

impl Dev {
    pub(super) async fn run(self, format: Format) -> anyhow::Result<Exit> {
        if let Some(DevCommand::Restart { name, dir }) = self.command {
            let pid = lab::restart(&dir, &name).await?;
            output::line(&format!("{name} is started again, pid {pid}"));
            return Ok(Exit::Fine);
        }
        let options = Options {
            nodes: self.nodes.into(),
            dir: self.dir,
            run_for: self.run_for,
            domain: self.ad,
            traffic_rate: (!self.no_traffic).then_some(self.rate),
            certificate_life: self.certificate_life,
        };
        // From the beginning: a lab that is interrupted while it starts must not leave its folder behind.
        let mut signals = Signals::new()?;
        let lab = tokio::select! {
            lab = Lab::start(options, remark) => lab?,
            () = signals.any() => return Ok(Exit::Failed),
        };
        remark(&lab.welcome());
        let stop = async {
            signals.any().await;
            output::end_redrawn();
            remark("stopping the nodes …");
        };
        let summary = lab.run(stop, output::redrawn).await?;
        output::end_redrawn();
        match format {
            Format::Json => output::json(&summary)?,
            Format::Table => output::line(&summary.to_string()),
        }
        Ok(if summary.passed { Exit::Fine } else { Exit::Failed })
    }
}

/// What ends a lab: Ctrl-C, SIGTERM, and the end of its terminal.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let [interrupt, terminate, hang_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Signals([interrupt?, terminate?, hang_up?]))
    }

    async fn any(&mut self) {
        let Signals([interrupt, terminate, hang_up]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
