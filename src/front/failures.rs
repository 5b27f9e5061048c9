//! How many NTLM logins may fail: fewer than the domain locks an account for. Pure: the time is an argument.
//!
//! The domain counts the failures of an account until there were none for its window. We count in the same way,
//! and separately for addresses at which the account has proven itself lately, so that nobody can shut a server out
//! by failing as it from somewhere else. A login that is being checked counts as failed until it is settled.

mod name;
mod pace;

pub(super) use name::{AccountKey, AccountKeys};
pub(super) use pace::Pace;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// `[identity.limits]`: what the domain does about failed logins, and how many may come from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// After how many failed logins the domain locks an account.
    pub lockout_threshold: u32,
    /// After how long without a failed login it begins to count anew.
    pub lockout_window: Duration,
    /// How many failed logins of one source this node lets through in such a window.
    pub source_failures_max: u32,
}

/// Who has failed lately, and who has not.
#[derive(Debug)]
pub(super) struct Failures {
    limits: LoginLimits,
    strangers: HashMap<AccountKey, Count>,
    /// By the exact name: only the account itself can make one.
    homes: HashMap<AccountKey, Vec<Home>>,
    sources: HashMap<IpAddr, Count>,
    swept_at: Option<Instant>,
}

/// A login that wants to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// The account that it claims, however it is written.
    pub account: AccountKey,
    /// The same as it is written, but for case.
    pub exact: AccountKey,
    /// Where it comes from.
    pub address: IpAddr,
}

/// What is to be done about a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Check it, and settle it.
    Check(Ticket),
    /// Ask again when another one is settled: it depends on that one.
    Wait,
    /// Refuse it, and ask nobody.
    Refuse(Limit),
}

/// A login that is being checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    login: Login,
    known: bool,
}

/// What came of a login, as the domain counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// It failed.
    Failed,
    /// The domain was asked and has not said. For strangers that is a failure; a server at its own address has
    /// no part in the domain's trouble.
    Unknown,
    /// The proof holds, or nobody was asked.
    NotFailed,
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// The account has failed too often, where it has not proven itself lately.
    Account,
    /// The account has failed too often at an address where it has.
    AccountAtHome,
    /// Too many logins of this source have failed.
    Source,
    /// So many accounts have failed that there is no room for one more.
    Room,
}

/// What one node of so many may let through, so that all of them together stay below the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Failures of an account where it has not proven itself.
    pub strangers: u32,
    /// Failures of an account where it has.
    pub at_home: u32,
    /// How long strangers must be quiet before they are counted anew.
    pub strangers_wait: Duration,
    /// All shares together are below the threshold.
    pub fits: bool,
}

/// An address at which an account has proven itself.
#[derive(Debug)]
struct Home {
    address: IpAddr,
    proven_at: Instant,
    count: Count,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failed: u32,
    open: u32,
    /// When the last one failed, or the first one of a window.
    last: Instant,
}

impl LoginLimits {
    /// What each of so many nodes may let through.
    ///
    /// The domain's count goes on as long as no gap between failures is longer than its window, whichever node
    /// they came through. Nodes do not tell each other. So a node waits for so long that the shares of all others,
    /// one after the other with a window between, cannot bridge it: in no such run has it its share twice.
    pub(super) fn share(&self, nodes: usize) -> Share {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX).max(1);
        let below = self.lockout_threshold.saturating_sub(1);
        let all = (below / nodes).max(2);
        let strangers = (all / STRANGERS_PART).max(1);
        let windows = (nodes - 1).saturating_mul(strangers).saturating_add(1);
        Share {
            strangers,
            at_home: all - strangers,
            strangers_wait: self.lockout_window.saturating_mul(windows),
            fits: all.saturating_mul(nodes) <= below,
        }
    }
}

impl Failures {
    pub(super) fn new(limits: LoginLimits) -> Self {
        Failures {
            limits,
            strangers: HashMap::new(),
            homes: HashMap::new(),
            sources: HashMap::new(),
            swept_at: None,
        }
    }

