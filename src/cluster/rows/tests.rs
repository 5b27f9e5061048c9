//! Tests of the rows: what is whole comes back, and what is not says so.

use super::*;
use crate::cluster::types::{Address, LogId, StoredMembership};
use crate::state::{
    Change, ClientId, Command, Digest, Kind, NewEntry, RemovedNode, Role, Roster, Sealed, Timestamp,
};
use crate::storage::frozen;
use crate::storage::testing::Folder;
use openraft::Membership;
use std::time::{Duration, Instant};

fn allow(state: &mut State, rids: std::ops::Range<u32>) -> Changes {
    let mut changes = Changes::default();
    for rid in rids {
        let sid = Sid::new(5, &[21, 1, 2, 3, rid]).unwrap();
        let (name, kind) = (format!("LAB\\{rid}"), Kind::Computer);
        // So that it does not compress.
        let note: String = (0..40).map(|at| char::from(b'a' + (rid.wrapping_mul(at) % 26) as u8)).collect();
        let change = Change::Allow(NewEntry { sid: sid.clone(), name, kind, role: Role::Exchange, note });
        let client = ClientId(u128::from(rid).to_be_bytes());
        let (digest, at, by) = (Digest([1; 16]), Timestamp(1), "admin".into());
        state.apply(&Command { client, serial: 1, digest, since: u64::MAX, at, by, change }, u64::from(rid));
        changes.entry(&sid);
        changes.client(u64::from(rid));
    }
    changes.applied(state, &SnapshotMeta::default());
    changes
}

