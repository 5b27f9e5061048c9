//! NTLM logins, between the connection and whoever knows the passwords: not too many failed ones are let through,
//! and each is answered at the same time after it came.

use super::failures::{
    AccountKey, AccountKeys, Answer, Failures, Limit, Login, LoginLimits, Pace, Settled, Share, Ticket,
    source,
};
use super::metrics::{Metrics, Unproven};
use super::peers::Peer;
use crate::directory::{Directory, Verified, VerifyError};
use crate::event::{Event, LoginsLimited, Seen, Tally};
use crate::identity::NtlmProof;
use crate::principal::Caller;
use crate::tasks::Tasks;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

/// The logins of one node.
pub struct Logins {
    limits: LoginLimits,
    /// As many share what may fail.
    relays: watch::Receiver<Arc<Vec<Peer>>>,
    keys: AccountKeys,
    failures: Mutex<Failures>,
    /// Told whenever a login is settled: another one may wait for it.
    settled: Notify,
    pace: Mutex<Pace>,
    limited: Tally<(LoginsLimited, Option<AccountKey>, Option<IpAddr>)>,
    too_many_nodes: Seen<usize>,
    metrics: Metrics,
    tasks: Tasks,
}

/// Why a login is refused: for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The directory was asked.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It was not.
    #[error("{0}")]
    Limited(String),
}

impl Refused {
    /// Nobody has said whether the proof is good: the client may be right, and try again later. To a mail server
    /// status 401 would be final.
    pub(super) fn is_undetermined(&self) -> bool {
        match self {
            Refused::Verify(error) => error.is_undetermined(),
            Refused::Limited(_) => true,
        }
    }
}

/// A login that is being checked. If nobody says what came of it, it failed.
struct Open {
    logins: Arc<Logins>,
    ticket: Ticket,
    settled: Settled,
}

impl Logins {
    /// None has failed yet.
    #[must_use]
    pub fn new(
        limits: LoginLimits,
        relays: watch::Receiver<Arc<Vec<Peer>>>,
        metrics: Metrics,
        tasks: Tasks,
    ) -> Self {
        Logins {
            limits,
            relays,
            keys: AccountKeys::default(),
            failures: Mutex::new(Failures::new(limits)),
            settled: Notify::new(),
            pace: Mutex::default(),
            limited: Tally::new(LIMITED_EVENT_EVERY),
            too_many_nodes: Seen::new(Duration::MAX),
            metrics,
            tasks,
        }
    }

    /// Checks a proof that came from this address, if the limits allow.
    pub(super) async fn verify(
        self: &Arc<Self>,
        directory: &Arc<Directory>,
        proof: &NtlmProof,
        address: IpAddr,
    ) -> Result<Verified, Refused> {
        let open = self.open(proof, address).await?;
        let (sender, verified) = oneshot::channel();
        let (directory, proof) = (directory.clone(), proof.clone());
        // To its end, though the client hangs up: what the domain has counted must be counted here.
        self.tasks.spawn("login", async move {
            // Nobody may be there any more to hear it.
            let _ = sender.send(open.check(&directory, &proof).await);
        });
        Ok(verified.await.map_err(|_| Refused::Limited("its check broke off".to_owned()))??)
    }

    /// The account that a proof claims has proven itself in full at this address.
    pub(super) fn proven(&self, claimed: &str, caller: &Caller, address: IpAddr) {
        // By a UPN it may have another name than its own.
        for name in [claimed, caller.account.name.name()] {
            let login = self.login(name, address);
            self.failures().proven(login, Instant::now());
        }
        // Those that wait need not go one by one now.
        self.settled.notify_waiters();
    }

    /// A caller has proven itself with a ticket, or at another node, which vouches for it.
    pub fn seen(&self, caller: &Caller) {
        if let Ok(address) = caller.computer.parse() {
            let login = self.login(caller.account.name.name(), address);
            self.failures().seen(login, Instant::now());
        }
    }

    /// Waits until a failed login that came then may be answered.
    pub(super) async fn answer_time(&self, came_at: Instant) {
        let after = self.pace.lock().unwrap_or_else(PoisonError::into_inner).answer_after();
        tokio::time::sleep_until((came_at + after).into()).await;
    }