    /// Whether a login may be checked at one of so many nodes.
    pub(super) fn ask(&mut self, login: Login, nodes: usize, now: Instant) -> Answer {
        let Login { account, address, .. } = login;
        let share = self.limits.share(nodes);
        if let Some(answer) = self.ask_at_home(login, share, now) {
            return answer;
        }
        let from_source = self.sources.get_mut(&source(address)).map(|count| {
            count.renew(now, self.limits.lockout_window);
            count.answer(self.limits.source_failures_max)
        });
        match from_source {
            Some(Budget::Used) => return Answer::Refuse(Limit::Source),
            Some(Budget::InUse) => return Answer::Wait,
            Some(Budget::Left) | None => {}
        }
        if self.strangers.len() >= ACCOUNTS_MAX || self.sources.len() >= SOURCES_MAX {
            self.sweep(share, now);
        }
        // What still holds is never forgotten for another one: that would give back what was used up, to whoever
        // comes with enough names.
        if self.strangers.len() >= ACCOUNTS_MAX && !self.strangers.contains_key(&account) {
            return Answer::Refuse(Limit::Room);
        }
        let count = self.strangers.entry(account).or_insert(Count::new(now));
        count.renew(now, share.strangers_wait);
        match count.answer(share.strangers) {
            Budget::Used => Answer::Refuse(Limit::Account),
            Budget::InUse => Answer::Wait,
            Budget::Left => {
                count.open += 1;
                self.open_source(address, now);
                Answer::Check(Ticket { login, known: false })
            }
        }
    }

    /// A server whose own last login was good may always try: the failures of another one of the same account do
    /// not shut it out.
    fn ask_at_home(&mut self, login: Login, share: Share, now: Instant) -> Option<Answer> {
        let homes = self.homes.get_mut(&login.exact)?;
        for home in homes.iter_mut() {
            home.count.renew(now, self.limits.lockout_window);
        }
        let failed: u32 = homes.iter().map(|home| home.count.failed).sum();
        let open: u32 = homes.iter().map(|home| home.count.open).sum();
        let home = homes.iter_mut().find(|home| home.is_at(login.address, now))?;
        let unblemished = home.count.failed == 0 && home.count.open == 0;
        Some(if unblemished || failed + open < share.at_home {
            home.count.open += 1;
            Answer::Check(Ticket { login, known: true })
        } else if home.count.failed > 0 && failed >= share.at_home {
            Answer::Refuse(Limit::AccountAtHome)
        } else {
            Answer::Wait
        })
    }

    /// Ends what [`Failures::ask`] began.
    pub(super) fn settle(&mut self, ticket: Ticket, settled: Settled, now: Instant) {
        let Ticket { login: Login { account, exact, address }, known } = ticket;
        if known {
            let settled = if settled == Settled::Unknown { Settled::NotFailed } else { settled };
            let homes = self.homes.get_mut(&exact).into_iter().flatten();
            for home in homes.filter(|home| home.address == address) {
                home.count.settle(settled, now);
            }
            return;
        }
        settle_one(&mut self.strangers, account, |count| count.settle(settled, now));
        settle_one(&mut self.sources, source(address), |count| count.settle_in_window(settled, now));
    }

    /// An account has proven itself at an address of this node: whatever failed there before is forgiven, as it is
    /// by the domain.
    pub(super) fn proven(&mut self, login: Login, now: Instant) {
        if let Some(home) = self.home(login, now) {
            home.count.failed = 0;
        }
    }

    /// An account has proven itself in a way that the domain does not count: with a ticket, or at another node.
    pub(super) fn seen(&mut self, login: Login, now: Instant) {
        self.home(login, now);
    }

