//! Which administrators may use the admin port: those of the roster, by name and key; and events 4037 and
//! 4038, when one comes or goes.

use crate::cluster::Cluster;
use crate::event::{Event, Refused};
use crate::listener::Unwelcome;
use crate::state::{KeyHash, NotAdministrator, Roster};
use crate::tasks::Tasks;
use crate::tls::Peer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

/// Judges by the newest roster that is applied here.
#[derive(Clone)]
pub(super) struct Administrators(Cluster);

impl Administrators {
    pub(super) fn new(cluster: Cluster) -> Self {
        Administrators(cluster)
    }

    /// Whether an administrator may connect. While this node knows none, nobody is turned away: each call
    /// is checked.
    pub(super) fn admit(&self, name: &str, peer: &Peer) -> Result<(), Unwelcome> {
        match self.judge(name, peer) {
            Ok(()) | Err(NotAdministrator::NotFounded) => Ok(()),
            Err(error) => Err(unwelcome(name, &error)),
        }
    }

    /// Whether an administrator may ask anything of this node. One that has just begun learns in a moment who
    /// the administrators are, so it is waited for.
    pub(super) async fn check(&self, name: &str, peer: &Peer) -> Result<(), Unwelcome> {
        let mut roster = self.0.roster();
        let known = roster.wait_for(|roster| roster.is_founded());
        let _ = tokio::time::timeout(KNOWN_WITHIN, known).await;
        self.judge(name, peer).map_err(|error| unwelcome(name, &error))
    }

    fn judge(&self, name: &str, peer: &Peer) -> Result<(), NotAdministrator> {
        self.0.state().borrow().roster.administers(name, &KeyHash(peer.key))
    }

    /// Ends when an administrator may ask no longer; why. Calls are refused from the change on; what was
    /// answered just before it, its own removal among that, gets out.
    pub(super) async fn dismissed(&self, name: &str, peer: &Peer) -> Unwelcome {
        let mut roster = self.0.roster();
        let known = roster.wait_for(|roster| roster.is_founded());
        if tokio::time::timeout(2 * KNOWN_WITHIN, known).await.is_err() {
            return unwelcome(name, &NotAdministrator::NotFounded);
        }
        loop {
            roster.borrow_and_update();
            if let Err(unwelcome) = self.admit(name, peer) {
                tokio::time::sleep(LAST_ANSWERS).await;
                return unwelcome;
            }
            if roster.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

fn unwelcome(name: &str, error: &NotAdministrator) -> Unwelcome {
    let (why, who) = match error {
        NotAdministrator::Removed(former) => {
            let at = OffsetDateTime::from_unix_timestamp(former.at.0 / 1_000).ok();
            let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
            let words = format!("this administrator ({}) was removed by {} at {at}", former.name, former.by);
            (Refused::RemovedAdministrator, words)
        }
        NotAdministrator::Unknown => (
            Refused::UnknownAdministrator,
            format!("{name} is no administrator of this cluster; one of them can let you in: rmsc admin add"),
        ),
        NotAdministrator::OtherKey => (
            Refused::UnknownAdministrator,
            format!("the administrator {name} has another key; use the newest context of {name}"),
        ),
        NotAdministrator::NotFounded => (
            Refused::UnknownAdministrator,
            "this node does not know the administrators yet; try again in a moment, or another node".into(),
        ),
    };
    Unwelcome { why, who }
}

/// Logs each administrator that was added or removed, until the tasks drain. Those that were there before
/// this started are not said again.
pub(super) async fn log(mut roster: watch::Receiver<Arc<Roster>>, tasks: Tasks) {
    let now = |roster: &Roster| {
        let administrators = roster.administrators.iter();
        administrators.map(|(name, it)| (it.key, name.clone())).collect::<BTreeMap<_, _>>()
    };
    // A node that knows nothing yet has nothing to say about what it learns first.
    let mut founded = roster.borrow().is_founded();
    let mut known = now(&roster.borrow());
    loop {
        let newest = roster.borrow_and_update().clone();
        let is = now(&newest);
        if !std::mem::replace(&mut founded, newest.is_founded()) {
            known.clone_from(&is);
        }
        for (key, name) in known.iter().filter(|(key, _)| !is.contains_key(*key)) {
            let former = newest.former_administrators.get(key);
            let by = former.map(|former| former.by.as_str()).unwrap_or_default();
            Event::AdministratorRemoved { administrator: name, key, by }.log();
        }
        for (key, name) in is.iter().filter(|(key, _)| !known.contains_key(*key)) {
            let by = newest.administrators.get(name).map(|it| it.added_by.as_str());
            Event::AdministratorAdded { administrator: name, key, by: by.unwrap_or_default() }.log();
        }
        known = is;
        tokio::select! {
            changed = roster.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

/// Answers that are on their way take less; the connection closes within a second.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// A founder or a host that joined needs a fraction of it.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
