//! The connector's own account at a service that takes Windows authentication: its ticket, or its password.

mod programs;
mod standing;
mod tickets;

use crate::identity::kerberos_client::{CacheError, ServiceTicket};
use crate::identity::nt_hash;
use crate::identity::ntlm_client::Credentials;
use crate::secret::{PasswordError, read_password};
use crate::tasks::Tasks;
use standing::{Asking, FileState, Standing};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tickets::Tickets;
use tokio::sync::OwnedMutexGuard;

/// `[upstream.account]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// `DOMAIN\name`, or `name@realm`.
    pub name: String,
    /// What it proves itself with.
    pub proof: Proof,
    /// Which ways of proving it are used.
    pub protocol: Protocol,
    /// The Kerberos realm, in capitals.
    pub realm: Option<String>,
    /// Where the realm's KDCs are, `HOST[:PORT]`; with none, as the host's `krb5.conf` says.
    pub kdcs: Vec<String>,
    /// The service's principal; by default `HTTP/` and the host of the URL.
    pub service: String,
    /// The roles whose callers it may act for: the service sees it alone, whoever asked.
    pub roles: Vec<&'static str>,
    /// How many connections there may be.
    pub connections_max: usize,
}

/// What an account proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A file with its password.
    Password(PathBuf),
    /// A file with its Kerberos keys.
    Keytab(PathBuf),
}

/// How an account proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Kerberos, and NTLM where no ticket can be had.
    Negotiate,
    /// Kerberos alone.
    Kerberos,
    /// NTLM alone.
    Ntlm,
}

/// What one request is proven with.
pub(super) struct Login {
    pub(super) proof: LoginProof,
    /// The file that it comes from.
    file: Option<FileState>,
    /// Nobody else tries it until it is known whether it is taken.
    _alone: Option<OwnedMutexGuard<()>>,
}

pub(super) enum LoginProof {
    Kerberos(Arc<ServiceTicket>),
    Ntlm(Credentials),
}

/// What comes after a proof that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Another proof, with a new ticket.
    Again,
    /// Nothing: the next one would be the same.
    Never,
}

impl Proof {
    /// What its file is like.
    fn state(&self) -> Option<FileState> {
        match self {
            Proof::Password(file) | Proof::Keytab(file) => FileState::of(file),
        }
    }
}

/// Why the account has nothing to prove itself with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The file with its password or its keys is of no use.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A program of Kerberos did not run.
    #[error("cannot run {program}; install krb5-user")]
    Program {
        /// Which one.
        program: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// There is no ticket.
    #[error("no ticket for {service}: {said}")]
    NoTicket {
        /// The service.
        service: String,
        /// What the program said.
        said: String,
    },
    /// The service or the domain did not take what it proves itself with, and is not asked again at once.
    #[error("it was refused ({said}); it is tried again when its file is written, or after some minutes")]
    Refused {
        /// With these words.
        said: String,
    },
    /// Whoever keeps the ticket got none.
    #[error(transparent)]
    Kept(Arc<AccountError>),
    /// What was got is of no use.
    #[error("the ticket for the service cannot be used")]
    Cache(#[from] CacheError),
    /// The folder for the ticket cannot be made or read.
    #[error("cannot keep a ticket in {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl AccountError {
    /// Whether somebody has judged what the account proves itself with.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            AccountError::Refused { .. } => true,
            AccountError::Kept(error) => error.is_refusal(),
            AccountError::Password(_)
            | AccountError::Program { .. }
            | AccountError::NoTicket { .. }
            | AccountError::Cache(_)
            | AccountError::Folder { .. } => false,
        }
    }
}

/// The account, with the ticket that it has.
pub(super) struct Account {
    config: Arc<AccountConfig>,
    standing: Arc<Mutex<Standing>>,
    alone: Arc<tokio::sync::Mutex<()>>,
    tickets: Tickets,
}

