//! What a front knows of every node that relays, and which of them take requests now. Pure: the time is an argument.

use super::Peer;
use crate::relay::{Hamper, Hampered, Readiness};
use std::collections::BTreeMap;
use std::time::Instant;

/// Every node that could take requests, with the way to it.
pub(super) struct Map<W> {
    nodes: BTreeMap<u64, Known<W>>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Known<W> {
    /// Its name, as the cluster has it now.
    pub(super) name: String,
    /// It is to get no requests, whatever it says itself.
    pub(super) drained: bool,
    pub(super) standing: Standing,
    /// When it came to stand so.
    pub(super) since: Instant,
    way: Option<W>,
}

/// How a node stands with a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There was no connection to it yet.
    Unheard,
    /// It takes requests.
    Ready,
    /// It takes requests, and others are better.
    Hampered(Hampered),
    /// It says that it takes none.
    NotReady(String),
    /// It did not take a request that this front had for it, and was not asked since how it fares.
    Suspended(String),
    /// There is no connection to it.
    Unreachable(String),
}

impl From<Readiness> for Standing {
    fn from(readiness: Readiness) -> Self {
        match readiness {
            Readiness::Ready => Standing::Ready,
            Readiness::Hampered(hampered) => Standing::Hampered(hampered),
            Readiness::NotReady(reason) => Standing::NotReady(reason),
        }
    }
}

impl Standing {
    fn hampered_by(&self, hamper: Hamper) -> bool {
        matches!(self, Standing::Hampered(hampered) if hampered.by == hamper)
    }

    fn is_suspended(&self) -> bool {
        matches!(self, Standing::Suspended(_))
    }
}

impl<W> Default for Map<W> {
    fn default() -> Self {
        Map { nodes: BTreeMap::new() }
    }
}

impl<W: Clone> Map<W> {
    /// Takes what the cluster says: who there is, their names, who is drained.
    pub(super) fn know(&mut self, peers: &[Peer], now: Instant) {
        self.nodes.retain(|id, known| known.way.is_some() || peers.iter().any(|peer| peer.id == *id));
        for peer in peers {
            let known = self.known(peer.id, now);
            (known.name, known.drained) = (peer.name.clone(), peer.drained);
        }
    }

    /// Takes what a node says about itself over this way.
    pub(super) fn hear(&mut self, (id, name): (u64, &str), way: W, readiness: Readiness, now: Instant) {
        let known = self.known(id, now);
        if known.name.is_empty() {
            known.name = name.to_owned();
        }
        known.way = Some(way);
        known.stand(readiness.into(), now);
    }

    /// A node did not take a request over this way; if another one has come meanwhile, that says nothing.
    pub(super) fn suspend(&mut self, id: u64, same: impl Fn(&W) -> bool, reason: &str, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&id)
            && known.way.as_ref().is_some_and(same)
            // Who takes none is in none, and does not come in by what it missed.
            && known.takes_requests()
            && !known.standing.is_suspended()
        {
            known.stand(Standing::Suspended(reason.to_owned()), now);
        }
    }

    /// This way to a node has ended, or there was none.
    pub(super) fn lose(&mut self, id: u64, same: impl Fn(&W) -> bool, reason: &str, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&id)
            && known.way.as_ref().is_none_or(same)
        {
            known.way = None;
            known.stand(Standing::Unreachable(reason.to_owned()), now);
        }
    }

    /// The nodes that take requests, in the order of their ids, and those that do where nobody better does.
    ///
    /// What a front only guesses from requests that were not taken never takes out more than half of them: then it is
    /// rather the front that is wrong. Who has too much to do is relieved only by as many as that. Who has no way to the
    /// service gets nothing while anybody has one.
    pub(super) fn ready(&self) -> (Vec<Found<'_, W>>, Vec<Found<'_, W>>) {
        let mut ready: Vec<_> = self.nodes.iter().filter(|(_, known)| known.takes_requests()).collect();
        let all = ready.clone();
        let out_max = ready.len() / 2;
        let mut suspended: Vec<_> = ready.iter().filter(|(_, known)| known.standing.is_suspended()).collect();
        suspended.sort_by_key(|(_, known)| known.since);
        let suspended: Vec<u64> = suspended.iter().take(out_max).map(|(id, _)| **id).collect();
        let loaded = |known: &Known<W>| known.standing.hampered_by(Hamper::Load);
        let relieve = suspended.len() + ready.iter().filter(|(_, known)| loaded(known)).count() <= out_max;
        ready.retain(|(id, known)| !(suspended.contains(id) || relieve && loaded(known)));
        let cut = |known: &Known<W>| known.standing.hampered_by(Hamper::Service);
        if !ready.iter().all(|(_, known)| cut(known)) {
            ready.retain(|(_, known)| !cut(known));
        }
        let is_ready = |id: &u64| ready.iter().any(|(ready, _)| *ready == id);
        let (ready, reserve): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, _)| is_ready(id));
        [ready, reserve].map(|nodes| nodes.into_iter().filter_map(found).collect()).into()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Known<W>)> {
        self.nodes.iter().map(|(id, known)| (*id, known))
    }

    fn known(&mut self, id: u64, now: Instant) -> &mut Known<W> {
        self.nodes.entry(id).or_insert_with(|| Known {
            name: String::new(),
            drained: false,
            standing: Standing::Unheard,
            since: now,
            way: None,
        })
    }
}

