//! What a member proves itself with, and both ends of the peer and admin ports. The certificate can be
//! renewed while connections are open: those go on, new ones use the new one.

use super::refusal::{self, MemberVerifier, Refusal};
use super::{
    Files, LoadError, Member, ServerStream, authority, key_hash, leaf_of, private_key, provider, timed,
};
use crate::secret::Secret;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A member's certificate, its key, and the authority that it trusts.
pub struct Credentials {
    /// The certificate, PEM.
    pub certificate: String,
    /// The cluster's certificate authority, PEM.
    pub authority: String,
    /// The private key, DER (PKCS #8).
    pub key: Secret<Vec<u8>>,
    /// Where this came from, for messages.
    pub path: PathBuf,
}

/// From when to when a certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: OffsetDateTime,
    /// Not after.
    pub until: OffsetDateTime,
}

/// A member of a cluster. Clones are the same one, and have its newest certificate.
#[derive(Clone)]
pub struct Membership {
    member: Member,
    key: Arc<Secret<Vec<u8>>>,
    authority: String,
    path: PathBuf,
    current: Arc<watch::Sender<Arc<Current>>>,
}

/// The settings made out of one certificate.
struct Current {
    validity: Validity,
    members: TlsAcceptor,
    guests: TlsAcceptor,
    connector: TlsConnector,
}

/// Who is at the other end, by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The member.
    pub member: Member,
    /// SHA-256 of its public key.
    pub key: [u8; 32],
}

/// Whether who has no certificate may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// They may: to join. What they may ask is the service's to say.
    Welcome,
    /// They may not.
    Refused,
}

/// A connection that came in.
pub struct Accepted {
    /// The connection.
    pub stream: ServerStream,
    /// Who is there.
    pub who: Who,
}

/// Who is at the other end of a connection that came in.
#[derive(Clone, Debug)]
pub enum Who {
    /// A member of this cluster.
    Member(Peer),
    /// Nobody yet; these bytes are known to both ends of this connection and to nobody else (RFC 8446 7.5).
    Guest([u8; 32]),
}

impl Peer {
    /// The node's id, if it is one.
    #[must_use]
    pub fn node_id(&self) -> Option<u64> {
        self.member.node_id()
    }
}

impl Membership {
    /// Takes a node's credentials.
    ///
    /// # Errors
    /// [`LoadError`]: they do not fit together.
    pub fn new(credentials: Credentials) -> Result<Self, LoadError> {
        let Credentials { certificate, authority, key, path } = credentials;
        let leaf = leaf_of(&pem(&certificate, &path)?, &path)?;
        let member = Member::of_certificate(&leaf).ok_or(LoadError::NotAMember { path: path.clone() })?;
        let current = Current::new(&leaf, &authority, &key, &path)?;
        let current = Arc::new(watch::Sender::new(Arc::new(current)));
        Ok(Membership { member, key: Arc::new(key), authority, path, current })
    }

    /// Loads a member's certificate, its key, and the cluster's certificate authority.
    ///
    /// # Errors
    /// [`LoadError`] names the file.
    pub fn load(files: &Files, authority: &Path) -> Result<Self, LoadError> {
        let read = |what, path: &Path| {
            let source = |error| rustls::pki_types::pem::Error::Io(error);
            let failed = |error| LoadError::Read { what, path: path.into(), source: source(error) };
            std::fs::read_to_string(path).map_err(failed)
        };
        Membership::new(Credentials {
            certificate: read("a certificate", &files.certificate)?,
            authority: read("a certificate authority", authority)?,
            key: Secret::new(private_key(&files.key)?.secret_der().to_vec()),
            path: files.certificate.clone(),
        })
    }

    /// Who this member is.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// How long its certificate can be used.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.current.borrow().validity
    }

    /// Uses another certificate for the same key and member from now on.
    ///
    /// # Errors
    /// [`LoadError`]; the old one stays in use.
    pub fn renew(&self, certificate: &str) -> Result<(), LoadError> {
        let leaf = leaf_of(&pem(certificate, &self.path)?, &self.path)?;
        if Member::of_certificate(&leaf).as_ref() != Some(&self.member) {
            return Err(LoadError::NotAMember { path: self.path.clone() });
        }
        let current = Current::new(&leaf, &self.authority, &self.key, &self.path)?;
        self.current.send_replace(Arc::new(current));
        Ok(())
    }

    /// The server side: TLS 1.3, HTTP/2, and a certificate of the same authority asked of the client.
    #[must_use]
    pub fn server(&self, guests: Guests) -> MemberServer {
        MemberServer { membership: self.clone(), guests }
    }

    /// The client side: TLS 1.3, HTTP/2, and only nodes of the same cluster are taken for servers.
    #[must_use]
    pub fn client(&self) -> MemberClient {
        MemberClient { membership: self.clone(), server_name: server_name(&self.member.cluster) }
    }
}

