//! How much of everything this front takes at once, and how much of it one source or one account may have: what comes
//! beyond that is refused at once, so that what was taken is answered in time. [`Load`] decides, and is pure.

use super::failures::source;
use super::listener::Config;
use super::metrics::Metrics;
use super::strict::HEAD_BYTES_MAX;
use crate::event::{Event, Shed, Tally};
use crate::principal::Sid;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What there may be too many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Connections.
    Connections,
    /// Those of one source.
    ConnectionsPerSource,
    /// Requests in flight.
    Requests,
    /// Those of one source.
    RequestsPerSource,
    /// Requests of which nobody knows yet who sends them.
    UnprovenRequests,
    /// Those of one account.
    RequestsPerAccount,
    /// Bytes of requests that are kept.
    BufferedBytes,
}

/// What is taken now.
#[derive(Debug, Default)]
struct Load {
    connections: usize,
    turned_away: usize,
    requests: usize,
    unproven: usize,
    heads: usize,
    buffered_bytes: usize,
    connections_by_source: HashMap<IpAddr, usize>,
    requests_by_source: HashMap<IpAddr, usize>,
    heads_by_source: HashMap<IpAddr, usize>,
    requests_by_account: HashMap<Sid, usize>,
}

/// A share of what is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Share {
    Connection(IpAddr),
    /// A connection on which nothing but a refusal is said.
    TurnedAway,
    /// A request of which nobody knows yet who sends it.
    Unproven(IpAddr),
    Request(IpAddr),
    /// A long head that has not come whole.
    Head(IpAddr),
    Account(Sid),
    Bytes(usize),
}

impl Load {
    fn take(&mut self, share: &Share, limits: &Config) -> Result<(), Limit> {
        match share {
            Share::Connection(source) => {
                check(self.connections, limits.connections_max, Limit::Connections)?;
                let max = limits.connections_per_source_max;
                one_more(&mut self.connections_by_source, source, max, Limit::ConnectionsPerSource)?;
                self.connections += 1;
            }
            Share::TurnedAway => {
                check(self.turned_away, TURNED_AWAY_MAX, Limit::Connections)?;
                self.turned_away += 1;
            }
            Share::Unproven(source) => {
                let kept = limits.requests_max / PROVEN_PART;
                check(self.unproven, limits.requests_max - kept, Limit::UnprovenRequests)?;
                self.take(&Share::Request(*source), limits)?;
                self.unproven += 1;
            }
            Share::Request(source) => {
                check(self.requests, limits.requests_max, Limit::Requests)?;
                let max = limits.requests_per_source_max;
                one_more(&mut self.requests_by_source, source, max, Limit::RequestsPerSource)?;
                self.requests += 1;
            }
            Share::Head(source) => {
                // Nobody has proven anything, so half of the room is for bodies.
                let max = limits.buffered_bytes_max / 2 / HEAD_BYTES_MAX;
                check(self.heads, max, Limit::BufferedBytes)?;
                let of_source = self.heads_by_source.get(source).copied().unwrap_or(0);
                check(of_source, max.div_ceil(2), Limit::BufferedBytes)?;
                self.take(&Share::Bytes(HEAD_BYTES_MAX), limits)?;
                *self.heads_by_source.entry(*source).or_default() += 1;
                self.heads += 1;
            }
            Share::Account(sid) => {
                let max = limits.requests_per_account_max;
                one_more(&mut self.requests_by_account, sid, max, Limit::RequestsPerAccount)?;
            }
            Share::Bytes(bytes) => {
                if self.buffered_bytes + bytes > limits.buffered_bytes_max {
                    return Err(Limit::BufferedBytes);
                }
                self.buffered_bytes += bytes;
            }
        }
        Ok(())
    }

    fn give_back(&mut self, share: &Share) {
        match share {
            Share::Connection(source) => {
                self.connections -= 1;
                one_less(&mut self.connections_by_source, source);
            }
            Share::TurnedAway => self.turned_away -= 1,
            Share::Unproven(source) => {
                self.unproven -= 1;
                self.give_back(&Share::Request(*source));
            }
            Share::Request(source) => {
                self.requests -= 1;
                one_less(&mut self.requests_by_source, source);
            }
            Share::Head(source) => {
                self.heads -= 1;
                one_less(&mut self.heads_by_source, source);
                self.give_back(&Share::Bytes(HEAD_BYTES_MAX));
            }
            Share::Account(sid) => one_less(&mut self.requests_by_account, sid),
            Share::Bytes(bytes) => self.buffered_bytes -= bytes,
        }
    }