/// A node's id, its name, and the way to it.
pub(super) type Found<'a, W> = (u64, &'a str, &'a W);

fn found<'a, W>((id, known): (&u64, &'a Known<W>)) -> Option<Found<'a, W>> {
    Some((*id, known.name.as_str(), known.way.as_ref()?))
}

impl<W> Known<W> {
    /// Whether it gets requests, unless others are better.
    pub(super) fn takes_requests(&self) -> bool {
        let says_so =
            matches!(self.standing, Standing::Ready | Standing::Hampered(_) | Standing::Suspended(_));
        says_so && !self.drained
    }

    fn stand(&mut self, standing: Standing, now: Instant) {
        if std::mem::discriminant(&self.standing) != std::mem::discriminant(&standing) {
            self.since = now;
        }
        self.standing = standing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SERVICE: Readiness = hampered(Hamper::Service);
    const LOAD: Readiness = hampered(Hamper::Load);

    const fn hampered(by: Hamper) -> Readiness {
        Readiness::Hampered(Hampered { by, reason: String::new() })
    }

    fn peer(id: u64, drained: bool) -> Peer {
        Peer { id, name: format!("n{id}"), address: String::new(), key: [0; 32], drained }
    }

    /// Nodes 1, 2, …, as they say that they are.
    fn map(said: &[Readiness]) -> Map<u64> {
        let (mut map, now) = (Map::default(), Instant::now());
        let ids = (1..).take(said.len());
        map.know(&ids.clone().map(|id| peer(id, false)).collect::<Vec<_>>(), now);
        for (id, readiness) in ids.zip(said) {
            map.hear((id, ""), id, readiness.clone(), now);
        }
        map
    }

    fn check(map: &Map<u64>, expected: &[u64]) {
        let (ready, reserve) = map.ready();
        let ids = |found: &[Found<'_, u64>]| found.iter().map(|(id, _, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids(&ready), expected);
        let takers = map.all().filter(|(_, known)| known.takes_requests()).count();
        assert_eq!(ready.len() + reserve.len(), takers, "{:?}", ids(&reserve));
    }

    fn not_ready() -> Readiness {
        Readiness::NotReady("stale".into())
    }

    #[test]
    fn who_says_no_is_out_and_who_says_yes_is_in() {
        use Readiness::Ready;
        check(&map(&[]), &[]);
        check(&map(&[Ready]), &[1]);
        check(&map(&[Ready, not_ready(), Ready]), &[1, 3]);
        check(&map(&[not_ready(), not_ready()]), &[]);
        let mut map = map(&[Ready, Ready, Ready]);
        map.know(&[peer(1, true), peer(2, false), peer(3, false), peer(4, false)], Instant::now());
        check(&map, &[2, 3]);
        map.lose(3, |way| *way == 3, "gone", Instant::now());
        check(&map, &[2]);
    }

    #[test]
    fn who_has_no_way_to_the_service_is_out_while_anybody_has_one() {
        use Readiness::Ready;
        check(&map(&[Ready, SERVICE, SERVICE]), &[1]);
        check(&map(&[SERVICE, SERVICE, SERVICE]), &[1, 2, 3]);
        check(&map(&[SERVICE, not_ready()]), &[1]);
    }

    #[test]
    fn who_has_too_much_to_do_is_relieved_by_at_least_as_many() {
        use Readiness::Ready;
        check(&map(&[Ready, LOAD, Ready]), &[1, 3]);
        check(&map(&[Ready, LOAD]), &[1]);
        check(&map(&[Ready, LOAD, LOAD]), &[1, 2, 3]);
        check(&map(&[LOAD, LOAD, LOAD]), &[1, 2, 3]);
        check(&map(&[LOAD]), &[1]);
    }

    #[test]
    fn what_is_only_guessed_takes_out_half_at_most() {
        use Readiness::Ready;
        let begun = Instant::now();
        let suspended = |said: &[Readiness], order: &[u64]| {
            let mut map = map(said);
            for (number, id) in (1_u32..).zip(order) {
                map.suspend(*id, |way| way == id, "no sign of life", begun + Duration::from_secs(1) * number);
            }
            map
        };
        let three = [Ready, Ready, Ready];
        check(&suspended(&three, &[2]), &[1, 3]);
        check(&suspended(&three, &[3, 2]), &[1, 2]);
        check(&suspended(&[Ready, Ready], &[2]), &[1]);
        check(&suspended(&[Ready, Ready], &[2, 1]), &[1]);
        check(&suspended(&[Ready], &[1]), &[1]);
        check(&suspended(&[Ready, Ready, Ready, Ready, Ready], &[5, 4, 3, 2]), &[1, 2, 3]);
        // Who is loaded stays, so that more than half are left.
        check(&suspended(&[Ready, LOAD, Ready], &[3]), &[1, 2]);
        // What is suspended has a way to the service, for all that is known.
        check(&suspended(&[SERVICE, Ready, Ready], &[2]), &[3]);
        // One answer is enough.
        let mut map = suspended(&three, &[2]);
        map.hear((2, ""), 2, Ready, begun);
        check(&map, &[1, 2, 3]);
    }

    #[test]
    fn what_an_old_way_did_says_nothing_about_a_new_one() {
        let mut map = map(&[Readiness::Ready, Readiness::Ready]);
        map.suspend(2, |way| *way == 99, "late", Instant::now());
        map.lose(2, |way| *way == 99, "late", Instant::now());
        check(&map, &[1, 2]);
    }
}
