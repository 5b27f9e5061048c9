//! What is kept about the cloud: its frozen bytes, and that no text shows it.

use super::*;
use crate::storage::frozen;

fn enrolment(credential: CloudCredential) -> CloudEnrolment {
    let expires_at = Some(Timestamp(9));
    CloudEnrolment { id: [1; 16], credential, by: "alice".into(), at: Timestamp(5), expires_at }
}

fn token() -> CloudToken {
    CloudToken {
        id: [2; 16],
        enrolment: [1; 16],
        access: Secret::new("canary-access".into()),
        issued_at: Timestamp(6),
        expires_at: Timestamp(7),
        refresh: Some(Secret::new("canary-refresh".into())),
    }
}

#[test]
fn what_was_kept_is_read() {
    let secret = |text: &str| Secret::new(text.to_owned());
    for (name, credential) in [
        ("enrolment-secret", CloudCredential::ClientSecret(secret("canary-secret"))),
        ("enrolment-certificate", CloudCredential::Certificate("pem".into(), secret("canary-key"))),
        ("enrolment-device", CloudCredential::RefreshToken(secret("canary-refresh"))),
    ] {
        let bytes = enrolment_to(&enrolment(credential)).encode_to_vec();
        let frozen = frozen::check(&format!("cloud-1/{name}"), &bytes);
        assert_eq!(frozen, bytes);
        let read = enrolment_from(stored::CloudEnrolment::decode(&frozen[..]).unwrap()).unwrap();
        assert_eq!(
            (read.id, &*read.by, read.at, read.expires_at),
            ([1; 16], "alice", Timestamp(5), Some(Timestamp(9)))
        );
        assert_eq!(enrolment_to(&read).encode_to_vec(), bytes);
        assert!(!format!("{read:?}").contains("canary"), "{read:?}");
    }
    let bytes = token_to(&token()).encode_to_vec();
    let frozen = frozen::check("cloud-1/token", &bytes);
    let read = token_from(stored::CloudToken::decode(&frozen[..]).unwrap()).unwrap();
    assert_eq!(token_to(&read).encode_to_vec(), bytes);
    assert!(!format!("{read:?}").contains("canary"), "{read:?}");
    let refused = stored::CloudTokenRefused { id: vec![2; 16] }.encode_to_vec();
    assert_eq!(frozen::check("cloud-1/refused", &refused), refused);
}

#[test]
fn what_a_later_build_kept_is_not_guessed() {
    let none = stored::CloudEnrolment { id: vec![1; 16], ..Default::default() };
    assert!(enrolment_from(none).is_none());
    let short = stored::CloudToken { id: vec![1; 15], enrolment: vec![1; 16], ..Default::default() };
    assert!(token_from(short).is_none());
}
