//! Which keys are taken, until when, and what is refused.

use super::super::{Change, ClientId, Digest, NewNode, NodeKind, Outcome, RosterChange, State};
use super::*;

fn apply(state: &mut State, log_index: u64, at: i64, change: RosterChange) -> Outcome {
    let command = Command {
        client: ClientId(u128::from(log_index).to_be_bytes()),
        serial: 1,
        digest: Digest([1; 16]),
        since: u64::MAX,
        at: Timestamp(at),
        by: "alice".into(),
        change: Change::Roster(change),
    };
    state.apply(&command, log_index)
}

fn founded() -> State {
    let node = NewNode {
        name: "one".into(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        incarnation: 1,
        key: super::super::KeyHash([3; 32]),
        build: 1,
    };
    let mut state = State::default();
    let found = RosterChange::Found { authority: "PEM".into(), node, version: 1, administrator: None };
    apply(&mut state, 2, 0, found);
    state
}

fn key(service: &str, version: u32, mark: u8) -> NewServiceKey {
    let id = ServiceKeyId { service: service.into(), version, etype: 18 };
    NewServiceKey { id, sealed: Sealed(vec![mark; 40]), mark: KeyMark([mark; 16]) }
}

fn put(keys: &[NewServiceKey], others_retire_at: Option<i64>) -> RosterChange {
    let others_retire_at = others_retire_at.map(Timestamp);
    RosterChange::PutServiceKeys(PutServiceKeys { keys: keys.to_vec(), others_retire_at, removed_too: false })
}

/// Service, version, and when it retires.
fn keys(state: &State) -> Vec<(&str, u32, Option<i64>)> {
    let keys = state.roster.service_keys.iter();
    keys.map(|(id, key)| (&*id.service, id.version, key.retires_at.map(|at| at.0))).collect()
}

#[test]
fn a_rotation_keeps_other_versions_of_the_same_service_for_a_while() {
    let mut state = founded();
    apply(&mut state, 3, 10, put(&[key(RMS, 2, 2), key(OTHER, 5, 5)], None));
    apply(&mut state, 4, 20, put(&[key(RMS, 3, 3)], Some(100)));
    assert_eq!(keys(&state), [(OTHER, 5, None), (RMS, 2, Some(100)), (RMS, 3, None)]);
    // A second one does not prolong the first.
    apply(&mut state, 5, 30, put(&[key(RMS, 4, 4)], Some(200)));
    assert_eq!(keys(&state), [(OTHER, 5, None), (RMS, 2, Some(100)), (RMS, 3, Some(200)), (RMS, 4, None)]);
    // A clock that is ahead of the others forgets nothing yet.
    let day = FORGOTTEN_AFTER_MS;
    assert_eq!(apply(&mut state, 6, 99 + day, RosterChange::DropRetiredKeys), Outcome::RosterUnchanged);
    assert!(state.roster.service_keys[&key(RMS, 2, 2).id].is_retired(Timestamp(100)));
    assert_eq!(apply(&mut state, 7, 100 + day, RosterChange::DropRetiredKeys), Outcome::RosterChanged);
    assert_eq!(keys(&state), [(OTHER, 5, None), (RMS, 3, Some(200)), (RMS, 4, None)]);
    // Back to the one before, which was to go.
    apply(&mut state, 8, 110 + day, put(&[key(RMS, 3, 3)], None));
    assert_eq!(keys(&state), [(OTHER, 5, None), (RMS, 3, None), (RMS, 4, None)]);
    let kept = &state.roster.service_keys[&key(RMS, 3, 3).id];
    assert_eq!((kept.added_at, &*kept.added_by), (Timestamp(20), "alice"));
}

#[test]
fn the_same_again_changes_nothing_and_another_key_of_that_version_is_refused() {
    let mut state = founded();
    apply(&mut state, 3, 10, put(&[key(RMS, 2, 2)], None));
    let sealed_anew = NewServiceKey { sealed: Sealed(vec![9; 40]), ..key(RMS, 2, 2) };
    assert_eq!(apply(&mut state, 4, 11, put(&[sealed_anew], None)), Outcome::RosterUnchanged);
    let differs = Outcome::Rejected(Rejection::ServiceKeyDiffers { id: key(RMS, 2, 2).id });
    assert_eq!(apply(&mut state, 5, 12, put(&[key(RMS, 3, 3), key(RMS, 2, 8)], None)), differs);
    assert_eq!(keys(&state), [(RMS, 2, None)]);
}

#[test]
fn keys_are_removed_by_service_without_case_and_by_version() {
    let mut state = founded();
    apply(&mut state, 3, 10, put(&[key(RMS, 2, 2), key(RMS, 3, 3), key(OTHER, 5, 5)], None));
    let remove =
        |service: &str, version| RosterChange::RemoveServiceKeys { service: service.into(), version };
    assert_eq!(apply(&mut state, 4, 11, remove(RMS, Some(2))), Outcome::RosterChanged);
    assert_eq!(keys(&state), [(OTHER, 5, None), (RMS, 3, None)]);
    assert_eq!(apply(&mut state, 5, 12, remove(&RMS.to_lowercase(), None)), Outcome::RosterChanged);
    assert_eq!(keys(&state), [(OTHER, 5, None)]);
    let missing = Rejection::NoSuchServiceKey { service: RMS.into(), version: Some(2) };
    assert!(missing.to_string().contains("no key of HTTP/rms@R of version 2"), "{missing}");
    assert_eq!(apply(&mut state, 6, 13, remove(RMS, Some(2))), Outcome::Rejected(missing));
}

#[test]
fn a_removed_key_comes_back_only_if_that_is_meant() {
    let mut state = founded();
    apply(&mut state, 3, 10, put(&[key(RMS, 2, 2), key(RMS, 3, 3)], None));
    let remove = RosterChange::RemoveServiceKeys { service: RMS.into(), version: Some(2) };
    apply(&mut state, 4, 11, remove);
    let removed = Rejection::ServiceKeyRemoved { id: key(RMS, 2, 2).id, by: "alice".into() };
    assert!(removed.to_string().contains("--removed-too"), "{removed}");
    let both = [key(RMS, 2, 2), key(RMS, 4, 4)];
    assert_eq!(apply(&mut state, 5, 12, put(&both, None)), Outcome::Rejected(removed));
    assert_eq!(keys(&state), [(RMS, 3, None)]);
    // Another key of that version is not the one that was removed.
    assert_eq!(apply(&mut state, 6, 13, put(&[key(RMS, 2, 9)], None)), Outcome::RosterChanged);
    let remove = RosterChange::RemoveServiceKeys { service: RMS.into(), version: Some(2) };
    apply(&mut state, 7, 14, remove);
    let meant = PutServiceKeys { keys: vec![key(RMS, 2, 9)], others_retire_at: None, removed_too: true };
    assert_eq!(apply(&mut state, 8, 15, RosterChange::PutServiceKeys(meant)), Outcome::RosterChanged);
    assert_eq!(keys(&state), [(RMS, 2, None), (RMS, 3, None)]);
    assert!(state.roster.removed_service_keys.is_empty());
}

#[test]
fn what_was_removed_is_remembered_up_to_a_bound_the_newest_last() {
    let mut state = founded();
    for number in 0..=REMOVED_MAX as u32 {
        let at = i64::from(number);
        apply(&mut state, 10 + 2 * u64::from(number), at, put(&[key(RMS, number, 1)], None));
        let remove = RosterChange::RemoveServiceKeys { service: RMS.into(), version: None };
        apply(&mut state, 11 + 2 * u64::from(number), at, remove);
    }
    assert_eq!(state.roster.removed_service_keys.len(), REMOVED_MAX);
    assert!(!state.roster.removed_service_keys.contains_key(&key(RMS, 0, 1).id));
}

#[test]
fn keys_of_a_second_realm_are_refused() {
    let mut state = founded();
    apply(&mut state, 3, 10, put(&[key(RMS, 2, 2)], None));
    let realms = Outcome::Rejected(Rejection::ServiceKeyRealms { realms: "R and S".into() });
    assert_eq!(apply(&mut state, 4, 11, put(&[key("HTTP/rms@S", 2, 2)], None)), realms);
    assert_eq!(keys(&state), [(RMS, 2, None)]);
}

#[test]
fn there_are_never_more_than_the_most() {
    let mut state = founded();
    let many: Vec<_> = (0..SERVICE_KEYS_MAX as u32).map(|version| key(RMS, version, 1)).collect();
    assert_eq!(apply(&mut state, 3, 10, put(&many, None)), Outcome::RosterChanged);
    let full = Outcome::Rejected(Rejection::TooManyServiceKeys { keys_max: SERVICE_KEYS_MAX as u64 });
    assert_eq!(apply(&mut state, 4, 11, put(&[key(OTHER, 1, 1)], None)), full);
    assert_eq!(state.roster.service_keys.len(), SERVICE_KEYS_MAX);
}

const RMS: &str = "HTTP/rms@R";
const OTHER: &str = "HTTP/other@R";