    /// Whether this front should get less to do; `before` is what was said last, so that it does not flutter.
    fn is_overloaded(&self, limits: &Config, before: bool) -> bool {
        let percent = if before { OVERLOADED_UNTIL_PERCENT } else { OVERLOADED_FROM_PERCENT };
        let is_over = |now: usize, max: usize| now.saturating_mul(100) >= max.saturating_mul(percent);
        is_over(self.requests, limits.requests_max) || is_over(self.buffered_bytes, limits.buffered_bytes_max)
    }
}

fn check(now: usize, max: usize, limit: Limit) -> Result<(), Limit> {
    if now < max { Ok(()) } else { Err(limit) }
}

fn one_more<K: Hash + Eq + Clone>(
    counts: &mut HashMap<K, usize>,
    key: &K,
    max: usize,
    limit: Limit,
) -> Result<(), Limit> {
    check(counts.get(key).copied().unwrap_or(0), max, limit)?;
    *counts.entry(key.clone()).or_default() += 1;
    Ok(())
}

/// Who has nothing is not remembered, so a map is no longer than what is taken.
fn one_less<K: Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Entry::Occupied(mut count) = counts.entry(key.clone()) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// What one front has taken, and what it may.
pub struct Admission {
    limits: Config,
    load: Mutex<Load>,
    overloaded: Arc<watch::Sender<bool>>,
    said: Tally<Limit>,
    metrics: Metrics,
}

/// Something that was taken; given back when it is dropped.
pub struct Held {
    admission: Arc<Admission>,
    share: Share,
}

impl Admission {
    /// Nothing is taken.
    ///
    /// `overloaded` is told whether others should take what comes.
    pub fn new(limits: Config, metrics: Metrics, overloaded: Arc<watch::Sender<bool>>) -> Arc<Self> {
        Arc::new(Admission {
            limits,
            load: Mutex::default(),
            overloaded,
            said: Tally::new(EVENT_EVERY),
            metrics,
        })
    }

    /// A place for a connection.
    pub fn connection(self: &Arc<Self>, from: IpAddr) -> Result<Held, Limit> {
        self.take(Share::Connection(source(from)))
    }

    /// A place for one that is told that there is none; not even that, if there are too many of them.
    pub fn turned_away(self: &Arc<Self>) -> Option<Held> {
        let share = Share::TurnedAway;
        self.load().take(&share, &self.limits).ok()?;
        Some(Held { admission: self.clone(), share })
    }

    /// A place for a request, whoever sends it. Until that is known it is one of three quarters of them, so that those who
    /// have proven themselves have the last whatever comes.
    pub fn request(self: &Arc<Self>, from: IpAddr) -> Result<Held, Limit> {
        self.take(Share::Unproven(source(from)))
    }

    /// A place among the requests of an account, which has proven itself.
    pub fn account(self: &Arc<Self>, sid: &Sid, request: &mut Held) -> Result<Held, Limit> {
        if let Share::Unproven(source) = request.share {
            self.load().unproven -= 1;
            request.share = Share::Request(source);
        }
        self.take(Share::Account(sid.clone()))
    }

    /// Room for a long head that has not come whole.
    pub fn head(self: &Arc<Self>, from: IpAddr) -> Result<Held, Limit> {
        self.take(Share::Head(source(from)))
    }

    /// Room for bytes of a request.
    pub fn bytes(self: &Arc<Self>, bytes: usize) -> Result<Held, Limit> {
        self.take(Share::Bytes(bytes))
    }

    fn take(self: &Arc<Self>, share: Share) -> Result<Held, Limit> {
        let mut load = self.load();
        let taken = load.take(&share, &self.limits);
        self.tell(&load);
        drop(load);
        match taken {
            Ok(()) => Ok(Held { admission: self.clone(), share }),
            Err(limit) => {
                self.say(limit, &share);
                Err(limit)
            }
        }
    }

    fn give_back(&self, share: &Share) {
        let mut load = self.load();
        load.give_back(share);
        self.tell(&load);
    }

