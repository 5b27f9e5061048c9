//! A member's key pair, the request for a certificate made with it, and hashes of public keys.

use super::authority::Subject;
use super::membership::pem;
use crate::secret::Secret;
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A key pair that is to have a certificate.
pub struct MemberKey(KeyPair);

/// A request for a certificate, whose maker has the key.
pub struct Request {
    subject: Subject,
    key: [u8; 32],
}

/// A key cannot be made, or a request not be read.
#[derive(Debug, thiserror::Error)]
#[error("the key or the request for a certificate cannot be used")]
pub struct RequestError(#[from] rcgen::Error);

impl MemberKey {
    /// A new one (ECDSA, P-256).
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, RequestError> {
        Ok(MemberKey(KeyPair::generate()?))
    }

    /// One that was kept.
    ///
    /// # Errors
    /// The bytes are no key.
    pub fn of_der(der: &[u8]) -> Result<Self, RequestError> {
        let key =
            PrivateKeyDer::try_from(der).map_err(|_| RequestError(rcgen::Error::CouldNotParseKeyPair))?;
        Ok(MemberKey(KeyPair::try_from(&key)?))
    }

    /// The private key (PKCS #8).
    #[must_use]
    pub fn der(&self) -> Secret<Vec<u8>> {
        Secret::new(self.0.serialize_der())
    }

    /// The private key, PEM (PKCS #8).
    #[must_use]
    pub fn pem(&self) -> Secret<String> {
        Secret::new(self.0.serialize_pem())
    }

    /// SHA-256 of the public key.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.subject_public_key_info()).into()
    }

    /// The public key, for an authority in the same process.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject(self.0.subject_public_key_info())
    }

    /// A request (PKCS #10, DER), signed with the key: proof that its maker has it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request(&self) -> Result<Vec<u8>, RequestError> {
        Ok(CertificateParams::default().serialize_request(&self.0)?.der().to_vec())
    }

    /// The same as PEM.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn request_pem(&self) -> Result<String, RequestError> {
        Ok(CertificateParams::default().serialize_request(&self.0)?.pem()?)
    }
}

impl Request {
    /// Reads a request and checks its signature. What it asks for is not heeded: the authority says what
    /// stands in the certificate.
    ///
    /// # Errors
    /// It is none, or was not made with the key.
    pub fn read(der: &[u8]) -> Result<Self, RequestError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))?;
        let info = request.public_key.subject_public_key_info();
        Ok(Request { key: Sha256::digest(&info).into(), subject: Subject(info) })
    }

    /// The request in a PEM text (DER).
    ///
    /// # Errors
    /// There is none.
    pub fn of_pem(text: &str) -> Result<Vec<u8>, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes());
        Ok(der.map_err(|_| rcgen::Error::CouldNotParseCertificationRequest)?.to_vec())
    }

    /// SHA-256 of the public key.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.key
    }

    /// The public key.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

/// SHA-256 of the public key in a certificate (DER).
#[must_use]
pub fn key_hash(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(Sha256::digest(certificate.public_key().raw).into())
}

/// SHA-256 of the public key of an authority (PEM): what a token pins.
#[must_use]
pub fn authority_pin(authority: &str) -> Option<[u8; 32]> {
    key_hash(pem(authority, Path::new("")).ok()?.first()?)
}
