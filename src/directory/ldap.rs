//! The way to the domain controllers: one connection, the next controller when this one fails.
//!
//! LDAPS, or LDAP with StartTLS: nothing else, since a password and the groups of accounts go over it.

mod domain;
mod find;
mod logon;
mod members;
mod membership;
mod query;
mod row;

pub(super) use find::Name;
pub(super) use members::Follow;
pub(super) use membership::Answer;
pub(super) use row::Row;

use super::metrics::Metrics;
use crate::event::Event;
use crate::principal::Sid;
use crate::secret::{PasswordError, read_password};
use crate::tasks::Tasks;
use crate::tls;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError};
use query::{Found, LATE, Query, asked, is_alive};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// `[directory]`: where the domain controllers are, and what is done with their answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The domain's NetBIOS name.
    pub domain: String,
    /// `ldaps://HOST`, or `ldap://HOST` for StartTLS; tried in this order.
    pub controllers: Vec<String>,
    /// The certificates of the authorities to trust, PEM.
    pub authority: PathBuf,
    /// Who we are: a distinguished name or a UPN.
    pub user: String,
    /// Its password's file.
    pub password_file: PathBuf,
    /// How long an account's groups are taken to be what they were.
    pub group_cache: Duration,
    /// How long they are used while no controller answers.
    pub last_good_max: Duration,
    /// How often the members of distribution groups are read.
    pub lists_every: Duration,
}

/// Why the directory gave no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccessError {
    /// No controller can be used.
    #[error("no domain controller answers: {reasons}")]
    Away {
        /// What each of them did.
        reasons: String,
    },
    /// A controller answered, but not with what was asked for.
    #[error("{controller} does not answer the question: {reason}")]
    Refused {
        /// Which one.
        controller: String,
        /// The result code of RFC 4511 4.1.9; 0 where there is none.
        code: u32,
        /// What it said.
        reason: String,
    },
}

