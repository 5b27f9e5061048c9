//! Why the service gave no answer, sorted by what an administrator can do about it.

use super::connect::NoName;
use super::hosts::NotAllowed;
use super::proxy::ProxyFault;
use crate::tls::{self, ServerFault};
use http::StatusCode;
use std::error::Error;
use std::io;
use std::time::Duration;

/// There was no answer.
#[derive(Debug, thiserror::Error)]
#[error("{trouble} ({base})")]
pub struct SendError {
    /// What went wrong.
    pub trouble: Trouble,
    /// Where the service should be.
    pub base: String,
    /// The cause, where another part said it.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// What went wrong on the way to the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there.
    #[error("the service refuses connections")]
    Refused,
    /// No way to its address, or no answer from there.
    #[error("the service's address cannot be reached")]
    Unreachable,
    /// Its name has no address.
    #[error("the name {name} has no address")]
    NoName {
        /// The name that was asked for.
        name: String,
    },
    /// Its TLS is not to be trusted.
    #[error("the service is not trusted: {0}")]
    Tls(ServerFault),
    /// Nobody can be reached where the web proxy should be.
    #[error("the web proxy cannot be reached")]
    ProxyUnreachable,
    /// The web proxy wants a password, or another one (407).
    #[error("the web proxy wants a login, or another one")]
    ProxyLogin,
    /// The web proxy does not let the connection through.
    #[error("the web proxy refuses the connection (status {status})")]
    ProxyRefused {
        /// Its answer.
        status: u16,
    },
    /// The password for the web proxy cannot be read.
    #[error("there is no login for the web proxy")]
    ProxyPassword,
    /// It is none of the hosts that may be called.
    #[error("{host} may not be called")]
    NotAllowed {
        /// The host.
        host: String,
    },
    /// The connector's own account has no ticket and no password to prove itself with.
    #[error("the connector's account cannot prove itself")]
    NoLogin,
    /// The service does not take the connector's own account.
    #[error("the service does not take the connector's account")]
    LoginRefused,
    /// There is no token for the service.
    #[error("there is no token for the service")]
    NoToken,
    /// The service takes neither the token nor a new one.
    #[error("the service does not take the connector's token")]
    TokenRefused,
    /// The connection broke before the answer began: the request may have been seen.
    #[error("the service broke off")]
    Lost,
    /// It took too long: the request may have been seen.
    #[error("the service did not answer within {}", shown(*.waited))]
    TimedOut {
        /// For how long was waited.
        waited: Duration,
    },
    /// All connections that the connector's account may have are in use, or those of one entry of the table.
    #[error(
        "all {connections} connections to the service that the request may have are in use: \
         upstream.account.connections_max"
    )]
    Busy {
        /// How many there may be.
        connections: usize,
    },
    /// A part of the request cannot stand in a header.
    #[error("the request cannot be sent on: {reason}")]
    Unsendable {
        /// Which part.
        reason: String,
    },
}

