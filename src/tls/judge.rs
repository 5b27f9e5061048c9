//! What is wrong with the certificate of a service: everything at once, so that it is mended once. Pure: the time and
//! the authorities that this host trusts are arguments.

use super::front_certificate::{FrontCertificate, names};
use super::{AboutCertificate, provider};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use std::net::IpAddr;
use std::time::Duration;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Version;

/// The authorities that this host trusts.
#[derive(Clone, Debug)]
pub struct Trusted(RootCertStore);

/// What is wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It cannot be read.
    #[error("a certificate of the chain cannot be read; export it again")]
    Unreadable,
    /// Its time is over.
    #[error("it has expired on {}: have a new one issued (rmsc cert renew), and import that", until.date())]
    Expired {
        /// When.
        until: OffsetDateTime,
    },
    /// Its time has not come.
    #[error("it is not valid before {from}: wait, or set this host's clock right")]
    NotYetValid {
        /// From when on it is.
        from: OffsetDateTime,
    },
    /// It has no time at all.
    #[error(
        "it ends on {}, before it begins on {}, so it is never valid: have a new one issued (rmsc cert renew), and \
         import that",
        until.date(),
        from.date()
    )]
    NeverValid {
        /// When it begins.
        from: OffsetDateTime,
        /// When it ends.
        until: OffsetDateTime,
    },
    /// It is for other names.
    #[error(
        "it is for {}, and servers call {wanted}: have one issued for that name (rmsc cert renew)",
        if names.is_empty() { "no name" } else { names }
    )]
    OtherName {
        /// The service's name.
        wanted: String,
        /// The names in it.
        names: String,
    },
    /// The chain ends before anybody whom this host trusts.
    #[error(
        "the certificate of {issuer} is missing, and this host does not trust that authority: add it with --chain FILE, \
         or to the PEM file after the others"
    )]
    Incomplete {
        /// Who issued the last one.
        issuer: String,
    },
    /// It vouches for itself.
    #[error("it is issued by itself, so no server trusts it unless told to: have one issued by an authority")]
    SelfSigned,
    /// Its key can be guessed.
    #[error(
        "the RSA key of {subject} has {bits} bits, and less than {RSA_BITS_MIN} can be broken: use a new key"
    )]
    SmallKey {
        /// Whose.
        subject: String,
        /// How many.
        bits: usize,
    },
    /// It is signed with a hash that can be forged.
    #[error(
        "{subject} is signed with {hash}, which can be forged and clients refuse: have it issued with SHA-256"
    )]
    WeakSignature {
        /// Whose.
        subject: String,
        /// With what.
        hash: &'static str,
    },
    /// It is older than extensions.
    #[error("it is an X.509 certificate of version 1, which clients refuse: have it issued for a web server")]
    OldVersion,
    /// It may not sign a handshake.
    #[error("its key usage lacks digitalSignature, which TLS needs: have it issued for a web server")]
    KeyUsage,
    /// It is not for servers.
    #[error("its extended key usage lacks serverAuth: have it issued for a web server")]
    NotForServers,
    /// It is an authority's.
    #[error(
        "it is the certificate of an authority, which clients refuse for a server: have one issued for the server"
    )]
    Authority,
    /// The signatures or the rules of the chain do not hold.
    #[error("clients that check the chain refuse it: {reason}")]
    Chain {
        /// Why.
        reason: String,
    },
}

impl CertificateFault {
    /// Whether somebody may know better: servers can be told to trust an authority, and to call another name.
    #[must_use]
    pub fn may_be_meant(&self) -> bool {
        match self {
            CertificateFault::OtherName { .. }
            | CertificateFault::Incomplete { .. }
            | CertificateFault::SelfSigned
            | CertificateFault::NotYetValid { .. } => true,
            CertificateFault::Unreadable
            | CertificateFault::Expired { .. }
            | CertificateFault::NeverValid { .. }
            | CertificateFault::SmallKey { .. }
            | CertificateFault::WeakSignature { .. }
            | CertificateFault::OldVersion
            | CertificateFault::KeyUsage
            | CertificateFault::NotForServers
            | CertificateFault::Authority
            | CertificateFault::Chain { .. } => false,
        }
    }
}

impl Trusted {
    /// Those of the system.
    #[must_use]
    pub fn of_system() -> Self {
        Trusted(super::service::of_system())
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Trusted(RootCertStore::empty())
    }

    /// Whether one of that name (DER) is among them.
    fn has(&self, name: &[u8]) -> bool {
        // A trust anchor's name is kept without the tag and the length of its sequence.
        self.0.roots.iter().any(|root| name.ends_with(&root.subject) && name.len() - root.subject.len() <= 4)
    }
}

impl AboutCertificate {
    /// Whether one of its names is that of the service.
    #[must_use]
    pub fn is_for(&self, service_name: &str) -> bool {
        self.names.iter().any(|name| is_for(name, service_name))
    }
}

