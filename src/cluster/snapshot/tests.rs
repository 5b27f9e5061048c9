//! Tests of snapshots: nothing of a damaged one gets out.

use super::*;
use crate::principal::Sid;
use crate::state::{Change, ClientId, Command, Digest, Entry, Kind, NewEntry, Role, Roster, Timestamp};
use crate::storage::{self, testing::Folder};
use sha2::{Digest as _, Sha256};

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
    let last_log_id = Some(LogId::new_term_index(3, index));
    SnapshotMeta { last_log_id, ..Default::default() }
}

fn read(snapshot: &SnapshotFile) -> Result<Contents, SnapshotError> {
    snapshot.read("lab", &Table::default())
}

fn newest_in(folder: &Folder) -> Found {
    newest(folder.path(), "lab", None).unwrap().unwrap()
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    let folder = Folder::new();
    write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let found = newest_in(&folder);
    assert_eq!(found.meta, meta(20));
    assert_eq!(found.state, Some(state()));
}

#[test]
fn many_blocks_come_back_and_the_same_state_makes_the_same_bytes() {
    let (folder, other) = (Folder::new(), Folder::new());
    let mut state = state();
    let entry = state.table.entries.values().next().unwrap().clone();
    for rid in 100..20_000 {
        let sid = Sid::new(5, &[21, 1, 2, 3, rid]).unwrap();
        let name = format!("LAB\\server{rid}").into();
        Arc::make_mut(&mut state.table).entries.add(Entry { sid, name, ..(*entry).clone() });
    }
    let snapshot = write(folder.path(), "lab", &meta(20), &state).unwrap();
    assert!(read(&snapshot).unwrap().state == state, "the state is another");
    let again = write(other.path(), "lab", &meta(20), &state).unwrap();
    assert_eq!(snapshot.identity(&meta(20)), again.identity(&meta(20)));
    assert!(snapshot.bytes < 600_000, "{} bytes", snapshot.bytes);
}

#[test]
fn every_damaged_bit_is_noticed() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let bytes = std::fs::read(&snapshot.path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&snapshot.path, bytes).unwrap();
        let damaged = SnapshotFile::open(snapshot.path.clone()).unwrap();
        assert!(read(&damaged).is_err() && damaged.check().is_err(), "{what}");
    };
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes, &format!("bit {bit}"));
    }
    for length in 0..bytes.len() {
        refused(&bytes[..length], &format!("length {length}"));
    }
    refused(&[&bytes[..], &[0]].concat(), "one byte more");
    std::fs::write(&snapshot.path, &bytes).unwrap();
    assert!(read(&snapshot).is_ok() && snapshot.check().is_ok());
}

/// A digest that fits does not help a block that is wrong.
#[test]
fn every_block_has_a_checksum_of_its_own() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let bytes = std::fs::read(&snapshot.path).unwrap();
    let body = bytes.len() - DIGEST_BYTES;
    for at in (0..body).step_by(3) {
        let mut bytes = bytes[..body].to_vec();
        bytes[at] ^= 1;
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        std::fs::write(&snapshot.path, bytes).unwrap();
        let damaged = SnapshotFile::open(snapshot.path.clone()).unwrap();
        assert!(damaged.check().is_ok() && read(&damaged).is_err(), "byte {at}");
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
    assert_eq!(newest_in(&folder).meta, meta(20));
}

#[test]
fn one_that_is_not_needed_is_checked_and_not_built() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(20), &state()).unwrap();
    let known = |index| newest(folder.path(), "lab", meta(index).last_log_id.as_ref()).unwrap();
    assert!(known(19).unwrap().state.is_some());
    assert!(known(20).unwrap().state.is_none());
    let mut bytes = std::fs::read(&snapshot.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot.path, bytes).unwrap();
    assert!(known(20).is_none());
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(1), &state()).unwrap();
    let refused = snapshot.read("other", &Table::default());
    assert!(matches!(refused, Err(SnapshotError::OtherCluster { .. })));
}

