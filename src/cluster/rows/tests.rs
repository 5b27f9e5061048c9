//! Tests of the rows: what is whole comes back, and what is not says so.

use super::*;
use crate::state::{Change, ClientId, Command, Digest, Kind, NewEntry, Role, Timestamp};
use crate::storage::testing::Folder;
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
