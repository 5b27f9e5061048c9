//! Raft's own suite for stores, on the real ones, and what comes back after a restart.

mod scale;

use super::super::log_store::LogStore;
use super::super::medium::Log;
use super::super::types::Proposal;
use super::super::{codec, snapshot};
use super::*;
use crate::principal::Sid;
use crate::state::{Change, ClientId, Digest, Kind, NewEntry, Role, Timestamp};
use crate::storage::log::Made;
use crate::storage::testing::Folder;
use openraft::Entry;
use openraft::StorageError;
use openraft::entry::RaftEntry;
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Folder> for Builder {
    async fn build(&self) -> Result<(Folder, LogStore, StateMachine), StorageError<TypeConfig>> {
        let folder = Folder::new();
        let log = Log::open(&folder.path().join("log"), Made::Perhaps).unwrap();
        let (machine, _closed) = open(folder.path());
        Ok((folder, LogStore::new(log), machine))
    }
}

fn open(folder: &Path) -> (StateMachine, Closed) {
    let space = Space::open(folder).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match StateMachine::open(folder, "lab", &space, Published::new(), &Tasks::new()) {
            Ok((machine, _, closed)) => return (machine, closed),
            // The threads of a store that was just closed may hold its lock for a moment.
            Err(error) if error.to_string().contains("lock") && std::time::Instant::now() < deadline => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn allow(rid: u32, index: u64) -> EntryResponder<TypeConfig> {
    let change = Change::Allow(NewEntry {
        sid: Sid::new(5, &[21, 1, 2, 3, rid]).unwrap(),
        name: format!("LAB\\{rid}"),
        kind: Kind::Computer,
        role: Role::Exchange,
        note: String::new(),
    });
    let client = ClientId(u128::from(index).to_be_bytes());
    let command = Command {
        client,
        serial: 1,
        digest: Digest([1; 16]),
        since: u64::MAX,
        at: Timestamp(1),
        by: "admin".into(),
        change,
    };
    let payload = EntryPayload::Normal(Proposal(codec::command_to(&command)));
    (Entry::new(LogId::new_term_index(1, index), payload), None)
}

async fn apply(machine: &mut StateMachine, indexes: std::ops::Range<u64>) {
    let entries = indexes.map(|index| Ok(allow(u32::try_from(index).unwrap(), index)));
    machine.apply(futures::stream::iter(entries)).await.unwrap();
}

async fn close(machine: StateMachine, closed: Closed) {
    drop(machine);
    closed.wait().await;
}

#[tokio::test]
async fn passes_the_suite_of_raft() {
    // The suite brings its own runtime where it needs one; here it shares ours.
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn what_was_applied_is_there_after_a_restart() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    apply(&mut machine, 1..50).await;
    let before = (machine.state.clone(), machine.meta.clone());
    close(machine, closed).await;
    let (machine, _closed) = open(folder.path());
    assert!(machine.state == before.0 && machine.meta == before.1, "the state is another");
}

#[tokio::test]
async fn forgotten_clients_are_forgotten_on_disk_too() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    apply(&mut machine, 1..65_600).await;
    assert!(machine.state.clients.forgotten > 0);
    let before = machine.state.clone();
    close(machine, closed).await;
    let (machine, _closed) = open(folder.path());
    assert!(machine.state == before, "the state after a restart is another");
}

#[tokio::test]
async fn a_lost_store_is_made_again_from_the_snapshot() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    apply(&mut machine, 1..20).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let before = machine.state.clone();
    close(machine, closed).await;
    std::fs::remove_dir_all(folder.path().join("tree")).unwrap();
    for _ in 0..2 {
        let (machine, closed) = open(folder.path());
        assert_eq!(machine.state, before);
        assert_eq!(machine.meta.last_log_id, Some(LogId::new_term_index(1, 19)));
        close(machine, closed).await;
    }
}

#[tokio::test]
async fn a_damaged_store_is_made_again_from_the_snapshot() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    apply(&mut machine, 1..20).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let before = machine.state.clone();
    close(machine, closed).await;
    std::fs::write(folder.path().join("tree/conf"), b"not sled's").unwrap();
    let (machine, _closed) = open(folder.path());
    assert_eq!(machine.state, before);
    assert!(folder.path().join("tree.damaged-1").exists());
}

#[tokio::test]
async fn an_installed_snapshot_replaces_everything() {
    let (from, to) = (Folder::new(), Folder::new());
    let (mut machine, _closed) = open(from.path());
    apply(&mut machine, 1..20).await;
    let sent = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let (mut other, closed) = open(to.path());
    apply(&mut other, 100..103).await;
    other.install_snapshot(&sent.meta, sent.snapshot).await.unwrap();
    assert_eq!(other.state, machine.state);
    assert_eq!(other.published.state.borrow().table, machine.state.table);
    assert_eq!(*other.published.applied.borrow(), 19);
    close(other, closed).await;
    let (other, _closed) = open(to.path());
    assert_eq!(other.state, machine.state);
    assert!(snapshot::newest(&to.path().join("snapshots"), "lab", None).unwrap().is_some());
}

