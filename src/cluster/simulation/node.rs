//! One simulated machine: the cluster's part as the product has it, and what uses it there.

use super::super::{Cluster, Config, Facts};
use super::network::{self, Plain};
use super::shared::{Inner, Shared};
use super::{admin, callers, clients};
use crate::state::{FOUNDER, KeyHash, NodeKind, Timestamp};
use crate::tasks::Tasks;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs a machine until it crashes, or its node is told to end.
pub(super) async fn run(shared: Shared, machine: u64) -> turmoil::Result {
    let (config, random) = {
        let mut inner = shared.lock();
        (config(&inner, machine), inner.random(machine))
    };
    let node_id = config.node_id;
    let facts = Arc::new(|| Facts { ready: true, ..Facts::default() });
    let dial = Plain { node_id, shared: shared.clone() };
    let opened = Cluster::open(config, Arc::new(dial), facts, &Tasks::new()).await;
    let cluster = match opened {
        Ok(cluster) => cluster,
        Err(error) => {
            let error = anyhow::Error::from(error);
            shared.lock().record.stopped.push((machine, format!("it does not start: {error:#}")));
            return Ok(());
        }
    };
    shared.lock().clusters.insert(machine, cluster.clone());
    tokio::spawn(network::serve(node_id, cluster.routes()));
    if node_id == FOUNDER {
        tokio::spawn(admin::found(cluster.clone()));
    }
    tokio::spawn(admin::work(shared.clone(), cluster.clone(), machine));
    clients::start(&shared, &cluster, machine, random);
    tokio::spawn(callers::serve(shared.clone(), cluster.clone(), machine));
    let reason = cluster.failed().await;
    let mut inner = shared.lock();
    inner.gone(machine);
    inner.record.stopped.push((machine, reason));
    Ok(())
}

/// Where a machine keeps everything.
pub(super) fn data_dir(inner: &Inner, machine: u64) -> PathBuf {
    inner.folder.join(network::name(machine))
}

/// Every machine has a disk of its own.
pub(super) fn incarnation(machine: u64) -> u128 {
    u128::from(machine)
}

fn config(inner: &Inner, machine: u64) -> Config {
    Config {
        data_dir: data_dir(inner, machine),
        cluster_id: CLUSTER.into(),
        node_id: inner.ids[&machine],
        name: network::name(machine),
        peer_address: network::address(machine),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        key: KeyHash::default(),
        version: "simulated".into(),
        clock: || Timestamp(0),
        heartbeat: Duration::from_millis(75),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        snapshot_after: SNAPSHOT_AFTER,
    }
}

/// The time of the simulation, the same for all machines.
pub(super) fn now() -> Duration {
    turmoil::sim_elapsed().expect("inside of a simulation")
}

pub(super) const CLUSTER: &str = "simulation";
/// So few that a node that was away for a second needs a snapshot.
const SNAPSHOT_AFTER: u64 = 40;
