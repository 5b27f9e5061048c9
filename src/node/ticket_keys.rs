//! The keys with which this node's front seals session tickets: those of the cluster, so that a session is resumed at any
//! node, and keys of its own where the cluster has none that can be used. A handshake waits for neither.

use super::now;
use crate::cluster::Cluster;
use crate::enrolment::{Enrolment, KeptTicketKey};
use crate::renewal::{KnownTicketKey, TICKET_KEY_UNUSED_AFTER, TicketKeyRenewal};
use crate::tasks::Tasks;
use crate::tls::{TicketKey, TicketKeys};
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Takes the keys that are known, follows the roster until the tasks drain, and has new ones made.
pub(super) fn keep(front: TicketKeys, cluster: &Cluster, enrolment: &Enrolment, tasks: &Tasks) {
    let mut taking = Taking { front, known: None, own: OwnKeys::new() };
    taking.take(cluster, enrolment);
    tasks.spawn("ticket keys", taking.follow(cluster.clone(), enrolment.clone(), tasks.clone()));
    let renewal = TicketKeyRenewal::new(cluster.clone(), enrolment.clone(), OffsetDateTime::now_utc);
    tasks.spawn("ticket key renewal", renewal.keep(tasks.clone()));
}

struct Taking {
    front: TicketKeys,
    known: Option<KnownTicketKey>,
    own: OwnKeys,
}

impl Taking {
    async fn follow(mut self, cluster: Cluster, enrolment: Enrolment, tasks: Tasks) {
        let mut newest = cluster.roster();
        loop {
            newest.borrow_and_update();
            self.take(&cluster, &enrolment);
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tasks.draining() => return,
            }
        }
    }

    fn take(&mut self, cluster: &Cluster, enrolment: &Enrolment) {
        let roster = cluster.state().borrow().roster.clone();
        // What does not open here is replaced by the leader; there is nothing that an administrator could do.
        let kept = enrolment.ticket_keys(&roster).keys.unwrap_or_default();
        let known = KnownTicketKey::note(self.known, kept.first(), now());
        self.known = Some(known);
        self.own.change_in_time(Instant::now());
        let (seals, opens) = choose(&kept, known.age(), &self.own);
        self.front.replace(seals, opens);
    }
}

/// Keys that no other node has, so their sessions are resumed here alone.
struct OwnKeys {
    newest: TicketKey,
    before: Option<TicketKey>,
    since: Instant,
}

impl OwnKeys {
    fn new() -> Self {
        OwnKeys { newest: TicketKey::random(), before: None, since: Instant::now() }
    }

    fn change_in_time(&mut self, now: Instant) {
        if now.duration_since(self.since) >= OWN_LIFE {
            self.before = Some(std::mem::replace(&mut self.newest, TicketKey::random()));
            self.since = now;
        }
    }
}

/// What seals tickets, and what else opens them. A new key of the cluster begins to seal when the other nodes have it.
fn choose(kept: &[KeptTicketKey], age: Duration, own: &OwnKeys) -> (TicketKey, Vec<TicketKey>) {
    let kept = if age < TICKET_KEY_UNUSED_AFTER { kept } else { &[] };
    let seals = if age >= SPREAD { kept.first() } else { kept.get(1) };
    let seals = seals.map_or(&own.newest, |kept| &kept.key).clone();
    let opens = kept.iter().map(|kept| &kept.key).chain([&own.newest]).chain(&own.before);
    (seals, opens.cloned().collect())
}

/// Time passes without a change of the roster.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whoever follows the leader has applied an entry of the log long before.
const SPREAD: Duration = Duration::from_secs(5);
/// With the one before it is longer than a ticket lives.
const OWN_LIFE: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Timestamp;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn own() -> OwnKeys {
        OwnKeys { before: Some(key(1)), newest: key(2), since: Instant::now() }
    }

    fn key(number: u8) -> TicketKey {
        TicketKey { name: [number; 16], ..TicketKey::random() }
    }

    #[track_caller]
    fn check(kept: &[u8], age: Duration, seals: u8, opens: &[u8]) {
        let kept = kept.iter().map(|number| KeptTicketKey { key: key(*number), made_at: Timestamp(1) });
        let (sealing, opening) = choose(&kept.collect::<Vec<_>>(), age, &own());
        assert_eq!(sealing.name[0], seals);
        assert_eq!(opening.iter().map(|key| key.name[0]).collect::<Vec<_>>(), opens);
    }

    #[test]
    fn keys_of_the_cluster_are_used_once_all_have_them_and_until_they_are_old() {
        let moment = Duration::from_millis(1);
        check(&[9, 8], SPREAD - moment, 8, &[9, 8, 2, 1]);
        check(&[9, 8], SPREAD, 9, &[9, 8, 2, 1]);
        check(&[9, 8], TICKET_KEY_UNUSED_AFTER - moment, 9, &[9, 8, 2, 1]);
        check(&[9, 8], TICKET_KEY_UNUSED_AFTER, 2, &[2, 1]);
        // The first of a cluster, and the first after a removal.
        check(&[9], SPREAD - moment, 2, &[9, 2, 1]);
        check(&[9], SPREAD, 9, &[9, 2, 1]);
        check(&[], HOUR, 2, &[2, 1]);
    }

    #[test]
    fn own_keys_change_and_the_one_before_still_opens() {
        let begun = Instant::now();
        let mut own = OwnKeys { since: begun, ..OwnKeys::new() };
        let first = own.newest.name;
        own.change_in_time(begun + OWN_LIFE - Duration::from_millis(1));
        assert_eq!((own.newest.name, own.before.is_none()), (first, true));
        own.change_in_time(begun + OWN_LIFE);
        assert_ne!(own.newest.name, first);
        assert_eq!(own.before.as_ref().map(|key| key.name), Some(first));
        own.change_in_time(begun + OWN_LIFE * 2);
        assert_ne!(own.before.as_ref().map(|key| key.name), Some(first));
    }
}
