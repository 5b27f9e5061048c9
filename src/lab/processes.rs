//! The lab's node processes: started, watched, started again, and never left behind.

use super::layout::{Layout, NodeLayout};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// All of them. Clones are the same ones.
#[derive(Clone)]
pub(super) struct Processes {
    layout: Arc<Layout>,
    running: Arc<Mutex<BTreeMap<String, Option<Child>>>>,
}

impl Processes {
    /// All nodes are down at first.
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        let running = layout.nodes().iter().map(|node| (node.name.clone(), None)).collect();
        Processes { layout, running: Arc::new(Mutex::new(running)) }
    }

    /// Starts a node for the first time.
    pub(super) fn start(&self, node: &NodeLayout) -> anyhow::Result<()> {
        self.lock().insert(node.name.clone(), Some(spawn(node)?));
        Ok(())
    }

    /// Whether a node has ended since the last time.
    pub(super) fn note_deaths(&self) -> bool {
        let mut died = false;
        for child in self.lock().values_mut() {
            if child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                *child = None;
                died = true;
            }
        }
        died
    }

    /// The processes that live.
    pub(super) fn pids(&self) -> BTreeMap<String, Option<u32>> {
        self.lock().iter().map(|(name, child)| (name.clone(), child.as_ref().and_then(Child::id))).collect()
    }

    /// Waits until a node is down.
    pub(super) async fn ended(&self, name: &str) {
        loop {
            self.note_deaths();
            if !matches!(self.lock().get(name), Some(Some(_))) {
                return;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Starts a node that is down.
    pub(super) fn restart(&self, name: &str) -> anyhow::Result<u32> {
        self.note_deaths();
        let Some(node) = self.layout.nodes().iter().find(|node| node.name == name) else {
            bail!("there is no node {name:?}; the lab has {}", self.layout.names());
        };
        let mut running = self.lock();
        if let Some(Some(child)) = running.get(name) {
            let pid = child.id().unwrap_or_default();
            bail!("{name} runs already, pid {pid}; to start it anew: kill {pid}, then this again");
        }
        let child = spawn(node)?;
        let pid = child.id().context("the node ended at once")?;
        running.insert(name.to_owned(), Some(child));
        drop(running);
        self.layout.write_lab(&self.pids())?;
        Ok(pid)
    }

    /// Stops every node: in order first, by force if one takes too long.
    pub(super) async fn stop(&self) {
        let children: Vec<Child> = self.lock().values_mut().filter_map(Option::take).collect();
        for child in &children {
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // An error means that it has ended.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        for mut child in children {
            if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<Child>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(node: &NodeLayout) -> anyhow::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(node.log_file())
        .with_context(|| format!("cannot write {}", node.log_file().display()))?;
    let program = std::env::current_exe().context("cannot find this program")?;
    Command::new(program)
        .arg("server")
        .arg("--config")
        .arg(node.config_file())
        // Its standard input ends when the lab does, however it ends, and then so does the node.
        .arg("--stop-with-stdin")
        .env_remove("RMSC_CONFIG")
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        // Ctrl-C is for the lab, which stops the nodes in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", node.name))
}

const POLL_EVERY: Duration = Duration::from_millis(10);
/// The lab's nodes drain for 5 s at most.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
