//! The certificate that calling servers see: its chain in order, its key, and what it says.

use super::{Files, LoadError, certificates, private_key, provider};
use crate::secret::Secret;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fmt;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A chain and the key of its first certificate.
#[derive(Clone)]
pub struct FrontCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Secret<Vec<u8>>,
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AboutCertificate {
    /// Whom it is for.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The DNS names and addresses that it is for; the common name only where there are none.
    pub names: Vec<String>,
    /// Not before.
    pub from: OffsetDateTime,
    /// Not after.
    pub until: OffsetDateTime,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
}

/// Certificates and keys do not make a chain with its key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PartsError {
    /// There is none.
    #[error("there is no certificate")]
    NoCertificate,
    /// Its bytes are no certificate.
    #[error("a certificate cannot be read")]
    Unreadable,
    /// The bytes are no key of a usable kind.
    #[error(
        "the private key is of no kind that can be used: RSA with 2048 bits or more, or ECDSA with P-256, P-384 or P-521"
    )]
    Key,
    /// None of the certificates is of this key.
    #[error("the private key belongs to none of the certificates")]
    OtherKey,
}

impl FrontCertificate {
    /// Reads both files.
    ///
    /// # Errors
    /// [`LoadError`] names the file.
    pub fn of_files(files: &Files) -> Result<Self, LoadError> {
        let chain = certificates(&files.certificate)?;
        if chain.is_empty() {
            return Err(LoadError::Empty { path: files.certificate.clone() });
        }
        let key = Secret::new(private_key(&files.key)?.secret_der().to_vec());
        FrontCertificate::of_parts(chain.iter().map(|it| it.to_vec()).collect(), key)
            .map_err(|source| LoadError::Parts { path: files.certificate.clone(), source })
    }

    /// Puts certificates (DER, in any order) in the order of a chain that begins with the one of this key (DER).
    /// What does not belong to it is left out.
    ///
    /// # Errors
    /// [`PartsError`].
    pub fn of_parts(certificates: Vec<Vec<u8>>, key: Secret<Vec<u8>>) -> Result<Self, PartsError> {
        if certificates.is_empty() {
            return Err(PartsError::NoCertificate);
        }
        let public = public_key(&key)?;
        let mut left: Vec<(Vec<u8>, Names)> = Vec::new();
        for certificate in certificates {
            let names = Names::of(&certificate).ok_or(PartsError::Unreadable)?;
            left.push((certificate, names));
        }
        let leaf = left.iter().position(|(_, names)| names.public_key == public);
        let (leaf, mut last) = left.swap_remove(leaf.ok_or(PartsError::OtherKey)?);
        let mut chain = vec![CertificateDer::from(leaf)];
        while last.subject != last.issuer
            && let Some(next) = left.iter().position(|(_, names)| names.subject == last.issuer)
        {
            let (certificate, names) = left.swap_remove(next);
            chain.push(CertificateDer::from(certificate));
            last = names;
        }
        Ok(FrontCertificate { chain, key })
    }

    /// The first certificate, DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.chain.first().expect("a chain is made with its first certificate")
    }

    /// All of them, DER, the leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|it| it.to_vec()).collect()
    }

    /// The private key, DER.
    #[must_use]
    pub fn key(&self) -> &Secret<Vec<u8>> {
        &self.key
    }

    /// What each of them says, the leaf first.
    #[must_use]
    pub fn about(&self) -> Vec<AboutCertificate> {
        self.chain.iter().filter_map(|it| AboutCertificate::of(it)).collect()
    }

    /// Whether it is the same with the same key.
    #[must_use]
    pub fn is(&self, other: &FrontCertificate) -> bool {
        self.chain == other.chain && self.key.expose() == other.key.expose()
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// What goes over the wire: a client has the root, or does not trust it.
    pub(super) fn served(&self) -> Vec<CertificateDer<'static>> {
        let root = |it: &CertificateDer<'_>| Names::of(it).is_some_and(|names| names.subject == names.issuer);
        let (first, others) = self.chain.split_first().expect("a chain is made with its first certificate");
        let others = others.iter().filter(|it| !root(it)).cloned();
        std::iter::once(first.clone()).chain(others).collect()
    }

    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, rustls::Error> {
        PrivateKeyDer::try_from(self.key.expose().clone())
            .map_err(|reason| rustls::Error::General(reason.to_owned()))
    }
}

impl fmt::Debug for FrontCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrontCertificate({} certificates)", self.chain.len())
    }
}

impl AboutCertificate {
    /// Reads a certificate (DER).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(certificate).ok()?;
        Some(AboutCertificate {
            subject: short(&read.subject().to_string()),
            issuer: short(&read.issuer().to_string()),
            names: names(&read),
            from: read.validity().not_before.to_datetime(),
            until: read.validity().not_after.to_datetime(),
            fingerprint: Sha256::digest(certificate).into(),
        })
    }

    /// That its end is near, or has come.
    #[must_use]
    pub fn end_in_words(&self, now: OffsetDateTime) -> Option<String> {
        let (left, on) = (self.until - now, self.until.date());
        match left.whole_seconds() {
            ..=0 => Some(format!("has expired, on {on}")),
            seconds if seconds <= NEAR.whole_seconds() => {
                let days = left.whole_days();
                Some(format!("expires in {days} day{}, on {on}", if days == 1 { "" } else { "s" }))
            }
            _ => None,
        }
    }

    /// The same of the first certificate of a PEM text.
    #[must_use]
    pub fn of_pem(text: &str) -> Option<Self> {
        use rustls::pki_types::pem::PemObject;
        AboutCertificate::of(&CertificateDer::from_pem_slice(text.as_bytes()).ok()?)
    }
}

/// Whose a certificate is and who made it, as bytes.
struct Names {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    public_key: Vec<u8>,
}

impl Names {
    fn of(certificate: &[u8]) -> Option<Self> {
        let (rest, read) = X509Certificate::from_der(certificate).ok()?;
        rest.is_empty().then(|| Names {
            subject: read.subject().as_raw().to_vec(),
            issuer: read.issuer().as_raw().to_vec(),
            public_key: read.public_key().raw.to_vec(),
        })
    }
}

/// The names that a certificate is for (RFC 6125 6.4.4: the common name counts only where there is no other).
pub(super) fn names(read: &X509Certificate<'_>) -> Vec<String> {
    let others = read.subject_alternative_name().ok().flatten();
    let others = others.map(|it| it.value.general_names.iter().filter_map(name).collect::<Vec<_>>());
    match others {
        Some(names) if !names.is_empty() => names.into_iter().take(NAMES_MAX).collect(),
        _ => read.subject().iter_common_name().filter_map(|it| it.as_str().ok()).map(short).collect(),
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(short(name)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|it| std::net::IpAddr::from(it).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|it| std::net::IpAddr::from(it).to_string()),
        },
        _ => None,
    }
}

/// The public key of a private one, as it stands in a certificate.
fn public_key(key: &Secret<Vec<u8>>) -> Result<Vec<u8>, PartsError> {
    let der = PrivateKeyDer::try_from(key.expose().clone()).map_err(|_| PartsError::Key)?;
    let loaded = provider().key_provider.load_private_key(der).map_err(|_| PartsError::Key)?;
    loaded.public_key().map(|key| key.as_ref().to_vec()).ok_or(PartsError::Key)
}

/// Whoever made a certificate wrote it: it goes into events and tables.
fn short(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// To have one issued may take so long.
const NEAR: time::Duration = time::Duration::days(45);
/// A DNS name has 253 characters.
const TEXT_CHARS_MAX: usize = 256;
/// More than anybody reads.
const NAMES_MAX: usize = 100;