fn stored(folder: &Folder) -> Option<State> {
    // What the store does behind its back holds its lock for a moment after it was dropped.
    let deadline = Instant::now() + Duration::from_secs(20);
    let tree = loop {
        match Tree::open(folder.path()) {
            Err(_) if Instant::now() < deadline => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    let (_, stored) = Store::load(tree).unwrap();
    stored.map(|(state, _)| state)
}

#[test]
fn more_than_a_batch_comes_back() {
    let (folder, mut state) = (Folder::new(), State::default());
    let mut store = Store::empty(Tree::open(folder.path()).unwrap());
    store.write(allow(&mut state, 1..100));
    store.write(allow(&mut state, 100..20_000));
    drop(store);
    assert!(stored(&folder) == Some(state), "the state is another");
}

#[test]
fn while_much_is_written_the_store_says_that_it_holds_nothing() {
    let (folder, mut state) = (Folder::new(), State::default());
    let mut store = Store::empty(Tree::open(folder.path()).unwrap());
    store.write(allow(&mut state, 1..100));
    let mut writer = Writer { tree: &store.tree, batch: Batch::default() };
    writer.forget();
    drop(store);
    assert!(stored(&folder).is_none());
}

#[test]
fn rows_of_newer_rules_are_refused_and_not_taken_for_damaged() {
    for (version, known) in [(codec::KNOWN, true), (codec::KNOWN + 1, false)] {
        let (folder, mut state) = (Folder::new(), State::default());
        let mut store = Store::empty(Tree::open(folder.path()).unwrap());
        let mut changes = allow(&mut state, 1..3);
        let head = Roster { authority: "PEM".into(), version, ..Roster::default() };
        changes.roster(&Roster::default(), &head);
        store.write(changes);
        // A kind of row that this build does not know, before all others.
        let mut batch = Batch::default();
        batch.put(&[ROSTER, b"a"].concat(), &[0x9a, 0x06, 0x00]).unwrap();
        store.tree.write(batch);
        match Store::load(store.tree).map(|_| ()) {
            Err(LoadError::NeedsMore(_)) => assert!(!known, "version {version}"),
            Err(LoadError::Damaged(_)) => assert!(known, "version {version}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_replaced_leaves_nothing_behind() {
    let (folder, mut before, mut after) = (Folder::new(), State::default(), State::default());
    let mut store = Store::empty(Tree::open(folder.path()).unwrap());
    store.write(allow(&mut before, 1..5_000));
    allow(&mut after, 3_000..3_100);
    store.write(Changes { all: true, ..allow(&mut after, 1..1) });
    drop(store);
    assert!(stored(&folder) == Some(after), "the state is another");
}

#[test]
fn changes_that_wait_become_one() {
    let mut state = State::default();
    let mut changes = allow(&mut state, 1..10);
    changes.then(allow(&mut state, 5..20));
    assert_eq!((changes.entries.len(), changes.clients.len()), (19, 19));
    assert!(changes.state == state);
    changes.then(Changes { all: true, ..Changes::default() });
    assert!(changes.all && changes.entries.is_empty());
    changes.then(allow(&mut state, 20..30));
    assert!(changes.all && changes.state == state);
}

#[tokio::test]
async fn applying_waits_only_when_very_much_waits_for_the_disk() {
    let (rows, mut state) = (Rows { shared: Arc::default() }, State::default());
    let full = u32::try_from(CHANGES_MAX).unwrap();
    rows.send(allow(&mut state, 1..full)).await;
    let mut waits = Box::pin(rows.send(allow(&mut state, full..full + 5)));
    assert!(futures::poll!(&mut waits).is_pending());
    assert_eq!(rows.shared.next().await.unwrap().state.table.entries.len(), CHANGES_MAX - 1);
    waits.await;
    assert_eq!(rows.shared.next().await.unwrap().entries.len(), 5);
}

/// One row of each kind, and two pages of accounts.
fn of_each_kind() -> (State, Changes) {
    let mut state = State::default();
    allow(&mut state, 1..41);
    let mut roster = Roster { authority: "PEM".into(), version: 1, revision: 41, ..Roster::default() };
    let removed = RemovedNode { name: "old".into(), by: "admin".into(), at: Timestamp(6) };
    roster.removed.insert(4, removed);
    roster.secrets.insert("authority-key".into(), Sealed(vec![0xff; 10]));
    state.roster = Arc::new(roster);
    let last_log_id = Some(LogId::new_term_index(3, 41));
    let members = BTreeMap::from([(1, Address { name: "one".into(), ..Address::default() })]);
    let membership = Membership::new(vec![BTreeSet::from([1])], members).unwrap();
    let last_membership = StoredMembership::new(Some(LogId::new_term_index(1, 0)), membership);
    let mut changes = Changes { all: true, ..Changes::default() };
    changes.applied(&state, &SnapshotMeta { last_log_id, last_membership });
    (state, changes)
}

#[test]
fn rows_that_were_released_are_read_and_still_written() {
    let (state, changes) = of_each_kind();
    let (folder, meta) = (Folder::new(), applied_of(&changes));
    let mut store = Store::empty(Tree::open(folder.path()).unwrap());
    store.write(changes);
    let mut frozen = Vec::new();
    for row in store.tree.scan(b"") {
        let (key, value) = row.unwrap();
        // Pages are compressed, which another version of the crate may do otherwise; the rest is as it was.
        let page = key.starts_with(ENTRIES) || key.starts_with(CLIENTS);
        let check = if page { frozen::keep } else { frozen::check };
        let value = check(&format!("rows-1/{}", name_of(&key)), &value);
        frozen.push((key, value));
    }
    assert_eq!(
        frozen.len(),
        8,
        "the head, two of each in pages, two rows of the roster, and how far it goes"
    );
    drop(store);
    let folder = Folder::new();
    let mut batch = Batch::default();
    frozen.iter().for_each(|(key, value)| batch.put(key, value).unwrap());
    let tree = Tree::open(folder.path()).unwrap();
    tree.write(batch);
    let (_, read) = Store::load(tree).unwrap();
    assert!(read == Some((state, meta)), "the state is another");
}

/// The files of the crate that keeps the rows, as they lay on disk after a node had ended. It makes them large
/// and full of zeros, which are not kept.
#[test]
fn a_store_that_was_released_is_opened_and_goes_on() {
    let (mut state, changes) = of_each_kind();
    let (folder, meta) = (Folder::new(), applied_of(&changes));
    let mut store = Store::empty(Tree::open(folder.path()).unwrap());
    store.write(changes);
    drop(store);
    assert!(stored(&folder).is_some(), "it is closed");
    let written = frozen::files(folder.path()).into_iter().map(|(name, mut bytes)| {
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1));
        (name, bytes)
    });
    let frozen = frozen::keep_folder("store-1", written.collect());

    let folder = Folder::new();
    for (name, mut bytes) in frozen {
        if name == "db" {
            bytes.resize(DB_BYTES, 0);
        }
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let (mut store, read) = Store::load(Tree::open(folder.path()).unwrap()).unwrap();
    assert!(read == Some((state.clone(), meta)), "the state is another");
    store.write(allow(&mut state, 41..60));
    drop(store);
    assert!(stored(&folder) == Some(state), "the state is another after a change");
}

/// How large the file was.
const DB_BYTES: usize = 524_287;

fn applied_of(changes: &Changes) -> SnapshotMeta {
    codec::applied_from(message(&changes.applied).unwrap()).unwrap().0
}

/// The key of a row as the name of a file.
fn name_of(key: &[u8]) -> String {
    let printed = |byte: &u8| match byte {
        b'/' => "-".to_owned(),
        b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(*byte).to_string(),
        other => format!("{other:02x}"),
    };
    key.iter().map(printed).collect()
}
