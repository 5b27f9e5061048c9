//! Makes Raft's membership follow the roster: on the leader alone, one change after the other.

mod farewell;
mod plan;

use super::types::{Address, TypeConfig};
use super::{Cluster, members};
use crate::state::{Change, Outcome, Roster, RosterChange, Timestamp};
use farewell::Farewells;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::Precondition;
use openraft::{ChangeMembers, RaftMetrics, ServerState};
use plan::{Step, View};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Runs until the tasks drain.
pub(super) async fn keep(cluster: Cluster, clock: fn() -> Timestamp) {
    let mut metrics = cluster.raft().metrics();
    let state = cluster.state();
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A removed node is told so by the log: it needs the entry, and the news that it is committed.
    let mut parting: Option<(u64, Instant)> = None;
    let mut farewells = Farewells::default();
    loop {
        tokio::select! {
            () = cluster.draining() => return,
            _ = interval.tick() => {}
        }
        let seen = metrics.borrow_and_update().clone();
        if seen.state != ServerState::Leader || seen.committed_membership_config != seen.membership_config {
            continue;
        }
        let roster = state.borrow().roster.clone();
        let mut view = view_of(&seen);
        let waited_for = farewells.open(&plan::leaving(&view, &roster), Instant::now());
        view.occupied = occupied(&cluster, &seen, waited_for).await;
        let Some(step) = plan::next_step(&view, &roster) else { continue };
        if parts(&step, &seen, &roster) {
            let since = match parting {
                Some((revision, since)) if revision == roster.revision => since,
                Some(_) | None => Instant::now(),
            };
            parting = Some((roster.revision, since));
            if since.elapsed() < PARTING {
                continue;
            }
        }
        tracing::info!(?step, "the membership follows the roster");
        let hands_over = step == Step::HandOver;
        match tokio::time::timeout(CHANGE_TIMEOUT, take(&cluster, &seen, &roster, step, clock)).await {
            // That was only asked for: asking again at once would do nothing but fill the network.
            Ok(Ok(())) if hands_over => {}
            Ok(Ok(())) => interval.reset_immediately(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the membership was not changed; trying again");
                interval.reset_after(FAILED_PAUSE);
            }
            Err(_) => tracing::warn!("the membership was not changed in time; trying again"),
        }
    }
}

/// Whether a step makes a removed node leave.
fn parts(step: &Step, seen: &RaftMetrics<TypeConfig>, roster: &Roster) -> bool {
    match step {
        Step::Voters(_) => {
            seen.membership_config.membership().voter_ids().any(|id| !roster.nodes.contains_key(&id))
        }
        Step::Remove(_) => true,
        Step::AddLearner(_) | Step::Rewrite(_) | Step::HandOver | Step::Drop(_) => false,
    }
}

/// Those of these that still have callers of their own: of one that is dropped the others take nothing more, and what it
/// was asked would fail.
async fn occupied(cluster: &Cluster, seen: &RaftMetrics<TypeConfig>, nodes: BTreeSet<u64>) -> BTreeSet<u64> {
    let asked = nodes.into_iter().map(async |id| serves_clients(cluster, seen, id).await.then_some(id));
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// One that does not say so in time may have some.
async fn serves_clients(cluster: &Cluster, seen: &RaftMetrics<TypeConfig>, node_id: u64) -> bool {
    let member = cluster.members().borrow().iter().find(|member| member.node_id == node_id).cloned();
    let Some(member) = member.filter(|_| members::answers(seen, node_id)) else { return false };
    let status = cluster.node_status(&member, STATUS_TIMEOUT).await;
    status.is_none_or(|status| status.facts.serves_clients)
}

fn view_of(seen: &RaftMetrics<TypeConfig>) -> View {
    let membership = seen.membership_config.membership();
    let sets = membership.get_joint_config();
    let written = |address: &Address| plan::written(&address.name, &address.peer, &address.admin);
    View {
        own: seen.id,
        voters: sets.last().cloned().unwrap_or_default(),
        joint: sets.len() > 1,
        members: membership.nodes().map(|(id, address)| (*id, written(address))).collect(),
        caught_up: membership
            .nodes()
            .map(|(id, _)| *id)
            .filter(|id| *id == seen.id || members::is_close(seen, *id))
            .collect(),
        occupied: BTreeSet::new(),
    }
}

async fn take(
    cluster: &Cluster,
    seen: &RaftMetrics<TypeConfig>,
    roster: &Roster,
    step: Step,
    clock: fn() -> Timestamp,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let raft = cluster.raft();
    // Only if nobody else has changed the membership meanwhile.
    let unchanged =
        [Precondition::LastMembershipLogId { last_membership_log_id: *seen.membership_config.log_id() }];
    let address = |id: u64| BTreeMap::from_iter(address_of(seen, roster, id).map(|address| (id, address)));
    let (change, retain) = match step {
        Step::AddLearner(id) => (ChangeMembers::AddNodes(address(id)), true),
        Step::Rewrite(id) => (ChangeMembers::SetNodes(address(id)), true),
        Step::Voters(ids) => (ChangeMembers::ReplaceAllVoters(ids), true),
        Step::Remove(ids) => (ChangeMembers::RemoveNodes(ids), false),
        Step::Drop(node_id) => {
            let by = roster.nodes.get(&node_id).and_then(|node| node.leaving.clone()).unwrap_or_default();
            let change = Change::Roster(RosterChange::DropNode { node_id });
            let written = cluster.write(&by, change, None, clock()).await?;
            // What was refused would be proposed again at once, and fill the log.
            return match written.outcome {
                Outcome::Rejected(rejection) => Err(rejection.into()),
                _ => Ok(()),
            };
        }
        Step::HandOver => {
            let next = members::best_successor(seen, roster, seen.id).ok_or("no other voter answers")?;
            return Ok(raft.trigger().transfer_leader(next).await?);
        }
    };
    raft.change_membership_if(change, retain, unchanged).await?;
    Ok(())
}

fn address_of(seen: &RaftMetrics<TypeConfig>, roster: &Roster, id: u64) -> Option<Address> {
    let node = roster.nodes.get(&id)?;
    let group = seen.membership_config.membership().nodes().map(|(_, known)| known.group).next()?;
    Some(Address {
        name: node.name.clone(),
        peer: node.peer_address.clone(),
        admin: node.admin_address.clone(),
        incarnation: node.incarnation,
        group,
    })
}

/// A node that joins should not wait for long.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// What failed would mostly fail again, and leaves a line in the log each time.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);
/// Some heartbeats.
const PARTING: Duration = Duration::from_millis(300);
