//! On which nodes a change acts, and until when a node that does not answer may go on without it.

use super::changes;
use super::convert::milliseconds;
use super::survey::{Seat, Survey};
use crate::proto::control::v1 as proto;
use std::time::{Duration, Instant};

/// Asks every node that relays until it has applied the change, for a second at most.
pub(super) async fn of(survey: &Survey, log_index: u64) -> proto::Effect {
    let acknowledged = Instant::now();
    let seats = survey.roll();
    let asked = seats.iter().filter(|seat| !seat.is_witness()).map(|seat| async {
        let left = EFFECT_TIMEOUT.saturating_sub(acknowledged.elapsed());
        let in_effect = survey.cluster().await_applied(&seat.member, log_index, left).await;
        if in_effect { effective(seat) } else { silent(survey, seat, acknowledged).await }
    });
    let mut nodes = futures::future::join_all(asked).await;
    let here = |id| seats.iter().any(|seat| seat.id() == id);
    let gone = survey.gone().into_iter().filter(|gone| !here(gone.node_id));
    nodes.extend(
        gone.map(|gone| refusing(gone.name, gone.refuses_at.saturating_duration_since(Instant::now()))),
    );
    proto::Effect { revision: log_index, nodes, elapsed_ms: milliseconds(acknowledged.elapsed()) }
}

fn effective(seat: &Seat) -> proto::NodeEffect {
    proto::NodeEffect { name: seat.name().to_owned(), in_effect: true, ..Default::default() }
}

/// A node that has not applied a change cannot have found its table fresh after the change was
/// acknowledged: it refuses when its table is older than that by what it tolerates. One that can be
/// asked, but hears no leader, says how old its table is already.
async fn silent(survey: &Survey, seat: &Seat, acknowledged: Instant) -> proto::NodeEffect {
    let asked = Instant::now();
    let status = survey.cluster().node_status(&seat.member, AGE_TIMEOUT).await;
    let since = fresh_at_the_latest(acknowledged, asked, status.and_then(|status| status.facts.age));
    let left = survey.stale_after(seat).saturating_sub(since.elapsed());
    proto::NodeEffect { removed: false, ..refusing(seat.name().to_owned(), left) }
}

/// By itself, as one does that nobody can ask.
fn refusing(name: String, left: Duration) -> proto::NodeEffect {
    proto::NodeEffect {
        name,
        in_effect: false,
        removed: true,
        refuses_by_ms: changes::now().0.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX)),
        refuses_in_ms: milliseconds(left),
    }
}

fn fresh_at_the_latest(acknowledged: Instant, asked: Instant, age: Option<Duration>) -> Instant {
    let said = age.and_then(|age| asked.checked_sub(age));
    said.map_or(acknowledged, |said| said.min(acknowledged))
}

/// A change acts everywhere within a second; a node that takes longer is named.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(1);
const AGE_TIMEOUT: Duration = Duration::from_millis(200);