    fn home(&mut self, login: Login, now: Instant) -> Option<&mut Home> {
        // As written, so that nobody makes a home for the account of another.
        let (account, address) = (login.exact, login.address);
        if !self.homes.contains_key(&account) && self.homes.len() >= HOME_ACCOUNTS_MAX {
            let latest = |homes: &Vec<Home>| homes.iter().map(|home| home.proven_at).max();
            let oldest =
                self.homes.iter().min_by_key(|(_, homes)| latest(homes)).map(|(account, _)| *account);
            self.homes.remove(&oldest?);
        }
        let homes = self.homes.entry(account).or_default();
        let place = homes.iter().position(|home| home.address == address);
        let place = place.unwrap_or_else(|| {
            if homes.len() >= HOMES_MAX
                && let Some(oldest) =
                    (0..homes.len()).min_by_key(|place| homes.get(*place).map(|home| home.proven_at))
            {
                homes.swap_remove(oldest);
            }
            homes.push(Home { address, proven_at: now, count: Count::new(now) });
            homes.len() - 1
        });
        let home = homes.get_mut(place)?;
        home.proven_at = now;
        Some(home)
    }

    /// A source for which there is no room is not limited; the accounts that it fails as are.
    fn open_source(&mut self, address: IpAddr, now: Instant) {
        let source = source(address);
        if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source) {
            self.sources.entry(source).or_insert(Count::new(now)).open += 1;
        }
    }

    /// Forgets what counts no more. It takes a while, so not at every login.
    fn sweep(&mut self, share: Share, now: Instant) {
        if self.swept_at.is_some_and(|at| now.saturating_duration_since(at) < SWEEP_EVERY) {
            return;
        }
        self.swept_at = Some(now);
        let window = self.limits.lockout_window;
        self.strangers.retain(|_, count| count.still_counts(now, share.strangers_wait));
        self.sources.retain(|_, count| count.still_counts(now, window));
    }
}

/// Who has not failed takes no room.
fn settle_one<K: Hash + Eq>(counts: &mut HashMap<K, Count>, key: K, settle: impl FnOnce(&mut Count)) {
    let Entry::Occupied(mut entry) = counts.entry(key) else { return };
    settle(entry.get_mut());
    if entry.get().failed == 0 && entry.get().open == 0 {
        entry.remove();
    }
}

impl Home {
    fn is_at(&self, address: IpAddr, now: Instant) -> bool {
        self.address == address && now.saturating_duration_since(self.proven_at) < KNOWN_FOR
    }
}

/// What is left of a budget.
enum Budget {
    Left,
    /// It is all being checked now.
    InUse,
    Used,
}

impl Count {
    fn new(now: Instant) -> Self {
        Count { failed: 0, open: 0, last: now }
    }

    /// Begins anew if it was quiet for so long.
    fn renew(&mut self, now: Instant, wait: Duration) {
        if now.saturating_duration_since(self.last) >= wait {
            self.failed = 0;
        }
    }

    fn answer(&self, max: u32) -> Budget {
        if self.failed >= max {
            Budget::Used
        } else if self.failed + self.open >= max {
            Budget::InUse
        } else {
            Budget::Left
        }
    }

    fn settle(&mut self, settled: Settled, now: Instant) {
        self.open = self.open.saturating_sub(1);
        match settled {
            Settled::NotFailed => {}
            Settled::Failed | Settled::Unknown => {
                self.failed = self.failed.saturating_add(1);
                self.last = now;
            }
        }
    }

    /// The same, where the first failure says when to begin anew: behind a balancer some fail all the time.
    fn settle_in_window(&mut self, settled: Settled, now: Instant) {
        let first = if self.failed == 0 { now } else { self.last };
        self.settle(settled, now);
        self.last = first;
    }

    fn still_counts(&self, now: Instant, wait: Duration) -> bool {
        self.open > 0 || self.failed > 0 && now.saturating_duration_since(self.last) < wait
    }
}

/// Whoever has one IPv6 address has the 2^64 beside it. A listener of both kinds sees IPv4 as `::ffff:0:0/96`.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Machines fail as often as they are let, so strangers need few; a server whose password is good on some
/// attempts needs the more.
const STRANGERS_PART: u32 = 4;
/// Longer than a long weekend, and shorter than addresses stay with a host.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Some 3 MB.
const ACCOUNTS_MAX: usize = 1 << 16;
const SOURCES_MAX: usize = 1 << 16;
/// More servers than any directory has. With all their homes, which only they can make, 50 MB.
const HOME_ACCOUNTS_MAX: usize = 10_000;
/// A service account on a large farm.
const HOMES_MAX: usize = 64;
const SWEEP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
