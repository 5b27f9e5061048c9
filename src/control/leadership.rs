//! Who should lead: picks a successor and has the leader hand over to it.

use super::survey::{Picture, Seat, Survey};
use crate::cluster::TransferError;
use tonic::Status;

/// The voter that should lead next: one that answers and is not the leader; rather one that relays than a
/// witness, rather one in the rotation than a drained one, and then the one that has most of the log.
pub(super) fn best(picture: &Picture) -> Option<&Seat> {
    let others = picture
        .seats
        .iter()
        .filter(|seat| seat.member.voter && seat.up() && Some(seat.id()) != picture.standing.leader);
    others.max_by_key(|seat| {
        let applied = seat.status.as_ref().map_or(0, |status| status.applied);
        (!seat.is_witness(), !seat.is_drained(), applied)
    })
}

/// Has the leader hand over to a node; the name of the one that leads then.
pub(super) async fn hand_over(survey: &Survey, to: &Seat) -> Result<String, Status> {
    let leader = survey.cluster().transfer(Some(to.id())).await.map_err(|error| of_transfer(&error, to))?;
    let name = survey.roll().into_iter().find(|seat| seat.id() == leader).map(|seat| seat.name().to_owned());
    Ok(name.unwrap_or_else(|| format!("node {leader}")))
}

fn of_transfer(error: &TransferError, to: &Seat) -> Status {
    let words = format!("{} does not lead: {error}", to.name());
    match error {
        TransferError::NoLeader | TransferError::NotTaken { .. } | TransferError::Failed { .. } => {
            Status::unavailable(words)
        }
        TransferError::Alone | TransferError::NoVoter { .. } => Status::failed_precondition(words),
    }
}

/// Why nobody else can lead.
pub(super) fn nobody() -> Status {
    Status::failed_precondition("no other voter answers, so nobody else can lead")
}