/// Why there is no directory to ask.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The authority's file.
    #[error("cannot use the authority of the domain controllers")]
    Authority(#[from] tls::LoadError),
    /// The password's file.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Asks the controllers. Clones of a handle share one connection.
pub(super) struct Client {
    pub(super) config: Config,
    settings: LdapConnSettings,
    tasks: Tasks,
    pub(super) metrics: Metrics,
    /// Held while connecting, so that all who ask wait for the same connection.
    way: tokio::sync::Mutex<Way>,
    domain_sid: OnceLock<Sid>,
    began: Instant,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Way {
    connected: Option<Connected>,
    /// The controller to try first: the last one that failed is the last to be tried again.
    next: usize,
    failed: Option<(Instant, AccessError)>,
    connections: u64,
}

#[derive(Clone)]
struct Connected {
    ldap: Ldap,
    number: u64,
    controller: String,
    /// What is searched: the domain.
    base: String,
    domain_sid: Sid,
    names: logon::Names,
}

#[derive(Default)]
struct Health {
    answered: Option<Instant>,
    away: bool,
}

/// Whether another controller may know better.
enum Failed {
    Connection(String),
    /// It took too long: the question may be at fault, or the controller.
    Late,
    Answer(AccessError),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("controllers", &self.config.controllers).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects when somebody asks.
    ///
    /// # Errors
    /// A file of the configuration cannot be used.
    pub(super) fn new(config: Config, metrics: Metrics, tasks: Tasks) -> Result<Self, OpenError> {
        let tls = tls::service_client(Some(&config.authority))?;
        read_password(PASSWORD_FILE, &config.password_file)?;
        let settings =
            LdapConnSettings::new().set_config(std::sync::Arc::new(tls)).set_conn_timeout(CONNECT_TIMEOUT);
        let (way, health) = (tokio::sync::Mutex::default(), Mutex::default());
        Ok(Client {
            config,
            settings,
            tasks,
            metrics,
            way,
            domain_sid: OnceLock::new(),
            began: Instant::now(),
            health,
        })
    }

    /// Whether no controller answered when one was asked last. Nobody should wait then.
    pub(super) fn is_away(&self) -> bool {
        self.health().away
    }

    /// How long ago a controller answered last.
    pub(super) fn age(&self) -> Option<Duration> {
        self.health().answered.map(|at| at.elapsed())
    }

    /// For how long none has answered: since this node began, if none ever has.
    pub(super) fn silent_for(&self) -> Duration {
        self.age().unwrap_or_else(|| self.began.elapsed())
    }

    /// Asks now and then, so that what is away is known before a caller has to wait for it.
    pub(super) async fn keep(&self, tasks: &Tasks) {
        while !tasks.is_draining() {
            // The outcome is in the metrics and events already.
            let _ = self.search(&Query::object("", vec!["currentTime"])).await;
            self.metrics.age(self.age());
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = tasks.draining() => return,
            }
        }
    }

    async fn search(&self, query: &Query) -> Result<Found, AccessError> {
        // A connection that is lost while it is used says nothing about the other controllers.
        for _ in 0..=self.config.controllers.len() {
            let connected = self.connected().await?;
            match self.ask(&connected, query).await {
                Ok(found) => {
                    self.answered();
                    return Ok(found);
                }
                Err(Failed::Answer(error)) => {
                    self.answered();
                    return Err(error);
                }
                Err(Failed::Late) if is_alive(&connected).await => {
                    self.answered();
                    return Err(self.refused(LATE));
                }
                Err(Failed::Late) => self.forget(&connected, LATE).await,
                Err(Failed::Connection(reason)) => self.forget(&connected, &reason).await,
            }
        }
        let error = AccessError::Away { reasons: "every one of them closed its connection".into() };
        self.away(&error);
        Err(error)
    }

    async fn ask(&self, connected: &Connected, query: &Query) -> Result<Found, Failed> {
        match tokio::time::timeout(ANSWER_TIMEOUT, asked(connected, query)).await {
            Ok(result) => result.map_err(|error| failed(&connected.controller, &error)),
            Err(_) => Err(Failed::Late),
        }
    }

    async fn connected(&self) -> Result<Connected, AccessError> {
        let mut way = self.way.lock().await;
        if let Some(mut connected) = way.connected.take()
            && !connected.ldap.is_closed()
        {
            way.connected = Some(connected.clone());
            return Ok(connected);
        }
        if let Some((at, error)) = &way.failed
            && at.elapsed() < RETRY_AFTER
        {
            return Err(error.clone());
        }
        let mut reasons = Vec::new();
        for _ in 0..self.config.controllers.len() {
            let Some(controller) = self.config.controllers.get(way.next) else {
                way.next = 0;
                continue;
            };
            way.connections += 1;
            match tokio::time::timeout(CONNECT_TIMEOUT, self.connect(controller, way.connections)).await {
                Ok(Ok(connected)) => {
                    tracing::info!(controller, "asks this domain controller");
                    (way.connected, way.failed) = (Some(connected.clone()), None);
                    return Ok(connected);
                }
                Ok(Err(reason)) => reasons.push(format!("{controller}: {reason}")),
                Err(_) => {
                    reasons.push(format!("{controller}: no answer for {} s", CONNECT_TIMEOUT.as_secs()));
                }
            }
            way.next = (way.next + 1) % self.config.controllers.len();
        }
        let error = AccessError::Away { reasons: reasons.join("; ") };
        way.failed = Some((Instant::now(), error.clone()));
        self.away(&error);
        Err(error)
    }

    async fn connect(&self, controller: &str, number: u64) -> Result<Connected, String> {
        // Read anew, so that a changed password needs no restart.
        let password =
            read_password(PASSWORD_FILE, &self.config.password_file).map_err(|error| error.to_string())?;
        let settings = self.settings.clone().set_starttls(controller.starts_with("ldap://"));
        let (connection, mut ldap) =
            LdapConnAsync::with_settings(settings, controller).await.map_err(|error| words(&error))?;
        let tasks = self.tasks.clone();
        self.tasks.spawn("ldap connection", async move {
            tokio::select! {
                ended = connection.drive() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = words(&error), "the connection to the directory ended");
                    }
                }
                () = tasks.draining() => {}
            }
        });
        let bound = ldap.simple_bind(&self.config.user, password.expose()).await;
        bound.and_then(ldap3::LdapResult::success).map_err(|error| words(&error))?;
        let domain::Domain { base, sid: domain_sid, names } = self.domain_of(&mut ldap).await?;
        Ok(Connected { ldap, number, controller: controller.into(), base, domain_sid, names })
    }

    async fn forget(&self, lost: &Connected, reason: &str) {
        let mut way = self.way.lock().await;
        if way.connected.as_ref().is_some_and(|connected| connected.number == lost.number) {
            tracing::warn!(
                controller = lost.controller,
                reason,
                "this domain controller is not asked any more"
            );
            way.connected = None;
            way.next = (way.next + 1) % self.config.controllers.len().max(1);
        }
    }

    fn answered(&self) {
        let was_away = {
            let mut health = self.health();
            health.answered = Some(Instant::now());
            std::mem::replace(&mut health.away, false)
        };
        self.metrics.up(true);
        if was_away {
            Event::DirectoryBack { domain: &self.config.domain }.log();
        }
    }

    fn away(&self, error: &AccessError) {
        let was_away = std::mem::replace(&mut self.health().away, true);
        self.metrics.up(false);
        if !was_away {
            let reason = error.to_string();
            Event::DirectoryAway { domain: &self.config.domain, reason: &reason }.log();
        }
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(controller: &str, error: &LdapError) -> Failed {
    let code = match error {
        LdapError::LdapResult { result } if !OF_THE_CONNECTION.contains(&result.rc) => result.rc,
        LdapError::FilterParsing | LdapError::AdapterInit(_) => 0,
        _ => return Failed::Connection(words(error)),
    };
    Failed::Answer(AccessError::Refused { controller: controller.into(), code, reason: words(error) })
}

/// What went wrong, in one line: Windows ends its texts with a zero.
fn words(error: &LdapError) -> String {
    let words = error.to_string();
    words.chars().filter(|char| !char.is_control()).take(WORDS_CHARS_MAX).collect()
}

/// An error of operation (the bind is gone), busy, unavailable: another controller may do better (RFC 4511 A.2).
const OF_THE_CONNECTION: [u32; 3] = [1, 51, 52];
/// A controller checks a password in some 50 ms; one that takes this long does not help.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest questions take less than a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// While nobody answers, one attempt a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A controller closes what is idle for 15 min, and a dead one should be known before it is needed.
const ASK_EVERY: Duration = Duration::from_secs(5);
const PASSWORD_FILE: &str = "the directory's password file";
const WORDS_CHARS_MAX: usize = 300;