#[test]
fn an_older_snapshot_than_those_kept_is_still_readable() {
    let folder = Folder::new();
    for index in [100, 200, 5] {
        let snapshot = write(folder.path(), "lab", &meta(index), &state()).unwrap();
        assert!(read(&snapshot).is_ok(), "{index}");
    }
    assert_eq!(newest_in(&folder).meta, meta(200));
}

#[test]
fn entries_that_are_known_are_shared() {
    let folder = Folder::new();
    let mut known = state();
    let snapshot = write(folder.path(), "lab", &meta(20), &known).unwrap();
    let sids: Vec<Sid> = known.table.entries.iter().map(|(sid, _)| sid.clone()).collect();
    let table = Arc::make_mut(&mut known.table);
    table.entries.remove(&sids[3]);
    let changed = Entry { note: "other".into(), ..(**table.entries.get(&sids[7]).unwrap()).clone() };
    table.entries.add(changed);
    let contents = snapshot.read("lab", &known.table).unwrap();
    assert_eq!(contents.state, state());
    let shared =
        contents.state.table.entries.values().filter(|entry| {
            known.table.entries.get(&entry.sid).is_some_and(|known| Arc::ptr_eq(known, entry))
        });
    assert_eq!(shared.count(), sids.len() - 2);
}

#[test]
fn what_was_read_ahead_is_not_read_again() {
    let folder = Folder::new();
    let snapshot = write(folder.path(), "lab", &meta(20), &state()).unwrap();
    assert_eq!(snapshot.read_ahead("lab", &Table::default()).unwrap(), meta(20));
    std::fs::write(&snapshot.path, "").unwrap();
    assert_eq!(snapshot.take("lab", &Table::default()).unwrap().state, state());
    assert!(snapshot.take("lab", &Table::default()).is_err(), "it was taken");
}

/// A node with a newer build must write what one with an older build reads, as long as the rules are the old
/// ones; and once they are newer, an older build must not read half of what came of them.
#[test]
fn a_snapshot_needs_what_the_rules_of_its_state_need() {
    let folder = Folder::new();
    let of_rules = |version| {
        let head = Roster { authority: "PEM".into(), version, ..Roster::default() };
        let state = State { roster: Arc::new(head), ..state() };
        write(folder.path(), "lab", &meta(20), &state).unwrap()
    };
    let needs = |snapshot: &SnapshotFile| {
        Reader::new(&snapshot.file, snapshot.bytes).header("lab").map(|header| header.needs)
    };
    // None has the rules 0; it stands for any that is older than the newest that this build knows.
    for version in [0, codec::KNOWN] {
        let snapshot = of_rules(version);
        assert_eq!(needs(&snapshot).unwrap(), version);
        assert_eq!(read(&snapshot).unwrap().state.roster.version, version);
    }
    let refused = read(&of_rules(codec::KNOWN + 1)).unwrap_err();
    assert!(matches!(refused, SnapshotError::NeedsMore { .. }), "{refused}");
    assert!(!refused.is_damage(), "it must not be set aside");
    let unfounded = write(folder.path(), "lab", &meta(21), &state()).unwrap();
    assert_eq!(needs(&unfounded).unwrap(), codec::KNOWN);
}

/// Other versions of what compresses may write other bytes; all must read these.
#[test]
fn what_was_released_is_read() {
    let (folder, mut state) = (Folder::new(), state());
    let head = Roster { authority: "PEM".into(), version: 2, revision: 17, ..Roster::default() };
    state.roster = Arc::new(head);
    let written = write(folder.path(), "lab", &meta(20), &state).unwrap();
    let frozen = storage::frozen::keep("snapshot-2/table", &std::fs::read(&written.path).unwrap());
    std::fs::write(&written.path, frozen).unwrap();
    let found = newest_in(&folder);
    assert_eq!((found.meta, found.state), (meta(20), Some(state)));
}

fn incoming(folder: &Folder, identity: &Identity) -> Incoming {
    Incoming::open(folder.path(), identity).unwrap()
}

fn files_in(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path()).unwrap().count()
}

