//! Certificates and a key as administrators have them: PEM, DER, or a PFX (PKCS #12) as Windows exports it.

use crate::secret::Secret;
use p12_keystore::Pkcs12Archive;
use rustls::pki_types::pem::{PemObject, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a file holds.
#[derive(Default)]
pub struct Bundle {
    /// Certificates, DER, in the file's order.
    pub certificates: Vec<Vec<u8>>,
    /// The key, DER.
    pub key: Option<Secret<Vec<u8>>>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BundleError {
    /// A PFX opens with its password alone.
    #[error("the password does not open the PFX file")]
    Password,
    /// The key in a PEM file has a password.
    #[error(
        "the private key is encrypted; write it without a password first: openssl pkey -in FILE -out key.pem"
    )]
    EncryptedKey,
    /// It is not said which one is meant.
    #[error("the file holds {0} private keys, and one is needed: export the certificate alone with its key")]
    Keys(usize),
    /// It is PKCS #7.
    #[error("the file is PKCS #7; make it PEM first: openssl pkcs7 -print_certs -in FILE -out chain.pem")]
    Pkcs7,
    /// It is something else.
    #[error("the file is neither PEM nor PFX (PKCS #12) nor a certificate (DER)")]
    Unknown,
    /// It is a PFX of a kind that cannot be read.
    #[error("the PFX file cannot be read: {0}; export it with AES256-SHA256 or TripleDES-SHA1")]
    Pfx(String),
}

impl Bundle {
    /// Whether it is a PFX file, which has a password.
    #[must_use]
    pub fn is_pfx(bytes: &[u8]) -> bool {
        bytes.first() == Some(&SEQUENCE) && X509Certificate::from_der(bytes).is_err()
    }

    /// Reads a file; the password is that of a PFX.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn read(bytes: &[u8], password: &Secret<String>) -> Result<Self, BundleError> {
        if Bundle::is_pfx(bytes) {
            return of_pfx(bytes, password);
        }
        if bytes.first() == Some(&SEQUENCE) {
            return Ok(Bundle { certificates: vec![bytes.to_vec()], key: None });
        }
        of_pem(bytes)
    }

    /// What another file adds: its certificates, and its key if there was none.
    ///
    /// # Errors
    /// Both have a key.
    pub fn and(mut self, other: Bundle) -> Result<Self, BundleError> {
        if self.key.is_some() && other.key.is_some() {
            return Err(BundleError::Keys(2));
        }
        self.certificates.extend(other.certificates);
        self.key = self.key.or(other.key);
        Ok(self)
    }
}

fn of_pem(bytes: &[u8]) -> Result<Bundle, BundleError> {
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    let text = String::from_utf8_lossy(bytes);
    if text.contains("-----BEGIN PKCS7-----") {
        return Err(BundleError::Pkcs7);
    }
    // PKCS #8, and the older way with a line `Proc-Type: 4,ENCRYPTED`.
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("4,ENCRYPTED") {
        return Err(BundleError::EncryptedKey);
    }
    for item in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match item.map_err(|_| BundleError::Unknown)? {
            (SectionKind::Certificate, der) => certificates.push(der),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, der) => {
                keys.push(Secret::new(der));
            }
            _ => {}
        }
    }
    if certificates.is_empty() && keys.is_empty() {
        return Err(BundleError::Unknown);
    }
    if keys.len() > 1 {
        return Err(BundleError::Keys(keys.len()));
    }
    Ok(Bundle { certificates, key: keys.pop() })
}

fn of_pfx(bytes: &[u8], password: &Secret<String>) -> Result<Bundle, BundleError> {
    use p12_keystore::error::Error;
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.expose()).map_err(|error| match error {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => BundleError::Password,
        Error::DerError(_) => BundleError::Unknown,
        other => BundleError::Pfx(other.to_string()),
    })?;
    if archive.keys.len() > 1 {
        return Err(BundleError::Keys(archive.keys.len()));
    }
    let key = archive.keys.first().map(|bag| Secret::new(bag.key.as_der().to_vec()));
    let certificates = archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect();
    Ok(Bundle { certificates, key })
}

const SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests;
