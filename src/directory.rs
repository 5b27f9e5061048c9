//! Accounts and groups: who may prove what, and under which SID. Out of a local file, by LDAP, and by winbind.

mod groups;
mod ldap;
mod lists;
pub mod local;
mod logon;
mod look;
mod metrics;
mod name;
mod winbind;

pub use crate::principal::Kind;
pub use ldap::Config as LdapConfig;
pub use look::{Group, Page, Shown};
pub use metrics::Metrics;
pub use winbind::Config as WinbindConfig;

use crate::identity::kerberos::Word;
use crate::identity::{NtlmProof, SessionBaseKey};
use crate::principal::{Account, Caller, Sid, quoted};
use crate::tasks::Tasks;
use groups::Groups;
use ldap::{Answer, Client};
use lists::Lists;
use local::LocalDirectory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use winbind::Winbind;

/// Where accounts come from. The SID and the name of an account are always the directory's, never the client's.
#[derive(Debug)]
pub struct Directory {
    domain: String,
    local: Option<LocalDirectory>,
    remote: Option<Remote>,
}

/// What makes a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The accounts that can prove themselves with NTLM.
    pub accounts_file: Option<PathBuf>,
    /// `[directory]`: the groups of those that come with a ticket.
    pub ldap: Option<LdapConfig>,
    /// `[identity.winbind]`: who verifies NTLM of the accounts in `ldap`'s domain. It needs that.
    pub winbind: Option<WinbindConfig>,
}

/// The domain controllers, and what is known from them.
struct Remote {
    client: Arc<Client>,
    groups: Groups,
    lists: Lists,
    winbind: Option<Winbind>,
}

/// An account whose proof holds.
#[derive(Debug)]
pub struct Verified {
    /// The account, as the directory writes it, with its groups.
    pub account: Account,
    /// What ends the handshake.
    pub key: SessionBaseKey,
}

/// What something in a directory is: finer than what the table distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A person's account, or one that is used like that.
    User,
    /// A managed service account.
    ServiceAccount,
    /// A computer account.
    Computer,
    /// A group of security.
    Group,
    /// A group of distribution, which no ticket shows.
    DistributionGroup,
}

/// An account or a group that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its SID, its name, and the groups it is in, nested ones included.
    pub account: Account,
    /// What it is.
    pub what: What,
    /// Its distinguished name; empty where there is none, or it is not known.
    pub dn: String,
    /// It may log on.
    pub enabled: bool,
    /// How old this is; zero where the directory was asked just now.
    pub age: Duration,
}

/// Why no directory can be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The accounts file.
    #[error(transparent)]
    Local(#[from] local::OpenError),
    /// What is needed to ask domain controllers.
    #[error(transparent)]
    Ldap(#[from] ldap::OpenError),
    /// Nobody could tell which of them should verify an account.
    #[error(
        "the accounts file has accounts of {domain}, and so has [directory] with [identity.winbind]: give it another domain, or leave it out"
    )]
    SameDomain {
        /// The domain.
        domain: String,
    },
}

/// Why a proof was not accepted: for the log. A client learns neither which, nor from the time it takes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The directory has no such account.
    #[error("no account {user:?} of domain {domain:?} in the directory")]
    UnknownAccount {
        /// The name that the client wrote.
        user: String,
        /// The domain that it wrote.
        domain: String,
    },
    /// The proof was made with another password, or for another challenge.
    #[error("wrong password for {user:?} of domain {domain:?}")]
    WrongPassword {
        /// The name that the client wrote.
        user: String,
        /// The domain that it wrote.
        domain: String,
    },
    /// There is nothing to check a proof against.
    #[error(
        "NTLM for {user:?} of domain {domain:?}, but this node takes Kerberos alone: it has neither \
         [identity.winbind] nor identity.accounts_file"
    )]
    KerberosAlone {
        /// The name that the client wrote.
        user: String,
        /// The domain that it wrote.
        domain: String,
    },
    /// The domain says no, or the name means no account for certain.
    #[error("NTLM for {user:?} of domain {domain:?} is refused: {reason}")]
    Refused {
        /// The name that the client wrote.
        user: String,
        /// The domain that it wrote.
        domain: String,
        /// Why.
        reason: &'static str,
        /// Whether a domain controller was asked, and counts it.
        asked: bool,
    },
    /// Nobody can say now whether the proof holds, or whose it is.
    #[error("NTLM for {user:?} of domain {domain:?} cannot be verified now: {reason}")]
    Undetermined {
        /// The name that the client wrote.
        user: String,
        /// The domain that it wrote.
        domain: String,
        /// Why.
        reason: String,
        /// Whether a domain controller was asked, and may count it as a failure.
        asked: bool,
    },
}

