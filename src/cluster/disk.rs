//! A full disk: the node takes no changes, says so, and goes on with everything else until there is room.

use super::medium;
use super::types::{Entry, TypeConfig};
use super::{Cluster, Member, rescue};
use crate::event::{Disks, Event};
use crate::storage::log::LogError;
use crate::storage::space::{Full, Space};
use openraft::async_runtime::WatchReceiver;
use openraft::{EntryPayload, RaftMetrics, ServerState};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// What the voters' disks lack, by node; those with room are not in it.
pub(super) type Crowded = BTreeMap<u64, String>;

/// Looks after this node's disk until the node stops, and as a leader asks after those of the others.
pub(super) async fn keep(cluster: Cluster) {
    let mut was_full = false;
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = cluster.draining() => return,
        }
        let looking = cluster.clone();
        let looked = medium::blocking(move || look(&looking)).await;
        if let Ok(Err(LogError::Closed)) = looked {
            return;
        }
        match (own(&cluster), was_full) {
            (Some(reason), false) => Event::Disk { what: Disks::Full, reason: &reason }.log(),
            (None, true) => Event::Disk { what: Disks::HasRoom, reason: "" }.log(),
            (Some(_), true) | (None, false) => {}
        }
        was_full = own(&cluster).is_some();
        lead(&cluster).await;
    }
}

fn look(cluster: &Cluster) -> Result<(), LogError> {
    if let Err(error) = cluster.shared.space.look() {
        tracing::warn!(%error, "cannot ask how full the disk is");
    }
    let members = cluster.members().borrow().clone();
    if !members.is_empty()
        && cluster.shared.space.full().is_none()
        && let Err(error) = rescue::note_members(&cluster.config().data_dir, &members)
    {
        tracing::warn!(%error, "cannot note where the members are");
    }
    match cluster.shared.log.upkeep() {
        Err(LogError::Refused(error)) if error.kind() == io::ErrorKind::StorageFull => {
            cluster.shared.space.note_full();
            Ok(())
        }
        Err(LogError::Refused(error)) => {
            tracing::warn!(%error, "cannot hold room for the log in reserve");
            Ok(())
        }
        other => other,
    }
}

/// Why this node's disk takes no changes.
pub(super) fn own(cluster: &Cluster) -> Option<String> {
    let full = cluster.shared.space.full()?;
    Some(format!("the disk of {} is full: {full}", cluster.config().name))
}

/// Why this node, which leads, proposes nothing now: its own disk, or those of so many voters that nothing
/// would be committed.
pub(super) fn refusal(cluster: &Cluster) -> Option<String> {
    if let Some(own) = own(cluster) {
        return Some(own);
    }
    let members = cluster.members().borrow().clone();
    let crowded = cluster.crowded().clone();
    let voters = members.iter().filter(|member| member.voter);
    let (without, with): (Vec<_>, Vec<_>) = voters.partition(|voter| crowded.contains_key(&voter.node_id));
    if with.len() > without.len() || without.is_empty() {
        return None;
    }
    let said: Vec<_> = without.iter().filter_map(|voter| crowded.get(&voter.node_id).cloned()).collect();
    Some(said.join("; "))
}

/// Why entries do not come in. What a new leader and a new membership need always does, and a little of what
/// is on its way: without it nothing would go on but heartbeats.
pub(super) fn refuses(space: &Space, entries: &[Entry]) -> Option<Full> {
    let bytes = entries.iter().map(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.len() as u64,
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    });
    match bytes.sum() {
        0 => None,
        bytes if space.spend(bytes) => None,
        _ => space.full(),
    }
}

/// What a leader does about full disks: it knows which voters have room, and hands over to one if it has
/// none itself.
async fn lead(cluster: &Cluster) {
    let own_id = cluster.config().node_id;
    let leads = || leads(&cluster.raft().metrics().borrow_watched());
    if !leads() {
        cluster.crowded().clear();
        return;
    }
    let members = cluster.members().borrow().clone();
    let others: Vec<&Member> =
        members.iter().filter(|member| member.voter && member.node_id != own_id).collect();
    let asked = others.iter().map(|member| cluster.node_status(member, STATUS_TIMEOUT));
    let statuses = futures::future::join_all(asked).await;
    let (mut crowded, mut roomy) = (Crowded::new(), Vec::new());
    for (member, status) in others.iter().zip(statuses) {
        match status.map(|status| status.disk_full) {
            Some(reason) if reason.is_empty() => roomy.push(member.node_id),
            Some(reason) => {
                crowded.insert(member.node_id, reason);
            }
            // A node that does not answer is not without room, for all that is known.
            None => {}
        }
    }
    *cluster.crowded() = crowded;
    let full = cluster.shared.space.full().is_some();
    let raft = cluster.raft();
    let target = furthest(&raft.metrics().borrow_watched(), &roomy).filter(|_| full && leads());
    if let Some(target) = target {
        tracing::info!(target, "the disk is full; another node is to lead");
        raft.trigger().transfer_leader(target).await.ok();
    }
}

fn leads(metrics: &RaftMetrics<TypeConfig>) -> bool {
    metrics.state == ServerState::Leader
}

/// The node that has most of the log.
fn furthest(metrics: &RaftMetrics<TypeConfig>, nodes: &[u64]) -> Option<u64> {
    let replication = metrics.replication.as_ref()?;
    nodes.iter().copied().max_by_key(|node_id| replication.get(node_id).cloned().flatten())
}

/// A disk that fills at 64 MiB/s is noticed before its reserve is used up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
