//! A certificate with which a program proves itself to a sign-in service, by signing a text (RFC 7521, RFC 7523).

use super::provider;
use crate::secret::Secret;
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

/// A certificate and its RSA key.
#[derive(Clone)]
pub struct AssertionKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    thumbprint: [u8; 32],
    not_after: OffsetDateTime,
}

/// Why they cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// The first PEM text is no certificate.
    #[error("the certificate is no PEM file with a certificate")]
    NoCertificate,
    /// The second is no key.
    #[error("the key is no PEM file with a private key")]
    NoKey,
    /// Sign-in services take RSA.
    #[error("the key is not an RSA key, which sign-in services ask for")]
    NotRsa,
}

impl AssertionKey {
    /// Reads both, PEM.
    ///
    /// # Errors
    /// [`AssertionError`].
    pub fn of_pem(certificate: &str, key: &Secret<String>) -> Result<Self, AssertionError> {
        let leaf = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AssertionError::NoCertificate)?;
        let (_, read) = parse_x509_certificate(&leaf).map_err(|_| AssertionError::NoCertificate)?;
        let not_after = read.validity().not_after.to_datetime();
        let key =
            PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| AssertionError::NoKey)?;
        let key = provider().key_provider.load_private_key(key).map_err(|_| AssertionError::NoKey)?;
        if key.choose_scheme(&SCHEMES).is_none() {
            return Err(AssertionError::NotRsa);
        }
        Ok(AssertionKey { key, thumbprint: Sha256::digest(&leaf).into(), not_after })
    }

    /// SHA-256 of the certificate, which says which key it is.
    #[must_use]
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Until when the certificate can be used.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// PS256 of a text (RFC 7518 3.5). `None`: the system has no random numbers.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.key.choose_scheme(&SCHEMES)?.sign(text).ok()
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssertionKey")
    }
}

const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::RSA_PSS_SHA256];
