//! Sample traffic of the three kinds of servers, through all fronts.

use super::accounts::SampleAccount;
use super::domain::Domain;
use super::layout::Layout;
use super::session::{Call, Proof, Session};
use crate::simulator::sample::{self, Kind};
use crate::tasks::Tasks;
use crate::tls::ServiceClient;
use anyhow::bail;
use http::StatusCode;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Traffic that is being sent.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    tasks: Tasks,
}

/// What came of it so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// No answer, or an error, also at a second front.
    pub(super) failed: u64,
    /// The front went away in the middle, and the client went on at another, as it would by DNS.
    pub(super) moved: u64,
    /// The newest failures, for people.
    pub(super) failures: Vec<String>,
    /// Milliseconds of the newest answers.
    pub(super) latencies_ms: Vec<f64>,
}

struct Shared {
    counts: Mutex<Counts>,
    tls: ServiceClient,
    fronts: Vec<SocketAddr>,
    domain: Option<Arc<Domain>>,
    tasks: Tasks,
}

/// One sending server: an account, at first through one front.
struct Sender {
    shared: Arc<Shared>,
    account: SampleAccount,
    samples: Vec<sample::Sample>,
    front: usize,
    session: Option<Session>,
    calls_on_session: u32,
}

impl Traffic {
    /// Starts a sender of each kind at each front.
    pub(super) fn start(
        layout: &Layout,
        domain: Option<Arc<Domain>>,
        rate: u32,
        tasks: Tasks,
    ) -> anyhow::Result<Self> {
        let fronts: Vec<SocketAddr> = layout.nodes().iter().map(|node| node.https).collect();
        let tls = ServiceClient::new(&layout.ca_file())?;
        let counts = Mutex::default();
        let shared = Arc::new(Shared { counts, tls, fronts: fronts.clone(), domain, tasks: tasks.clone() });
        let kinds = [Kind::Exchange, Kind::SharePoint, Kind::FileServer];
        let senders = u32::try_from(fronts.len() * kinds.len())?;
        let pause = Duration::from_secs(1) * senders / rate;
        for front in 0..fronts.len() {
            for (kind, account) in kinds.iter().zip(layout.accounts()) {
                let sender = Sender {
                    shared: shared.clone(),
                    account: account.clone(),
                    samples: sample::requests(*kind),
                    front,
                    session: None,
                    calls_on_session: 0,
                };
                tasks.spawn("sample traffic", sender.send(pause, tasks.clone()));
            }
        }
        Ok(Traffic { shared, tasks })
    }

    pub(super) fn counts(&self) -> Counts {
        self.shared.lock().clone()
    }

    /// Ends it: what was sent is waited for.
    pub(super) async fn stop(self) -> Counts {
        if self.tasks.drain(STOP_TIMEOUT).await.is_err() {
            self.shared.fail("requests were still unanswered at the end".into());
        }
        self.counts()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, why: String) {
        let mut counts = self.lock();
        counts.failed += 1;
        counts.failures.push(why);
        let excess = counts.failures.len().saturating_sub(FAILURES_KEPT_MAX);
        counts.failures.drain(..excess);
    }

    fn answered(&self, elapsed: Duration) {
        let mut counts = self.lock();
        counts.latencies_ms.push(elapsed.as_secs_f64() * 1_000.0);
        let excess = counts.latencies_ms.len().saturating_sub(LATENCIES_KEPT_MAX);
        counts.latencies_ms.drain(..excess);
    }
}

impl Sender {
    async fn send(mut self, pause: Duration, tasks: Tasks) {
        let mut interval = tokio::time::interval(pause);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for turn in 0.. {
            tokio::select! {
                _ = interval.tick() => {}
                () = tasks.draining() => return,
            }
            self.request(turn).await;
        }
    }

    /// One request, at another front if the first one goes away.
    async fn request(&mut self, turn: usize) {
        let Some(sample) = turn.checked_rem(self.samples.len()).and_then(|turn| self.samples.get(turn))
        else {
            return;
        };
        let sample = sample.clone();
        self.shared.lock().requests += 1;
        let begun = Instant::now();
        let mut first = None;
        for _ in 0..self.shared.fronts.len() {
            match self.attempt(&sample).await {
                Ok(()) => {
                    if first.is_some() {
                        self.shared.lock().moved += 1;
                    }
                    self.shared.answered(begun.elapsed());
                    return;
                }
                Err(Trouble::Answer(why)) => {
                    self.shared.fail(why);
                    return;
                }
                Err(Trouble::Connection(why)) => {
                    self.session = None;
                    self.front += 1;
                    first.get_or_insert(why);
                }
            }
        }
        self.shared.fail(first.unwrap_or_default());
    }

    async fn attempt(&mut self, sample: &sample::Sample) -> Result<(), Trouble> {
        if self.calls_on_session >= CALLS_PER_CONNECTION {
            self.session = None;
        }
        let connection = |error: anyhow::Error| Trouble::Connection(format!("{error:#}"));
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.open().await.map_err(connection)?,
        };
        let call = Call { path: sample.path, soap_action: &sample.soap_action, body: sample.body.clone() };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, session.call(&call)).await;
        let (status, body) = answer
            .map_err(|_| {
                Trouble::Answer(format!("{}: no answer within {ANSWER_TIMEOUT:?}", sample.soap_action))
            })?
            .map_err(connection)?;
        self.calls_on_session += 1;
        self.session = Some(session);
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body);
            return Err(Trouble::Answer(format!(
                "{}: {status}: {}",
                sample.soap_action,
                text.chars().take(200).collect::<String>()
            )));
        }
        Ok(())
    }

    async fn open(&mut self) -> anyhow::Result<Session> {
        self.calls_on_session = 0;
        let Some(address) = self.shared.fronts.get(self.front % self.shared.fronts.len()) else {
            bail!("the lab has no front");
        };
        let tasks = self.shared.tasks.clone();
        let spawn = |connection| tasks.spawn("sample connection", connection);
        let (name, password) = (&self.account.name, &self.account.password);
        let proof = match &self.shared.domain {
            Some(domain) => Proof::Kerberos(domain.ticket(name, password).await?),
            None => Proof::password(name, password)?,
        };
        Session::open(&self.shared.tls, *address, proof, spawn).await
    }
}

enum Trouble {
    /// The front is not there any more: another may be.
    Connection(String),
    /// An answer that no server wants.
    Answer(String),
}

/// New connections now and then, so that handshakes are part of the traffic.
const CALLS_PER_CONNECTION: u32 = 50;
/// As Exchange waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(35);
const FAILURES_KEPT_MAX: usize = 10;
const LATENCIES_KEPT_MAX: usize = 10_000;
