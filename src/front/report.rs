//! Events about callers: said when they are news, and once.

use super::answer::Outcome;
use super::channels::Channels;
use super::strict::Kind;
use crate::event::{BadAnswers, Event, Seen, Tally, Who};
use crate::principal::{Caller, Channel, Sid};
use crate::relay::{Failure, authorize};
use crate::state::{State, Timestamp};
use http::Uri;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Remembers what was said.
pub struct Reports {
    state: watch::Receiver<Arc<State>>,
    allowed_at_revision: Seen<(Sid, u64)>,
    allowed: Seen<(Sid, Sid, Timestamp)>,
    refused: Tally<Sid>,
    not_found: Tally<String>,
    not_http: Tally<(IpAddr, Kind)>,
    loops: Seen<()>,
    channels: Mutex<Channels>,
}

impl Reports {
    /// Nothing was said yet.
    pub fn new(state: watch::Receiver<Arc<State>>) -> Self {
        Reports {
            state,
            allowed_at_revision: Seen::new(Duration::MAX),
            allowed: Seen::new(Duration::MAX),
            refused: Tally::new(REFUSED_EVERY),
            not_found: Tally::new(Duration::MAX),
            not_http: Tally::new(NOT_HTTP_EVERY),
            loops: Seen::new(LOOP_EVERY),
            channels: Mutex::default(),
        }
    }

    /// A caller has proven who it is: event 2002 when it begins to use HTTP, and 1003 when it ceases to.
    pub fn connected(&self, caller: &Caller) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = channels.uses(&caller.account.sid, caller.channel, Instant::now());
        drop(channels);
        let Some(changed) = changed else { return };
        let (who, left_out) = (who(caller), changed.left_out);
        match changed.to {
            Channel::Http => Event::ClearText { who, left_out }.log(),
            Channel::Https => Event::SwitchedToHttps { who, left_out }.log(),
        }
    }

    /// Somebody asked for a path that is none of ours: said once a path, with the agent, so that what real servers
    /// miss can be seen. Strangers can do it: what is kept of a path is short, and a minute has few new ones.
    pub fn not_found(&self, uri: &Uri, agent: &str) {
        let path: String = uri.path().chars().take(PATH_CHARS_MAX).collect();
        if let Some(left_out) = self.not_found.say(path.to_ascii_lowercase(), Instant::now()) {
            let agent: String = agent.chars().take(PATH_CHARS_MAX).collect();
            tracing::info!(path, agent, left_out, "nothing at this path");
        }
    }

    /// Somebody sent what is no good HTTP: event 4100.
    pub fn not_http(&self, from: IpAddr, kind: Kind) {
        if let Some(left_out) = self.not_http.say((from, kind), Instant::now()) {
            Event::NotHttp { computer: &from.to_string(), reason: kind.reason(), left_out }.log();
        }
    }

    /// A request of a caller has ended: event 1002, 2001 or 2004 if that is news.
    pub fn ended(&self, caller: &Caller, outcome: &Outcome) {
        match outcome {
            Outcome::Answered(_) => self.let_in(caller),
            Outcome::Failed(failure @ (Failure::NotAuthorized(_) | Failure::RoleRefused(_))) => {
                if let Some(left_out) = self.refused.say(caller.account.sid.clone(), Instant::now()) {
                    let reason = failure.to_string();
                    Event::AccessRefused { who: who(caller), reason: &reason, left_out }.log();
                }
            }
            Outcome::Failed(Failure::NtlmRefused(reason)) => {
                if let Some(left_out) = self.refused.say(caller.account.sid.clone(), Instant::now()) {
                    Event::NtlmRefused { who: who(caller), reason, left_out }.log();
                }
            }
            Outcome::Loop => {
                if self.loops.is_new((), Instant::now()) {
                    let reason =
                        format!("{} at {} has sent a request back", caller.account.name, caller.computer);
                    Event::BadAnswer { why: BadAnswers::Loop, reason: &reason }.log();
                }
            }
            Outcome::Failed(_)
            | Outcome::Unauthenticated(_)
            | Outcome::Overloaded
            | Outcome::Full
            | Outcome::NotHttp(_)
            | Outcome::NotFound
            | Outcome::MethodNotAllowed(_)
            | Outcome::NoNode => {}
        }
    }

    fn let_in(&self, caller: &Caller) {
        let table = self.state.borrow().table.clone();
        let sid = caller.account.sid.clone();
        if !self.allowed_at_revision.is_new((sid.clone(), table.revision), Instant::now()) {
            return;
        }
        // The table may have changed since; then the next request will tell.
        let Ok(permit) = authorize(&table, &caller.account) else { return };
        let entry = permit.entry();
        if self.allowed.is_new((sid, entry.sid.clone(), entry.added_at), Instant::now()) {
            Event::AccessAllowed(who(caller)).log();
        }
    }
}

fn who(caller: &Caller) -> Who<'_> {
    Who { sid: &caller.account.sid, account: &caller.account.name, computer: &caller.computer }
}

/// Every path of the protocol is far shorter.
const PATH_CHARS_MAX: usize = 200;
/// One event a minute, source and kind.
const NOT_HTTP_EVERY: Duration = Duration::from_secs(60);
/// Every request meets the same.
const LOOP_EVERY: Duration = Duration::from_secs(10);
/// One event a minute and account: enough for a monitor, harmless for the log.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
