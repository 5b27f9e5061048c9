//! What a certificate says about itself, besides whose it is.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// When a certificate (DER) expires, in milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn expires_at(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    certificate.validity().not_after.timestamp().checked_mul(1_000)
}

/// SHA-256 of the public key of the first certificate of a PEM text (DER of its SubjectPublicKeyInfo).
#[must_use]
pub fn key_hash(pem: &str) -> Option<[u8; 32]> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(Sha256::digest(certificate.public_key().raw).into())
}

#[cfg(test)]
mod tests {
    use super::super::Authority;
    use super::*;
    use time::OffsetDateTime;

    #[test]
    fn reads_the_end_and_the_key_of_a_certificate() {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::new("test", now).unwrap();
        let pem = authority.certificate_pem();
        assert!(key_hash(pem).is_some());
        assert_ne!(key_hash(pem), key_hash(Authority::new("test", now).unwrap().certificate_pem()));
        assert_eq!(key_hash("nothing"), None);
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let end = expires_at(&der).unwrap() / 1_000;
        assert!((end - now.unix_timestamp() - 3_650 * 86_400).abs() < 5, "{end}");
    }
}
