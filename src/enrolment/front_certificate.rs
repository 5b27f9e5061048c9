//! The certificate that calling servers see, as it is kept: sealed as a whole among the secrets of the roster, with
//! its key, so that every node has it and the data folder alone reveals nothing. Also a key that waits for its
//! certificate: it never leaves the cluster.

use super::secrets::{SecretError, changed, mark, read};
use super::{Enrolment, milliseconds};
use crate::proto::state::v1 as stored;
use crate::seal::Key;
use crate::secret::Secret;
use crate::state::{Change, Roster, SealMark, Timestamp};
use crate::tls::{FrontCertificate, PartsError};
use time::OffsetDateTime;

/// A certificate that was imported.
#[derive(Clone, Debug)]
pub struct KeptCertificate {
    /// The chain and its key.
    pub certificate: FrontCertificate,
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A key that waits for its certificate.
#[derive(Clone, Debug)]
pub struct KeptRequest {
    /// The private key (PKCS #8).
    pub key: Secret<Vec<u8>>,
    /// The request (PKCS #10), PEM.
    pub request: String,
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Somebody took the certificate away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedCertificate {
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// All of it. One part that cannot be used here is no reason not to use the others.
#[derive(Debug)]
pub struct Front {
    /// What is shown.
    pub certificate: Result<Option<KeptCertificate>, FrontError>,
    /// What waits.
    pub request: Result<Option<KeptRequest>, FrontError>,
    /// Who took the certificate away, if none came since.
    pub removed: Result<Option<RemovedCertificate>, FrontError>,
    /// Which ones these are.
    pub marks: FrontMarks,
}

/// Tell what was read from what is kept later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrontMarks {
    /// Of the certificate.
    pub certificate: Option<SealMark>,
    /// Of the request.
    pub request: Option<SealMark>,
}

impl FrontMarks {
    /// Those of a roster.
    #[must_use]
    pub fn of(roster: &Roster) -> Self {
        FrontMarks { certificate: mark(roster, CERTIFICATE), request: mark(roster, REQUEST) }
    }
}

/// What is kept cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// It does not open, or is of a later build.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It is no certificate with its key.
    #[error("{CERTIFICATE} cannot be used")]
    Parts(#[from] PartsError),
}

impl Enrolment {
    /// What a roster has for calling servers.
    #[must_use]
    pub fn front(&self, roster: &Roster) -> Front {
        let identity = self.shared.identity.now();
        front_of(roster, &identity.cluster_id, &identity.data_key)
    }

    /// The change that keeps a certificate in the place of the one that was read; the request that was read is
    /// forgotten with its key if that is the certificate's.
    #[must_use]
    pub fn keep_front_certificate(&self, before: &Front, certificate: &FrontCertificate, by: &str) -> Change {
        let kept = stored::FrontCertificate {
            chain: certificate.chain(),
            key: certificate.key().expose().clone(),
            by: by.into(),
            at_ms: self.now_ms(),
        };
        let mut secrets = vec![self.sealed(CERTIFICATE, &kept), (REMOVED.into(), None)];
        let of_request = before.request.as_ref().ok().and_then(Option::as_ref);
        if of_request.is_some_and(|request| request.key.expose() == certificate.key().expose()) {
            secrets.push((REQUEST.into(), None));
        }
        changed(secrets, expected(before.marks))
    }

    /// The change that takes the certificate away that was read, with its key. A key that waits goes on waiting.
    #[must_use]
    pub fn remove_front_certificate(&self, before: &Front, by: &str) -> Change {
        let removed = stored::FrontCertificateRemoved { by: by.into(), at_ms: self.now_ms() };
        let secrets = vec![(CERTIFICATE.into(), None), self.sealed(REMOVED, &removed)];
        changed(secrets, taken_away(before.marks))
    }