impl Current {
    fn new(
        leaf: &CertificateDer<'static>,
        authority: &str,
        key: &Secret<Vec<u8>>,
        path: &Path,
    ) -> Result<Self, LoadError> {
        let unusable = |source| LoadError::Unusable { path: path.into(), source };
        let member = Member::of_certificate(leaf).ok_or(LoadError::NotAMember { path: path.into() })?;
        let validity = validity(leaf).ok_or(LoadError::NotAMember { path: path.into() })?;
        let authorities = pem(authority, path)?;
        if authorities.len() != 1 {
            let reason =
                format!("a cluster has one certificate authority, and here are {}", authorities.len());
            return Err(LoadError::BadAuthority { path: path.into(), reason });
        }
        let mut roots = RootCertStore::empty();
        for certificate in &authorities {
            roots
                .add(certificate.clone())
                .map_err(|error| LoadError::BadAuthority { path: path.into(), reason: error.to_string() })?;
        }
        let roots = Arc::new(roots);
        // The authority too: whoever joins knows nothing but the hash of its key.
        let chain: Vec<_> = [leaf.clone()].into_iter().chain(authorities).collect();
        let inner = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
        let server = |guests| {
            let verifier = MemberVerifier::new(inner.clone(), &member.cluster, guests);
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_protocol_versions(MEMBER_VERSIONS)?
                .with_client_cert_verifier(Arc::new(verifier))
                .with_single_cert(chain.clone(), private(key)?)?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            // A resumed session would not look at the client's certificate again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            Ok(TlsAcceptor::from(Arc::new(config)))
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(MEMBER_VERSIONS)
            .and_then(|builder| {
                builder.with_root_certificates(roots).with_client_auth_cert(chain.clone(), private(key)?)
            })
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Current {
            validity,
            members: server(Guests::Refused).map_err(unusable)?,
            guests: server(Guests::Welcome).map_err(unusable)?,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}

/// Takes connections of members.
#[derive(Clone)]
pub struct MemberServer {
    membership: Membership,
    guests: Guests,
}

impl MemberServer {
    /// Shakes hands and says who is there: a member of this cluster, a guest where they may come, or an error.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong with the certificate, or with the handshake.
    pub async fn accept(&self, stream: TcpStream) -> Result<Accepted, Refusal> {
        let current = self.membership.current.borrow().clone();
        let acceptor = match self.guests {
            Guests::Welcome => &current.guests,
            Guests::Refused => &current.members,
        };
        let stream = timed(acceptor.accept(stream)).await.map_err(refusal::of_handshake)?;
        let connection = stream.get_ref().1;
        if connection.peer_certificates().is_none() {
            let exporter = connection.export_keying_material([0; 32], JOIN_LABEL, None);
            let exporter = exporter.map_err(|error| Refusal::Handshake(io::Error::other(error)))?;
            return Ok(Accepted { stream, who: Who::Guest(exporter) });
        }
        let peer = peer_of(connection.peer_certificates(), &self.membership.member.cluster)?;
        Ok(Accepted { stream, who: Who::Member(peer) })
    }
}

/// Opens connections to nodes.
#[derive(Clone)]
pub struct MemberClient {
    membership: Membership,
    server_name: ServerName<'static>,
}

impl MemberClient {
    /// Connects and says which node is there.
    ///
    /// # Errors
    /// Nobody listens, the certificate is not one of a node of this cluster, or it took too long.
    pub async fn connect(&self, address: &str) -> io::Result<(super::ClientStream, Peer)> {
        let current = self.membership.current.borrow().clone();
        timed(async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let stream = current.connector.connect(self.server_name.clone(), tcp).await?;
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = peer_of(certificates, &self.membership.member.cluster);
            let peer = peer.map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
            Ok((stream, peer))
        })
        .await
    }
}

/// The name that every node's certificate carries and no administrator's does.
pub(super) fn server_name(cluster: &str) -> ServerName<'static> {
    ServerName::try_from(authority::node_dns_name(cluster))
        .expect("a cluster id is made of letters and digits, checked by Member")
}

pub(super) fn pem(text: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let read = |source| LoadError::Read { what: "a certificate", path: path.into(), source };
    CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(read)
}

fn private(key: &Secret<Vec<u8>>) -> Result<PrivateKeyDer<'static>, rustls::Error> {
    PrivateKeyDer::try_from(key.expose().clone()).map_err(|reason| rustls::Error::General(reason.to_owned()))
}

fn validity(certificate: &[u8]) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some(Validity { from: validity.not_before.to_datetime(), until: validity.not_after.to_datetime() })
}

fn peer_of(chain: Option<&[CertificateDer<'_>]>, cluster: &str) -> Result<Peer, Refusal> {
    let leaf = chain.and_then(<[_]>::first).ok_or(Refusal::NoCertificate)?;
    let member = Member::of_certificate(leaf).ok_or(Refusal::NotAMember)?;
    if member.cluster != cluster {
        return Err(Refusal::OtherCluster { member: member.uri() });
    }
    Ok(Peer { member, key: key_hash(leaf).ok_or(Refusal::NotAMember)? })
}

/// Nodes speak the newest version alone.
pub(super) const MEMBER_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// What both ends of a guest's connection derive a common value for.
pub(super) const JOIN_LABEL: &[u8] = b"EXPORTER-rmsc-join";

#[cfg(test)]
mod tests {
    use super::super::{Authority, MemberKind};
    use super::*;
    use time::Duration;

    #[test]
    fn a_member_trusts_one_authority_and_no_more() {
        let now = OffsetDateTime::now_utc();
        let [own, other] = ["own", "other"].map(|name| Authority::new(name, now).unwrap());
        let member = Member { cluster: "c1".into(), kind: MemberKind::Node(1) };
        let issued = own.issue_member(&member, now, Duration::hours(1)).unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).unwrap();
        let membership = |authority: String| {
            Membership::new(Credentials {
                certificate: issued.certificate_pem.clone(),
                authority,
                key: Secret::new(key.secret_der().to_vec()),
                path: "here".into(),
            })
        };
        assert!(membership(own.certificate_pem().into()).is_ok());
        for authority in [format!("{}{}", own.certificate_pem(), other.certificate_pem()), String::new()] {
            assert!(matches!(membership(authority), Err(LoadError::BadAuthority { .. })));
        }
    }
}
