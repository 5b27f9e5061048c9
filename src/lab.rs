//! The lab behind `rmsc dev`: a simulated service, node processes on loopback, and sample traffic.

mod accounts;
mod client;
mod domain;
mod enrol;
mod files;
mod layout;
mod ports;
mod processes;
mod restart;
mod session;
mod summary;
mod traffic;

pub use restart::restart;
pub use summary::{Progress, Summary};

use crate::control::{Client, Context};
use crate::proto::control::v1 as proto;
use crate::simulator;
use crate::tasks::Tasks;
use anyhow::{Context as _, bail};
use domain::Domain;
use layout::Layout;
use processes::Processes;
use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// What the lab is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// Where to keep it; `None`: a new folder that goes away.
    pub dir: Option<PathBuf>,
    /// How long to run; `None`: until interrupted.
    pub run_for: Option<Duration>,
    /// Requests a second of the sample traffic; `None` for none.
    pub traffic_rate: Option<u32>,
    /// Make an Active Directory domain as well, whose accounts call with Kerberos tickets.
    pub domain: bool,
    /// How long certificates of nodes live.
    pub certificate_life: Duration,
}

/// A lab that runs.
pub struct Lab {
    options: Options,
    layout: Arc<Layout>,
    processes: Processes,
    simulated: Arc<simulator::Counts>,
    domain: Option<Arc<Domain>>,
    tasks: Tasks,
}

