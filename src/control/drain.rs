//! Waits until a node that was taken out of the rotation is empty.

use super::survey::{Picture, Seat, Survey};
use crate::proto::control::v1 as proto;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How a drain goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) up: bool,
    pub(super) in_flight: u64,
    /// The nodes whose fronts still send to it.
    pub(super) sending: Vec<String>,
    pub(super) end: proto::DrainEnd,
}

/// Looks until the node is empty or the deadline is over, and tells each step that differs from the one
/// before; the last one says how it ended. It ends early when nobody listens any more.
pub(super) async fn watch(
    survey: &Survey,
    node_id: u64,
    deadline: Instant,
    told: Option<&mpsc::Sender<Step>>,
) {
    let mut before = None;
    loop {
        let step = judge(&survey.ask().await, node_id, Instant::now() >= deadline);
        let ended = step.end != proto::DrainEnd::Unspecified;
        if let Some(told) = told.filter(|_| before.as_ref() != Some(&step))
            && told.send(step.clone()).await.is_err()
        {
            return;
        }
        if ended {
            return;
        }
        before = Some(step);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn judge(picture: &Picture, node_id: u64, over: bool) -> Step {
    // A front that has it no more in rotation may still be about to hand it a request that it picked it for.
    let sends = |seat: &Seat| {
        seat.status.as_ref().is_some_and(|status| {
            let nodes = status.facts.front.iter().flat_map(|front| &front.nodes);
            let waits = nodes.filter(|node| node.node_id == node_id).any(|node| node.in_flight > 0);
            waits || status.facts.rotation.contains(&node_id)
        })
    };
    let sending = picture.names(sends);
    let status = picture.seats.iter().find(|seat| seat.id() == node_id).and_then(|seat| seat.status.as_ref());
    let in_flight = status.map_or(0, |status| status.facts.in_flight);
    // A node that does not answer is not known to be empty: it may be frozen with requests in its hands.
    let empty = status.is_some_and(|status| status.facts.in_flight == 0 && !status.facts.ready);
    let end = match (empty && sending.is_empty(), over) {
        (true, _) => proto::DrainEnd::Empty,
        (false, true) => proto::DrainEnd::Overdue,
        (false, false) => proto::DrainEnd::Unspecified,
    };
    Step { up: status.is_some(), in_flight, sending, end }
}

const LOOK_EVERY: Duration = Duration::from_millis(100);