#[tokio::test]
async fn a_snapshot_that_was_damaged_since_is_not_sent_but_written_anew() {
    let folder = Folder::new();
    let (mut machine, _closed) = open(folder.path());
    apply(&mut machine, 1..20).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let path = std::fs::read_dir(folder.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let sent = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(sent.snapshot.read("lab", &Table::default()).unwrap().state, machine.state);
    assert!(path.with_extension("damaged-1").exists());
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_written_and_nothing_is_lost() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    let space = machine.snapshots.space.clone();
    space.note_full();
    apply(&mut machine, 1..3 * 64).await;
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    tokio::task::yield_now().await;
    let before = machine.state.clone();
    close(machine, closed).await;
    assert!(!building.is_finished());
    let (machine, _closed) = open(folder.path());
    assert_eq!(machine.meta.last_log_id, None);
    space.look().unwrap();
    assert_eq!(space.full(), None);
    let snapshot = building.await.unwrap().unwrap();
    assert_eq!(snapshot.snapshot.read("lab", &Table::default()).unwrap().state, before);
    drop(machine);
}

#[tokio::test]
async fn what_waited_for_room_is_written_when_there_is_some() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    let space = machine.snapshots.space.clone();
    space.note_full();
    apply(&mut machine, 1..50).await;
    space.look().unwrap();
    apply(&mut machine, 50..60).await;
    let before = machine.state.clone();
    close(machine, closed).await;
    let (machine, _closed) = open(folder.path());
    assert!(machine.state == before, "the state after a restart is another");
}

#[tokio::test]
async fn an_entry_of_a_newer_build_stops_raft() {
    let folder = Folder::new();
    let (mut machine, _closed) = open(folder.path());
    // A command whose change has a kind that does not exist yet.
    let unknown = EntryPayload::Normal(Proposal(vec![0x2a, 0x03, 0x9a, 0x06, 0x00]));
    let entry = (Entry::new(LogId::new_term_index(1, 1), unknown), None);
    let error = machine.apply(futures::stream::iter([Ok(entry)])).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read a command: its kind of change is not known here");
    assert_eq!(machine.meta.last_log_id, None);
}

#[tokio::test]
async fn what_only_the_store_has_is_put_into_a_snapshot() {
    let at = |index| Some(LogId::new_term_index(1, index));
    for (last, purged, wanted) in
        [(at(19), None, None), (at(10), None, at(19)), (None, None, at(19)), (at(25), at(5), at(19))]
    {
        let folder = Folder::new();
        let (mut machine, _closed) = open(folder.path());
        apply(&mut machine, 1..20).await;
        machine.cover(last, purged).unwrap();
        let newest = snapshot::newest(&folder.path().join("snapshots"), "lab", None).unwrap();
        assert_eq!(newest.and_then(|newest| newest.meta.last_log_id), wanted, "{last:?} {purged:?}");
    }
}

#[tokio::test]
async fn an_older_snapshot_does_not_take_the_place_of_a_newer() {
    let folder = Folder::new();
    let (mut machine, _closed) = open(folder.path());
    apply(&mut machine, 1..10).await;
    let mut older = machine.get_snapshot_builder().await;
    apply(&mut machine, 10..20).await;
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    older.build_snapshot().await.unwrap();
    let current = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.meta.last_log_id, Some(LogId::new_term_index(1, 19)));
}

#[test]
fn a_store_that_cannot_be_opened_now_is_not_set_aside() {
    let folder = Folder::new();
    let path = folder.path().join("tree");
    let _in_use = Tree::open(&path).unwrap();
    assert!(open_store(&path).is_err());
    assert!(!folder.path().join("tree.damaged-1").exists());
}

#[tokio::test]
async fn damage_anywhere_in_the_store_never_gives_another_state() {
    let folder = Folder::new();
    let (mut machine, closed) = open(folder.path());
    for index in 1..400 {
        apply(&mut machine, index..index + 1).await;
    }
    close(machine, closed).await;
    let store = folder.path().join("tree/db");
    let whole = std::fs::read(&store).unwrap();
    let copy = |to: &Path| {
        assert!(
            std::process::Command::new("cp")
                .arg("-a")
                .arg(folder.path().join("tree"))
                .arg(to)
                .status()
                .unwrap()
                .success()
        );
    };
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let damaged = Folder::new();
        copy(damaged.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(damaged.path().join("tree/db"), bytes).unwrap();
        let (_, stored) = open_store(&damaged.path().join("tree")).unwrap();
        // Set aside, or rolled back to what it was before: the log has the rest.
        let Some((state, meta)) = stored else { continue };
        let index = meta.last_log_id.map_or(0, |last| last.index());
        assert_eq!(state.table.entries.len() as u64, index, "byte {at}");
        assert_eq!(state.clients.len() as u64, index, "byte {at}");
    }
}
