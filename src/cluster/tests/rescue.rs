//! Nodes that have their log and nothing to go on from.

use super::*;
use std::path::Path;

/// Damages the store and every snapshot.
fn damage(folder: &Path) {
    std::fs::write(folder.join("tree/conf"), "damaged, all of it").unwrap();
    for snapshot in std::fs::read_dir(folder.join("snapshots")).unwrap() {
        std::fs::write(snapshot.unwrap().path(), "damaged").unwrap();
    }
}

/// A group in which every node has dropped the beginning of its log.
async fn purged() -> Lab {
    let lab = Lab::formed(3).await;
    for rid in 1..=150 {
        write(&lab.nodes[0], rid).await;
    }
    for node in &lab.nodes {
        sees(node, 150).await;
        lab.purged(node.number, 60).await;
        let members = lab.data_dir(node.number).join("members");
        while !members.exists() {
            tokio::task::yield_now().await;
        }
    }
    lab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_lost_is_fetched_from_another_member() {
    let mut lab = purged().await;
    let victim = lab.leader().await % 3 + 1;
    let term = lab.node(victim).cluster.standing().term;
    lab.kill(victim).await;
    write(lab.node(victim % 3 + 1), 151).await;
    damage(&lab.data_dir(victim));
    lab.start(victim).await;
    sees(lab.node(victim), 151).await;
    assert_eq!(lab.node(victim).cluster.state().borrow().table.entries.len(), 151);
    assert!(lab.node(victim).cluster.standing().term >= term);
    write(lab.node(victim), 152).await;
    // What was fetched is what it starts from again.
    lab.kill(victim).await;
    lab.start(victim).await;
    sees(lab.node(victim), 152).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_nobody_has_keeps_the_node_out() {
    let mut lab = purged().await;
    lab.kill(1).await;
    damage(&lab.data_dir(1));
    std::fs::write(lab.data_dir(1).join("members"), "1 127.0.0.1:1\n").unwrap();
    let refused = lab.try_open(1, lab.node(1).id, "127.0.0.1:1").await.map(|_| ());
    assert!(matches!(refused, Err(OpenError::StateLost { .. })), "{refused:?}");
}
