//! Full disks: what is refused, what goes on, and that it heals.

use super::*;

/// The node's disk is as full as it can be.
fn fill(lab: &Lab, id: u64) {
    lab.node(id).cluster.shared.space.pretend(true);
}

fn make_room(lab: &Lab, id: u64) {
    lab.node(id).cluster.shared.space.pretend(false);
}

async fn refused(node: &Node, rid: u32) -> String {
    let error = node.cluster.write("admin", allow(rid), None, Timestamp(1)).await.unwrap_err();
    assert!(matches!(error, WriteError::DiskFull { .. }), "{error}");
    error.to_string()
}

/// Waits until a change is taken.
async fn taken(node: &Node, rid: u32) {
    let trying = async {
        while let Err(error) = node.cluster.write("admin", allow(rid), None, Timestamp(1)).await {
            assert!(matches!(error, WriteError::DiskFull { .. }), "{error}");
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_refuses_changes_and_heals() {
    let lab = Lab::formed(1).await;
    write(&lab.nodes[0], 1).await;
    fill(&lab, 1);
    let said = refused(&lab.nodes[0], 2).await;
    assert!(said.starts_with("the disk of node-1 is full: ") && said.contains("MiB free of"), "{said}");
    assert!(lab.nodes[0].cluster.read_barrier().await.is_ok());
    assert!(lab.nodes[0].cluster.standing().quorum);
    make_room(&lab, 1);
    taken(&lab.nodes[0], 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_room_hands_over_to_a_node_that_has_some() {
    let lab = Lab::formed(3).await;
    let leader = lab.leader().await;
    write(lab.node(leader), 1).await;
    fill(&lab, leader);
    for rid in 2..5 {
        taken(lab.node(leader), rid).await;
    }
    let other = lab.nodes.iter().find(|node| node.number != leader).unwrap();
    assert_ne!(other.cluster.standing().leader, Some(lab.node(leader).id));
    make_room(&lab, leader);
    sees(lab.node(leader), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_on_a_majority_changes_are_refused_and_the_rest_goes_on() {
    let lab = Lab::formed(3).await;
    let leader = lab.leader().await;
    write(lab.node(leader), 1).await;
    for node in lab.nodes.iter().filter(|node| node.number != leader) {
        fill(&lab, node.number);
    }
    let known = async {
        while super::super::disk::refusal(&lab.node(leader).cluster).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
    let said = refused(&lab.nodes[0], 2).await;
    assert_eq!(said.matches("is full").count(), 2, "{said}");
    for node in &lab.nodes {
        assert!(node.cluster.read_barrier().await.is_ok(), "{}", node.number);
    }
    for node in &lab.nodes {
        make_room(&lab, node.number);
    }
    taken(&lab.nodes[0], 2).await;
    for node in &lab.nodes {
        sees(node, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_found_while_every_disk_is_full() {
    let mut lab = Lab::formed(3).await;
    let leader = lab.leader().await;
    write(lab.node(leader), 1).await;
    for id in [1, 2, 3] {
        fill(&lab, id);
    }
    lab.kill(leader).await;
    let left: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let led = async { while lab.node(left[0]).cluster.read_barrier().await.is_err() {} };
    tokio::time::timeout(PATIENCE, led).await.unwrap();
    refused(lab.node(left[1]), 2).await;
    for id in &left {
        make_room(&lab, *id);
    }
    taken(lab.node(left[1]), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_without_room_takes_a_little_and_then_nothing_until_it_heals() {
    let lab = Lab::formed(3).await;
    let leader = lab.leader().await;
    let follower = leader % 3 + 1;
    fill(&lab, follower);
    write(lab.node(leader), 1).await;
    sees(lab.node(follower), 1).await;
    for bytes in [1 << 16, 1] {
        while lab.node(follower).cluster.shared.space.spend(bytes) {}
    }
    write(lab.node(leader), 2).await;
    let behind = lab.node(follower).cluster.read_barrier().await;
    assert!(matches!(behind, Err(ReadError::Behind { .. })), "{behind:?}");
    // It still hears from its leader, and does not stand for election.
    assert!(lab.node(follower).cluster.standing().quorum);
    make_room(&lab, follower);
    sees(lab.node(follower), 2).await;
}
