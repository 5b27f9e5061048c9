//! Who is an administrator, and what is refused.

use super::super::{Change, ClientId, Command, Digest, NewNode, NodeKind, Outcome, RosterChange, State};
use super::*;

const ALICE: KeyHash = KeyHash([1; 32]);
const BOB: KeyHash = KeyHash([2; 32]);
const OTHER: KeyHash = KeyHash([3; 32]);

fn new(name: &str, key: KeyHash) -> NewAdministrator {
    NewAdministrator { name: name.into(), key }
}

fn apply(state: &mut State, log_index: u64, by: &str, change: RosterChange) -> Outcome {
    let command = Command {
        client: ClientId(u128::from(log_index).to_be_bytes()),
        serial: 1,
        digest: Digest([1; 16]),
        since: u64::MAX,
        at: Timestamp(5),
        by: by.into(),
        change: Change::Roster(change),
    };
    state.apply(&command, log_index)
}

fn found(administrator: Option<NewAdministrator>) -> RosterChange {
    let node = NewNode {
        name: "one".into(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        incarnation: 1,
        key: OTHER,
        build: 1,
    };
    RosterChange::Found { authority: "PEM".into(), node, version: 1, administrator }
}

fn founded() -> State {
    let mut state = State::default();
    apply(&mut state, 2, "rmsc init", found(Some(new("alice", ALICE))));
    state
}

fn add(name: &str, key: KeyHash) -> RosterChange {
    RosterChange::AddAdministrator(new(name, key))
}

fn remove(name: &str) -> RosterChange {
    RosterChange::RemoveAdministrator { name: name.into() }
}

fn former(name: &str, by: &str) -> FormerAdministrator {
    FormerAdministrator { name: name.into(), by: by.into(), at: Timestamp(5) }
}

#[test]
fn an_empty_list_lets_nobody_in() {
    let mut state = State::default();
    assert_eq!(state.roster.administers("alice", &ALICE), Err(NotAdministrator::NotFounded));
    apply(&mut state, 2, "rmsc init", found(None));
    assert_eq!(state.roster.administers("alice", &ALICE), Err(NotAdministrator::Unknown));
}

#[test]
fn a_name_counts_with_its_key_alone() {
    let state = founded();
    assert_eq!(state.roster.administers("alice", &ALICE), Ok(()));
    assert_eq!(state.roster.administers("alice", &BOB), Err(NotAdministrator::OtherKey));
    assert_eq!(state.roster.administers("bob", &ALICE), Err(NotAdministrator::Unknown));
    assert_eq!(state.roster.administrators["alice"].added_by, "rmsc init");
}

#[test]
fn a_second_founding_brings_no_administrator() {
    let mut state = founded();
    let again = apply(&mut state, 3, "mallory", found(Some(new("mallory", OTHER))));
    assert_eq!(again, Outcome::Rejected(Rejection::AlreadyFounded));
    assert_eq!(state.roster.administrators.len(), 1);
}

#[test]
fn one_that_was_removed_is_told_by_whom_and_its_key_does_not_come_back() {
    let mut state = founded();
    assert_eq!(apply(&mut state, 3, "alice", add("bob", BOB)), Outcome::RosterChanged);
    assert_eq!(apply(&mut state, 4, "alice", add("bob", BOB)), Outcome::RosterUnchanged);
    assert_eq!(apply(&mut state, 5, "alice", remove("bob")), Outcome::RosterChanged);
    assert_eq!(apply(&mut state, 6, "alice", remove("bob")), Outcome::RosterUnchanged);
    let refused = NotAdministrator::Removed(former("bob", "alice"));
    assert_eq!(state.roster.administers("bob", &BOB), Err(refused.clone()));
    let used = Rejection::KeyUsed { name: "bob".into() };
    assert_eq!(apply(&mut state, 7, "alice", add("bob", BOB)), Outcome::Rejected(used));
    assert_eq!(apply(&mut state, 8, "alice", add("bob", OTHER)), Outcome::RosterChanged);
    // The new key is good, and the old one as bad as before.
    assert_eq!(state.roster.administers("bob", &OTHER), Ok(()));
    assert_eq!(state.roster.administers("bob", &BOB), Err(refused));
}

#[test]
fn names_and_keys_are_unique_and_the_last_one_stays() {
    let mut state = founded();
    let exists = Rejection::AdministratorExists { name: "alice".into() };
    assert_eq!(apply(&mut state, 3, "alice", add("alice", BOB)), Outcome::Rejected(exists));
    let used = Rejection::KeyUsed { name: "alice".into() };
    assert_eq!(apply(&mut state, 4, "alice", add("bob", ALICE)), Outcome::Rejected(used));
    let last = Rejection::LastAdministrator { name: "alice".into() };
    assert_eq!(apply(&mut state, 5, "alice", remove("alice")), Outcome::Rejected(last));
    let none = Rejection::NoSuchAdministrator { name: "carol".into() };
    assert_eq!(apply(&mut state, 6, "alice", remove("carol")), Outcome::Rejected(none));
}

#[test]
fn there_are_not_more_than_may_be() {
    let mut state = founded();
    for number in 1..ADMINISTRATORS_MAX {
        let key = KeyHash([100 + u8::try_from(number).unwrap(); 32]);
        let added = apply(&mut state, 10 + number as u64, "alice", add(&format!("a{number}"), key));
        assert_eq!(added, Outcome::RosterChanged);
    }
    let full = Rejection::TooManyAdministrators { administrators_max: ADMINISTRATORS_MAX as u64 };
    assert_eq!(apply(&mut state, 500, "alice", add("bob", BOB)), Outcome::Rejected(full));
}

#[test]
fn a_recovery_gives_the_name_to_the_new_key_and_keeps_the_others() {
    let mut state = founded();
    apply(&mut state, 3, "alice", add("bob", BOB));
    let recover = RosterChange::Recover { node_id: 1, administrator: Some(new("alice", OTHER)) };
    assert_eq!(apply(&mut state, 9, "recover", recover), Outcome::RosterChanged);
    assert_eq!(state.roster.administers("alice", &OTHER), Ok(()));
    let refused = NotAdministrator::Removed(former("alice", "recover"));
    assert_eq!(state.roster.administers("alice", &ALICE), Err(refused));
    assert_eq!(state.roster.administers("bob", &BOB), Ok(()));
}
