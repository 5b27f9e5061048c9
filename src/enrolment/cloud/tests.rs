//! What is kept about the cloud: its frozen bytes, and that no text shows it.

use super::super::secrets::context;
use super::convert::*;
use super::*;
use crate::storage::frozen;
use prost::Message as _;

fn enrolment(credential: CloudCredential) -> CloudEnrolment {
    let expires_at = Some(Timestamp(9));
    CloudEnrolment {
        id: [1; 16],
        credential,
        by: "alice".into(),
        at: Timestamp(5),
        expires_at,
        settings: None,
    }
}

fn token() -> CloudToken {
    CloudToken {
        id: [2; 16],
        enrolment: [1; 16],
        access: Secret::new("canary-access".into()),
        issued_at: Timestamp(6),
        expires_at: Timestamp(7),
        refresh: Some(Secret::new("canary-refresh".into())),
        refused_before: 0,
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
    let again = CloudToken { refused_before: 3, ..token() };
    let frozen = frozen::check("cloud-1/token-refused-before", &token_to(&again).encode_to_vec());
    assert_eq!(token_from(stored::CloudToken::decode(&frozen[..]).unwrap()).unwrap().refused_before, 3);
    let refused = stored::CloudTokenRefused { id: vec![2; 16] }.encode_to_vec();
    assert_eq!(frozen::check("cloud-1/refused", &refused), refused);
}

#[test]
fn what_was_kept_beside_it_is_read() {
    let settings = CloudSettings {
        sign_in: "https://login.example/contoso".into(),
        client_id: "app".into(),
        audience: "scope=x".into(),
        service: "contoso.example".into(),
    };
    let credential = CloudCredential::ClientSecret(Secret::new("canary".into()));
    let bound = CloudEnrolment { settings: Some(settings.clone()), ..enrolment(credential) };
    let frozen = frozen::check("cloud-1/enrolment-settings", &enrolment_to(&bound).encode_to_vec());
    let read = enrolment_from(stored::CloudEnrolment::decode(&frozen[..]).unwrap()).unwrap();
    assert_eq!(read.settings, Some(settings));
    let failure = CloudRenewalFailure { reason: "away".into(), refused: true };
    for (name, failure) in [("renewal", None), ("renewal-failed", Some(failure))] {
        let renewal = CloudRenewal { node_id: 4, at: Timestamp(8), failures: 2, failure };
        let frozen = frozen::check(&format!("cloud-1/{name}"), &renewal_to(&renewal).encode_to_vec());
        assert_eq!(renewal_from(stored::CloudRenewal::decode(&frozen[..]).unwrap()), renewal);
    }
    let out = stored::CloudSignedOut { by: "alice".into(), at_ms: 5 }.encode_to_vec();
    assert_eq!(frozen::check("cloud-1/signed-out", &out), out);
}

/// Names and the purpose that each is sealed for are part of the format, too.
#[test]
fn what_was_sealed_is_opened() {
    let key = Key::of_bytes(&[7; 32]).unwrap();
    let credential = CloudCredential::ClientSecret(Secret::new("canary".into()));
    let refused = stored::CloudTokenRefused { id: vec![2; 16] };
    let renewal = CloudRenewal { node_id: 4, at: Timestamp(8), failures: 2, failure: None };
    let out = stored::CloudSignedOut { by: "alice".into(), at_ms: 5 };
    let mut roster = Roster::default();
    for (name, plain) in [
        ("cloud-enrolment", enrolment_to(&enrolment(credential)).encode_to_vec()),
        ("cloud-token", token_to(&token()).encode_to_vec()),
        ("cloud-token-refused", refused.encode_to_vec()),
        ("cloud-renewal", renewal_to(&renewal).encode_to_vec()),
        ("cloud-signed-out", out.encode_to_vec()),
    ] {
        let sealed = key.seal(&context("c1", name), &plain);
        let frozen = frozen::keep(&format!("cloud-1/sealed/{name}"), &sealed);
        roster.secrets.insert(name.into(), Sealed(frozen));
    }
    let cloud = cloud_of(&roster, "c1", &key).unwrap();
    assert_eq!(cloud.token.unwrap().id, [2; 16]);
    assert_eq!((cloud.refused, cloud.renewal), (Some([2; 16]), Some(renewal)));
    assert_eq!(cloud.signed_out.unwrap().by, "alice");
}

#[test]
fn says_which_setting_is_another_one() {
    let login = CloudSettings { client_id: "app".into(), ..CloudSettings::default() };
    assert_eq!(login.difference(&login.clone()), None);
    let other = CloudSettings { client_id: "other".into(), ..CloudSettings::default() };
    let words = login.difference(&other).unwrap();
    assert!(words.contains("client_id is other in this node's file") && words.contains("for app"), "{words}");
}

#[test]
fn what_a_later_build_kept_is_not_guessed() {
    let none = stored::CloudEnrolment { id: vec![1; 16], ..Default::default() };
    assert!(enrolment_from(none).is_none());
    let short = stored::CloudToken { id: vec![1; 15], enrolment: vec![1; 16], ..Default::default() };
    assert!(token_from(short).is_none());
}

/// For the tests of what a new lineage goes on with.
pub(in crate::enrolment) fn secret() -> Secret<String> {
    Secret::new("canary".into())
}

pub(in crate::enrolment) fn roster_of(credential: CloudCredential, key: &Key) -> Roster {
    let mut roster = Roster::default();
    for (name, plain) in [
        (ENROLMENT, enrolment_to(&enrolment(credential)).encode_to_vec()),
        (TOKEN, token_to(&token()).encode_to_vec()),
    ] {
        roster.secrets.insert(name.into(), Sealed(key.seal(&context("c1", name), &plain)));
    }
    roster
}
