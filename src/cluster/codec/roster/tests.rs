//! Changes, outcomes and rosters there and back.

use super::super::values::{command_from, command_to, outcome_from, outcome_to};
use super::*;
use crate::state::{
    Administrator, Change, ClientId, Command, Digest, FormerAdministrator, KeyMark, NewAdministrator,
    NewServiceKey, Outcome, PutSecrets, PutServiceKeys, RemovedServiceKey, SealMark, ServiceKey,
    ServiceKeyId,
};
use crate::storage::frozen;
use prost::Message;

fn new_node() -> NewNode {
    NewNode {
        name: "rmsc-2".into(),
        peer_address: "10.1.0.12:8700".into(),
        admin_address: "10.1.0.12:8701".into(),
        kind: NodeKind::Witness,
        incarnation: 77,
        key: KeyHash([9; 32]),
        build: 3,
    }
}

fn new_administrator() -> NewAdministrator {
    NewAdministrator { name: "alice".into(), key: KeyHash([4; 32]) }
}

fn service_key_id() -> ServiceKeyId {
    ServiceKeyId { service: "HTTP/rms.contoso.test@CONTOSO.TEST".into(), version: 300, etype: 18 }
}

fn new_service_key() -> NewServiceKey {
    NewServiceKey { id: service_key_id(), sealed: Sealed(vec![1, 2, 3]), mark: KeyMark([6; 16]) }
}

fn put_removed_service_keys() -> RosterChange {
    let keys = vec![new_service_key()];
    RosterChange::PutServiceKeys(PutServiceKeys { keys, others_retire_at: None, removed_too: true })
}

fn put_secrets() -> RosterChange {
    RosterChange::PutSecrets(PutSecrets {
        secrets: vec![("a".into(), Some(Sealed(vec![5]))), ("b".into(), None)],
        expected: vec![("a".into(), Some(SealMark([7; 16]))), ("b".into(), None)],
    })
}

fn token() -> Token {
    Token {
        key: Sealed(vec![1, 2, 3]),
        kind: NodeKind::Relay,
        replaces: Some(4),
        created_by: "admin".into(),
        created_at: Timestamp(7),
        expires_at: Timestamp(9),
        fate: TokenFate::UsedBy(12),
    }
}

const ID: TokenId = TokenId([8; 8]);