impl Account {
    /// Where Kerberos is used, a task gets tickets until `tasks` drain.
    pub(super) fn new(config: AccountConfig, tasks: &Tasks) -> Self {
        let (config, standing) = (Arc::new(config), Arc::default());
        let tickets = Tickets::new(Arc::clone(&config), Arc::clone(&standing));
        match config.protocol {
            Protocol::Negotiate | Protocol::Kerberos => {
                tasks.spawn("upstream ticket", tickets.clone().keep(tasks.clone()));
            }
            Protocol::Ntlm => {}
        }
        Account { config, standing, alone: Arc::default(), tickets }
    }

    pub(super) fn config(&self) -> &AccountConfig {
        &self.config
    }

    /// What the next request is proven with. As long as nobody knows whether it is taken, one request at a time has
    /// it: a wrong password must not fail as often as there are requests.
    pub(super) async fn login(&self) -> Result<Login, AccountError> {
        let alone = match self.asking()? {
            Asking::Alone => {
                let alone = self.alone.clone().lock_owned().await;
                // Whoever had it before may have found out.
                matches!(self.asking()?, Asking::Alone).then_some(alone)
            }
            Asking::Freely | Asking::Not { .. } => None,
        };
        let file = self.config.proof.state();
        Ok(Login { proof: self.proof().await?, file, _alone: alone })
    }

    fn asking(&self) -> Result<Asking, AccountError> {
        let file = self.config.proof.state();
        match self.standing().asking(file, Instant::now()) {
            Asking::Not { said } => Err(AccountError::Refused { said }),
            asking => Ok(asking),
        }
    }

    async fn proof(&self) -> Result<LoginProof, AccountError> {
        let kept = |error| AccountError::Kept(error);
        match self.config.protocol {
            Protocol::Kerberos => {
                self.tickets.get(TICKET_PATIENCE).await.map(LoginProof::Kerberos).map_err(kept)
            }
            Protocol::Ntlm => self.credentials().map(LoginProof::Ntlm),
            Protocol::Negotiate => match self.tickets.get(TICKET_PATIENCE_WITH_NTLM).await {
                Ok(ticket) => Ok(LoginProof::Kerberos(ticket)),
                // The domain has judged the password: it would count the same once more.
                Err(error) if matches!(*error, AccountError::Refused { .. }) => Err(kept(error)),
                // The password may be of use where Kerberos is not.
                Err(error) => self.credentials().map(LoginProof::Ntlm).map_err(|_| kept(error)),
            },
        }
    }

    /// The service has taken it.
    pub(super) fn taken(&self, login: &Login) {
        if self.standing().asking(login.file, Instant::now()) != Asking::Freely {
            self.standing().taken(login.file);
        }
    }

    /// The service has answered 401 to a whole proof. A new ticket may be better than the old one, once; the same
    /// password never is.
    pub(super) fn refused(&self, login: &Login, number: usize) -> Then {
        match &login.proof {
            LoginProof::Kerberos(ticket) if number == 1 => {
                self.tickets.refused(ticket);
                Then::Again
            }
            LoginProof::Kerberos(_) | LoginProof::Ntlm(_) => {
                self.standing().refused(login.file, "401 from the service".into(), Instant::now());
                Then::Never
            }
        }
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credentials(&self) -> Result<Credentials, AccountError> {
        let Proof::Password(file) = &self.config.proof else {
            return Err(AccountError::NoTicket {
                service: self.config.service.clone(),
                said: "a keytab is of use for Kerberos alone".into(),
            });
        };
        let password = read_password(PASSWORD_FILE, file)?;
        let (domain, user) = self.config.name.split_once('\\').unwrap_or(("", &self.config.name));
        Ok(Credentials {
            domain: domain.into(),
            user: user.into(),
            nt_hash: nt_hash(password.expose()),
            workstation: "RMSC".into(),
        })
    }
}

const PASSWORD_FILE: &str = "the upstream account's password file";
/// As long as the programs may take; only the first requests after a start wait for them.
const TICKET_PATIENCE: Duration = Duration::from_secs(18);
/// Who can prove the account by NTLM does not wait for a KDC that is away.
const TICKET_PATIENCE_WITH_NTLM: Duration = Duration::from_secs(2);
