//! Which node asks for the next token, and when. Pure: how old things are is an argument, as this node's own steady
//! clock has it, so that a wrong time of day makes no token due.

use crate::enrolment::{Cloud, CloudToken};
use crate::state::{NodeKind, Roster, Timestamp};
use std::time::Duration;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing for so long.
    Wait(Duration),
    /// Get a new token.
    Renew,
}

/// What a node sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) cloud: &'a Cloud,
    /// How old the token is, or how long there has been none.
    pub(super) token_age: Duration,
    /// For how long what is said about the next token has stood there.
    pub(super) renewal_age: Duration,
    /// How many nodes go first.
    pub(super) rank: u32,
}

pub(super) fn next_step(seen: Seen<'_>) -> Step {
    let cloud = seen.cloud;
    let due = match &cloud.token {
        None => 0,
        // Not at the rate of requests, if the service takes none.
        Some(token) if cloud.refused == Some(token.id) => refused_pause(token),
        Some(token) => due_age(token),
    };
    let mut left = due - milliseconds(seen.token_age);
    if let Some(renewal) = &cloud.renewal {
        let pause = match &renewal.failure {
            None => ASKING_MAX_MS,
            Some(failure) => pause(cloud, renewal.failures, failure.refused),
        };
        left = left.max(pause - milliseconds(seen.renewal_age));
    }
    let left = left + i64::from(seen.rank) * TURN_MS;
    match u64::try_from(left) {
        Ok(left) if left > 0 => Step::Wait(Duration::from_millis(left)),
        _ => Step::Renew,
    }
}

/// How many nodes go before this one. The leader is first, since its entries are committed soonest, and who has
/// failed last; a witness calls nobody, and which relay cannot ask turns out as its turn passes.
pub(super) fn rank(roster: &Roster, leader: Option<u64>, failed: Option<u64>, own: u64) -> u32 {
    let asks =
        |(_, node): &(&u64, &crate::state::Node)| node.kind == NodeKind::Relay && node.leaving.is_none();
    let mut order: Vec<u64> = roster.nodes.iter().filter(asks).map(|(id, _)| *id).collect();
    order.sort_by_key(|id| (Some(*id) == failed, Some(*id) != leader, *id));
    let place = order.iter().position(|id| *id == own).unwrap_or(order.len());
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What the token after one that was not taken says about those before it.
pub(super) fn refused_before(cloud: &Cloud, token_age: Duration) -> u32 {
    let refused = cloud.token.as_ref().filter(|token| cloud.refused == Some(token.id));
    match refused {
        // It was waited for before the next one was asked for.
        Some(token) if milliseconds(token_age) < YOUNG_MS + 2 * refused_pause(token) => {
            token.refused_before.saturating_add(1)
        }
        Some(_) | None => 0,
    }
}

/// How old a token is that was found at the start: by the time of day, which may be wrong.
pub(super) fn age_by_clock(token: &CloudToken, now: Timestamp) -> Duration {
    Duration::from_millis(
        u64::try_from(now.0.saturating_sub(token.issued_at.0).min(life(token))).unwrap_or(0),
    )
}

fn life(token: &CloudToken) -> i64 {
    token.expires_at.0.saturating_sub(token.issued_at.0).max(0)
}

/// At two thirds of the life, a twentieth of it sooner or later: the token's own random number says which, so that
/// clusters that were set up together do not ask together.
fn due_age(token: &CloudToken) -> i64 {
    let life = life(token);
    let draw = i64::from(u16::from_be_bytes([token.id[0], token.id[1]]));
    let early = life / 20 - (life / 10).saturating_mul(draw) / i64::from(u16::MAX);
    (life / 3 * 2 - early).max(REFUSED_PAUSE_MS)
}

/// Doubled with each token that is refused at once: another one is no better then.
fn refused_pause(token: &CloudToken) -> i64 {
    // An administrator who asks for a new token says that the old one is refused, perhaps more than once.
    let doublings =
        if token.refused_before >= SUDDEN_MAX { token.refused_before - SUDDEN_MAX + 2 } else { 0 };
    REFUSED_PAUSE_MS.saturating_mul(1 << doublings.min(12)).min(REFUSED_PAUSE_MAX_MS)
}

/// Doubled each time, and never more than a fortieth of the life: who comes back before the end is asked in time. Who
/// says no says so again.
fn pause(cloud: &Cloud, failures: u32, refused: bool) -> i64 {
    let longest = cloud.token.as_ref().map_or(PAUSE_MAX_MS, |token| life(token) / 40);
    let longest = if refused { REFUSAL_MAX_MS } else { longest.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS) };
    PAUSE_MIN_MS.saturating_mul(1 << failures.min(12)).min(longest)
}

fn milliseconds(age: Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// How few days are left, of those that are said; nothing as long as there are more.
pub(super) fn warned_days(now: Timestamp, expires_at: Timestamp) -> Option<u16> {
    let left = expires_at.0.saturating_sub(now.0);
    WARNED_DAYS.into_iter().find(|days| left <= i64::from(*days) * DAY_MS)
}

/// Who said that it asks, and says no more after so long, does not ask any more: a claim, an answer and a token are
/// waited for less.
const ASKING_MAX_MS: i64 = 30_000;
/// An entry of the log is everywhere by then, and the next one sees it.
pub(super) const TURN_MS: i64 = 500;
const PAUSE_MIN_MS: i64 = 250;
const PAUSE_MAX_MS: i64 = 60_000;
const REFUSAL_MAX_MS: i64 = 900_000;
/// A token that was just got is not better after another moment.
const REFUSED_PAUSE_MS: i64 = 2_000;
/// So many young tokens in a row may be refused for a reason that is over with the next one.
const SUDDEN_MAX: u32 = 3;
const REFUSED_PAUSE_MAX_MS: i64 = 300_000;
/// Who withdraws a right, or the tokens that there are, does it at any time.
const YOUNG_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Over; and the days at which people have time, should hurry, and must act.
const WARNED_DAYS: [u16; 4] = [0, 3, 14, 45];

#[cfg(test)]
mod tests;
