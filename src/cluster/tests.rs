//! Three nodes in one process over plain TCP.

mod disk;
mod lab;
mod lineage;
mod rescue;
mod snapshots;

use super::*;
use crate::principal::Sid;
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::raft_client::RaftClient;
use crate::state::{Kind, NewEntry, Outcome, Role, RosterChange};
use lab::{Lab, Node, PATIENCE};
use std::time::Duration;

fn sid(rid: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
}

fn allow(rid: u32) -> Change {
    Change::Allow(NewEntry {
        sid: sid(rid),
        name: format!("LAB\\exch{rid}$"),
        kind: Kind::Computer,
        role: Role::Exchange,
        note: String::new(),
    })
}

async fn write(node: &Node, rid: u32) -> Written {
    node.cluster.write("admin", allow(rid), None, Timestamp(1)).await.unwrap()
}

async fn sees(node: &Node, rid: u32) {
    let mut state = node.cluster.state();
    let waiting = state.wait_for(|state| state.table.entries.contains_key(&sid(rid)));
    let seen = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(seen.is_ok(), "node {} does not see {rid}", node.number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_at_any_node_is_published_at_every_node() {
    let lab = Lab::formed(3).await;
    for (rid, writer) in (1..).zip(&lab.nodes) {
        let written = write(writer, rid).await;
        assert_eq!(written.outcome, Outcome::Allowed);
        for node in &lab.nodes {
            sees(node, rid).await;
        }
    }
    let members = lab.nodes[0].cluster.members().borrow().clone();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member.voter && !member.witness && !member.drained));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_change_acts_once() {
    let lab = Lab::formed(3).await;
    let client = Some(ClientId([9; 16]));
    let node = &lab.nodes[1].cluster;
    let first = node.write("admin", allow(1), client, Timestamp(1)).await.unwrap();
    let again = node.write("admin", allow(1), client, Timestamp(1)).await.unwrap();
    assert_eq!((first.outcome, again.outcome), (Outcome::Allowed, Outcome::Allowed));
    assert_eq!(write(&lab.nodes[1], 1).await.outcome, Outcome::Renewed);
    let other = node.write("admin", allow(2), client, Timestamp(1)).await.unwrap();
    assert_eq!(other.outcome, Outcome::OtherCommand);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_after_the_barrier_sees_what_was_acknowledged() {
    let lab = Lab::formed(3).await;
    for rid in 1..20 {
        write(&lab.nodes[rid as usize % 3], rid).await;
        let reader = &lab.nodes[(rid as usize + 1) % 3].cluster;
        reader.read_barrier().await.unwrap();
        assert!(reader.state().borrow().table.entries.contains_key(&sid(rid)), "{rid}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_leads_when_the_leader_is_gone() {
    let mut lab = Lab::formed(3).await;
    write(&lab.nodes[0], 1).await;
    let old = lab.leader().await;
    lab.kill(old).await;
    let left: Vec<u64> = lab.nodes.iter().map(|node| node.number).filter(|number| *number != old).collect();
    for (rid, id) in (2..).zip(&left) {
        write(lab.node(*id), rid).await;
    }
    lab.start(old).await;
    for rid in 1..=3 {
        sees(lab.node(old), rid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_in_order_hands_over_first() {
    // No silence lasts long enough for an election within the time that a write takes at most.
    let mut lab = Lab::with_elections(3, forward::WRITE_TIMEOUT * 10).await;
    write(&lab.nodes[0], 1).await;
    let old = lab.leader().await;
    lab.stop(old).await;
    let other = lab.nodes.iter().find(|node| node.number != old).unwrap();
    write(other, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_is_there_after_all_nodes_restarted() {
    let mut lab = Lab::formed(3).await;
    for rid in 1..=5 {
        write(&lab.nodes[0], rid).await;
    }
    for id in [1, 2, 3] {
        lab.kill(id).await;
    }
    for id in [1, 2, 3] {
        lab.start(id).await;
    }
    for node in &lab.nodes {
        for rid in 1..=5 {
            sees(node, rid).await;
        }
    }
    write(&lab.nodes[2], 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_far_behind_gets_a_snapshot() {
    let mut lab = Lab::formed(3).await;
    let leader = lab.leader().await;
    let behind = (1..=3).find(|id| *id != leader).unwrap();
    lab.kill(behind).await;
    for rid in 1..=150 {
        write(lab.node(leader), rid).await;
    }
    lab.purged(leader, 60).await;
    lab.start(behind).await;
    sees(lab.node(behind), 150).await;
    let state = lab.node(behind).cluster.state().borrow().clone();
    assert_eq!(state.table.entries.len(), 150);
    assert!(lab.has_snapshot(behind));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_a_write_is_refused_and_says_so() {
    let mut lab = Lab::formed(3).await;
    write(&lab.nodes[0], 1).await;
    let last = (1..=3).find(|id| *id != 1).unwrap();
    for id in [1, 2, 3] {
        if id != last {
            lab.kill(id).await;
        }
    }
    let node = lab.node(last);
    let error = node.cluster.write("admin", allow(2), None, Timestamp(1)).await.unwrap_err();
    let said = matches!(error, WriteError::NoLeader { .. } | WriteError::NoQuorum { .. });
    assert!(said, "{error}");
    assert!(!node.cluster.standing().quorum);
    assert!(node.cluster.read_barrier().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_know_how_the_others_fare() {
    let lab = Lab::formed(3).await;
    let written = write(&lab.nodes[0], 1).await;
    let members = lab.nodes[0].cluster.members().borrow().clone();
    for member in members.iter() {
        assert!(lab.nodes[0].cluster.await_applied(member, written.log_index, PATIENCE).await);
        let status = lab.nodes[0].cluster.node_status(member, PATIENCE).await.unwrap();
        assert_eq!((status.facts.ready, status.revision), (true, written.log_index));
    }
    let early = lab.nodes[0].cluster.await_applied(&members[1], u64::MAX, Duration::from_millis(20)).await;
    assert!(!early);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_was_emptied_does_not_start() {
    let mut lab = Lab::formed(3).await;
    lab.kill(2).await;
    lab.wipe(2);
    let id = lab.node(2).id;
    let refused = lab.try_open(2, id, "127.0.0.1:1").await.map(|_| ());
    let Err(OpenError::Folder(version::VersionError::Lost { owner, .. })) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(owner, format!("lab node {id}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_under_an_id_that_has_another_disk_ends() {
    let mut lab = Lab::formed(3).await;
    lab.kill(2).await;
    lab.wipe(2);
    let id = lab.node(2).id;
    Cluster::claim(&lab.data_dir(2), "lab", id, 99).unwrap();
    lab.start(2).await;
    for rid in 2..20 {
        write(lab.node(1), rid).await;
    }
    // It hears nothing from the others, and grants nothing to them.
    let standing = lab.node(2).cluster.standing();
    assert_eq!((standing.term, standing.last_log_index), (0, 0));
    let refusal = lab.vote(1, lab.route(1, 2)).await.unwrap_err();
    assert!(refusal.message().contains("another disk"), "{refusal}");
}

async fn roster(lab: &Lab, number: u64, change: RosterChange) -> Outcome {
    let written = lab.node(number).cluster.write("admin", Change::Roster(change), None, Timestamp(1)).await;
    written.unwrap().outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_are_at_most_five_and_a_removed_node_leaves() {
    let mut lab = Lab::formed(3).await;
    lab.join(4).await;
    sees_members(lab.node(4), 4).await;
    lab.node(4).votes_with(3).await;
    lab.join(5).await;
    lab.node(5).votes_with(5).await;
    lab.join(6).await;
    sees_members(lab.node(1), 6).await;
    let gone = lab.node(5).id;
    assert_eq!(roster(&lab, 2, RosterChange::RemoveNode { node_id: gone }).await, Outcome::RosterChanged);
    // The sixth takes its vote.
    let said = tokio::time::timeout(PATIENCE, lab.node(5).cluster.failed()).await.unwrap();
    assert!(said.contains("was removed from the cluster by admin"), "{said}");
    let mut members = lab.node(6).cluster.members();
    let six = lab.node(6).id;
    let votes = members.wait_for(|members| members.iter().any(|one| one.node_id == six && one.voter));
    tokio::time::timeout(PATIENCE, votes).await.unwrap().unwrap();
    let mut state = lab.node(6).cluster.state();
    let dropped = state.wait_for(|state| state.roster.removed.contains_key(&gone));
    tokio::time::timeout(PATIENCE, dropped).await.unwrap().unwrap();
    let refused = lab.node(6).cluster.admits(gone, &KeyHash::default()).unwrap_err();
    assert!(matches!(refused, NotAdmitted::Removed { .. }), "{refused}");
    write(lab.node(6), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_voters_can_be_removed_whoever_leads() {
    for leads in [1, 2] {
        let lab = Lab::formed(2).await;
        lab.node(1).cluster.transfer(Some(lab.node(leads).id)).await.unwrap();
        let node_id = lab.node(2).id;
        assert_eq!(roster(&lab, 1, RosterChange::RemoveNode { node_id }).await, Outcome::RosterChanged);
        let said = tokio::time::timeout(PATIENCE, lab.node(2).cluster.failed()).await.unwrap();
        assert!(said.contains("was removed"), "{said}");
        lab.node(1).votes_with(1).await;
        write(lab.node(1), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_removed_hands_over_first() {
    let lab = Lab::with_elections(3, forward::WRITE_TIMEOUT * 10).await;
    let old = lab.leader().await;
    let other = old % 3 + 1;
    let node_id = lab.node(old).id;
    assert_eq!(roster(&lab, other, RosterChange::RemoveNode { node_id }).await, Outcome::RosterChanged);
    let left = lab.node(other);
    let mut raft = left.cluster.raft().metrics();
    while raft.borrow_watched().membership_config.nodes().any(|(id, _)| *id == node_id) {
        tokio::time::timeout(PATIENCE, raft.changed()).await.unwrap().unwrap();
    }
    write(left, 1).await;
    assert_eq!(left.cluster.members().borrow().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_it_is_asked_to_go_from_any_node() {
    let lab = Lab::with_elections(3, forward::WRITE_TIMEOUT * 10).await;
    let old = lab.leader().await;
    let [asked, next] = [1, 2].map(|step| (old - 1 + step) % 3 + 1);
    let target = lab.node(next).id;
    assert_eq!(lab.node(asked).cluster.transfer(Some(target)).await.unwrap(), target);
    assert_eq!(lab.leader().await, next);
    let unknown = lab.node(asked).cluster.transfer(Some(u64::MAX)).await.unwrap_err();
    assert!(unknown.to_string().contains("has no vote"), "{unknown}");
    let other = lab.node(asked).cluster.transfer(None).await.unwrap();
    assert_ne!(other, target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_moved_says_so() {
    let mut lab = Lab::formed(3).await;
    lab.kill(3).await;
    let moved = lab.move_to_another_port(3).await;
    let mut members = lab.node(1).cluster.members();
    let there = |members: &Arc<Vec<Member>>| members.iter().any(|member| member.peer_address == moved);
    tokio::time::timeout(PATIENCE, members.wait_for(there)).await.unwrap().unwrap();
    write(lab.node(1), 1).await;
    sees(lab.node(3), 1).await;
}

async fn sees_members(node: &Node, count: usize) {
    let mut members = node.cluster.members();
    let waiting = members.wait_for(|members| members.len() == count);
    tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_speaks_for_another_is_refused() {
    let lab = Lab::formed(3).await;
    let target = &lab.nodes[0];
    let channel = lab.channel(2, target.number).await;
    let vote = wire::Vote { term: 99, node_id: 0, committed: false };
    let right = lab.route(2, 1);
    let [one, two, three] = [1, 2, 3].map(|number| lab.node(number).id);
    let route =
        |from, to, cluster: &str| Some(wire::Route { cluster_id: cluster.into(), from, to, ..right.clone() });
    for (route, node_id) in [
        (route(three, one, "lab"), three),
        (route(two, one, "lab"), three),
        (route(two, three, "lab"), two),
        (route(two, one, "other"), two),
    ] {
        let vote = Some(wire::Vote { node_id, ..vote });
        let request = wire::VoteRequest { route: route.clone(), vote, ..Default::default() };
        let refusal = RaftClient::new(channel.clone()).vote(request).await.unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::PermissionDenied, "{route:?}");
        let request = wire::AppendRequest { route: route.clone(), vote, ..Default::default() };
        let requests = futures::stream::iter([request]);
        let mut answers = RaftClient::new(channel.clone()).append(requests).await.unwrap().into_inner();
        let refusal = answers.message().await.unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::PermissionDenied, "{route:?}");
    }
    assert!(target.cluster.standing().term < 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_at_the_address_is_not_spoken_to() {
    let lab = Lab::formed(3).await;
    let third = lab.node(3).address.clone();
    let mut client = lab.nodes[0].cluster.peers().node(u64::MAX, &third);
    let refusal = client.status(wire::StatusRequest {}).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_disk_and_another_group_are_refused() {
    let lab = Lab::formed(3).await;
    let right = lab.route(2, 1);
    let other = codec::random_to(7);
    for (route, said) in [
        (wire::Route { from_incarnation: other.clone(), ..right.clone() }, "does not know"),
        (wire::Route { to_incarnation: other.clone(), ..right.clone() }, "another disk"),
        (wire::Route { group: other, ..right.clone() }, "another group"),
    ] {
        let refusal = lab.vote(2, route).await.unwrap_err();
        assert!(refusal.message().contains(said), "{refusal}");
    }
    lab.vote(2, right).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_log_does_not_start() {
    let mut lab = Lab::formed(3).await;
    write(&lab.nodes[0], 1).await;
    sees(lab.node(1), 1).await;
    lab.kill(1).await;
    let folder = lab.data_dir(1);
    std::fs::remove_dir_all(folder.join("log")).unwrap();
    let refused = lab.try_open(1, 1, "127.0.0.1:1").await.map(|_| ());
    assert!(matches!(refused, Err(OpenError::LogLost { .. })), "{refused:?}");
    // Even where nothing says that there was a log: the store has applied what the log had.
    let format = std::fs::read_to_string(folder.join("format")).unwrap();
    std::fs::write(folder.join("format"), format.replace("log made\n", "")).unwrap();
    let refused = lab.try_open(1, 1, "127.0.0.1:1").await.map(|_| ());
    assert!(matches!(refused, Err(OpenError::LogLost { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_node_that_is_to_lead_stands_for_election() {
    let lab = Lab::with_elections(3, Duration::from_secs(20)).await;
    let leader = lab.leader().await;
    let [told, next] = [1, 2].map(|step| (leader - 1 + step) % 3 + 1);
    sees_term(&lab, told).await;
    let term = lab.node(leader).cluster.standing().term;
    let ask = |next| wire::TransferLeaderRequest {
        route: Some(lab.route(leader, told)),
        vote: Some(wire::Vote { term, node_id: lab.node(leader).id, committed: true }),
        last: None,
        next: lab.node(next).id,
    };
    let mut client = RaftClient::new(lab.channel(leader, told).await);
    client.transfer_leader(ask(next)).await.unwrap();
    // What is appended after that was asked finds the node in the same term.
    write(lab.node(leader), 2).await;
    sees(lab.node(told), 2).await;
    assert_eq!(lab.node(told).cluster.standing().term, term);
    client.transfer_leader(ask(told)).await.unwrap();
    let mut metrics = lab.node(told).cluster.raft().metrics();
    while metrics.borrow_watched().state != ServerState::Leader {
        tokio::time::timeout(PATIENCE, metrics.changed()).await.unwrap().unwrap();
    }
}

/// Waits until a node has an entry of the leader's term, so that it has the leader's vote.
async fn sees_term(lab: &Lab, id: u64) {
    write(&lab.nodes[0], 1).await;
    sees(lab.node(id), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_future_is_believed_when_a_member_knows_it() {
    let lab = Lab::formed(3).await;
    let (asks, asked) = (lab.node(2), lab.node(3).id);
    let key = KeyHash::default();
    assert!(vouch::ask(&asks.cluster, asked, &key).await);
    assert!(!vouch::ask(&asks.cluster, asked, &KeyHash([9; 32])).await);
    // Nobody knows it, and that is remembered for a moment.
    assert!(!asks.cluster.is_vouched(u64::MAX, &key).await);
    assert!(!asks.cluster.is_vouched(u64::MAX, &key).await);
    // Who is a member by the log needs nobody's word.
    assert!(asks.cluster.is_vouched(asked, &key).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_that_is_alive_is_enough_to_vouch() {
    let mut lab = Lab::formed(3).await;
    let (third, key) = (lab.node(3).id, KeyHash::default());
    lab.kill(3).await;
    assert!(vouch::ask(&lab.node(2).cluster, third, &key).await);
    lab.kill(1).await;
    assert!(!vouch::ask(&lab.node(2).cluster, third, &key).await);
}
