//! Clients that each make one call after the other, for a fixed time.

use super::figures::percentile;
use super::system::{Client, KEYS, Operation, System};
use anyhow::bail;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What one round came to.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub calls_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Calls that were answered with an error: they count for nothing else.
    pub failed: usize,
}

/// Runs one round with so many clients at a node, each with a connection of its own.
pub async fn run<S: System>(
    system: &S,
    node: usize,
    operation: Operation,
    clients: usize,
    span: Duration,
) -> anyhow::Result<Load> {
    let mut connections = Vec::with_capacity(clients);
    for _ in 0..clients {
        connections.push(system.connect(node).await?);
    }
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for (caller, client) in connections.into_iter().enumerate() {
        callers.spawn(call_on(client, operation, caller * KEYS / clients, begun + span));
    }
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while let Some(caller) = callers.join_next().await {
        let (answered, refused) = caller?;
        latencies.extend(answered);
        failed += refused;
    }
    let elapsed = begun.elapsed();
    if latencies.is_empty() {
        bail!("no call was answered in {span:?}");
    }
    latencies.sort();
    Ok(Load {
        calls_per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50_ms: percentile(&latencies, 50),
        p99_ms: percentile(&latencies, 99),
        failed,
    })
}

/// Writes every entry once, so that reads find them and writes replace them.
pub async fn fill<S: System>(system: &S, node: usize) -> anyhow::Result<()> {
    let client = system.connect(node).await?;
    let mut writers = JoinSet::new();
    for writer in 0..FILLERS {
        let mut client = client.clone();
        writers.spawn(async move {
            for number in (writer..KEYS).step_by(FILLERS) {
                client.call(Operation::Put, number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

async fn call_on<C: Client>(
    mut client: C,
    operation: Operation,
    first: usize,
    end: Instant,
) -> (Vec<Duration>, usize) {
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for number in first.. {
        let begun = Instant::now();
        if begun >= end {
            break;
        }
        match client.call(operation, number).await {
            Ok(()) => latencies.push(begun.elapsed()),
            Err(_) => failed += 1,
        }
    }
    (latencies, failed)
}

const FILLERS: usize = 16;
