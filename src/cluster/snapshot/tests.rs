//! Tests of snapshots: nothing of a damaged one gets out.

use super::*;
use crate::principal::Sid;
use crate::state::{Change, ClientId, Command, Digest, Kind, NewEntry, Role, Timestamp};
use crate::storage::testing::Folder;

fn state() -> State {
    let mut state = State::default();
    for rid in 1..=20 {
        let change = Change::Allow(NewEntry {
            sid: Sid::new(5, &[21, 1, 2, 3, rid]).unwrap(),
            name: format!("LAB\\{rid}"),
            kind: Kind::Computer,
            role: Role::Exchange,
            note: "n".repeat(200),
        });
        let client = ClientId(u128::from(rid).to_be_bytes());
        let command = Command {
            client,
            serial: 1,
            digest: Digest([1; 16]),
            since: u64::MAX,
            at: Timestamp(7),
            by: "admin".into(),
            change,
        };
        state.apply(&command, u64::from(rid));
    }
    state
}

fn meta(index: u64) -> SnapshotMeta {
    let last_log_id = Some(super::super::types::LogId::new_term_index(3, index));
    SnapshotMeta { last_log_id, ..Default::default() }
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let folder = Folder::new();
    write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let (_, contents) = newest(folder.path(), "lab").unwrap().unwrap();
    assert_eq!(contents.meta, meta(20));
    assert_eq!(contents.state, state());
}

#[test]
fn every_damaged_byte_is_noticed() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let bytes = std::fs::read(&snapshot.path).unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&snapshot.path, bytes).unwrap();
        let damaged = SnapshotFile::open(snapshot.path.clone()).unwrap();
        assert!(damaged.read("lab").is_err(), "byte {at}");
        assert!(snapshot.check().is_err(), "byte {at}");
    }
    for length in (0..bytes.len()).step_by(11) {
        std::fs::write(&snapshot.path, &bytes[..length]).unwrap();
        let damaged = SnapshotFile::open(snapshot.path.clone()).unwrap();
        assert!(damaged.read("lab").is_err(), "length {length}");
    }
}

#[test]
fn two_are_kept_and_a_damaged_newest_is_passed_over() {
    let folder = Folder::new();
    for index in [5, 100, 20] {
        write(folder.path(), "lab", &meta(index), &state()).unwrap();
    }
    let names = snapshots(folder.path()).unwrap();
    assert_eq!(names.len(), 2);
    std::fs::write(names.last().unwrap(), b"rmscsnap").unwrap();
    let (_, contents) = newest(folder.path(), "lab").unwrap().unwrap();
    assert_eq!(contents.meta, meta(20));
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(1), &state()).unwrap();
    assert!(matches!(snapshot.read("other"), Err(SnapshotError::OtherCluster { .. })));
}

#[test]
fn an_older_snapshot_than_those_kept_is_still_readable() {
    let folder = Folder::new();
    for index in [100, 200, 5] {
        let snapshot = write(folder.path(), "lab", &meta(index), &state()).unwrap();
        assert!(snapshot.read("lab").is_ok(), "{index}");
    }
    let (_, contents) = newest(folder.path(), "lab").unwrap().unwrap();
    assert_eq!(contents.meta, meta(200));
}

#[test]
fn what_came_in_goes_away_unless_it_is_adopted() {
    let (from, to) = (Folder::new(), Folder::new());
    let sent = write(from.path(), "lab", &meta(20), &state()).unwrap();
    let receive = |number| {
        let incoming = Incoming::new(to.path(), number);
        std::fs::copy(&sent.path, &incoming.0).unwrap();
        SnapshotFile::received(incoming).unwrap()
    };
    drop(receive(1));
    assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 0);
    let adopted = adopt(to.path(), &receive(2), &meta(20)).unwrap();
    assert!(adopted.read("lab").is_ok());
    assert_eq!(snapshots(to.path()).unwrap(), [adopted.path]);
}