    async fn open(self: &Arc<Self>, proof: &NtlmProof, address: IpAddr) -> Result<Open, Refused> {
        let login = self.login(&proof.user, address);
        let until = Instant::now() + WAIT_MAX;
        loop {
            let mut settled = pin!(self.settled.notified());
            // Before asking, so that nothing is missed in between.
            settled.as_mut().enable();
            let nodes = self.nodes();
            let answer = self.failures().ask(login, nodes, Instant::now());
            match answer {
                Answer::Wait if Instant::now() >= until => {
                    return Err(Refused::Limited(format!(
                        "{}: too many logins at the same time",
                        written(proof)
                    )));
                }
                Answer::Check(ticket) => {
                    return Ok(Open { logins: self.clone(), ticket, settled: Settled::Failed });
                }
                // Late or not, it is asked once more.
                Answer::Wait => drop(tokio::time::timeout_at(until.into(), settled).await),
                Answer::Refuse(limit) => return Err(self.limited(limit, proof, login, nodes)),
            }
        }
    }

    fn login(&self, user: &str, address: IpAddr) -> Login {
        // A listener for both kinds of addresses shows those of IPv4 inside IPv6.
        let (account, exact) = (self.keys.of(user), self.keys.exact(user));
        Login { account, exact, address: address.to_canonical() }
    }

    fn nodes(&self) -> usize {
        let nodes = self.relays.borrow().len();
        let threshold = self.limits.lockout_threshold;
        if !self.limits.share(nodes).fits && self.too_many_nodes.is_new(nodes, Instant::now()) {
            Event::ThresholdTooLow { nodes, threshold }.log();
        }
        nodes
    }

    /// Events 4053 to 4055.
    fn limited(&self, limit: Limit, proof: &NtlmProof, login: Login, nodes: usize) -> Refused {
        let Share { strangers, at_home, strangers_wait, .. } = self.limits.share(nodes);
        let window = self.limits.lockout_window;
        let source = source(login.address);
        let quiet = |wait: Duration| format!("again when none was let through for {wait:?}");
        let (why, unproven, reason) = match limit {
            Limit::Account => (
                (LoginsLimited::Account, Some(login.account), None),
                Unproven::AccountLimit,
                format!(
                    "{strangers} failed where the account has not logged in lately; {}",
                    quiet(strangers_wait)
                ),
            ),
            Limit::AccountAtHome => (
                (LoginsLimited::Account, Some(login.account), Some(login.address)),
                Unproven::AccountLimit,
                format!("{at_home} failed where the account has logged in before; {}", quiet(window)),
            ),
            Limit::Source => (
                (LoginsLimited::Source, None, Some(source)),
                Unproven::SourceLimit,
                format!("{} failed from {source} within {window:?}", self.limits.source_failures_max),
            ),
            Limit::Room => (
                (LoginsLimited::Room, None, None),
                Unproven::Room,
                "there is no room to count more".to_owned(),
            ),
        };
        self.metrics.unproven(unproven);
        if let Some(left_out) = self.limited.say(why, Instant::now()) {
            let (why, ..) = why;
            let (account, computer) = (written(proof), login.address.to_string());
            Event::LoginsLimited { why, account: &account, computer: &computer, reason: &reason, left_out }
                .log();
        }
        Refused::Limited(format!("{}: {reason}", written(proof)))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// It is settled when this ends.
    async fn check(mut self, directory: &Directory, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        let begun = Instant::now();
        let verified = directory.verify_ntlm(proof).await;
        self.settled = match &verified {
            Ok(_)
            | Err(VerifyError::KerberosAlone { .. } | VerifyError::Undetermined { asked: false, .. }) => {
                Settled::NotFailed
            }
            Err(VerifyError::Undetermined { asked: true, .. }) => Settled::Unknown,
            // Nobody was asked, so it took no time.
            Err(VerifyError::UnknownAccount { .. } | VerifyError::Refused { asked: false, .. }) => {
                self.logins.metrics.unproven(Unproven::Wrong);
                Settled::Failed
            }
            Err(VerifyError::WrongPassword { .. } | VerifyError::Refused { asked: true, .. }) => {
                self.logins.pace.lock().unwrap_or_else(PoisonError::into_inner).took(begun.elapsed());
                self.logins.metrics.unproven(Unproven::Wrong);
                Settled::Failed
            }
        };
        verified
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.logins.failures().settle(self.ticket, self.settled, Instant::now());
        self.logins.settled.notify_waiters();
    }
}

fn written(proof: &NtlmProof) -> String {
    if proof.domain.is_empty() { proof.user.clone() } else { format!("{}\\{}", proof.domain, proof.user) }
}

/// A client that waits longer asks elsewhere.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// As long as the shortest limit holds by default.
const LIMITED_EVENT_EVERY: Duration = Duration::from_secs(10 * 60);
