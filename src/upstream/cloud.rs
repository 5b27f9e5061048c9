//! The cloud: which there are, and how the connector signs in there. Experimental: what the original connector and
//! the cloud say to each other is not public, so every part of it is a setting.

mod answers;
mod environment;
mod form;
mod provider;
mod reach;

pub use environment::Environment;
pub use provider::{Asked, Credential, Granted, Provider, SignInError};
pub use reach::{Purpose, Reach, Reached};

use super::OnBehalfOf;
use http::{HeaderName, Uri};

/// `[upstream.oauth]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthConfig {
    /// Which cloud.
    pub environment: Environment,
    /// Where one signs in, with the tenant: `https://login.example/TENANT`.
    pub sign_in: Uri,
    /// The application that was registered for this connector.
    pub client_id: String,
    /// What the token is asked for.
    pub audience: Audience,
    /// The word before the token in `Authorization`.
    pub scheme: String,
    /// What stands in the place of `/_wmcs` in paths.
    pub path_prefix: String,
    /// Headers that say who asked.
    pub assertions: Vec<(HeaderName, Assertion)>,
    /// Whom to trust where one signs in; nothing stands for the system's authorities.
    pub sign_in_authority: Option<std::path::PathBuf>,
}

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// `scope`, as version 2 of the endpoints asks for.
    Scope(String),
    /// `resource`, as version 1 does.
    Resource(String),
}

impl Assertion {
    pub(super) fn of(self, asked: &OnBehalfOf) -> &str {
        match self {
            Assertion::Caller => &asked.caller,
            Assertion::Entry => &asked.entry,
            Assertion::Role => asked.role,
        }
    }
}

/// What a header says about who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// The caller's SID.
    Caller,
    /// The SID of the entry that matched.
    Entry,
    /// The entry's role.
    Role,
}
