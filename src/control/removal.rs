//! Takes a node out of the cluster, in the right order: it is drained, it hands leadership over, it is
//! removed, and the voters agree without it.

use super::changes::write_roster;
use super::nodes::named;
use super::survey::{Picture, Seat, Survey};
use super::{convert, drain, effect, leadership};
use crate::proto::control::v1 as proto;
use crate::state::RosterChange;
use std::time::{Duration, Instant};
use tonic::Status;

/// Removes a node; the answer says how far it came.
pub(super) async fn remove(
    survey: &Survey,
    own: u64,
    by: &str,
    request: proto::RemoveNodeRequest,
) -> Result<proto::RemoveNodeResponse, Status> {
    let picture = survey.newest().await;
    if let Some(already) = removed_before(&picture, &request.node) {
        return Ok(already);
    }
    let seat = named(&picture, &request.node)?;
    if seat.id() == own {
        return Err(Status::failed_precondition(format!(
            "{} cannot remove itself, since it could not say what came of it; call another node: --endpoint \
             HOST:PORT",
            seat.name()
        )));
    }
    if !request.force {
        check_majority(&picture, seat)?;
    }
    let mut handed_to = String::new();
    if picture.standing.leader == Some(seat.id()) {
        let to = leadership::best(&picture).ok_or_else(leadership::nobody)?;
        handed_to = leadership::hand_over(survey, to).await?;
    }
    if seat.ready() {
        empty(survey, by, seat.id()).await?;
    }
    // By what holds before it goes.
    let stale_after = survey.stale_after(seat);
    let change = RosterChange::RemoveNode { node_id: seat.id() };
    let written = write_roster(survey.cluster(), by, change, &request.request_id).await?;
    // It is told before it is let go; who does not hear it goes on for as long as its table is fresh.
    let told = survey.cluster().await_applied(&seat.member, written.log_index, TOLD_TIMEOUT);
    let (told, left) = tokio::join!(told, await_left(survey, seat.id()));
    if !told && !seat.is_witness() {
        survey.part(seat, stale_after);
    }
    Ok(proto::RemoveNodeResponse {
        name: seat.name().to_owned(),
        id: seat.id(),
        already: None,
        left,
        handed_to,
        effect: Some(effect::of(survey, written.log_index).await),
    })
}

/// Nothing more comes to it, and what it has it finishes, if that does not take long.
async fn empty(survey: &Survey, by: &str, node_id: u64) -> Result<(), Status> {
    write_roster(survey.cluster(), by, RosterChange::DrainNode { node_id, drained: true }, &[]).await?;
    drain::watch(survey, node_id, Instant::now() + EMPTY_TIMEOUT, None).await;
    Ok(())
}

fn removed_before(picture: &Picture, name_or_id: &str) -> Option<proto::RemoveNodeResponse> {
    if picture.find(name_or_id).is_some() {
        return None;
    }
    let mut removed = picture.state.roster.removed.iter().rev();
    let (id, node) = removed.find(|(id, node)| node.name == name_or_id || id.to_string() == name_or_id)?;
    Some(proto::RemoveNodeResponse {
        name: node.name.clone(),
        id: *id,
        already: Some(convert::removed_node(*id, node)),
        left: true,
        handed_to: String::new(),
        effect: None,
    })
}

/// The voters that would be left must have a majority among those that answer now.
pub(super) fn check_majority(picture: &Picture, seat: &Seat) -> Result<(), Status> {
    if !seat.member.voter {
        return Ok(());
    }
    // Those that are on their way out will not vote for long either.
    let leaves = |other: &Seat| other.node.as_ref().is_some_and(|node| node.leaving.is_some());
    let stays = |other: &&Seat| other.id() != seat.id() && !leaves(other);
    let left: Vec<&Seat> = picture.seats.iter().filter(|other| other.member.voter).filter(stays).collect();
    let up = left.iter().filter(|seat| seat.up()).count();
    let majority = left.len() / 2 + 1;
    if left.is_empty() || up >= majority {
        return Ok(());
    }
    let silent: Vec<&str> = left.iter().filter(|seat| !seat.up()).map(|seat| seat.name()).collect();
    Err(Status::failed_precondition(format!(
        "without {} the cluster has {} voters, of which {} would be a majority, and only {up} answer{}: no \
         change could be made any more. Bring {} back, or remove it, first. --force removes {} all the same; \
         if there is no majority now: rmsc cluster recover",
        seat.name(),
        left.len(),
        majority,
        if up == 1 { "s" } else { "" },
        silent.join(", "),
        seat.name(),
    )))
}

/// The leader takes its vote, drops it from Raft's membership, and then from the roster.
async fn await_left(survey: &Survey, node_id: u64) -> bool {
    let deadline = Instant::now() + LEFT_TIMEOUT;
    loop {
        let standing = survey.cluster().standing();
        let known = survey.cluster().state().borrow().roster.nodes.contains_key(&node_id);
        if standing.quorum && !known && !survey.cluster().has_member(node_id) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Requests take a second or two; one that hangs is cut off when the node leaves, and repeated elsewhere.
const EMPTY_TIMEOUT: Duration = Duration::from_secs(5);
/// Its callers are let go first; less than the client waits.
const LEFT_TIMEOUT: Duration = Duration::from_secs(15);
/// As long as a change may take to act.
const TOLD_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
