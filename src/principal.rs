//! Who is calling: accounts, and the callers that a front has proven.

mod account_name;
mod sid;

pub use account_name::{AccountName, ParseAccountNameError};
pub use sid::{ParseSidError, Sid};

use std::fmt;

/// An account of a directory. The SID is its key; the name is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The security id: the only thing that authorization looks at.
    pub sid: Sid,
    /// The name as the directory writes it, `DOMAIN\name`.
    pub name: AccountName,
    /// The groups the account is in, nested ones included.
    pub groups: Vec<Sid>,
}

/// An account that has proven who it is, on a connection of this cluster.
///
/// Only a front makes one, at the end of a handshake. It crosses the hop inside
/// mutual TLS, and is never read from anything a client can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The proven account.
    pub account: Account,
    /// How it proved itself.
    pub mechanism: Mechanism,
    /// Whether the proof is tied to that connection.
    pub binding: Binding,
    /// Whether the connection was encrypted.
    pub channel: Channel,
    /// The address or workstation name the caller came from: for events, never for decisions.
    pub computer: String,
}

/// A text between quotes for a person, on one line. A backslash stands as it is: names of accounts have one.
#[must_use]
pub fn quoted(text: &str) -> String {
    let shown = |char: char| match char {
        '\\' | '\'' => char.to_string(),
        other => other.escape_debug().to_string(),
    };
    format!("\"{}\"", text.chars().map(shown).collect::<String>())
}

/// How a caller proved its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// NTLMv2 ([MS-NLMP]), raw or inside SPNEGO.
    Ntlm,
    /// A Kerberos ticket ([RFC 4120]), raw or inside SPNEGO.
    Kerberos,
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Ntlm => "NTLM",
            Mechanism::Kerberos => "Kerberos",
        })
    }
}

/// What kind of principal something in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A user or service account.
    Account,
    /// A computer account.
    Computer,
    /// A group: its members, nested ones included, match.
    Group,
}

impl Kind {
    /// The word for it on the command line and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Account => "account",
            Kind::Computer => "computer",
            Kind::Group => "group",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whether a proof is tied to the TLS connection that it came over (extended protection). One that is not can
/// have been made for somebody else, who passes it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is: nobody in between could have passed it on.
    Channel,
    /// It is not, or nobody has looked.
    None,
}

/// What the caller's connection was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// TLS.
    Https,
    /// Clear text; every account that uses it raises event 2002.
    Http,
}
