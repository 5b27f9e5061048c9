//! TLS: server and client settings, and who is at the other end. The only user of `rustls`.

mod assertion;
mod authority;
mod bundle;
mod front;
mod front_certificate;
mod front_request;
mod issued;
mod judge;
mod key;
mod member;
mod membership;
mod pinned;
mod refusal;
mod service;
mod tickets;

pub use assertion::{AssertionError, AssertionKey};
pub use authority::{Authority, AuthorityError, IssueError, Issued, Subject};
pub use bundle::{Bundle, BundleError};
pub use front::FrontServer;
pub use front_certificate::{AboutCertificate, FrontCertificate, PartsError};
pub use front_request::{FrontKeyKind, FrontRequest};
pub use issued::IssuedServer;
pub use judge::{CertificateFault, Trusted};
pub use key::{MemberKey, Request, RequestError, authority_pin, key_hash};
pub use member::{Member, MemberKind};
pub use membership::{
    Accepted, Credentials, Guests, MemberClient, MemberServer, Membership, Peer, Validity, Who,
};
pub use pinned::{Pinned, connect_pinned};
pub use refusal::Refusal;
pub use service::{Roots, ServerFault, issuer, server_fault, service_client};
pub use tickets::{TICKET_KEY_NAME_BYTES, TicketKey, TicketKeys};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A TLS connection that came in.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;
/// What a client of the service is made with.
pub type ClientSettings = rustls::ClientConfig;
/// A TLS connection that went out.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Where a certificate chain and its key are, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// Why settings could not be made out of files.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file is missing, not readable or not PEM.
    #[error("cannot read {what} from {path}")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// Others may read a private key.
    #[error("the private key {path} has the mode {mode:03o}, which is too open; chmod 600 {path}")]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no certificate.
    #[error("{path} holds no certificate; it must be a PEM file with the chain, leaf first")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not fit, or one of them is of an unusable kind.
    #[error("the certificate {path} and its key cannot be used")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// Certificates and key do not make a chain with its key.
    #[error("the certificate {path} and its key cannot be used: {source}")]
    Parts {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: PartsError,
    },
    /// The certificate authority's certificate is not usable as a root.
    #[error("the certificate authority in {path} cannot be used")]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// The cause, in words.
        reason: String,
    },
    /// The certificate does not say which member of which cluster it is for.
    #[error("the certificate {path} names no member of a cluster; a node's carries rmsc://CLUSTER/node/ID")]
    NotAMember {
        /// The file.
        path: PathBuf,
    },
}

/// Connects to a front as a calling server does.
#[derive(Clone)]
pub struct ServiceClient {
    connector: TlsConnector,
}

impl ServiceClient {
    /// Trusts the certificates in a file.
    ///
    /// # Errors
    /// [`LoadError`] names the file.
    pub fn new(authority: &Path) -> Result<Self, LoadError> {
        ServiceClient::trusting(Roots::File(authority))
    }

    /// Trusts these.
    ///
    /// # Errors
    /// [`LoadError`] names the file.
    pub fn trusting(roots: Roots<'_>) -> Result<Self, LoadError> {
        Ok(ServiceClient { connector: TlsConnector::from(Arc::new(service_client(roots)?)) })
    }

    /// Connects, and gives the server's certificate (DER), which a channel binding is made of.
    ///
    /// # Errors
    /// Nobody listens, the certificate is not trusted or not for `name`, or it took too long.
    pub async fn connect(&self, address: &str, name: &str) -> io::Result<(ClientStream, Vec<u8>)> {
        let tcp = timed(TcpStream::connect(address)).await?;
        tcp.set_nodelay(true)?;
        self.over(tcp, name).await
    }

    /// The same over a connection that there is already.
    ///
    /// # Errors
    /// The certificate is not trusted or not for `name`, or it took too long.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
    ) -> io::Result<(tokio_rustls::client::TlsStream<S>, Vec<u8>)> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        timed(async {
            let stream = self.connector.connect(name, stream).await?;
            let leaf =
                stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| leaf.to_vec());
            Ok((stream, leaf.unwrap_or_default()))
        })
        .await
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let read = |source| LoadError::Read { what: "a certificate", path: path.into(), source };
    CertificateDer::pem_file_iter(path).map_err(read)?.collect::<Result<_, _>>().map_err(read)
}

fn leaf_of(chain: &[CertificateDer<'static>], path: &Path) -> Result<CertificateDer<'static>, LoadError> {
    chain.first().cloned().ok_or(LoadError::Empty { path: path.into() })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    // A group may read it: that is how Debian's ssl-cert and systemd's credentials hand keys over.
    if mode & 0o027 != 0 {
        return Err(LoadError::Readable { path: path.into(), mode });
    }
    PrivateKeyDer::from_pem_file(path).map_err(|source| LoadError::Read {
        what: "a private key",
        path: path.into(),
        source,
    })
}

fn roots(path: &Path) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| LoadError::BadAuthority { path: path.into(), reason: error.to_string() })?;
    }
    if roots.is_empty() {
        return Err(LoadError::Empty { path: path.into() });
    }
    Ok(roots)
}

async fn timed<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long"))?
}

/// A client that says nothing must not keep a connection slot.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
