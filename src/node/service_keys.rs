//! The keys that this node opens Kerberos tickets with: those of its own file and those of the cluster. It takes
//! what the roster says as soon as it is applied here; nothing is restarted, and no connection ends.

use super::{StartError, keytab, now};
use crate::cluster::{Cluster, KeyInUse};
use crate::enrolment::{Enrolment, OpenedKeys};
use crate::event::Event;
use crate::identity::kerberos::{self, Acceptor, Keytab, NamedKey, Realms, Source};
use crate::state::{Change, KeyMark, Roster, RosterChange, ServiceKeyId, Timestamp};
use crate::tasks::Tasks;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The keys of this node.
#[derive(Clone)]
pub(super) struct ServiceKeys {
    file: Arc<Keytab>,
    realms: Realms,
    acceptor: Arc<Acceptor>,
    /// What was taken of the roster last.
    taken: Arc<Mutex<Live>>,
}

/// Keys whose time is not over, each with what tells it from another one of the same name.
type Live = BTreeMap<ServiceKeyId, KeyMark>;

impl ServiceKeys {
    /// With the keys of the file, if there is one.
    pub(super) fn open(file: Option<&Path>, realms: Realms) -> Result<Self, StartError> {
        let file = keytab::open(file, &realms)?;
        let acceptor = Arc::new(Acceptor::new(file.clone()).with_realms(realms.clone()));
        Ok(ServiceKeys { file: Arc::new(file), realms, acceptor, taken: Arc::default() })
    }

    /// What opens tickets with them.
    pub(super) fn acceptor(&self) -> Arc<Acceptor> {
        self.acceptor.clone()
    }

    /// What other nodes are told about them.
    pub(super) fn shown(&self) -> Vec<KeyInUse> {
        self.acceptor.keys().into_iter().take(SHOWN_MAX).map(shown).collect()
    }

    /// Takes the keys of the newest roster that is applied here beside those of the file, if they are others.
    fn take(&self, cluster: &Cluster, enrolment: &Enrolment) {
        // The state is read under the lock, so that an older one never takes the place of a newer one.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let roster = cluster.state().borrow().roster.clone();
        let is = live(&roster, now());
        if *taken == is {
            return;
        }
        let OpenedKeys { keys, closed } = enrolment.open_service_keys(&roster, now());
        for (id, error) in &closed {
            Event::ServiceKeyClosed { key: id, reason: error }.log();
        }
        let named = keys.into_iter().map(|key| NamedKey {
            service: key.id.service,
            version: key.id.version,
            etype: key.id.etype,
            bytes: key.bytes,
        });
        let mut together = Keytab::of_cluster(named).and(&self.file);
        if let Err(error) = self.realms.check(&together) {
            // Those of the file were checked at the start. With both, no ticket would be taken at all.
            for id in is.keys() {
                Event::ServiceKeyClosed { key: id, reason: &error }.log();
            }
            together = Keytab::clone(&self.file);
        }
        self.acceptor.replace(together);
        *taken = is;
    }

    /// Takes those of the roster that is applied here, and follows it until the tasks drain.
    pub(super) fn keep(&self, cluster: &Cluster, enrolment: &Enrolment, tasks: &Tasks) {
        self.take(cluster, enrolment);
        let following = self.clone().follow(cluster.clone(), enrolment.clone(), tasks.clone());
        tasks.spawn("service keys", following);
    }

    /// Follows the roster until the tasks drain.
    async fn follow(self, cluster: Cluster, enrolment: Enrolment, tasks: Tasks) {
        let mut newest = cluster.roster();
        loop {
            let roster = newest.borrow_and_update().clone();
            self.take(&cluster, &enrolment);
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(until_next(&roster, now())) => {}
                () = tasks.draining() => return,
            }
        }
    }

    /// Ends when this node has the keys of now, or no leader was there to ask for a while. A node that was away
    /// has those of then, and one that has just joined has none: whom it lets wait it would have refused.
    pub(super) async fn caught_up(self, cluster: Cluster, enrolment: Enrolment, tasks: Tasks) {
        tokio::select! {
            _ = tokio::time::timeout(CATCH_UP, cluster.read_barrier()) => self.take(&cluster, &enrolment),
            () = tasks.draining() => {}
        }
    }
}

fn live(roster: &Roster, now: Timestamp) -> Live {
    let live = roster.service_keys.iter().filter(|(_, key)| !key.is_retired(now));
    live.map(|(id, key)| (id.clone(), key.mark)).collect()
}

/// Logs who changed the keys and forgets those whose time is over, if this node leads; until the tasks drain.
/// Nothing rests on the latter but that nothing is kept longer than it is of use.
pub(super) async fn log_and_drop(cluster: Cluster, tasks: Tasks) {
    let mut newest = cluster.roster();
    let mut founded = newest.borrow().is_founded();
    let ids = |roster: &Roster| roster.service_keys.keys().cloned().collect::<BTreeSet<_>>();
    let mut known = ids(&newest.borrow());
    loop {
        let roster = newest.borrow_and_update().clone();
        let is = ids(&roster);
        // What a new node learns first was there before.
        if std::mem::replace(&mut founded, roster.is_founded()) && is != known {
            let names = |ids: BTreeSet<&ServiceKeyId>| {
                ids.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let added = names(is.difference(&known).collect());
            let removed = names(known.difference(&is).collect());
            let by = changed_by(&roster, &is, &known);
            Event::ServiceKeysChanged { added: &added, removed: &removed, by: &by }.log();
        }
        known = is;
        let retired = roster.service_keys.values().any(|key| key.is_long_retired(now()));
        if let Some(name) = cluster.leads().filter(|_| retired) {
            let change = Change::Roster(RosterChange::DropRetiredKeys);
            if let Err(error) = cluster.write(name, change, None, now()).await {
                tracing::info!(%error, "keys whose time is over are not forgotten yet");
            }
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(until_next(&roster, now())) => {}
            () = tasks.draining() => return,
        }
    }
}

/// Who added and removed keys; keys whose time is over go by themselves.
fn changed_by(roster: &Roster, is: &BTreeSet<ServiceKeyId>, was: &BTreeSet<ServiceKeyId>) -> String {
    let added = is.difference(was).filter_map(|id| Some(&roster.service_keys.get(id)?.added_by));
    let removed = was.difference(is).filter_map(|id| Some(&roster.removed_service_keys.get(id)?.by));
    let by: BTreeSet<&str> = added.chain(removed).map(String::as_str).collect();
    by.into_iter().collect::<Vec<_>>().join(", ")
}

/// How long until another key's time is over; not longer than a while, since clocks are set and leaders change.
fn until_next(roster: &Roster, now: Timestamp) -> Duration {
    let next = roster.service_keys.values().filter_map(|key| key.retires_at).filter(|at| *at > now).min();
    let left = next.and_then(|at| u64::try_from(at.0 - now.0).ok()).map(Duration::from_millis);
    left.unwrap_or(LOOK_EVERY).clamp(LOOK_AGAIN, LOOK_EVERY)
}

fn shown(key: kerberos::KeyInUse) -> KeyInUse {
    KeyInUse {
        id: ServiceKeyId { service: key.service, version: key.version, etype: key.etype },
        of_file: key.source == Source::File,
        used_at: key.used_at.map(|seconds| Timestamp(seconds.saturating_mul(1_000))),
    }
}

/// A leader answers at once, and an election takes less.
const CATCH_UP: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A millisecond too early would be once more.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// All of the cluster, and more of a file than anybody reads.
const SHOWN_MAX: usize = 512;