/// Each kind of change, with the name of its frozen bytes.
fn changes() -> [(&'static str, RosterChange); 23] {
    [
        (
            "found",
            RosterChange::Found {
                authority: "PEM".into(),
                node: new_node(),
                version: 2,
                administrator: None,
            },
        ),
        ("put_secret", RosterChange::PutSecret { name: "a".into(), sealed: Some(Sealed(vec![5])) }),
        ("drop_secret", RosterChange::PutSecret { name: "a".into(), sealed: None }),
        ("put_secrets", put_secrets()),
        ("create_token", RosterChange::CreateToken { id: ID, token: token() }),
        ("revoke_token", RosterChange::RevokeToken { id: ID }),
        ("admit", RosterChange::Admit { token: ID, node: new_node() }),
        ("remove_node", RosterChange::RemoveNode { node_id: 5 }),
        ("rename_node", RosterChange::RenameNode { node_id: 5, name: "x".into() }),
        (
            "report_node",
            RosterChange::ReportNode {
                node_id: 5,
                peer_address: "p".into(),
                admin_address: "a".into(),
                build: 2,
            },
        ),
        ("drain_node", RosterChange::DrainNode { node_id: 5, drained: true }),
        ("raise_version", RosterChange::RaiseVersion { version: 2 }),
        ("drop_node", RosterChange::DropNode { node_id: 5 }),
        ("recover", RosterChange::Recover { node_id: 5, administrator: None }),
        (
            "found_with_administrator",
            RosterChange::Found {
                authority: "PEM".into(),
                node: new_node(),
                version: 2,
                administrator: Some(new_administrator()),
            },
        ),
        (
            "recover_with_administrator",
            RosterChange::Recover { node_id: 5, administrator: Some(new_administrator()) },
        ),
        ("add_administrator", RosterChange::AddAdministrator(new_administrator())),
        ("remove_administrator", RosterChange::RemoveAdministrator { name: "alice".into() }),
        (
            "put_service_keys",
            RosterChange::PutServiceKeys(PutServiceKeys {
                keys: vec![new_service_key()],
                others_retire_at: Some(Timestamp(7)),
                removed_too: false,
            }),
        ),
        ("put_service_keys_that_were_removed", put_removed_service_keys()),
        (
            "remove_service_keys",
            RosterChange::RemoveServiceKeys { service: service_key_id().service, version: Some(0) },
        ),
        (
            "remove_all_service_keys",
            RosterChange::RemoveServiceKeys { service: service_key_id().service, version: None },
        ),
        ("drop_retired_keys", RosterChange::DropRetiredKeys),
    ]
}

#[test]
fn changes_come_back_as_they_were_and_as_they_were_frozen() {
    for (name, change) in changes() {
        let command = Command {
            client: ClientId([7; 16]),
            serial: 3,
            digest: Digest([5; 16]),
            since: 8,
            at: Timestamp(-5),
            by: "admin".into(),
            change: Change::Roster(change),
        };
        let frozen = frozen::check(&format!("command-1/{name}"), &command_to(&command));
        assert_eq!(command_from(&frozen).unwrap(), command);
    }
}

#[test]
fn outcomes_come_back_as_they_were_and_as_they_were_frozen() {
    let rejections = [
        Rejection::NotFounded,
        Rejection::AlreadyFounded,
        Rejection::NoSuchNode { node_id: 1 },
        Rejection::NameTaken { name: "x".into(), node_id: 2 },
        Rejection::LastNode { node_id: 3 },
        Rejection::TooManyNodes { nodes_max: 4 },
        Rejection::NoSuchToken { id: ID },
        Rejection::TokenExpired { id: ID },
        Rejection::TokenUsed { id: ID, node_id: 5 },
        Rejection::TokenRevoked { id: ID },
        Rejection::Version { wanted: 3, now: 1, known: 2 },
    ];
    let others = [Outcome::Admitted { node_id: 9 }, Outcome::RosterChanged, Outcome::RosterUnchanged];
    // Their number is the name of their frozen bytes.
    let later = [
        Rejection::NoSuchAdministrator { name: "x".into() },
        Rejection::AdministratorExists { name: "x".into() },
        Rejection::LastAdministrator { name: "x".into() },
        Rejection::TooManyAdministrators { administrators_max: 5 },
        Rejection::KeyUsed { name: "x".into() },
        Rejection::NoSuchServiceKey { service: "HTTP/x@X".into(), version: None },
        Rejection::NoSuchServiceKey { service: "HTTP/x@X".into(), version: Some(3) },
        Rejection::ServiceKeyDiffers { id: service_key_id() },
        Rejection::TooManyServiceKeys { keys_max: 9 },
        Rejection::ServiceKeyRemoved { id: service_key_id(), by: "alice".into() },
        Rejection::ServiceKeyRealms { realms: "A and B".into() },
        Rejection::SecretChanged { name: "x".into() },
    ];
    let outcomes = rejections.into_iter().map(Outcome::Rejected).chain(others);
    let outcomes = outcomes.chain(later.into_iter().map(Outcome::Rejected));
    for (number, outcome) in outcomes.enumerate() {
        let frozen =
            frozen::check(&format!("outcome-1/roster-{number}"), &outcome_to(&outcome).encode_to_vec());
        assert_eq!(outcome_from(stored::Outcome::decode(frozen.as_slice()).unwrap()).unwrap(), outcome);
    }
}

#[test]
fn a_roster_comes_back_row_by_row() {
    let mut roster = Roster { authority: "PEM".into(), version: 2, revision: 17, ..Roster::default() };
    let node = Node {
        name: "rmsc-1".into(),
        peer_address: "p".into(),
        admin_address: "a".into(),
        kind: NodeKind::Relay,
        incarnation: 5,
        key: KeyHash([1; 32]),
        build: 2,
        joined_at: Timestamp(3),
        drained: Some(Drained { by: "admin".into(), at: Timestamp(4) }),
        leaving: None,
    };
    roster.nodes.insert(1, node.clone());
    roster
        .nodes
        .insert(12, Node { name: "rmsc-2".into(), drained: None, leaving: Some("admin".into()), ..node });
    let removed = RemovedNode { name: "old".into(), by: "admin".into(), at: Timestamp(6) };
    roster.removed.insert(4, removed);
    let administrator =
        Administrator { key: KeyHash([4; 32]), added_by: "admin".into(), added_at: Timestamp(8) };
    roster.administrators.insert("alice".into(), administrator);
    let former = FormerAdministrator { name: "bob".into(), by: "alice".into(), at: Timestamp(9) };
    roster.former_administrators.insert(KeyHash([3; 32]), former);
    let service_key = ServiceKey {
        sealed: Sealed(vec![1, 2, 3]),
        mark: KeyMark([6; 16]),
        added_by: "admin".into(),
        added_at: Timestamp(10),
        retires_at: None,
    };
    let retiring = ServiceKey { retires_at: Some(Timestamp(11)), ..service_key.clone() };
    roster.service_keys.insert(service_key_id(), service_key);
    roster.service_keys.insert(ServiceKeyId { version: 2, ..service_key_id() }, retiring);
    let removed = RemovedServiceKey { mark: KeyMark([7; 16]), by: "bob".into(), at: Timestamp(12) };
    roster.removed_service_keys.insert(ServiceKeyId { version: 1, ..service_key_id() }, removed);
    roster.tokens.insert(ID, token());
    roster.tokens.insert(TokenId([1; 8]), Token { fate: TokenFate::Revoked, replaces: None, ..token() });
    roster.tokens.insert(TokenId([2; 8]), Token { fate: TokenFate::Open, ..token() });
    roster.secrets.insert("cluster-ca-key".into(), Sealed(vec![0xff; 100]));
    let mut back = Roster::default();
    for (key, row) in roster_to(&roster) {
        let name = format!("roster-1/{}", key.replace('/', "-"));
        let frozen = frozen::check(&name, &row.encode_to_vec());
        roster_row_from(&mut back, stored::RosterRow::decode(frozen.as_slice()).unwrap()).unwrap();
    }
    assert_eq!(back, roster);
}
