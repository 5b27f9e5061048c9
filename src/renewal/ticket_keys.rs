//! Has the keys of session tickets changed: daily, and as soon as a node was removed, since it knew them. One node makes
//! the next key, the leader if it can. Nothing waits for it.

use super::plan::{TURN_MS, rank};
use super::{LOOK_EVERY, milliseconds};
use crate::cluster::Cluster;
use crate::enrolment::{Enrolment, KeptTicketKey};
use crate::event::with_causes;
use crate::state::{Roster, Timestamp};
use crate::tasks::Tasks;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// What it works with.
pub struct TicketKeyRenewal {
    cluster: Cluster,
    enrolment: Enrolment,
    clock: fn() -> OffsetDateTime,
}

/// Since when the newest key has been known here, or that there is none.
#[derive(Clone, Copy, Debug)]
pub struct KnownTicketKey {
    name: Option<[u8; 16]>,
    since: Instant,
    /// How old it was then.
    age: Duration,
}

impl KnownTicketKey {
    /// What comes while this node looks is new; only what was there before has the age that the clock says. So clocks
    /// that differ do not make keys in turn.
    #[must_use]
    pub fn note(before: Option<Self>, newest: Option<&KeptTicketKey>, now: Timestamp) -> Self {
        let name = newest.map(|kept| kept.key.name);
        let age = match (before, newest) {
            (Some(before), _) if before.name == name => return before,
            (Some(_), _) | (None, None) => Duration::ZERO,
            (None, Some(kept)) => {
                Duration::from_millis(u64::try_from(now.0.saturating_sub(kept.made_at.0)).unwrap_or(0))
            }
        };
        KnownTicketKey { name, since: Instant::now(), age }
    }

    /// How old it is, or for how long there has been none.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age.saturating_add(self.since.elapsed())
    }
}

impl TicketKeyRenewal {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(cluster: Cluster, enrolment: Enrolment, clock: fn() -> OffsetDateTime) -> Self {
        TicketKeyRenewal { cluster, enrolment, clock }
    }

    /// Makes keys until the tasks drain, whenever it is this node's turn.
    pub async fn keep(self, tasks: Tasks) {
        let mut newest = self.cluster.roster();
        let mut known = None;
        loop {
            let roster = newest.borrow_and_update().clone();
            tokio::select! {
                // Cut off, the change is made or not: whoever looks next sees which.
                () = self.look(&roster, &mut known) => {}
                () = tasks.draining() => return,
            }
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tasks.draining() => return,
            }
        }
    }

    async fn look(&self, roster: &Roster, known: &mut Option<KnownTicketKey>) {
        let now = milliseconds((self.clock)());
        let kept = self.enrolment.ticket_keys(roster);
        let newest = match &kept.keys {
            Ok(keys) => keys.first().map_or(Newest::None, Newest::Key),
            Err(_) => Newest::Unreadable,
        };
        let known = *known.insert(KnownTicketKey::note(*known, newest.key(), now));
        let (standing, (own, name)) = (self.cluster.standing(), self.cluster.node());
        let rank = rank(roster, standing.leader, None, own);
        // While a node that was removed still gets what is written it would know the next key, too.
        if !standing.quorum || !is_due(newest, known, rank) || self.cluster.has_parting() {
            return;
        }
        // One that nobody uses any more is not taken up again.
        let before = kept.keys.as_deref().unwrap_or_default();
        let before = if known.age() < TICKET_KEY_UNUSED_AFTER { before } else { &[] };
        let change = self.enrolment.make_ticket_key(before, kept.mark, roster);
        // Until all nodes know such changes each has keys of its own.
        if change.version() > roster.version {
            return;
        }
        match self.cluster.write(name, change, None, now).await {
            Ok(written) => {
                tracing::debug!(outcome = ?written.outcome, "a key for session tickets was proposed");
            }
            Err(error) => {
                tracing::debug!(error = with_causes(&error), "no key for session tickets was made");
            }
        }
    }
}

/// What there is.
#[derive(Clone, Copy, Debug)]
enum Newest<'a> {
    None,
    /// Damaged, or of a later build.
    Unreadable,
    Key(&'a KeptTicketKey),
}

