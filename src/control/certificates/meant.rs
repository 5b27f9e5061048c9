//! Whether the certificate that is to go is the one that the administrator saw. Pure.

use super::certificate_of;
use crate::enrolment::{Front, hex};
use tonic::Status;

/// Refuses to take another certificate away than the one with this SHA-256; with an empty one, any that can be read.
pub(super) fn check(now: &Front, fingerprint: &[u8]) -> Result<(), Status> {
    if now.marks.certificate.is_none() {
        return Ok(());
    }
    let about = certificate_of(now).and_then(|kept| kept.certificate.about().into_iter().next());
    let words = match about {
        Some(about) if about.fingerprint == fingerprint => return Ok(()),
        Some(about) => format!("the certificate is another one by now (SHA-256 {})", hex(&about.fingerprint)),
        None if fingerprint.is_empty() => return Ok(()),
        None => "the certificate is another one by now, or cannot be read on this node".into(),
    };
    Err(Status::failed_precondition(format!("{words}; look at rmsc cert show, then remove again")))
}

#[cfg(test)]
mod tests {
    use super::super::nodes::tests::{front, kept};
    use super::*;
    use crate::enrolment::SecretError;

    #[test]
    fn another_one_than_was_seen_stays() {
        let (first, second) = (kept(), kept());
        let fingerprint = |kept: &crate::enrolment::KeptCertificate| kept.certificate.about()[0].fingerprint;
        let there = front(Ok(Some(first.clone())));
        check(&there, &fingerprint(&first)).unwrap();
        let words = format!("another one by now (SHA-256 {})", hex(&fingerprint(&first)));
        for other in [&fingerprint(&second)[..], &[]] {
            let refused = check(&there, other).unwrap_err();
            assert!(refused.message().contains(&words), "{refused}");
        }
        let unreadable = front(Err(SecretError::Unknown { name: "front-certificate" }.into()));
        check(&unreadable, &[]).unwrap();
        let refused = check(&unreadable, &fingerprint(&first)).unwrap_err();
        assert!(refused.message().contains("or cannot be read on this node"), "{refused}");
        check(&front(Ok(None)), &fingerprint(&first)).unwrap();
    }
}
