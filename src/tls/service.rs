//! TLS towards the service: whom to trust, and what is wrong with a certificate that is not trusted.

use super::{LoadError, provider, roots};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use x509_parser::parse_x509_certificate;

/// What is wrong with the TLS of a server that was called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    /// Its certificate's time is over.
    #[error("its certificate has expired")]
    Expired,
    /// Its certificate's time has not come, by this host's clock.
    #[error("its certificate is not valid yet by this host's clock")]
    NotYetValid,
    /// Its certificate is for other names.
    #[error("its certificate is for {}", if names.is_empty() { "no name" } else { names })]
    WrongName {
        /// The names in it.
        names: String,
    },
    /// Its certificate is of an authority that is not trusted here.
    #[error("its certificate is issued by {issuer}, who is not trusted here")]
    UnknownIssuer {
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// Something else: no common version, an alert.
    #[error("the TLS handshake failed")]
    Handshake,
}

/// Whom to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots<'a> {
    /// The certificates in a file.
    File(&'a Path),
    /// The authorities that this host trusts.
    System,
    /// Nobody: there is no TLS.
    Nobody,
}

impl<'a> Roots<'a> {
    /// Those of a file, or of the system.
    #[must_use]
    pub fn of(file: Option<&'a Path>) -> Self {
        file.map_or(Roots::System, Roots::File)
    }
}

/// Client settings towards the service.
///
/// # Errors
/// [`LoadError`] names the file.
pub fn service_client(trusted: Roots<'_>) -> Result<ClientConfig, LoadError> {
    let path = if let Roots::File(path) = trusted { path } else { Path::new("-") };
    let unusable = |source| LoadError::Unusable { path: path.into(), source };
    let roots = match trusted {
        Roots::File(path) => roots(path)?,
        Roots::System => of_system(),
        Roots::Nobody => RootCertStore::empty(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(unusable)?;
    if roots.is_empty() {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| LoadError::BadAuthority { path: path.into(), reason: error.to_string() })?;
    let verifier = Arc::new(NamingVerifier { inner });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// What is unreadable among them is left out: one bad file of a distribution must not stop a node.
pub(super) fn of_system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

/// What is wrong with the server's TLS, if an error or one of its causes is of TLS.
#[must_use]
pub fn server_fault(error: &(dyn Error + 'static)) -> Option<ServerFault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_rustls(error));
        }
        // An I/O error leaves out what it holds when it is asked for its cause.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

fn of_rustls(error: &rustls::Error) -> ServerFault {
    let rustls::Error::InvalidCertificate(certificate) = error else { return ServerFault::Handshake };
    match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => ServerFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ServerFault::NotYetValid
        }
        CertificateError::NotValidForName => ServerFault::WrongName { names: String::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            ServerFault::WrongName { names: presented.join(", ") }
        }
        CertificateError::UnknownIssuer => ServerFault::UnknownIssuer { issuer: "somebody".into() },
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Unknown>() {
            Some(Unknown { issuer }) => ServerFault::UnknownIssuer { issuer: issuer.clone() },
            None => ServerFault::Handshake,
        },
        _ => ServerFault::Handshake,
    }
}

/// Checks certificates as usual, and names the issuer of one that is not trusted: a proxy that looks into TLS
/// shows itself by it.
#[derive(Debug)]
struct NamingVerifier {
    inner: Arc<WebPkiServerVerifier>,
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate is issued by {issuer}, who is not trusted here")]
struct Unknown {
    issuer: String,
}

impl ServerCertVerifier for NamingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // An authority of the same name with another key is as unknown.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => {
                let unknown = Unknown { issuer: issuer(end_entity) };
                CertificateError::Other(OtherError(Arc::new(unknown))).into()
            }
            error => error,
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

/// The issuer's name as it goes into an event: whoever made the certificate (DER) wrote it.
#[must_use]
pub fn issuer(certificate: &[u8]) -> String {
    let issuer = parse_x509_certificate(certificate).map(|(_, read)| read.issuer().to_string());
    let issuer = issuer.unwrap_or_else(|_| "an issuer that cannot be read".into());
    issuer.chars().filter(|char| !char.is_control()).take(ISSUER_CHARS_MAX).collect()
}

/// More than any authority is called.
const ISSUER_CHARS_MAX: usize = 256;