#[tokio::test]
async fn a_transfer_goes_on_wherever_it_broke_off() {
    let (from, to) = (Folder::new(), Folder::new());
    let sent = write(from.path(), "lab", &meta(20), &state()).unwrap();
    let identity = sent.identity(&meta(20)).unwrap();
    let bytes = std::fs::read(&sent.path).unwrap();
    for part in [1, 7, 64, bytes.len()] {
        let mut come = 0;
        for part in bytes.chunks(part) {
            // Nothing but the file is left of the one before.
            let mut incoming = incoming(&to, &identity);
            assert_eq!(incoming.offset(), come);
            incoming.put(part.to_vec()).await.unwrap();
            come += part.len() as u64;
            assert_eq!(Incoming::bytes_here(to.path(), &identity).unwrap(), come);
        }
        let received = incoming(&to, &identity).finish().unwrap();
        assert_eq!(read(&received).unwrap().state, state());
        drop(received);
        assert_eq!(Incoming::bytes_here(to.path(), &identity).unwrap(), 0, "what nobody adopts goes");
    }
}

#[tokio::test]
async fn another_snapshot_begins_anew_and_takes_the_place() {
    let folder = Folder::new();
    let first = Identity { last: meta(20).last_log_id.unwrap(), bytes: 100, digest: [1; DIGEST_BYTES] };
    incoming(&folder, &first).put(vec![7; 60]).await.unwrap();
    for other in [
        Identity { last: meta(21).last_log_id.unwrap(), ..first.clone() },
        Identity { bytes: 101, ..first.clone() },
        Identity { digest: [2; DIGEST_BYTES], ..first.clone() },
    ] {
        assert_eq!(Incoming::bytes_here(folder.path(), &other).unwrap(), 0);
        assert_eq!(incoming(&folder, &other).offset(), 0);
        assert_eq!(files_in(&folder), 1);
    }
    assert_eq!(Incoming::bytes_here(folder.path(), &first).unwrap(), 0);
}

#[tokio::test]
async fn no_more_comes_in_than_was_announced() {
    let folder = Folder::new();
    let identity = Identity { last: meta(20).last_log_id.unwrap(), bytes: 100, digest: [1; DIGEST_BYTES] };
    let mut incoming = incoming(&folder, &identity);
    incoming.put(vec![7; 60]).await.unwrap();
    assert!(incoming.put(vec![7; 41]).await.is_err());
    incoming.put(vec![7; 40]).await.unwrap();
    assert!(read(&incoming.finish().unwrap()).is_err());
    assert_eq!(files_in(&folder), 0, "what is damaged is thrown away");
}

#[tokio::test]
async fn what_came_in_stays_over_a_restart_until_this_node_is_past_it() {
    let folder = Folder::new();
    let of = |index| Identity { last: meta(index).last_log_id.unwrap(), bytes: 9, digest: [1; DIGEST_BYTES] };
    for (index, stays) in [(21, true), (20, false), (3, false)] {
        incoming(&folder, &of(index)).put(vec![7; 5]).await.unwrap();
        write(folder.path(), "lab", &meta(20), &state()).unwrap();
        newest_in(&folder);
        assert_eq!(Incoming::bytes_here(folder.path(), &of(index)).unwrap() == 5, stays, "{index}");
    }
}

#[tokio::test]
async fn what_came_in_goes_away_unless_it_is_adopted() {
    let (from, to) = (Folder::new(), Folder::new());
    let sent = write(from.path(), "lab", &meta(20), &state()).unwrap();
    let identity = sent.identity(&meta(20)).unwrap();
    for adopts in [false, true] {
        let mut incoming = incoming(&to, &identity);
        incoming.put(std::fs::read(&sent.path).unwrap()).await.unwrap();
        let received = incoming.finish().unwrap();
        if adopts {
            let adopted = adopt(to.path(), &received, &meta(20)).unwrap();
            drop(received);
            assert!(read(&adopted).is_ok());
            assert_eq!(snapshots(to.path()).unwrap(), [adopted.path]);
        } else {
            drop(received);
            assert_eq!(files_in(&to), 0);
        }
    }
}
