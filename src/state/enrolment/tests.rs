//! What each change does to a roster, and what is refused.

use super::super::{Change, ClientId, Digest, KeyHash, Sealed};
use super::*;

const ID: TokenId = TokenId([1; 8]);
const EXPIRES: i64 = 100;

fn new(name: &str) -> NewNode {
    NewNode {
        name: name.into(),
        peer_address: format!("{name}:8700"),
        admin_address: format!("{name}:8701"),
        kind: NodeKind::Relay,
        incarnation: name.len() as u128,
        key: KeyHash([1; 32]),
        build: 1,
    }
}

fn apply_at(state: &mut State, log_index: u64, at: i64, change: RosterChange) -> Outcome {
    let command = Command {
        client: ClientId(u128::from(log_index).to_be_bytes()),
        serial: 1,
        digest: Digest([1; 16]),
        since: u64::MAX,
        at: Timestamp(at),
        by: "admin".into(),
        change: Change::Roster(change),
    };
    state.apply(&command, log_index)
}

fn apply(state: &mut State, log_index: u64, change: RosterChange) -> Outcome {
    apply_at(state, log_index, 5, change)
}

fn founded() -> State {
    let mut state = State::default();
    let found =
        RosterChange::Found { authority: "PEM".into(), node: new("one"), version: 1, administrator: None };
    assert_eq!(apply(&mut state, 2, found), Outcome::Admitted { node_id: FOUNDER });
    state
}

fn token(replaces: Option<u64>) -> RosterChange {
    let token = Token {
        key: Sealed(vec![1]),
        kind: NodeKind::Relay,
        replaces,
        created_by: String::new(),
        created_at: Timestamp(0),
        expires_at: Timestamp(EXPIRES),
        fate: TokenFate::Open,
    };
    RosterChange::CreateToken { id: ID, token }
}

fn admit(name: &str) -> RosterChange {
    RosterChange::Admit { token: ID, node: new(name) }
}

#[test]
fn a_cluster_is_founded_once() {
    let mut state = State::default();
    assert_eq!(apply(&mut state, 1, admit("two")), Outcome::Rejected(Rejection::NotFounded));
    let mut state = founded();
    let again =
        RosterChange::Found { authority: "other".into(), node: new("x"), version: 9, administrator: None };
    assert_eq!(apply(&mut state, 3, again), Outcome::Rejected(Rejection::AlreadyFounded));
    assert_eq!((state.roster.authority.as_str(), state.roster.revision), ("PEM", 2));
}

#[test]
fn a_token_lets_in_one_node_whose_id_is_the_log_index() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    assert_eq!(apply(&mut state, 9, admit("two")), Outcome::Admitted { node_id: 9 });
    let other = RosterChange::Admit { token: ID, node: NewNode { incarnation: 99, ..new("two") } };
    let used = Rejection::TokenUsed { id: ID, node_id: 9 };
    assert_eq!(apply(&mut state, 10, other), Outcome::Rejected(used));
    // The same host, which did not hear the answer.
    assert_eq!(apply(&mut state, 11, admit("two")), Outcome::Admitted { node_id: 9 });
    assert_eq!(state.roster.nodes.len(), 2);
}

#[test]
fn a_token_that_is_over_lets_nobody_in() {
    let mut state = founded();
    let unknown = Rejection::NoSuchToken { id: ID };
    assert_eq!(apply(&mut state, 3, admit("two")), Outcome::Rejected(unknown));
    apply(&mut state, 4, token(None));
    let expired = Outcome::Rejected(Rejection::TokenExpired { id: ID });
    assert_eq!(apply_at(&mut state, 5, EXPIRES, admit("two")), expired);
    apply(&mut state, 6, RosterChange::RevokeToken { id: ID });
    let revoked = Outcome::Rejected(Rejection::TokenRevoked { id: ID });
    assert_eq!(apply(&mut state, 7, admit("two")), revoked);
    assert_eq!(state.roster.nodes.len(), 1);
}

#[test]
fn names_are_unique() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    let taken = Rejection::NameTaken { name: "one".into(), node_id: FOUNDER };
    let same_name = NewNode { incarnation: 9, ..new("one") };
    let refused = apply(&mut state, 4, RosterChange::Admit { token: ID, node: same_name });
    assert_eq!(refused, Outcome::Rejected(taken.clone()));
    apply(&mut state, 5, admit("two"));
    let rename = RosterChange::RenameNode { node_id: 5, name: "one".into() };
    assert_eq!(apply(&mut state, 6, rename), Outcome::Rejected(taken));
}

