//! How long no write is acknowledged when the leader dies, and when it hands over.

use super::system::{self, Client, Leader, NODES, Operation, System};
use anyhow::{Context as _, bail};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Ends the leader without notice; how long until a write is acknowledged that was begun after that,
/// through another node.
pub async fn failover<S: System>(system: &mut S) -> anyhow::Result<Duration> {
    let leader = settled(system).await?;
    let mut writer = Writer::start(system.connect((leader.node + 1) % NODES).await?);
    writer.warm_up().await?;
    system::signal(system.pid(leader.node)?, Signal::KILL)?;
    let killed = Instant::now();
    let acknowledged = writer.first_begun_after(killed).await?;
    drop(writer);
    system.restart(leader.node).await?;
    Ok(acknowledged - killed)
}

/// Asks the process of the leader to end, which hands over; the longest time between two acknowledged
/// writes through another node.
pub async fn handover<S: System>(system: &mut S) -> anyhow::Result<Duration> {
    let leader = settled(system).await?;
    let mut writer = Writer::start(system.connect((leader.node + 1) % NODES).await?);
    writer.warm_up().await?;
    let pid = system.pid(leader.node)?;
    system::signal(pid, Signal::TERM)?;
    let gap = writer.longest_gap_until_gone(pid).await?;
    drop(writer);
    system.restart(leader.node).await?;
    Ok(gap)
}

/// Waits until all nodes know the same leader and take writes.
pub async fn settled<S: System>(system: &S) -> anyhow::Result<Leader> {
    let settling = async {
        let mut ticks = interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Ok(leader) = agreed(system).await {
                return leader;
            }
        }
    };
    let settled = timeout(SETTLE_TIMEOUT, settling).await;
    settled.with_context(|| format!("{} does not settle within {SETTLE_TIMEOUT:?}", system.name()))
}

async fn agreed<S: System>(system: &S) -> anyhow::Result<Leader> {
    let mut agreed = None;
    for node in 0..NODES {
        let leader = system.leader_known_to(node).await?.context("no leader is known")?;
        if *agreed.get_or_insert(leader) != leader {
            bail!("the nodes know different leaders");
        }
        let mut client = system.connect(node).await?;
        timeout(CALL_TIMEOUT, client.call(Operation::Put, node)).await??;
        timeout(CALL_TIMEOUT, client.call(Operation::Read, node)).await??;
    }
    agreed.context("there are no nodes")
}

/// Begins writes at a steady pace, whether or not earlier ones were answered: a client that waits for
/// one lost answer would see the length of its own timeout.
struct Writer {
    acknowledged: mpsc::Receiver<(Instant, Instant)>,
    /// Ends the writing when it is dropped.
    _writing: JoinSet<()>,
}

impl Writer {
    fn start<C: Client>(client: C) -> Self {
        let (sender, acknowledged) = mpsc::channel(ACKNOWLEDGED_MAX);
        let mut writing = JoinSet::new();
        writing.spawn(async move {
            let mut calls = JoinSet::new();
            let mut ticks = interval(WRITE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0.. {
                ticks.tick().await;
                while calls.try_join_next().is_some() {}
                let (mut client, sender) = (client.clone(), sender.clone());
                calls.spawn(async move {
                    let begun = Instant::now();
                    let written = timeout(CALL_TIMEOUT, client.call(Operation::Put, number)).await;
                    if matches!(written, Ok(Ok(()))) {
                        // Nobody listens any more once the figure is taken.
                        sender.send((begun, Instant::now())).await.ok();
                    }
                });
            }
        });
        Writer { acknowledged, _writing: writing }
    }

    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for _ in 0..WARM_UP_WRITES {
            self.next().await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<(Instant, Instant)> {
        let next = timeout(SETTLE_TIMEOUT, self.acknowledged.recv()).await;
        next.context("no write was acknowledged")?.context("the writer has ended")
    }

    async fn first_begun_after(&mut self, moment: Instant) -> anyhow::Result<Instant> {
        loop {
            let (begun, acknowledged) = self.next().await?;
            if begun >= moment {
                return Ok(acknowledged);
            }
        }
    }

    /// The longest gap until a while after a process has ended.
    async fn longest_gap_until_gone(&mut self, pid: u32) -> anyhow::Result<Duration> {
        let (_, mut last) = self.next().await?;
        let (mut end, mut longest) = (None, Duration::ZERO);
        while end.is_none_or(|end| last < end) {
            let (_, acknowledged) = self.next().await?;
            longest = longest.max(acknowledged.saturating_duration_since(last));
            last = last.max(acknowledged);
            if end.is_none() && !system::is_alive(pid) {
                end = Some(Instant::now() + LOOK_AFTER);
            }
        }
        Ok(longest)
    }
}

/// Fine enough for gaps of tens of milliseconds, and little load.
const WRITE_EVERY: Duration = Duration::from_millis(5);
const WARM_UP_WRITES: usize = 50;
/// An election that the end of the process causes would begin within this time.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// A write that is lost with its leader is given up; the next ones are on their way.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// All that one writer can have begun before it is read.
const ACKNOWLEDGED_MAX: usize = 4_096;
const LOOK_EVERY: Duration = Duration::from_millis(100);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
