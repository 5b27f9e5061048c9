//! Connecting to a cluster of which nothing is known but the hash of its authority's key.

use super::membership::{JOIN_LABEL, MEMBER_VERSIONS, server_name};
use super::{ClientStream, Member, MemberKind, key_hash, provider, timed};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to a node of the pinned cluster.
pub struct Pinned {
    /// The connection.
    pub stream: ClientStream,
    /// The node.
    pub member: Member,
    /// Known to both ends of this connection and to nobody else (RFC 8446 7.5).
    pub exporter: [u8; 32],
}

/// Connects without a certificate of its own; the other end must be a node whose authority has this key.
///
/// # Errors
/// Nobody listens, it is no node of that cluster, or it took too long.
pub async fn connect_pinned(address: &str, pin: [u8; 32]) -> io::Result<Pinned> {
    let provider = provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let verifier = Arc::new(PinVerifier { pin, schemes });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(MEMBER_VERSIONS)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    // The verifier asks for the name that the certificate should have; nobody sees this one.
    config.enable_sni = false;
    timed(async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let connected = TlsConnector::from(Arc::new(config)).connect(server_name("unknown"), tcp).await;
        let stream = connected.map_err(in_words)?;
        let connection = stream.get_ref().1;
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        let member = leaf.and_then(|leaf| Member::of_certificate(leaf));
        let member = member.ok_or_else(|| io::Error::other("its certificate names no member"))?;
        let exporter =
            connection.export_keying_material([0; 32], JOIN_LABEL, None).map_err(io::Error::other)?;
        Ok(Pinned { stream, member, exporter })
    })
    .await
}

/// The server is not of the pinned cluster, or is no node.
#[derive(Debug, thiserror::Error)]
enum PinError {
    #[error("it is not of the cluster that the token is for: no certificate in its chain has the pinned key")]
    OtherAuthority,
    #[error("its certificate is not that of a node")]
    NotANode,
}

#[derive(Debug)]
struct PinVerifier {
    pin: [u8; 32],
    schemes: Vec<SignatureScheme>,
}

impl PinVerifier {
    /// The usual checks, with the pinned authority as the only root.
    fn with_root(&self, root: CertificateDer<'_>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(root.into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Not the leaf: its key is a node's, and the pin an authority's.
        let root = intermediates.iter().find(|certificate| key_hash(certificate) == Some(self.pin));
        let root = root.ok_or_else(|| refused(PinError::OtherAuthority))?.clone();
        let member = Member::of_certificate(end_entity).filter(|it| matches!(it.kind, MemberKind::Node(_)));
        let member = member.ok_or_else(|| refused(PinError::NotANode))?;
        let name = server_name(&member.cluster);
        self.with_root(root)?.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Our own reason, which the library only shows as it is built.
fn in_words(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) = cause else {
        return error;
    };
    match other.downcast_ref::<PinError>() {
        Some(pin) => io::Error::new(io::ErrorKind::PermissionDenied, pin.to_string()),
        None => error,
    }
}

fn refused(error: PinError) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}