#[test]
fn a_replaced_node_goes_when_the_new_one_comes() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    apply(&mut state, 4, admit("two"));
    state.roster = Arc::new(Roster { tokens: Default::default(), ..Roster::clone(&state.roster) });
    apply(&mut state, 5, token(Some(4)));
    assert_eq!(state.roster.nodes[&4].leaving, None);
    let new = NewNode { incarnation: 9, ..new("two") };
    apply(&mut state, 6, RosterChange::Admit { token: ID, node: new });
    assert_eq!(state.roster.nodes[&4].leaving.as_deref(), Some("admin"));
    apply(&mut state, 7, RosterChange::DropNode { node_id: 4 });
    assert_eq!(state.roster.nodes.keys().copied().collect::<Vec<_>>(), [FOUNDER, 6]);
    assert!(state.roster.removed.contains_key(&4));
}

#[test]
fn a_witness_does_not_replace_the_last_relay() {
    let mut state = founded();
    let RosterChange::CreateToken { id, token } = token(Some(FOUNDER)) else { unreachable!() };
    let token = Token { kind: NodeKind::Witness, ..token };
    apply(&mut state, 3, RosterChange::CreateToken { id, token });
    let last = Rejection::LastNode { node_id: FOUNDER };
    assert_eq!(apply(&mut state, 4, admit("two")), Outcome::Rejected(last));
    assert_eq!(state.roster.nodes[&FOUNDER].leaving, None);
    assert_eq!((state.roster.nodes.len(), state.roster.tokens[&ID].fate), (1, TokenFate::Open));
}

#[test]
fn a_removed_node_stays_removed_and_the_last_one_stays() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    apply(&mut state, 4, admit("two"));
    assert_eq!(apply(&mut state, 5, RosterChange::RemoveNode { node_id: 4 }), Outcome::RosterChanged);
    assert_eq!(apply(&mut state, 6, RosterChange::RemoveNode { node_id: 4 }), Outcome::RosterUnchanged);
    let last = Rejection::LastNode { node_id: FOUNDER };
    assert_eq!(
        apply(&mut state, 7, RosterChange::DropNode { node_id: FOUNDER }),
        Outcome::Rejected(last.clone())
    );
    assert_eq!(apply(&mut state, 8, RosterChange::DropNode { node_id: 4 }), Outcome::RosterChanged);
    assert_eq!(apply(&mut state, 9, RosterChange::DropNode { node_id: 4 }), Outcome::RosterUnchanged);
    assert_eq!(apply(&mut state, 10, RosterChange::RemoveNode { node_id: 4 }), Outcome::RosterUnchanged);
    assert_eq!(apply(&mut state, 11, RosterChange::RemoveNode { node_id: FOUNDER }), Outcome::Rejected(last));
    let unknown = Rejection::NoSuchNode { node_id: 77 };
    assert_eq!(apply(&mut state, 12, RosterChange::RemoveNode { node_id: 77 }), Outcome::Rejected(unknown));
}

#[test]
fn who_drained_a_node_first_stays_on_record() {
    let mut state = founded();
    let drain = |drained| RosterChange::DrainNode { node_id: FOUNDER, drained };
    assert_eq!(apply_at(&mut state, 3, 7, drain(true)), Outcome::RosterChanged);
    assert_eq!(apply_at(&mut state, 4, 8, drain(true)), Outcome::RosterUnchanged);
    let drained = state.roster.nodes[&FOUNDER].drained.clone().unwrap();
    assert_eq!(drained.at, Timestamp(7));
    assert_eq!(apply(&mut state, 5, drain(false)), Outcome::RosterChanged);
    assert_eq!(state.roster.nodes[&FOUNDER].drained, None);
}

#[test]
fn the_rules_change_when_all_nodes_know_them_and_never_back() {
    let mut state = founded();
    let raise = |version| RosterChange::RaiseVersion { version };
    let refused = Rejection::Version { wanted: 2, now: 1, known: 1 };
    assert_eq!(apply(&mut state, 3, raise(2)), Outcome::Rejected(refused));
    let report = RosterChange::ReportNode {
        node_id: FOUNDER,
        peer_address: "elsewhere:8700".into(),
        admin_address: "elsewhere:8701".into(),
        build: 2,
    };
    apply(&mut state, 4, report);
    assert_eq!(apply(&mut state, 5, raise(2)), Outcome::RosterChanged);
    let back = Rejection::Version { wanted: 1, now: 2, known: 2 };
    assert_eq!(apply(&mut state, 6, raise(1)), Outcome::Rejected(back));
    assert_eq!(state.roster.nodes[&FOUNDER].peer_address, "elsewhere:8700");
}