    /// The change that keeps a key for a certificate to come, and its request, in the place of the one that was read.
    #[must_use]
    pub fn keep_front_request(&self, before: &Front, request: &KeptRequest) -> Change {
        let kept = stored::FrontCertificateRequest {
            key: request.key.expose().clone(),
            request: request.request.clone(),
            by: request.by.clone(),
            at_ms: request.at.0,
        };
        changed(vec![self.sealed(REQUEST, &kept)], expected(before.marks))
    }

    /// When the cluster's authority ends (PEM of its certificate).
    #[must_use]
    pub fn authority_pem(&self) -> String {
        self.shared.identity.now().authority
    }

    fn now_ms(&self) -> i64 {
        let now: OffsetDateTime = (self.shared.clock)();
        milliseconds(now).0
    }
}

/// One that came since stays.
fn taken_away(before: FrontMarks) -> Vec<(String, Option<SealMark>)> {
    vec![(CERTIFICATE.into(), before.certificate)]
}

fn expected(before: FrontMarks) -> Vec<(String, Option<SealMark>)> {
    vec![(CERTIFICATE.into(), before.certificate), (REQUEST.into(), before.request)]
}

fn front_of(roster: &Roster, cluster_id: &str, data_key: &Key) -> Front {
    let keys = (cluster_id, data_key);
    let request = read::<stored::FrontCertificateRequest>(keys, roster, REQUEST).map_err(FrontError::from);
    let request = request.map(|read| {
        read.map(|read| KeptRequest {
            key: Secret::new(read.key),
            request: read.request,
            by: read.by,
            at: Timestamp(read.at_ms),
        })
    });
    let removed = removed_of(keys, roster);
    Front { certificate: certificate_of(keys, roster), request, removed, marks: FrontMarks::of(roster) }
}

fn removed_of(keys: (&str, &Key), roster: &Roster) -> Result<Option<RemovedCertificate>, FrontError> {
    // An import through an earlier build leaves it beside the new one.
    if roster.secrets.contains_key(CERTIFICATE) {
        return Ok(None);
    }
    let read = read::<stored::FrontCertificateRemoved>(keys, roster, REMOVED)?;
    Ok(read.map(|read| RemovedCertificate { by: read.by, at: Timestamp(read.at_ms) }))
}

fn certificate_of(keys: (&str, &Key), roster: &Roster) -> Result<Option<KeptCertificate>, FrontError> {
    let Some(read) = read::<stored::FrontCertificate>(keys, roster, CERTIFICATE)? else { return Ok(None) };
    let certificate = FrontCertificate::of_parts(read.chain, Secret::new(read.key))?;
    Ok(Some(KeptCertificate { certificate, by: read.by, at: Timestamp(read.at_ms) }))
}

const CERTIFICATE: &str = "front-certificate";
const REQUEST: &str = "front-certificate-request";
const REMOVED: &str = "front-certificate-removed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::secrets::context;
    use crate::state::Sealed;
    use crate::storage::frozen;
    use crate::tls::{Authority, Bundle, FrontKeyKind, FrontRequest};
    use prost::Message;

    /// A certificate of the past: what is frozen is read for ever.
    fn stored_certificate() -> stored::FrontCertificate {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let authority = Authority::new("ca", now).unwrap();
        let issued = authority.issue_server(&["rms.test".into()], now).unwrap();
        let pem = format!("{}{}", issued.certificate_pem, issued.key_pem.expose());
        let bundle = Bundle::read(pem.as_bytes(), &Secret::new(String::new())).unwrap();
        let key = bundle.key.unwrap().expose().clone();
        stored::FrontCertificate { chain: bundle.certificates, key, by: "alice".into(), at_ms: 5 }
    }

