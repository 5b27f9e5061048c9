//! The connector's own account at a service that takes Windows authentication: its ticket, or its password.

use crate::identity::kerberos_client::{CacheError, ServiceTicket};
use crate::identity::nt_hash;
use crate::identity::ntlm_client::Credentials;
use crate::secret::{PasswordError, Secret, read_password};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

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
pub(super) enum Login {
    Kerberos(Arc<ServiceTicket>),
    Ntlm(Credentials),
}

/// Why the account has nothing to prove itself with.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Its password is of no use.
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

/// The account, with the ticket that it has.
pub(super) struct Account {
    config: AccountConfig,
    /// Whoever gets a ticket holds it: the others wait for that one.
    ticket: Mutex<Option<Arc<ServiceTicket>>>,
}

impl Account {
    pub(super) fn new(config: AccountConfig) -> Self {
        Account { config, ticket: Mutex::new(None) }
    }

    pub(super) fn config(&self) -> &AccountConfig {
        &self.config
    }

    /// What the next request is proven with.
    pub(super) async fn login(&self) -> Result<Login, AccountError> {
        match self.config.protocol {
            Protocol::Kerberos => self.ticket().await.map(Login::Kerberos),
            Protocol::Ntlm => self.credentials().map(Login::Ntlm),
            Protocol::Negotiate => match self.ticket().await {
                Ok(ticket) => Ok(Login::Kerberos(ticket)),
                Err(error) => {
                    tracing::debug!(%error, "no ticket for the service; NTLM is tried");
                    // The password may be of use where Kerberos is not.
                    self.credentials().map(Login::Ntlm).map_err(|_| error)
                }
            },
        }
    }

    /// A ticket that the service did not take is not used again.
    pub(super) async fn refused(&self, login: &Login) {
        let Login::Kerberos(refused) = login else { return };
        let mut ticket = self.ticket.lock().await;
        if ticket.as_ref().is_some_and(|ticket| Arc::ptr_eq(ticket, refused)) {
            *ticket = None;
        }
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

    async fn ticket(&self) -> Result<Arc<ServiceTicket>, AccountError> {
        let mut kept = self.ticket.lock().await;
        let good_until = OffsetDateTime::now_utc() + TICKET_REST;
        if let Some(ticket) = kept.as_ref().filter(|ticket| ticket.ends_at() > good_until) {
            return Ok(ticket.clone());
        }
        let ticket = Arc::new(self.get_ticket().await?);
        *kept = Some(ticket.clone());
        Ok(ticket)
    }

    /// A ticket is on disk only as long as it takes to read it.
    async fn get_ticket(&self) -> Result<ServiceTicket, AccountError> {
        let folder = Folder::make()?;
        let cache = folder.0.join("cache").display().to_string();
        let service = &self.config.service;
        let principal = self.principal();
        match &self.config.proof {
            Proof::Password(file) => {
                let password = read_password(PASSWORD_FILE, file)?;
                let input = Secret::new(format!("{}\n", password.expose()));
                self.run(&folder, "kinit", &["-c", &cache, &principal], &input).await?;
            }
            Proof::Keytab(file) => {
                let file = file.display().to_string();
                let arguments = ["-c", &cache, "-k", "-t", &file, &principal];
                self.run(&folder, "kinit", &arguments, &Secret::new(String::new())).await?;
            }
        }
        self.run(&folder, "kvno", &["-q", "-c", &cache, service], &Secret::new(String::new())).await?;
        let bytes = fs::read(&cache).map_err(|source| AccountError::Folder { path: cache.into(), source })?;
        Ok(ServiceTicket::of_cache(&Secret::new(bytes).expose()[..], service)?)
    }

    /// The account as Kerberos calls it.
    fn principal(&self) -> String {
        let name = self.config.name.rsplit('\\').next().unwrap_or_default();
        match &self.config.realm {
            Some(realm) => format!("{}@{realm}", name.split('@').next().unwrap_or_default()),
            None => name.to_owned(),
        }
    }

    async fn run(
        &self,
        folder: &Folder,
        program: &'static str,
        arguments: &[&str],
        input: &Secret<String>,
    ) -> Result<(), AccountError> {
        let failed = |source| AccountError::Program { program, source };
        let no_ticket = |said: String| AccountError::NoTicket { service: self.config.service.clone(), said };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(settings) = self.settings() {
            command.env("KRB5_CONFIG", folder.write("krb5.conf", &settings)?);
        }
        let mut child = command.env("LC_ALL", "C").kill_on_drop(true).spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that needs no password closes its input.
            let _ = stdin.write_all(input.expose().as_bytes()).await;
        }
        let ran = tokio::time::timeout(PROGRAM_TIMEOUT, child.wait_with_output())
            .await
            .map_err(|_| no_ticket(format!("{program} took longer than {PROGRAM_TIMEOUT:?}")))?
            .map_err(failed)?;
        if ran.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(no_ticket(said.trim().chars().filter(|char| !char.is_control()).take(SAID_CHARS_MAX).collect()))
    }

    /// Kerberos' own settings, where the node file says where the KDCs are.
    fn settings(&self) -> Option<String> {
        let realm = self.config.realm.as_ref().filter(|_| !self.config.kdcs.is_empty())?;
        let kdcs: String = self.config.kdcs.iter().map(|kdc| format!("    kdc = {kdc}\n")).collect();
        Some(format!(
            "[libdefaults]\n  default_realm = {realm}\n  dns_lookup_kdc = false\n  rdns = false\n  \
             dns_canonicalize_hostname = false\n  udp_preference_limit = 1\n[realms]\n  {realm} = {{\n{kdcs}  }}\n"
        ))
    }
}

/// A folder for one ticket, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Self, AccountError> {
        let path = std::env::temp_dir().join(format!("rmsc-ticket-{:032x}", rand::random::<u128>()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| AccountError::Folder { path: path.clone(), source })?;
        Ok(Folder(path))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, AccountError> {
        let path = self.0.join(name);
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        open.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|source| AccountError::Folder { path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "a ticket's folder stays");
    }
}

const PASSWORD_FILE: &str = "the upstream account's password file";
/// A new ticket is got when the old one is good for no longer than this.
const TICKET_REST: time::Duration = time::Duration::minutes(5);
/// A KDC answers within a second; requests wait for it.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(8);
const SAID_CHARS_MAX: usize = 300;
