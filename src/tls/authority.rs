//! A certificate authority: issues the certificates of nodes, administrators and front listeners.

use super::member::{Member, MemberKind};
use crate::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use rustls::pki_types::PrivateKeyDer;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A public key that is to have a certificate.
#[derive(Clone, Debug)]
pub struct Subject(/** DER of its SubjectPublicKeyInfo. */ pub(super) Vec<u8>);

/// A certificate and its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM.
    pub key_pem: Secret<String>,
    /// SHA-256 of the public key.
    pub key_hash: [u8; 32],
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot issue a certificate for {subject}")]
pub struct IssueError {
    subject: String,
    source: rcgen::Error,
}

/// The authority that was kept cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authority's certificate and key cannot be used")]
pub struct AuthorityError(#[from] rcgen::Error);

impl Authority {
    /// Makes a new authority with a new key, valid for ten years from `now`.
    ///
    /// # Errors
    /// [`IssueError`] if the name cannot stand in a certificate.
    pub fn new(name: &str, now: OffsetDateTime) -> Result<Self, IssueError> {
        let error = |source| IssueError { subject: name.into(), source };
        let mut params = params(name, now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(error)?;
        let certificate_pem = params.self_signed(&key).map_err(error)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// One that was kept: its certificate (PEM) and its key (DER).
    ///
    /// # Errors
    /// They are unusable.
    pub fn of_parts(certificate_pem: &str, key: &Secret<Vec<u8>>) -> Result<Self, AuthorityError> {
        let key = PrivateKeyDer::try_from(key.expose().as_slice())
            .map_err(|_| AuthorityError(rcgen::Error::CouldNotParseKeyPair))?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, KeyPair::try_from(&key)?)?;
        Ok(Authority { issuer, certificate_pem: certificate_pem.into() })
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key (PKCS #8).
    #[must_use]
    pub fn key(&self) -> Secret<Vec<u8>> {
        Secret::new(self.issuer.key().serialize_der())
    }

    /// Issues a certificate for a member of a cluster, with a new key.
    ///
    /// # Errors
    /// [`IssueError`] if the member's name cannot stand in a certificate.
    pub fn issue_member(
        &self,
        member: &Member,
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<Issued, IssueError> {
        let error = |source| IssueError { subject: member.uri(), source };
        let key = KeyPair::generate().map_err(error)?;
        let subject = Subject(key.subject_public_key_info());
        let key_hash = Sha256::digest(&subject.0).into();
        let certificate_pem = self.certify_member(member, &subject, now, life)?;
        Ok(Issued { certificate_pem, key_pem: Secret::new(key.serialize_pem()), key_hash })
    }

    /// Issues a certificate (PEM) for a member of a cluster that has its key already. A node's also carries
    /// the name that makes it a server.
    ///
    /// # Errors
    /// [`IssueError`] if the member's name cannot stand in a certificate.
    pub fn certify_member(
        &self,
        member: &Member,
        subject: &Subject,
        now: OffsetDateTime,
        life: Duration,
    ) -> Result<String, IssueError> {
        let uri = member.uri();
        let error = |source| IssueError { subject: uri.clone(), source };
        let mut params = params(&uri, now, life);
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(error)?));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        if matches!(member.kind, MemberKind::Node(_)) {
            let name = node_dns_name(&member.cluster).try_into().map_err(error)?;
            params.subject_alt_names.push(SanType::DnsName(name));
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let key = SubjectPublicKeyInfo::from_der(&subject.0).map_err(error)?;
        Ok(for_members(params).signed_by(&key, &self.issuer).map_err(error)?.pem())
    }

    /// Issues a server certificate for these DNS names and addresses.
    ///
    /// # Errors
    /// [`IssueError`] if a name cannot stand in a certificate.
    pub fn issue_server(&self, names: &[String], now: OffsetDateTime) -> Result<Issued, IssueError> {
        let subject = names.first().map_or("", String::as_str);
        let error = |source| IssueError { subject: subject.into(), source };
        let mut params = params(subject, now, SERVER_LIFE);
        params.subject_alt_names = CertificateParams::new(names.to_vec()).map_err(error)?.subject_alt_names;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().map_err(error)?;
        let certificate = for_members(params).signed_by(&key, &self.issuer).map_err(error)?;
        let key_hash = Sha256::digest(key.subject_public_key_info()).into();
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: Secret::new(key.serialize_pem()), key_hash })
    }
}

fn for_members(mut params: CertificateParams) -> CertificateParams {
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// The DNS name that every node of a cluster presents to the others; no resolver ever sees it.
pub(super) fn node_dns_name(cluster: &str) -> String {
    format!("{cluster}.node.rmsc.internal")
}

fn params(common_name: &str, now: OffsetDateTime, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    params.not_before = now - BACKDATED.min(life / 10);
    params.not_after = now + life;
    params
}

/// Ten years: nothing renews an authority yet.
const AUTHORITY_LIFE: Duration = Duration::days(3_650);
/// Of the lab's fronts; real ones have a certificate of their own.
const SERVER_LIFE: Duration = Duration::days(90);
/// Hosts whose clocks are a little behind must accept a fresh certificate.
const BACKDATED: Duration = Duration::minutes(5);