#[test]
fn a_new_lineage_has_one_node_and_no_open_token() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    apply(&mut state, 4, admit("two"));
    let other = RosterChange::CreateToken {
        id: TokenId([2; 8]),
        token: Token { fate: TokenFate::Open, ..state.roster.tokens[&ID].clone() },
    };
    apply(&mut state, 5, other);
    apply(&mut state, 6, RosterChange::Recover { node_id: 4, administrator: None });
    assert_eq!(state.roster.nodes.keys().copied().collect::<Vec<_>>(), [4]);
    assert!(state.roster.removed.contains_key(&FOUNDER));
    assert_eq!(state.roster.tokens[&TokenId([2; 8])].fate, TokenFate::Revoked);
    assert_eq!(state.roster.tokens[&ID].fate, TokenFate::UsedBy(4));
}

#[test]
fn who_is_left_alone_serves_though_it_was_to_go() {
    let mut state = founded();
    apply(&mut state, 3, token(None));
    apply(&mut state, 4, admit("two"));
    apply(&mut state, 5, RosterChange::DrainNode { node_id: 4, drained: true });
    apply(&mut state, 6, RosterChange::RemoveNode { node_id: 4 });
    apply(&mut state, 7, RosterChange::Recover { node_id: 4, administrator: None });
    let node = &state.roster.nodes[&4];
    assert_eq!((&node.leaving, &node.drained), (&None, &None));
}

#[test]
fn tokens_of_the_past_do_not_pile_up() {
    let mut state = founded();
    for index in 3..3 + 2 * TOKENS_MAX as u64 {
        let RosterChange::CreateToken { token, .. } = token(None) else { unreachable!() };
        let token = Token { expires_at: Timestamp(i64::try_from(index).unwrap()), ..token };
        let id = TokenId(index.to_be_bytes());
        apply(&mut state, index, RosterChange::CreateToken { id, token });
    }
    assert_eq!(state.roster.tokens.len(), TOKENS_MAX);
    assert!(state.roster.tokens.contains_key(&TokenId((2 + 2 * TOKENS_MAX as u64).to_be_bytes())));
}

#[test]
fn secrets_change_together_and_only_where_nobody_was_first() {
    let mut state = founded();
    let sealed = |text: &str| Sealed(text.repeat(9).into_bytes());
    let put =
        |state: &mut State, at, secrets: &[(&str, Option<Sealed>)], expected: &[(&str, Option<Sealed>)]| {
            let secrets = secrets.iter().map(|(name, sealed)| ((*name).to_owned(), sealed.clone())).collect();
            let mark = |sealed: &Option<Sealed>| sealed.as_ref().map(Sealed::mark);
            let expected = expected.iter().map(|(name, sealed)| ((*name).to_owned(), mark(sealed))).collect();
            apply(state, at, RosterChange::PutSecrets(PutSecrets { secrets, expected }))
        };
    let changed = |name: &str| Outcome::Rejected(Rejection::SecretChanged { name: name.into() });
    let login = [("login", Some(sealed("e1"))), ("token", Some(sealed("t1")))];
    assert_eq!(put(&mut state, 3, &login, &[("login", None)]), Outcome::RosterChanged);
    assert_eq!(put(&mut state, 4, &login, &[("login", None)]), changed("login"));
    let (first, second) = (("token", Some(sealed("t1"))), ("token", Some(sealed("t2"))));
    assert_eq!(
        put(&mut state, 5, std::slice::from_ref(&second), &[login[0].clone(), first.clone()]),
        Outcome::RosterChanged
    );
    // Who was held up between asking and writing finds that another one was written.
    assert_eq!(
        put(&mut state, 6, &[("token", Some(sealed("t3"))), ("new", Some(sealed("n")))], &[first]),
        changed("token")
    );
    assert_eq!(state.roster.secrets["token"], sealed("t2"));
    assert!(!state.roster.secrets.contains_key("new"));
    assert_eq!(put(&mut state, 7, &[("login", None), ("token", None)], &[]), Outcome::RosterChanged);
    // What was dropped meanwhile does not come back.
    assert_eq!(put(&mut state, 8, &[("token", Some(sealed("t4")))], &[second]), changed("token"));
    assert!(state.roster.secrets.is_empty());
    let needs = Change::Roster(RosterChange::PutSecrets(PutSecrets::default())).version();
    assert_eq!(needs, 2, "a build that does not know it must not apply less than the others");
}

#[test]
fn a_new_lineage_forgets_the_secrets_that_it_must() {
    let mut state = founded();
    for (at, name) in [(3, "stays"), (4, "goes")] {
        let sealed = Some(Sealed(vec![1]));
        apply(&mut state, at, RosterChange::PutSecret { name: name.into(), sealed });
    }
    state.forget_secrets(&["goes".into(), "never was".into()]);
    assert_eq!(state.roster.secrets.keys().collect::<Vec<_>>(), ["stays"]);
}