impl FrontCertificate {
    /// All that is wrong with it as the certificate of a service.
    #[must_use]
    pub fn faults(
        &self,
        service_name: &str,
        trusted: &Trusted,
        now: OffsetDateTime,
    ) -> Vec<CertificateFault> {
        let read: Result<Vec<_>, _> = self
            .certificates()
            .iter()
            .map(|it| X509Certificate::from_der(it).map(|(_, read)| read))
            .collect();
        let Ok(read) = read else { return vec![CertificateFault::Unreadable] };
        let (Some(leaf), Some(last)) = (read.first(), read.last()) else {
            return vec![CertificateFault::Unreadable];
        };
        let mut faults = Vec::new();
        let (from, until) =
            (leaf.validity().not_before.to_datetime(), leaf.validity().not_after.to_datetime());
        if until < from {
            faults.push(CertificateFault::NeverValid { from, until });
        } else if until < now {
            faults.push(CertificateFault::Expired { until });
        } else if now < from {
            faults.push(CertificateFault::NotYetValid { from });
        }
        let names = names(leaf);
        if !names.iter().any(|name| is_for(name, service_name)) {
            let names = names.join(", ");
            faults.push(CertificateFault::OtherName { wanted: service_name.into(), names });
        }
        faults.extend(of_extensions(leaf));
        let strength: Vec<_> = read.iter().filter(|it| !is_root(it)).filter_map(weakness).collect();
        let strong = strength.is_empty() && !faults.contains(&CertificateFault::OldVersion);
        faults.extend(strength);
        if is_root(leaf) {
            faults.push(CertificateFault::SelfSigned);
        } else if !is_root(last) && !trusted.has(last.issuer().as_raw()) {
            let issuer = AboutCertificate::of(self.certificates().last().map_or(&[], |it| it.as_ref()));
            let issuer = issuer.map(|about| about.issuer).unwrap_or_default();
            faults.push(CertificateFault::Incomplete { issuer });
        } else if strong && now <= until && from <= until && !faults.contains(&CertificateFault::Authority) {
            // Its own time was looked at; that of the others counts as it is then. Once it has expired, they may have
            // been renewed: the next one has its own chain.
            faults.extend(path_fault(self.certificates(), trusted, now.max(from)));
        }
        faults
    }
}

/// RFC 6125 6.4.3: a star stands for the whole first label, and for one.
fn is_for(name: &str, wanted: &str) -> bool {
    if wanted.parse::<IpAddr>().is_ok() || name.parse::<IpAddr>().is_ok() {
        return name.eq_ignore_ascii_case(wanted);
    }
    let wanted = wanted.trim_end_matches('.');
    match name.strip_prefix("*.") {
        Some(domain) => wanted.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && rest.contains('.') && rest.eq_ignore_ascii_case(domain)
        }),
        None => name.eq_ignore_ascii_case(wanted),
    }
}

fn is_root(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn of_extensions(leaf: &X509Certificate<'_>) -> Vec<CertificateFault> {
    let mut faults = Vec::new();
    if leaf.version() != X509Version::V3 {
        faults.push(CertificateFault::OldVersion);
    }
    if let Ok(Some(usage)) = leaf.key_usage()
        && !usage.value.digital_signature()
    {
        faults.push(CertificateFault::KeyUsage);
    }
    if let Ok(Some(usage)) = leaf.extended_key_usage()
        && !usage.value.server_auth
        && !usage.value.any
    {
        faults.push(CertificateFault::NotForServers);
    }
    if let Ok(Some(constraints)) = leaf.basic_constraints()
        && constraints.value.ca
    {
        faults.push(CertificateFault::Authority);
    }
    faults
}

fn weakness(certificate: &X509Certificate<'_>) -> Option<CertificateFault> {
    let subject = || certificate.subject().to_string().chars().take(256).collect();
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < RSA_BITS_MIN
    {
        return Some(CertificateFault::SmallKey { subject: subject(), bits: key.key_size() });
    }
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    let (_, hash) = WEAK.iter().find(|(weak, _)| *weak == oid)?;
    Some(CertificateFault::WeakSignature { subject: subject(), hash })
}

/// The library that clients of ours check with, over the whole chain.
fn path_fault(
    chain: &[CertificateDer<'_>],
    trusted: &Trusted,
    at: OffsetDateTime,
) -> Option<CertificateFault> {
    let refused = |error: &dyn std::fmt::Display| CertificateFault::Chain { reason: error.to_string() };
    let (leaf, others) = chain.split_first()?;
    let mut roots = trusted.0.clone();
    roots.add_parsable_certificates(
        others
            .iter()
            .map(|it| it.clone().into_owned())
            .filter(|it| X509Certificate::from_der(it).is_ok_and(|(_, read)| is_root(&read))),
    );
    let parsed = match ParsedCertificate::try_from(leaf) {
        Ok(parsed) => parsed,
        Err(error) => return Some(refused(&error)),
    };
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms.all;
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, others, now, algorithms);
    verified.err().map(|error| refused(&error))
}

/// NIST SP 800-131A; browsers and Windows refuse less.
const RSA_BITS_MIN: usize = 2_048;
/// Signatures with hashes that can be forged.
const WEAK: [(&str, &str); 6] = [
    ("1.2.840.113549.1.1.2", "MD2"),
    ("1.2.840.113549.1.1.4", "MD5"),
    ("1.2.840.113549.1.1.5", "SHA-1"),
    ("1.2.840.10040.4.3", "SHA-1"),
    ("1.2.840.10045.4.1", "SHA-1"),
    ("1.3.14.3.2.29", "SHA-1"),
];

#[cfg(test)]
mod tests;
