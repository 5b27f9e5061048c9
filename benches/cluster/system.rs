//! What is asked of both systems, and of every client of theirs.

use rustix::process::{Pid, Signal, kill_process};
use std::future::Future;

/// One call of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Changes a value; the answer says that it cannot be lost.
    Put,
    /// The same; the answer says that every node has it. etcd has no such call.
    PutEverywhere,
    /// Reads a value with everything that was acknowledged before.
    Read,
    /// Reads a value as the asked node has it.
    ReadLocal,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its place in the list of nodes.
    pub node: usize,
    /// Its term: every election raises it.
    pub term: u64,
}

/// Three running nodes.
pub trait System {
    /// What connects to them.
    type Client: Client;

    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Connects to one node.
    async fn connect(&self, node: usize) -> anyhow::Result<Self::Client>;

    /// The leader that a node knows, if it knows one.
    async fn leader_known_to(&self, node: usize) -> anyhow::Result<Option<Leader>>;

    /// The process of a node.
    fn pid(&self, node: usize) -> anyhow::Result<u32>;

    /// Waits until the process of a node has ended, and starts it again.
    async fn restart(&mut self, node: usize) -> anyhow::Result<()>;
}

/// A connection to one node.
pub trait Client: Clone + Send + 'static {
    /// Makes one call, for the entry with this number.
    fn call(
        &mut self,
        operation: Operation,
        number: usize,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The name of an entry: a SID, with both systems.
pub fn key(number: usize) -> String {
    format!("S-1-5-21-1004336348-1177238915-682003330-{}", 10_000 + number % KEYS)
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = raw.ok_or_else(|| anyhow::anyhow!("{pid} is no process"))?;
    Ok(kill_process(pid, signal)?)
}

/// Whether a process runs. One that has ended and was not waited for yet does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name in parentheses, which may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

/// How many nodes each system has.
pub const NODES: usize = 3;
/// How many entries are written and read.
pub const KEYS: usize = 1_000;
/// The size of an entry as it is stored.
pub const VALUE_BYTES: usize = 256;