    fn tell(&self, load: &Load) {
        self.metrics.taken(load.requests, load.buffered_bytes);
        self.overloaded.send_if_modified(|before| {
            let now = load.is_overloaded(&self.limits, *before);
            std::mem::replace(before, now) != now
        });
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Event 4101, at most once a minute and limit.
    fn say(&self, limit: Limit, share: &Share) {
        self.metrics.shed(limit);
        let Some(left_out) = self.said.say(limit, Instant::now()) else { return };
        let who = match share {
            Share::Connection(source)
            | Share::Unproven(source)
            | Share::Request(source)
            | Share::Head(source) => source.to_string(),
            Share::Account(sid) => sid.to_string(),
            Share::TurnedAway | Share::Bytes(_) => String::new(),
        };
        let (key, value) = (limit.key(), limit.value(&self.limits));
        Event::Shed(Shed { key, value, who: &who, left_out }).log();
    }
}

impl Limit {
    /// The key of the configuration that sets it.
    fn key(self) -> &'static str {
        match self {
            Limit::Connections => "limits.connections_max",
            Limit::ConnectionsPerSource => "limits.connections_per_source_max",
            Limit::Requests | Limit::UnprovenRequests => "limits.requests_max",
            Limit::RequestsPerSource => "limits.requests_per_source_max",
            Limit::RequestsPerAccount => "limits.requests_per_account_max",
            Limit::BufferedBytes => "limits.buffered_mebibytes_max",
        }
    }

    fn value(self, limits: &Config) -> usize {
        match self {
            Limit::Connections => limits.connections_max,
            Limit::ConnectionsPerSource => limits.connections_per_source_max,
            Limit::Requests | Limit::UnprovenRequests => limits.requests_max,
            Limit::RequestsPerSource => limits.requests_per_source_max,
            Limit::RequestsPerAccount => limits.requests_per_account_max,
            Limit::BufferedBytes => limits.buffered_bytes_max >> 20,
        }
    }

    /// For metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::ConnectionsPerSource => "connections-per-source",
            Limit::Requests => "requests",
            Limit::RequestsPerSource => "requests-per-source",
            Limit::UnprovenRequests => "unproven-requests",
            Limit::RequestsPerAccount => "requests-per-account",
            Limit::BufferedBytes => "buffered-bytes",
        }
    }
}

impl Held {
    /// Keeps room for no more than so many bytes.
    pub fn shrink(&mut self, to: usize) {
        if let Share::Bytes(bytes) = &mut self.share {
            let surplus = bytes.saturating_sub(to);
            *bytes -= surplus;
            self.admission.give_back(&Share::Bytes(surplus));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.admission.give_back(&self.share);
    }
}

/// Connections on which only a refusal is said: a handshake each, so they must be few.
pub(super) const TURNED_AWAY_MAX: usize = 64;
/// One of so many places for requests is kept for those who have proven themselves. One source has half of all anyway, so
/// that it leaves others room to log on.
const PROVEN_PART: usize = 4;
/// Enough for a monitor, harmless for the log.
const EVENT_EVERY: Duration = Duration::from_secs(60);
/// From the first on others should take what comes, until it is below the second.
const OVERLOADED_FROM_PERCENT: usize = 90;
const OVERLOADED_UNTIL_PERCENT: usize = 70;

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn limits() -> Config {
        Config {
            connections_max: 4,
            connections_per_source_max: 3,
            requests_max: 10,
            requests_per_source_max: 5,
            requests_per_account_max: 4,
            buffered_bytes_max: 1 << 20,
        }
    }

    fn admission() -> Arc<Admission> {
        Admission::new(limits(), Metrics::register(&mut Registry::default()), Arc::default())
    }

    /// A request of somebody who is known.
    fn proven(admission: &Arc<Admission>, from: IpAddr) -> Result<Held, Limit> {
        let mut request = admission.request(from)?;
        admission.account(&"S-1-5-21-1-2-3-5".parse().unwrap(), &mut request)?;
        Ok(request)
    }

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    /// Takes until it is refused.
    fn fill(mut take: impl FnMut() -> Result<Held, Limit>) -> (Vec<Held>, Limit) {
        let mut held = Vec::new();
        loop {
            match take() {
                Ok(one) => held.push(one),
                Err(limit) => return (held, limit),
            }
        }
    }

