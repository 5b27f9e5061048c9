//! Why a connection of a member is refused.

use super::{Guests, Member};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme};
use std::io;
use std::sync::Arc;

/// What is wrong with a connection that came in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No certificate was shown.
    #[error("it shows no certificate")]
    NoCertificate,
    /// Its time is over.
    #[error("its certificate has expired")]
    Expired,
    /// Its time has not come, by this host's clock.
    #[error("its certificate is not valid yet by this host's clock")]
    NotYetValid,
    /// Another authority issued it.
    #[error("its certificate is of an authority that is not this cluster's")]
    UnknownAuthority,
    /// It is of another cluster.
    #[error("it is {member}, of another cluster")]
    OtherCluster {
        /// Whom the certificate names.
        member: String,
    },
    /// It names nobody.
    #[error("its certificate names no member of a cluster")]
    NotAMember,
    /// The handshake failed for another reason, such as an end that went away.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
}

/// Checks certificates as usual, and says which cluster's a foreign one is.
#[derive(Debug)]
pub(super) struct MemberVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    cluster: String,
    guests: Guests,
}

impl MemberVerifier {
    pub(super) fn new(inner: Arc<dyn ClientCertVerifier>, cluster: &str, guests: Guests) -> Self {
        MemberVerifier { inner, cluster: cluster.into(), guests }
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.guests == Guests::Refused
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.inner.verify_client_cert(end_entity, intermediates, now).map_err(|error| {
            let foreign = Member::of_certificate(end_entity).filter(|it| it.cluster != self.cluster);
            match foreign {
                Some(member) => CertificateError::Other(OtherError(Arc::new(Foreign(member.uri())))).into(),
                None => error,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A member of another cluster, as its certificate says, which another authority issued.
#[derive(Debug, thiserror::Error)]
#[error("it is {0}, of another cluster")]
struct Foreign(String);

/// What a failed handshake means.
pub(super) fn of_handshake(error: io::Error) -> Refusal {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::NoCertificatesPresented) => Refusal::NoCertificate,
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refusal::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Refusal::NotYetValid
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Refusal::UnknownAuthority,
            CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Foreign>() {
                Some(Foreign(member)) => Refusal::OtherCluster { member: member.clone() },
                None => Refusal::Handshake(error),
            },
            _ => Refusal::Handshake(error),
        },
        _ => Refusal::Handshake(error),
    }
}
