//! A new key for the service's certificate, and the request with which an authority issues one for it.

use super::RequestError;
use crate::secret::Secret;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontKeyKind {
    /// RSA with 2048 bits: every authority issues for it, and every client takes it.
    Rsa,
    /// ECDSA with P-256: a handshake costs a tenth; the usual templates of Windows' authority refuse it.
    Ecdsa,
}

/// A key that waits for its certificate.
pub struct FrontRequest {
    /// The private key (PKCS #8).
    pub key: Secret<Vec<u8>>,
    /// The request (PKCS #10), PEM.
    pub request: String,
}

impl FrontRequest {
    /// A new key, and a request for these names; the first is the subject's.
    ///
    /// # Errors
    /// A name cannot stand in a certificate, or the system has no random numbers.
    pub fn new(kind: FrontKeyKind, names: &[String]) -> Result<Self, RequestError> {
        let key = match kind {
            FrontKeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
            FrontKeyKind::Ecdsa => KeyPair::generate()?,
        };
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.remove(DnType::CommonName);
        let subject: String = names.first().map_or("", String::as_str).chars().take(64).collect();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.key_usages = match kind {
            FrontKeyKind::Rsa => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment],
            FrontKeyKind::Ecdsa => vec![KeyUsagePurpose::DigitalSignature],
        };
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let request = params.serialize_request(&key)?.pem()?;
        Ok(FrontRequest { key: Secret::new(key.serialize_der()), request })
    }
}