    #[test]
    fn no_source_and_no_account_takes_everything() {
        let admission = admission();
        let (connections, limit) = fill(|| admission.connection(address(1)));
        assert_eq!((connections.len(), limit), (3, Limit::ConnectionsPerSource));
        let other = admission.connection(address(2)).ok();
        assert!(matches!(admission.connection(address(3)), Err(Limit::Connections)));
        let (mut requests, limit) = fill(|| proven(&admission, address(1)));
        assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
        let (more, _) = fill(|| proven(&admission, address(2)));
        assert!(matches!(admission.request(address(3)), Err(Limit::Requests)));
        let sid = "S-1-5-21-1-2-3-4".parse().unwrap();
        let (accounts, limit) = fill(|| admission.account(&sid, &mut requests[0]));
        assert_eq!((accounts.len(), limit), (4, Limit::RequestsPerAccount));
        drop((connections, other, requests, more, accounts));
        let load = admission.load();
        assert_eq!((load.connections, load.requests, load.unproven), (0, 0, 0));
        assert!(load.connections_by_source.is_empty() && load.requests_by_source.is_empty());
        assert!(load.requests_by_account.is_empty());
    }

    #[test]
    fn who_has_proven_nothing_leaves_places_to_those_who_have() {
        let admission = admission();
        let known = proven(&admission, address(9)).ok();
        let (unproven, limit) = fill(|| admission.request(address(1)));
        assert_eq!((unproven.len(), limit), (5, Limit::RequestsPerSource));
        // One source leaves room for the logins of others.
        let known = [known, proven(&admission, address(9)).ok()];
        let (more, limit) = fill(|| admission.request(address(2)));
        assert_eq!((more.len(), limit), (3, Limit::UnprovenRequests));
        assert!(known.iter().all(Option::is_some));
        let load = admission.load();
        assert_eq!((load.requests, load.unproven), (10, 8));
    }

    #[test]
    fn long_heads_take_room_and_leave_half_of_it() {
        let admission = admission();
        let (heads, limit) = fill(|| admission.head(address(1)));
        assert_eq!((heads.len(), limit), (3, Limit::BufferedBytes));
        let (more, _) = fill(|| admission.head(address(2)));
        assert_eq!((more.len(), admission.load().buffered_bytes), (2, 5 * HEAD_BYTES_MAX));
        let body = admission.bytes(1 << 19).ok();
        drop((heads, more));
        assert!(body.is_some() && admission.load().heads_by_source.is_empty());
        drop(body);
        let load = admission.load();
        assert_eq!((load.heads, load.buffered_bytes), (0, 0));
    }

    #[test]
    fn one_network_is_one_source() {
        let admission = admission();
        let mut last = 0_u16;
        let (requests, limit) = fill(|| {
            last += 1;
            proven(&admission, format!("2001:db8::{last:x}").parse().unwrap())
        });
        assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
    }

    /// As a listener on `[::]` sees its clients.
    #[test]
    fn ipv4_addresses_inside_ipv6_are_sources_of_their_own() {
        let admission = admission();
        let inside = |last: u8| format!("::ffff:10.0.0.{last}").parse().unwrap();
        let (requests, limit) = fill(|| proven(&admission, inside(1)));
        assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
        assert!(matches!(admission.request(address(1)), Err(Limit::RequestsPerSource)));
        assert!(admission.request(inside(2)).is_ok());
        let (connections, limit) = fill(|| admission.connection(inside(1)));
        assert_eq!((connections.len(), limit), (3, Limit::ConnectionsPerSource));
        assert!(admission.connection(inside(2)).is_ok());
    }

    #[test]
    fn room_for_bytes_is_what_was_not_needed_and_what_was_given_back() {
        let admission = admission();
        let mut half = admission.bytes(1 << 19).ok().unwrap();
        assert!(matches!(admission.bytes((1 << 19) + 1), Err(Limit::BufferedBytes)));
        half.shrink(10);
        let rest = admission.bytes((1 << 20) - 10).ok();
        assert!(rest.is_some() && admission.bytes(1).is_err());
        drop((half, rest));
        assert_eq!(admission.load().buffered_bytes, 0);
    }

    #[test]
    fn overload_is_said_late_and_taken_back_later() {
        let admission = admission();
        let said = admission.overloaded.subscribe();
        let mut requests: Vec<_> = (0..8).map(|at| proven(&admission, address(at)).ok().unwrap()).collect();
        assert!(!*said.borrow());
        requests.push(proven(&admission, address(9)).ok().unwrap());
        assert!(*said.borrow());
        requests.truncate(7);
        assert!(*said.borrow());
        requests.truncate(6);
        assert!(!*said.borrow());
    }

    #[test]
    fn few_are_turned_away_at_a_time() {
        let admission = admission();
        let held: Vec<_> = std::iter::from_fn(|| admission.turned_away()).collect();
        assert_eq!(held.len(), TURNED_AWAY_MAX);
    }
}
