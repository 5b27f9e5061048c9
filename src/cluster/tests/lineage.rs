//! New lineages: out of the one node that is left, and out of a copy of the state.

use super::super::*;
use super::lab::{Lab, Node};
use super::{allow, sees, write};
use crate::state::{KeyHash, NewAdministrator, NewNode, NodeKind, TokenFate};
use crate::storage::log::{Made, Vote};
use std::path::PathBuf;
use std::sync::mpsc;

async fn survey(lab: &Lab, number: u64) -> Survey {
    let offline = Offline::open(&lab.data_dir(number)).await.unwrap();
    let survey = offline.survey();
    offline.close().await;
    survey
}

async fn recover(lab: &Lab, number: u64) -> Recovered {
    let offline = Offline::open(&lab.data_dir(number)).await.unwrap();
    offline.recover(None, ("admin", &[]), Timestamp(7)).await.unwrap()
}

/// All of them stopped; the third, which has no part in the last changes, first.
async fn stopped_apart() -> Lab {
    let mut lab = Lab::formed(3).await;
    write(&lab.nodes[0], 1).await;
    sees(lab.node(3), 1).await;
    lab.kill(3).await;
    for rid in 2..=5 {
        write(&lab.nodes[0], rid).await;
    }
    lab.kill(1).await;
    lab.kill(2).await;
    lab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_survivor_that_has_most_begins_a_new_lineage_with_everything_acknowledged() {
    let mut lab = stopped_apart().await;
    let (most, least) = (survey(&lab, 2).await, survey(&lab, 3).await);
    assert!(most.entries == 5 && least.entries == 1, "{most:?} {least:?}");
    let ahead = compare(&least, std::slice::from_ref(&most)).unwrap().ahead;
    assert_eq!(ahead.iter().map(|node| node.node_id).collect::<Vec<_>>(), [most.node_id]);

    let recovered = recover(&lab, 2).await;
    assert_ne!(recovered.group, most.group);
    assert!(recovered.log_index >= most.last.index + 1_000_000, "{recovered:?}");
    assert_eq!(most.changed_at_ms, Some(1));
    assert_eq!(recovered.removed.len(), 2);
    assert!(recovered.copy.join("log").exists());
    lab.start(2).await;
    let node = lab.node(2);
    for rid in 1..=5 {
        sees(node, rid).await;
    }
    let written = write(node, 6).await;
    assert!(written.log_index > recovered.log_index);
    node.votes_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_old_lineage_are_not_heard() {
    let mut lab = stopped_apart().await;
    recover(&lab, 2).await;
    for number in [1, 2, 3] {
        lab.start(number).await;
    }
    let new = lab.node(2);
    write(new, 6).await;
    // The old ones still have a quorum among themselves, and agree without it.
    write(lab.node(1), 7).await;
    sees(lab.node(3), 7).await;
    let route = lab.route(1, 2);
    let refusal = lab.vote(1, route).await.unwrap_err();
    assert!(refusal.message().contains("another group"), "{refusal}");
    let known = new.cluster.state().borrow().table.entries.clone();
    assert!(known.contains_key(&super::sid(6)) && !known.contains_key(&super::sid(7)));
    assert_eq!(new.cluster.members().borrow().len(), 1);
    for old in [1, 3] {
        let id = lab.node(old).id;
        assert!(matches!(new.cluster.admits(id, &KeyHash::default()), Err(NotAdmitted::Removed { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_was_cut_off_is_whole_or_can_be_repeated() {
    let mut lab = stopped_apart().await;
    let (data_dir, id) = (lab.data_dir(2), lab.node(2).id);
    let recovered = recover(&lab, 2).await;
    // As it is on disk when the process was killed after the snapshot and before the log.
    let (log, before) = (data_dir.join(LOG), recovered.copy.join(LOG));
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    for file in std::fs::read_dir(&before).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), log.join(file.file_name())).unwrap();
    }
    let guard = crate::storage::log::Log::guard_path;
    std::fs::copy(guard(&before), guard(&log)).unwrap();
    let old = Log::open(&log, Made::Before).unwrap();
    let term = old.contents().unwrap().vote.unwrap().term + 1;
    let (sender, saved) = mpsc::channel();
    let vote = Vote { term, committed: false, node_id: id };
    old.save_vote(vote, move || sender.send(()).unwrap()).unwrap();
    saved.recv().unwrap();
    old.close();

    lab.start(2).await;
    write(lab.node(2), 6).await;
    lab.kill(2).await;
    let again = recover_later(&lab, 2).await;
    assert!(again.log_index > recovered.log_index && again.group != recovered.group);
    lab.start(2).await;
    sees(lab.node(2), 6).await;
    write(lab.node(2), 7).await;
}

async fn recover_later(lab: &Lab, number: u64) -> Recovered {
    let offline = Offline::open(&lab.data_dir(number)).await.unwrap();
    assert!(offline.survey().is_alone());
    let now = 1_795_000_000_000;
    let recovered = offline.recover(None, ("admin", &[]), Timestamp(now)).await.unwrap();
    // The later of two lineages begins later, even if both begin out of the same state.
    assert!(recovered.log_index >= now.unsigned_abs());
    recovered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_without_what_its_log_goes_on_from_is_not_used() {
    let mut lab = Lab::formed(1).await;
    for rid in 1..=100 {
        write(lab.node(1), rid).await;
    }
    lab.purged(1, 40).await;
    lab.kill(1).await;
    for gone in ["tree", "snapshots"] {
        std::fs::remove_dir_all(lab.data_dir(1).join(gone)).unwrap();
    }
    let error = Offline::open(&lab.data_dir(1)).await.map(|_| ()).unwrap_err();
    assert!(crate::event::with_causes(&error).contains("another node has to be used"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_does_not_make_a_log_trusted_that_has_lost_its_guard() {
    let mut lab = Lab::formed(1).await;
    write(lab.node(1), 1).await;
    lab.kill(1).await;
    let guard = lab.data_dir(1).join("log.guard");
    std::fs::remove_file(&guard).unwrap();
    let error = Offline::open(&lab.data_dir(1)).await.map(|_| ()).unwrap_err();
    assert!(
        crate::event::with_causes(&error).contains("nobody can tell whether it is all there"),
        "{error:?}"
    );
    assert!(!guard.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_is_not_opened() {
    let lab = Lab::formed(1).await;
    assert!(Offline::open(&lab.data_dir(1)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_begins_a_lineage_of_its_own() {
    let mut lab = Lab::formed(2).await;
    write(lab.node(1), 1).await;
    let copy = lab.node(2).cluster.copy().await.unwrap();
    // What came after the copy is not in it.
    let last = write(lab.node(1), 2).await;
    let left = lab.data_dir(2).join("copy-99.tmp");
    std::fs::create_dir(&left).unwrap();
    lab.stop(2).await;
    lab.move_to_another_port(2).await;
    assert!(!left.exists());
    let file = lab.data_dir(9).with_extension("copy");
    save(&copy, &file);
    let copied = Copied::read(&file, "lab").unwrap();
    assert!(Copied::read(&file, "other").is_err());
    let node = NewNode {
        name: "node-1".into(),
        peer_address: "127.0.0.1:1".into(),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        incarnation: 9,
        key: KeyHash([9; 32]),
        build: VERSION,
    };
    let wanted = copied.next_node_id(Timestamp(9));
    let new = NewAdministrator { name: "alice".into(), key: KeyHash([7; 32]) };
    let administrator = Some(new);
    let beginning = Beginning {
        data_dir: &lab.data_dir(9),
        node,
        administrator,
        by: "admin",
        forgotten: &[],
        at: Timestamp(9),
    };
    assert_eq!(copied.begin(beginning).await.unwrap(), wanted);
    assert!(wanted > last.log_index + 900_000);

    lab.claimed_already(9, wanted).await;
    let node: &Node = lab.node(9);
    sees(node, 1).await;
    let written = node.cluster.write("admin", allow(3), None, Timestamp(1)).await.unwrap();
    assert!(written.log_index > wanted);
    let state = node.cluster.state().borrow().clone();
    assert!(!state.table.entries.contains_key(&super::sid(2)));
    assert_eq!(state.roster.nodes.keys().copied().collect::<Vec<_>>(), [wanted]);
    assert_eq!(state.roster.removed.len(), 2);
    assert!(state.roster.tokens.values().all(|token| token.fate != TokenFate::Open));
}

fn save(copy: &Copy, file: &PathBuf) {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < copy.bytes() {
        bytes.extend(copy.chunk(bytes.len() as u64).unwrap());
    }
    std::fs::write(file, bytes).unwrap();
}
