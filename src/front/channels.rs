//! Which accounts use HTTP, and which have gone over to HTTPS: what to say about it. Pure: the time is an argument.

use crate::principal::{Channel, Sid};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What was said about the channels of accounts.
#[derive(Debug, Default)]
pub struct Channels {
    accounts: HashMap<Sid, Used>,
    order: VecDeque<Sid>,
}

/// Something to say about an account's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What it uses now.
    pub to: Channel,
    /// How many changes were left out before this one.
    pub left_out: u64,
}

#[derive(Debug)]
struct Used {
    now: Channel,
    said: Channel,
    /// Changes that nobody was told of.
    unsaid: u64,
    /// When the last ones were said; beyond them, none is said for a while.
    said_at: VecDeque<Instant>,
}

impl Channels {
    /// Notes what an account uses, and gives what is news: that it uses HTTP, or that it does no more.
    pub fn uses(&mut self, account: &Sid, channel: Channel, now: Instant) -> Option<Changed> {
        let Some(used) = self.accounts.get_mut(account) else {
            self.remember(account, channel, now);
            return match channel {
                Channel::Http => Some(Changed { to: Channel::Http, left_out: 0 }),
                Channel::Https => None,
            };
        };
        if used.now != channel {
            used.now = channel;
            used.unsaid += 1;
        }
        if used.said == channel {
            return None;
        }
        if used.said_at.len() >= CHANGES_MAX {
            let oldest = used.said_at.front().copied()?;
            if now.saturating_duration_since(oldest) < CHANGES_IN {
                return None;
            }
            used.said_at.pop_front();
        }
        used.said_at.push_back(now);
        used.said = channel;
        let unsaid = std::mem::take(&mut used.unsaid);
        Some(Changed { to: channel, left_out: unsaid.saturating_sub(1) })
    }

    /// The account that is forgotten is news again, if it uses HTTP.
    fn remember(&mut self, account: &Sid, channel: Channel, now: Instant) {
        if self.order.len() >= ACCOUNTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.accounts.remove(&oldest);
        }
        self.order.push_back(account.clone());
        let said_at = VecDeque::from([now]);
        self.accounts.insert(account.clone(), Used { now: channel, said: channel, unsaid: 0, said_at });
    }
}

/// Two servers of one account, one with HTTP and one with HTTPS, would change with every request.
const CHANGES_MAX: usize = 4;
const CHANGES_IN: Duration = Duration::from_secs(3_600);
/// More servers than any directory has.
const ACCOUNTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use Channel::{Http, Https};

    fn sid(rid: usize) -> Sid {
        Sid::new(5, &[21, 1, 2, 3, u32::try_from(rid).unwrap()]).unwrap()
    }

    #[track_caller]
    fn check(channels: &mut Channels, uses: Channel, now: Instant, says: Option<(Channel, u64)>) {
        let says = says.map(|(to, left_out)| Changed { to, left_out });
        assert_eq!(channels.uses(&sid(1), uses, now), says);
    }

    #[test]
    fn each_change_of_an_account_is_said_once() {
        let (mut channels, start) = (Channels::default(), Instant::now());
        for (uses, says) in [
            (Http, Some((Http, 0))),
            (Http, None),
            (Https, Some((Https, 0))),
            (Https, None),
            (Http, Some((Http, 0))),
        ] {
            check(&mut channels, uses, start, says);
        }
        assert_eq!(channels.uses(&sid(2), Https, start), None);
        assert_eq!(channels.uses(&sid(3), Http, start), Some(Changed { to: Http, left_out: 0 }));
    }

    #[test]
    fn an_account_that_uses_both_is_no_flood_and_its_changes_are_counted() {
        let (mut channels, start) = (Channels::default(), Instant::now());
        let both = |channels: &mut Channels| {
            let uses = (0..1_000).flat_map(|_| [Http, Https]);
            uses.filter(|uses| channels.uses(&sid(1), *uses, start).is_some()).count()
        };
        assert_eq!(both(&mut channels), CHANGES_MAX);
        check(&mut channels, Http, start, None);
        // What it uses in the end is said when the hour is over, with what came between.
        check(&mut channels, Http, start + CHANGES_IN, Some((Http, 2_000 - CHANGES_MAX as u64)));
    }

    #[test]
    fn remembers_a_bounded_number_of_accounts() {
        let (mut channels, start) = (Channels::default(), Instant::now());
        for rid in 0..=ACCOUNTS_MAX {
            assert!(channels.uses(&sid(rid), Http, start).is_some());
        }
        assert_eq!(channels.accounts.len(), ACCOUNTS_MAX);
    }
}