impl Lab {
    /// Starts everything, forms the group and authorizes the sample accounts.
    ///
    /// # Errors
    /// What did not start, and where its log is.
    pub async fn start(options: Options, say: impl Fn(&str)) -> anyhow::Result<Self> {
        let begun = Instant::now();
        say("rmsc development lab: nothing here is safe for production.");
        let tasks = Tasks::new();
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot listen for the simulated service")?;
        let layout = Arc::new(Layout::create(&options, listener.local_addr()?)?);
        let simulated = Arc::new(simulator::Counts::default());
        let config = simulator::Config {
            tenant_url: layout.simulator_url(),
            counts: simulated.clone(),
            ..simulator::Config::default()
        };
        let simulator_tasks = tasks.clone();
        tasks.spawn("simulator", async move { simulator::serve(listener, config, &simulator_tasks).await });
        say(&format!("  ✔ simulated service     {}", layout.simulator_url()));
        let domain = match layout.domain() {
            Some(place) => Some(Arc::new(Domain::start(place.clone()).await?)),
            None => None,
        };
        if domain.is_some() {
            say(&format!(
                "  ✔ domain                CONTOSO.TEST (Samba), {:.1} s",
                begun.elapsed().as_secs_f64()
            ));
        }
        let processes = Processes::new(layout.clone());
        let lab = Lab { options, layout, processes, simulated, domain, tasks };
        match timeout(READY_TIMEOUT, lab.prepare()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lab.give_up(error).await),
            Err(_) => {
                let error = anyhow::anyhow!("the cluster was not ready within {READY_TIMEOUT:?}");
                return Err(lab.give_up(error).await);
            }
        }
        lab.layout.write_lab(&lab.processes.pids())?;
        let serving = restart::serve(&lab.layout, lab.processes.clone(), lab.tasks.clone())?;
        lab.tasks.spawn("restart requests", serving);
        say(&format!(
            "  ✔ cluster               {} ready, {:.1} s",
            lab.layout.names(),
            begun.elapsed().as_secs_f64()
        ));
        Ok(lab)
    }

    /// What to try next.
    #[must_use]
    pub fn welcome(&self) -> String {
        self.layout.welcome(&self.processes.pids())
    }

    /// Sends traffic and shows progress until the time is over or `stop` ends, then stops everything.
    ///
    /// # Errors
    /// The files of the lab cannot be written.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        show: impl Fn(&Progress),
    ) -> anyhow::Result<Summary> {
        let traffic = self
            .options
            .traffic_rate
            .map(|rate| traffic::Traffic::start(&self.layout, self.domain.clone(), rate, self.tasks.child()))
            .transpose()?;
        let before = self.simulated.snapshot();
        let begun = Instant::now();
        let mut interval = tokio::time::interval(SHOW_EVERY);
        interval.tick().await;
        let mut recent = VecDeque::from([before.clone()]);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = &mut stop => break,
                () = over(begun, self.options.run_for) => break,
            }
            if self.processes.note_deaths() {
                self.layout.write_lab(&self.processes.pids())?;
            }
            let now = self.simulated.snapshot();
            if let (Some(traffic), Some(then)) = (&traffic, recent.front()) {
                show(&Progress::new(
                    begun.elapsed(),
                    &traffic.counts(),
                    (then, &now),
                    &self.processes.pids(),
                ));
            }
            recent.push_back(now);
            if recent.len() > RECENT_SNAPSHOTS {
                recent.pop_front();
            }
        }
        let counts = match traffic {
            Some(traffic) => traffic.stop().await,
            None => traffic::Counts::default(),
        };
        let summary = Summary::new(&self.layout.node_names(), &counts, &before, &self.simulated.snapshot());
        self.stop_processes().await;
        Ok(summary)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        enrol::nodes(&self.layout, &self.processes).await?;
        self.wait_until_ready().await?;
        if let Some(domain) = &self.domain {
            self.import_keys(domain.keytab()?).await?;
        }
        self.authorize().await?;
        Ok(())
    }

    /// Waits until every front has every node in rotation.
    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let names = self.layout.node_names();
        for node in self.layout.nodes() {
            loop {
                if self.processes.note_deaths() {
                    bail!("a node ended at its start");
                }
                match client::get_json(node.ops, "/readyz").await {
                    Ok(ready) if in_rotation(&ready) == names.len() => break,
                    _ => tokio::time::sleep(POLL_EVERY).await,
                }
            }
        }
        Ok(())
    }

    /// As `rmsc kerberos import` does.
    async fn import_keys(&self, keytab: Vec<u8>) -> anyhow::Result<()> {
        let context = Context::load(&self.layout.context_file())?;
        let request_id = rand::random::<[u8; 16]>().to_vec();
        let request = proto::ImportKeysRequest { keytab, request_id, ..Default::default() };
        let mut keys = Client::connect(&context).await?.kerberos_keys();
        keys.import(request).await.context("cannot import the keys of the domain")?;
        Ok(())
    }

    /// Through the control plane, as an administrator would.
    async fn authorize(&self) -> anyhow::Result<()> {
        let context = Context::load(&self.layout.context_file())?;
        let mut authorizations = Client::connect(&context).await?.authorizations();
        for account in self.layout.accounts() {
            let Some(role) = account.role else { continue };
            let request = proto::AddRequest {
                name: account.group.map_or_else(|| account.name.clone(), ToOwned::to_owned),
                role: role.into(),
                note: "sample account of the lab".into(),
                request_id: rand::random::<[u8; 16]>().to_vec(),
                ..Default::default()
            };
            let added = authorizations
                .add(request)
                .await
                .with_context(|| format!("cannot authorize {}", account.name))?;
            let effect = added.into_inner().effect.unwrap_or_default();
            if !effect.nodes.iter().all(|node| node.in_effect) {
                bail!("{} is not in effect on every node", account.name);
            }
        }
        Ok(())
    }

    async fn give_up(self, error: anyhow::Error) -> anyhow::Error {
        let logs = self.layout.last_log_lines();
        self.stop_processes().await;
        error.context(format!("the lab did not start; the last lines of its logs:\n{logs}"))
    }

    async fn stop_processes(&self) {
        self.tasks.start_draining();
        self.processes.stop().await;
        if let Some(domain) = &self.domain {
            domain.stop().await;
        }
    }
}

async fn over(begun: Instant, run_for: Option<Duration>) {
    match run_for {
        Some(run_for) => tokio::time::sleep(run_for.saturating_sub(begun.elapsed())).await,
        None => std::future::pending().await,
    }
}

fn in_rotation(ready: &serde_json::Value) -> usize {
    ready.get("rotation").and_then(serde_json::Value::as_array).map_or(0, Vec::len)
}

/// A loaded machine takes its time; a quiet one needs two seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(25);
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// Shares are those of the last ten seconds.
const RECENT_SNAPSHOTS: usize = 10;
