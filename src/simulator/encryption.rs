//! TLS of the simulated service: a lab authority, and one certificate of each kind.

use super::fault::Certificate;
use crate::tls::{Authority, IssueError, Issued, IssuedServer};
use std::io;
use time::{Duration, OffsetDateTime};

/// The certificates that the service can show.
pub struct Encryption {
    authority_pem: String,
    good: IssuedServer,
    expired: IssuedServer,
    wrong_name: IssuedServer,
    unknown_issuer: IssuedServer,
}

/// The certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// A name cannot stand in one.
    #[error("cannot make the certificates of the simulated service")]
    Issue(#[from] IssueError),
    /// TLS does not take one.
    #[error("cannot use the certificates of the simulated service")]
    Use(#[from] io::Error),
}

impl Encryption {
    /// Makes an authority, and certificates for these names and addresses.
    ///
    /// # Errors
    /// [`EncryptionError`].
    pub fn new(names: &[String]) -> Result<Self, EncryptionError> {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::new("Simulated RMS Authority", now)?;
        let device = Authority::new(INSPECTION, now)?;
        let server = |issued: Result<Issued, IssueError>| -> Result<IssuedServer, EncryptionError> {
            Ok(IssuedServer::new(&issued?)?)
        };
        Ok(Encryption {
            good: server(authority.issue_server(names, now))?,
            expired: server(authority.issue_server(names, now - LONG_AGO))?,
            wrong_name: server(authority.issue_server(&["wrong.example.net".to_owned()], now))?,
            unknown_issuer: server(device.issue_server(names, now))?,
            authority_pem: authority.certificate_pem().to_owned(),
        })
    }

    /// The certificate to trust, PEM.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    pub(super) fn server(&self, certificate: Certificate) -> &IssuedServer {
        match certificate {
            Certificate::Good => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::WrongName => &self.wrong_name,
            Certificate::UnknownIssuer => &self.unknown_issuer,
        }
    }
}

/// What a device that opens TLS calls itself.
const INSPECTION: &str = "Simulated Inspection Device";
/// Longer than a server's certificate lives.
const LONG_AGO: Duration = Duration::days(100);
