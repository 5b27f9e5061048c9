//! NTLM verified by a domain controller, through winbind: a pool of `ntlm_auth` helpers that are kept.
//!
//! What comes of a question is a session key or a refusal. Whose account it is, the directory says afterwards: the
//! helper does not.

mod health;
mod helper;
mod protocol;

pub(super) use protocol::Fault;

use super::metrics::{Logon, Metrics};
use crate::identity::{NtlmProof, SessionBaseKey};
use crate::tasks::Tasks;
use health::Health;
use helper::{AskError, Helper};
use protocol::{Answer, Question};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// `[identity.winbind]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The helper: Samba's `ntlm_auth`.
    pub program: PathBuf,
    /// How many of them run at the same time, at the most.
    pub helpers_max: usize,
}

/// Why a proof was not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotVerified {
    /// A domain controller says no.
    Refused(Fault),
    /// Nobody can say whether it holds.
    Undetermined(String),
}

/// The way to winbind. Clones share the helpers.
#[derive(Clone)]
pub(super) struct Winbind {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    tasks: Tasks,
    metrics: Metrics,
    /// Those that wait for a question. A helper is here or has a slot.
    idle: Mutex<Vec<Helper>>,
    slots: Semaphore,
    /// Who asks or waits to ask.
    places: Arc<Semaphore>,
    health: Health,
}

impl Winbind {
    /// Starts no helper yet.
    pub(super) fn new(config: Config, domain: &str, metrics: Metrics, tasks: Tasks) -> Self {
        let health = Health::new(domain.to_owned(), metrics.clone());
        let slots = Semaphore::new(config.helpers_max);
        let (idle, places) = (Mutex::default(), Arc::new(Semaphore::new(ASKING_MAX)));
        Winbind { inner: Arc::new(Inner { config, tasks, metrics, idle, slots, places, health }) }
    }

    /// Starts the first helper, so that what is wrong with it is known before a caller comes.
    pub(super) async fn begin(&self) {
        let inner = &self.inner;
        let deadline = Instant::now() + START_WITHIN;
        let Ok(_slot) = inner.slots.acquire().await else { return };
        match inner.start(deadline).await {
            Ok(mut helper) => match timeout_at(deadline, helper.hello()).await {
                Ok(Ok(())) => inner.keep(helper),
                Ok(Err(error)) => {
                    inner.health.away(&error.to_string());
                    inner.end(helper).await;
                }
                Err(_) => {
                    inner.health.away(SILENT);
                    inner.end(helper).await;
                }
            },
            Err(reason) => inner.health.away(&reason),
        }
    }

    /// Whether it did not answer when it was asked last.
    pub(super) fn is_away(&self) -> bool {
        self.inner.health.is_away()
    }

    /// Asks a domain controller whether a proof holds, within [`ANSWER_WITHIN`].
    pub(super) async fn verify(&self, proof: &NtlmProof) -> Result<SessionBaseKey, NotVerified> {
        let inner = self.inner.clone();
        let Ok(place) = inner.places.clone().try_acquire_owned() else {
            inner.metrics.logon(Logon::Busy, Duration::ZERO);
            return Err(NotVerified::Undetermined(format!("{ASKING_MAX} logons wait for winbind already")));
        };
        let question = Question::new(proof);
        let (answered, answer) = oneshot::channel();
        // In a task of its own: a client that hangs up in between costs no helper.
        self.inner.tasks.spawn("ntlm question", async move {
            inner.run(&question, answered).await;
            drop(place);
        });
        // The node drains, if there is none.
        answer.await.unwrap_or_else(|_| Err(NotVerified::Undetermined("the node stops".into())))
    }
}

impl Inner {
    /// A question from its beginning to where its helper is back in the pool, or gone.
    async fn run(&self, question: &Question, answered: oneshot::Sender<Result<SessionBaseKey, NotVerified>>) {
        let begun = Instant::now();
        let deadline = begun + ANSWER_WITHIN;
        let Ok(Ok(_slot)) = timeout_at(deadline, self.slots.acquire()).await else {
            self.metrics.logon(Logon::Busy, begun.elapsed());
            let _ = answered.send(Err(NotVerified::Undetermined("every helper of winbind is busy".into())));
            return;
        };
        // Who asked has gone: a controller need not hear of it.
        if answered.is_closed() {
            return;
        }
        let (outcome, broken) = match self.ask(question, deadline).await {
            Ok((Answer::Yes(key), helper)) => {
                self.health.good();
                self.keep(helper);
                (Ok(key), None)
            }
            Ok((Answer::No(fault), helper)) => {
                self.health.good();
                self.keep(helper);
                (Err(NotVerified::Refused(fault)), None)
            }
            Ok((Answer::Cannot(reason), helper)) => {
                self.health.away(&reason);
                self.keep(helper);
                (Err(NotVerified::Undetermined(reason)), None)
            }
            Err((reason, helper)) => {
                self.health.away(&reason);
                (Err(NotVerified::Undetermined(reason)), helper)
            }
        };
        let label = match &outcome {
            Ok(_) => Logon::Verified,
            Err(NotVerified::Refused(_)) => Logon::Refused,
            Err(NotVerified::Undetermined(_)) => Logon::Undetermined,
        };
        self.metrics.logon(label, begun.elapsed());
        // Whoever waits for the answer need not wait for a helper's end.
        let _ = answered.send(outcome);
        if let Some(helper) = broken {
            self.end(helper).await;
        }
    }

    /// One that ended while it waited for a question is replaced at once: nobody need notice.
    async fn ask(
        &self,
        question: &Question,
        deadline: Instant,
    ) -> Result<(Answer, Helper), (String, Option<Helper>)> {
        if let Some(mut helper) = self.kept() {
            match timeout_at(deadline, helper.ask(question)).await {
                Ok(Ok(answer)) => return Ok((answer, helper)),
                Ok(Err(AskError::Ended { .. })) => self.end(helper).await,
                Ok(Err(error @ AskError::Unreadable { .. })) => {
                    return Err((error.to_string(), Some(helper)));
                }
                Err(_) => return Err((SILENT.into(), Some(helper))),
            }
        }
        let mut helper = self.start(deadline).await.map_err(|reason| (reason, None))?;
        match timeout_at(deadline, helper.ask(question)).await {
            Ok(Ok(answer)) => Ok((answer, helper)),
            Ok(Err(error)) => {
                // It did not come as far as its first answer: the next one would not either.
                self.health.no_start();
                Err((error.to_string(), Some(helper)))
            }
            Err(_) => Err((SILENT.into(), Some(helper))),
        }
    }

    fn kept(&self) -> Option<Helper> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, helper: Helper) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(helper);
    }

    /// Whoever calls it has a slot, and no other helper for it.
    async fn start(&self, deadline: Instant) -> Result<Helper, String> {
        self.health.may_start(deadline).await?;
        let started = Helper::start(&self.config.program);
        started.inspect(|_| self.metrics.helper_started()).map_err(|error| {
            self.health.no_start();
            format!("cannot start {}: {error}", self.config.program.display())
        })
    }

    /// The slot is held until the process is gone, so that there are never more than the setting allows.
    async fn end(&self, helper: Helper) {
        helper.end().await;
        self.metrics.helper_ended();
    }
}

const SILENT: &str = "winbind has not answered in time";
/// With what the directory takes after it, a logon ends within two seconds, good or bad.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// A process starts in tens of milliseconds; there may be many at the start of a host.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Eight helpers answer a thousand a second; who would wait longer than a deadline need not begin.
const ASKING_MAX: usize = 256;