impl Trouble {
    /// One word for it, the same for all requests that meet it: the label of a metric.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Trouble::Refused => "refused",
            Trouble::Unreachable => "unreachable",
            Trouble::NoName { .. } => "no-name",
            Trouble::Tls(ServerFault::Expired) => "tls-expired",
            Trouble::Tls(ServerFault::NotYetValid) => "tls-not-yet-valid",
            Trouble::Tls(ServerFault::WrongName { .. }) => "tls-wrong-name",
            Trouble::Tls(ServerFault::UnknownIssuer { .. }) => "tls-unknown-issuer",
            Trouble::Tls(ServerFault::Handshake) => "tls-failed",
            Trouble::ProxyUnreachable => "proxy-unreachable",
            Trouble::ProxyLogin => "proxy-login",
            Trouble::ProxyRefused { .. } => "proxy-refused",
            Trouble::ProxyPassword => "proxy-password",
            Trouble::NotAllowed { .. } => "host-not-allowed",
            Trouble::NoLogin => "no-login",
            Trouble::LoginRefused => "login-refused",
            Trouble::NoToken => "no-token",
            Trouble::TokenRefused => "token-refused",
            Trouble::Lost => "lost",
            Trouble::TimedOut { .. } => "timed-out",
            Trouble::Busy { .. } => "busy",
            Trouble::Unsendable { .. } => "unsendable",
        }
    }

    /// Whether the same request may fare better at another node. Where the same settings or the same account would be
    /// refused again it does not: a second attempt would only be a second failed logon, or a second refused token.
    /// What a node lacks by itself (its file, its ticket, its way) another may have.
    #[must_use]
    pub fn another_node_may_help(&self) -> bool {
        match self {
            Trouble::LoginRefused
            | Trouble::TokenRefused
            | Trouble::ProxyLogin
            | Trouble::NotAllowed { .. }
            | Trouble::Unsendable { .. } => false,
            Trouble::Refused
            | Trouble::Unreachable
            | Trouble::NoName { .. }
            | Trouble::Tls(_)
            | Trouble::ProxyUnreachable
            | Trouble::ProxyRefused { .. }
            | Trouble::ProxyPassword
            | Trouble::NoLogin
            | Trouble::NoToken
            | Trouble::Lost
            | Trouble::TimedOut { .. }
            | Trouble::Busy { .. } => true,
        }
    }

    /// Whether it may be that this node, alone or with others, has no way to the service. Only trying it tells.
    pub(super) fn is_of_the_way(&self) -> bool {
        match self {
            Trouble::Refused
            | Trouble::Unreachable
            | Trouble::NoName { .. }
            | Trouble::Tls(_)
            | Trouble::ProxyUnreachable
            | Trouble::ProxyRefused { .. }
            | Trouble::ProxyPassword
            | Trouble::NotAllowed { .. }
            | Trouble::Lost
            | Trouble::TimedOut { .. } => true,
            // Each try would show a wrong password once more, until the account is locked.
            Trouble::ProxyLogin
            | Trouble::NoLogin
            | Trouble::LoginRefused
            | Trouble::NoToken
            | Trouble::TokenRefused
            | Trouble::Busy { .. }
            | Trouble::Unsendable { .. } => false,
        }
    }

    /// What the web proxy's answer means.
    pub(super) fn of_proxy_status(status: StatusCode) -> Self {
        match status {
            // tinyproxy says so to a wrong password, and 407 to none; a tunnel's end has said nothing yet.
            StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED => Trouble::ProxyLogin,
            _ => Trouble::ProxyRefused { status: status.as_u16() },
        }
    }

    /// What an error means that ended an attempt, while connecting or later.
    pub(super) fn of(error: &(dyn Error + 'static), when: When) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(fault) = error.downcast_ref::<ProxyFault>() {
                return of_proxy(fault);
            }
            if let Some(NotAllowed { host, .. }) = error.downcast_ref::<NotAllowed>() {
                return Trouble::NotAllowed { host: host.clone() };
            }
            if let Some(NoName { name, .. }) = error.downcast_ref::<NoName>() {
                return Trouble::NoName { name: name.clone() };
            }
            next = error.source();
        }
        match (when, tls::server_fault(error)) {
            (When::Connecting, Some(fault)) => Trouble::Tls(fault),
            (When::Connecting, None) => match io_kind(error) {
                Some(io::ErrorKind::ConnectionRefused) => Trouble::Refused,
                // A connection that was made, and broke during the handshake.
                Some(
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof,
                ) => Trouble::Lost,
                _ => Trouble::Unreachable,
            },
            (When::Connected, _) => Trouble::Lost,
        }
    }
}

fn of_proxy(fault: &ProxyFault) -> Trouble {
    match fault {
        ProxyFault::Unreachable { .. } | ProxyFault::Lost { .. } => Trouble::ProxyUnreachable,
        ProxyFault::Status { status, .. } => Trouble::of_proxy_status(*status),
        ProxyFault::Password(_) => Trouble::ProxyPassword,
    }
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Connecting,
    Connected,
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.get_ref().map(|held| held as &(dyn Error + 'static)).and_then(io_kind) {
                Some(kind) => return Some(kind),
                None => return Some(error.kind()),
            }
        }
        next = error.source();
    }
    None
}

/// As people say it; where no time was left, nothing was asked.
fn shown(waited: Duration) -> String {
    if waited.is_zero() {
        "the time that was left: none".into()
    } else {
        format!("{:.1} s", waited.as_secs_f64())
    }
}