/// Why a caller with a valid ticket is refused all the same.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfirmError {
    /// It was disabled after it got its ticket, or has expired.
    #[error("{account} is disabled in the directory, or has expired")]
    Disabled {
        /// The account.
        account: String,
    },
    /// It was deleted after it got its ticket.
    #[error("{account} is not in the directory any more, or where the account that asks may not look")]
    Gone {
        /// The account.
        account: String,
    },
}

/// Why nothing was looked for.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FindError {
    /// The text is neither a name nor a SID.
    #[error("{} names no account; write DOMAIN\\name, name@domain, name, or a SID S-1-…", quoted(text))]
    NotAName {
        /// The text, or its beginning.
        text: String,
    },
    /// More than one principal has this name.
    #[error(
        "{} means more than one; write DOMAIN\\name or the SID of the one that is meant: {}",
        quoted(text),
        objects.join(", ")
    )]
    Ambiguous {
        /// The text.
        text: String,
        /// What it could mean, with SIDs.
        objects: Vec<String>,
    },
    /// Nobody can say.
    #[error("the directory was asked and gave no answer: {reason}")]
    NoAnswer {
        /// Why.
        reason: String,
    },
}

impl Directory {
    /// For how long no domain controller has answered; nothing if one does, or there is none.
    #[must_use]
    pub fn away_for(&self) -> Option<Duration> {
        let client = self.remote.as_ref().map(|remote| &remote.client).filter(|client| client.is_away())?;
        Some(client.silent_for())
    }

    /// Whether winbind did not answer when it was asked last; not so if nobody is to ask it.
    #[must_use]
    pub fn winbind_is_away(&self) -> bool {
        self.remote.as_ref().and_then(|remote| remote.winbind.as_ref()).is_some_and(Winbind::is_away)
    }

    /// Reads the accounts file, and makes ready to ask domain controllers. `fallback` is the domain's name
    /// where neither gives one.
    ///
    /// # Errors
    /// Names the file, the key and the value that cannot be used.
    pub fn open(config: Config, fallback: &str, metrics: Metrics, tasks: &Tasks) -> Result<Self, OpenError> {
        let local = config.accounts_file.map(|path| LocalDirectory::open(&path)).transpose()?;
        let ldap_domain = config.ldap.as_ref().map(|ldap| ldap.domain.clone());
        let remote = match config.ldap {
            None => None,
            Some(ldap) => {
                if let (Some(local), Some(_)) = (&local, &config.winbind)
                    && local.is_ours(&ldap.domain)
                {
                    return Err(OpenError::SameDomain { domain: ldap.domain });
                }
                let ask = |config| Winbind::new(config, &ldap.domain, metrics.clone(), tasks.clone());
                let winbind = config.winbind.map(ask);
                let client = Arc::new(Client::new(ldap, metrics, tasks.clone())?);
                let groups = Groups::new(client.clone(), tasks.clone());
                Some(Remote { client, groups, lists: Lists::default(), winbind })
            }
        };
        let domain = local.as_ref().map(|local| local.domain().to_owned()).or(ldap_domain);
        Ok(Directory { domain: domain.unwrap_or_else(|| fallback.to_owned()), local, remote })
    }

    /// Reads a file of accounts, which nobody else may read.
    ///
    /// # Errors
    /// Names the file, the key and the value that cannot be used.
    pub fn open_local(path: &Path) -> Result<Self, local::OpenError> {
        let local = LocalDirectory::open(path)?;
        Ok(Directory { domain: local.domain().to_owned(), local: Some(local), remote: None })
    }

    /// The short name of the domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether an account can prove itself with NTLM.
    #[must_use]
    pub fn takes_ntlm(&self) -> bool {
        self.local.is_some() || self.winbind().is_some()
    }

