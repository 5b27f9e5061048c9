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
mod tests;