impl<'a> Newest<'a> {
    fn key(self) -> Option<&'a KeptTicketKey> {
        match self {
            Newest::Key(key) => Some(key),
            Newest::None | Newest::Unreadable => None,
        }
    }
}

/// Whether this node makes the next one now. What it alone cannot read is none of its business, but the leader's.
fn is_due(newest: Newest<'_>, known: KnownTicketKey, rank: u32) -> bool {
    let due = match newest {
        // A clock that is wrong at each start must not take the keys of all others away.
        Newest::Key(_) if rank > 0 && known.since.elapsed() < BELIEVED_AFTER => return false,
        Newest::Key(_) => KEY_LIFE,
        Newest::None => Duration::ZERO,
        Newest::Unreadable if rank == 0 => Duration::ZERO,
        Newest::Unreadable => return false,
    };
    let turn = Duration::from_millis(TURN_MS.unsigned_abs());
    known.age() >= due + turn.saturating_mul(rank)
}

/// Twice the time after which there is a new one: for so long nobody could make it, and it seals no ticket any more.
pub const TICKET_KEY_UNUSED_AFTER: Duration = Duration::from_secs(48 * 3_600);
/// Whoever leads has made the next key long before.
const BELIEVED_AFTER: Duration = Duration::from_secs(60);

/// Whoever gets hold of a key has the tickets of a day.
const KEY_LIFE: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TicketKey;

    const DAY: Duration = KEY_LIFE;
    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn made(before_now: Duration) -> KeptTicketKey {
        let made_at = Timestamp(NOW.0 - i64::try_from(before_now.as_millis()).unwrap());
        KeptTicketKey { key: TicketKey::random(), made_at }
    }

    /// Known for so long, and so old.
    fn known(since: Duration, age: Duration) -> KnownTicketKey {
        let since_then = Instant::now().checked_sub(since).unwrap();
        KnownTicketKey { name: None, since: since_then, age: age.saturating_sub(since) }
    }

    #[test]
    fn one_node_makes_the_next_key_when_a_day_is_over() {
        let key = made(Duration::ZERO);
        let (second, turn) = (Duration::from_secs(1), Duration::from_millis(500));
        for (newest, due) in [(Newest::Key(&key), DAY), (Newest::None, Duration::ZERO)] {
            for rank in 0..4 {
                let turn = due + turn * rank;
                let is_due_at = |age: Duration| is_due(newest, known(BELIEVED_AFTER.min(age), age), rank);
                assert!(is_due_at(turn), "{newest:?} {rank}");
                let early = turn.saturating_sub(second);
                assert!(early.is_zero() || !is_due_at(early), "{newest:?} {rank}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_at_the_start_makes_no_key_in_the_leaders_place() {
        let key = made(Duration::ZERO);
        assert!(!is_due(Newest::Key(&key), known(Duration::ZERO, DAY * 9), 1));
        assert!(is_due(Newest::Key(&key), known(BELIEVED_AFTER, DAY * 9), 1));
        assert!(is_due(Newest::Key(&key), known(Duration::ZERO, DAY * 9), 0));
    }

    #[test]
    fn what_one_node_cannot_read_is_replaced_by_the_leader() {
        assert!(is_due(Newest::Unreadable, known(Duration::ZERO, Duration::ZERO), 0));
        assert!(!is_due(Newest::Unreadable, known(BELIEVED_AFTER, DAY * 9), 1));
    }

    #[test]
    fn only_what_was_there_at_the_start_has_the_age_that_the_clock_says() {
        let (first, second) = (made(DAY / 2), made(DAY * 9));
        let known = KnownTicketKey::note(None, Some(&first), NOW);
        assert!(known.age() >= DAY / 2 && known.age() < DAY);
        let same = KnownTicketKey::note(Some(known), Some(&first), Timestamp(NOW.0 * 2));
        assert!(same.age() < DAY, "the clock was set");
        // Made by a clock that is nine days behind.
        let other = KnownTicketKey::note(Some(known), Some(&second), NOW);
        assert!(other.age() < MINUTE);
        let none = KnownTicketKey::note(Some(known), None, NOW);
        assert!(none.age() < MINUTE);
        let ahead = KnownTicketKey::note(None, Some(&first), Timestamp(0));
        assert!(ahead.age() < MINUTE);
    }
}
