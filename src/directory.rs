//! Accounts and groups: who may prove what, and under which SID. One maker for now: a local file.

pub mod local;

use crate::identity::{NtlmProof, SessionBaseKey};
use crate::principal::{Account, Sid};
use local::LocalDirectory;
use std::path::Path;

pub use crate::principal::Kind;
pub use local::OpenError;

/// Where accounts come from. The SID and the name of an account are always the directory's, never the client's.
#[derive(Debug)]
pub struct Directory {
    local: LocalDirectory,
}

/// An account whose proof holds.
#[derive(Debug)]
pub struct Verified {
    /// The account, as the directory writes it, with its groups.
    pub account: Account,
    /// What ends the handshake.
    pub key: SessionBaseKey,
}

/// An account or a group that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its SID, its name, and the groups it is in, nested ones included.
    pub account: Account,
    /// What it is.
    pub kind: Kind,
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
}

/// Why nothing was looked for.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FindError {
    /// The text is neither a name nor a SID.
    #[error("{text:?} names no account; write DOMAIN\\name, name@domain, name, or a SID S-1-…")]
    NotAName {
        /// The text, or its beginning.
        text: String,
    },
}

impl Directory {
    /// Reads a file of accounts, which nobody else may read.
    ///
    /// # Errors
    /// Names the file, the key and the value that cannot be used.
    pub fn open_local(path: &Path) -> Result<Self, OpenError> {
        LocalDirectory::open(path).map(|local| Directory { local })
    }

    /// The short name of the domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.local.domain()
    }

    /// The SID of the domain of local accounts: nobody else may speak for it.
    #[must_use]
    pub fn domain_sid(&self) -> Option<&Sid> {
        self.local.domain_sid()
    }

    /// Checks a proof, and says whose it is.
    ///
    /// # Errors
    /// When there is no such account, or the proof does not hold.
    pub async fn verify_ntlm(&self, proof: &NtlmProof) -> Result<Verified, VerifyError> {
        self.local.verify(proof)
    }

    /// Finds an account or a group by its SID or its name; `None` if there is none.
    ///
    /// # Errors
    /// When the text is neither.
    pub async fn find(&self, name_or_sid: &str) -> Result<Option<Found>, FindError> {
        self.local.find(name_or_sid)
    }
}