    /// The SID of the domain of local accounts: nobody else may speak for it.
    #[must_use]
    pub fn domain_sid(&self) -> Option<&Sid> {
        self.local.as_ref()?.domain_sid()
    }

    /// Checks a proof, and says whose it is.
    ///
    /// # Errors
    /// When there is no such account, or the proof does not hold.
    pub async fn verify_ntlm(&self, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        match (&self.local, self.winbind()) {
            // By the domain that the client wrote, and never by trying both.
            (Some(local), Some((remote, winbind))) if !local.is_meant(proof) => {
                Ok(self.held(remote.log_on(winbind, proof).await?))
            }
            (Some(local), _) => local.verify(proof),
            (None, Some((remote, winbind))) => Ok(self.held(remote.log_on(winbind, proof).await?)),
            (None, None) => {
                let (user, domain) = (proof.user.clone(), proof.domain.clone());
                Err(VerifyError::KerberosAlone { user, domain })
            }
        }
    }

    /// Only groups of domains count, and none that the domain of the accounts file has given out.
    fn held(&self, mut verified: Verified) -> Verified {
        let local = self.domain_sid();
        let counts = |group: &Sid| group.domain().is_some_and(|domain| Some(&domain) != local);
        verified.account.groups.retain(counts);
        verified
    }

    fn winbind(&self) -> Option<(&Remote, &Winbind)> {
        let remote = self.remote.as_ref()?;
        Some((remote, remote.winbind.as_ref()?))
    }

    /// A caller with a ticket, with the groups that the directory says it has. Without an answer they are
    /// those that it said last, and those of the ticket if that is newer, or if the directory never said
    /// anything since this node started. Of either only groups count that its realm may name.
    ///
    /// # Errors
    /// The account is disabled or gone.
    pub async fn confirm(&self, caller: &Arc<Caller>, word: &Word) -> Result<Arc<Caller>, ConfirmError> {
        let Some(Remote { client, groups, lists, .. }) = &self.remote else { return Ok(caller.clone()) };
        let sid = &caller.account.sid;
        let known = groups.of(sid, word.authenticated).await;
        let account = || caller.account.name.to_string();
        let mut all = match known.as_ref().map(|known| &*known.answer) {
            Some(Answer::Account { enabled: false, .. }) => {
                return Err(ConfirmError::Disabled { account: account() });
            }
            Some(Answer::Gone) => return Err(ConfirmError::Gone { account: account() }),
            Some(Answer::Account { groups, .. }) => groups.clone(),
            Some(Answer::Foreign) | None => caller.account.groups.clone(),
        };
        all.extend(lists.of(client, sid, &all));
        all.retain(|group| word.domains.may_name(group));
        let mut confirmed = Caller::clone(caller);
        confirmed.account.groups = all;
        Ok(Arc::new(confirmed))
    }

    /// Asks the directory now and then, and reads the members of distribution groups out of `groups`, the
    /// groups that are authorized. Ends when the tasks drain.
    pub async fn keep(&self, groups: watch::Receiver<Arc<Vec<Sid>>>, tasks: Tasks) {
        if let Some(Remote { client, lists, winbind, .. }) = &self.remote {
            let begun = async {
                if let Some(winbind) = winbind {
                    winbind.begin().await;
                }
            };
            tokio::join!(begun, client.keep(&tasks), lists.keep(client, groups, &tasks));
        }
    }
}

impl VerifyError {
    /// Whether the client may well be who it says: it must wait, and has not failed.
    #[must_use]
    pub fn is_undetermined(&self) -> bool {
        match self {
            VerifyError::Undetermined { .. } => true,
            VerifyError::UnknownAccount { .. }
            | VerifyError::WrongPassword { .. }
            | VerifyError::KerberosAlone { .. }
            | VerifyError::Refused { .. } => false,
        }
    }
}

impl What {
    /// What the table calls it.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            What::User | What::ServiceAccount => Kind::Account,
            What::Computer => Kind::Computer,
            What::Group | What::DistributionGroup => Kind::Group,
        }
    }
}

impl From<Kind> for What {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Account => What::User,
            Kind::Computer => What::Computer,
            Kind::Group => What::Group,
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("client", &self.client).finish_non_exhaustive()
    }
}