    #[test]
    fn what_was_kept_is_read_for_ever() {
        let key = Key::of_bytes(&[7; 32]).unwrap();
        let plain = frozen::keep("front-1/certificate", &stored_certificate().encode_to_vec());
        // Written again it is the same.
        let decoded = stored::FrontCertificate::decode(plain.as_slice()).unwrap();
        assert_eq!(decoded.encode_to_vec(), plain);
        let request = stored::FrontCertificateRequest {
            key: vec![3; 8],
            request: "-----BEGIN".into(),
            by: "bob".into(),
            at_ms: 6,
        };
        let request = frozen::check("front-1/request", &request.encode_to_vec());
        let mut roster = Roster::default();
        let removed = stored::FrontCertificateRemoved { by: "carol".into(), at_ms: 7 };
        let removed = frozen::check("front-1/removed", &removed.encode_to_vec());
        for (name, plain) in [(CERTIFICATE, &plain), (REQUEST, &request), (REMOVED, &removed)] {
            let sealed = key.seal(&context("c1", name), plain);
            let frozen = frozen::keep(&format!("front-1/sealed/{name}"), &sealed);
            roster.secrets.insert(name.into(), Sealed(frozen));
        }
        let front = front_of(&roster, "c1", &key);
        let certificate = front.certificate.unwrap().unwrap();
        assert_eq!((certificate.by.as_str(), certificate.at), ("alice", Timestamp(5)));
        assert_eq!(certificate.certificate.about()[0].names, ["rms.test"]);
        let request = front.request.unwrap().unwrap();
        assert_eq!((request.key.expose().as_slice(), request.by.as_str()), (&[3; 8][..], "bob"));
        assert!(matches!(
            front_of(&roster, "c2", &key).certificate,
            Err(FrontError::Secret(SecretError::Sealed { .. }))
        ));
        // An earlier build left it beside one that came since.
        assert_eq!(front.removed.unwrap(), None);
        roster.secrets.remove(CERTIFICATE);
        let removed = RemovedCertificate { by: "carol".into(), at: Timestamp(7) };
        assert_eq!(front_of(&roster, "c1", &key).removed.unwrap(), Some(removed));
    }

    #[test]
    fn a_part_that_is_broken_breaks_no_other() {
        let key = Key::of_bytes(&[7; 32]).unwrap();
        let plain = frozen::keep("front-1/certificate", &[]);
        let mut roster = Roster::default();
        let sealed = |name, plain: &[u8]| Sealed(key.seal(&context("c1", name), plain));
        roster.secrets.insert(CERTIFICATE.into(), sealed(CERTIFICATE, &plain));
        roster.secrets.insert(REQUEST.into(), Sealed(vec![1; 40]));
        let front = front_of(&roster, "c1", &key);
        assert!(front.certificate.unwrap().is_some() && front.request.is_err());
        for (broken, words) in [
            (Sealed(vec![1; 40]), "front-certificate does not open"),
            (sealed(CERTIFICATE, &[255; 9]), "front-certificate is not of a kind that this build knows"),
            (sealed(CERTIFICATE, &[]), "front-certificate cannot be used"),
        ] {
            roster.secrets.insert(CERTIFICATE.into(), broken);
            let front = front_of(&roster, "c1", &key);
            assert_eq!(front.certificate.unwrap_err().to_string(), words);
            assert!(front.marks.certificate.is_some());
        }
    }

    #[test]
    fn a_removal_names_the_one_that_it_takes_away() {
        let [certificate, request] = [1, 2].map(|mark| Some(SealMark([mark; 16])));
        let named = taken_away(FrontMarks { certificate, request });
        assert_eq!(named, [("front-certificate".to_owned(), certificate)]);
    }

    #[test]
    fn a_key_is_in_no_words() {
        let request = FrontRequest::new(FrontKeyKind::Ecdsa, &["rms.test".into()]).unwrap();
        let kept = KeptRequest {
            key: Secret::new(b"canary-8f3a".to_vec()),
            request: request.request,
            by: "alice".into(),
            at: Timestamp(1),
        };
        assert!(!format!("{kept:?}").contains("canary"));
    }
}
