//! Snapshots on their way from node to node.

use super::*;
use crate::cluster::network::Way;
use crate::cluster::snapshot::Identity;
use crate::cluster::types::Snapshot;
use futures::future;
use openraft::network::{NetSnapshot, RPCOption, RaftNetworkFactory};
use std::path::PathBuf;
use tonic::{Code, Status};
use wire::snapshot_part::Part;

/// A leader with a snapshot, and another node.
struct Pair {
    lab: Lab,
    leader: u64,
    other: u64,
    snapshot: Snapshot,
    bytes: Vec<u8>,
}

impl Pair {
    async fn new() -> Self {
        // A change of leader would refuse what the old one sends.
        let lab = Lab::with_elections(2, Duration::from_secs(20)).await;
        let leader = lab.leader().await;
        for rid in 1..=20 {
            write(lab.node(leader), rid).await;
        }
        let cluster = &lab.node(leader).cluster;
        cluster.raft().trigger().snapshot().await.unwrap();
        let built = cluster.raft().wait(Some(PATIENCE));
        built.metrics(|metrics| metrics.snapshot.is_some(), "a snapshot is built").await.unwrap();
        let snapshot = cluster.shared.snapshots.current().unwrap();
        let bytes = std::fs::read(newest_file(&lab, leader)).unwrap();
        Pair { leader, other: 3 - leader, snapshot, bytes, lab }
    }

    fn identity(&self) -> Identity {
        self.snapshot.snapshot.identity(&self.snapshot.meta).unwrap()
    }

    fn head(&self) -> wire::SnapshotHead {
        let standing = self.lab.node(self.leader).cluster.standing();
        let node_id = self.lab.node(self.leader).id;
        wire::SnapshotHead {
            route: Some(self.lab.route(self.leader, self.other)),
            vote: Some(wire::Vote { term: standing.term, node_id, committed: true }),
            ..self.identity().to_head()
        }
    }

    async fn client(&self) -> RaftClient<tonic::transport::Channel> {
        RaftClient::new(self.lab.channel(self.leader, self.other).await)
    }

    async fn come(&self, head: &wire::SnapshotHead) -> u64 {
        self.client().await.ask_snapshot(head.clone()).await.unwrap().into_inner().bytes
    }

    /// Sends bytes from `offset` on, and ends there.
    async fn send(&self, head: wire::SnapshotHead, offset: u64, bytes: &[u8]) -> Result<(), Status> {
        let head = Part::Head(wire::SnapshotHead { offset, ..head });
        let data = bytes.chunks(100).map(|chunk| Part::Data(chunk.to_vec()));
        let parts: Vec<_> = [head].into_iter().chain(data).collect();
        let parts = parts.into_iter().map(|part| wire::SnapshotPart { part: Some(part) });
        self.client().await.install_snapshot(futures::stream::iter(parts)).await.map(|_| ())
    }

    fn left(&self) -> usize {
        let files = std::fs::read_dir(self.lab.data_dir(self.other).join("snapshots")).unwrap();
        files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("incoming")).count()
    }
}

fn newest_file(lab: &Lab, number: u64) -> PathBuf {
    let files = std::fs::read_dir(lab.data_dir(number).join("snapshots")).unwrap();
    files.map(|file| file.unwrap().path()).max().unwrap()
}

async fn way(pair: &Pair) -> Way {
    let cluster = &pair.lab.node(pair.leader).cluster;
    let mut network = Network {
        cluster_id: "lab".into(),
        node_id: pair.lab.node(pair.leader).id,
        incarnation: cluster.shared.incarnation,
        peers: cluster.shared.peers.clone(),
    };
    let target = pair.lab.node(pair.other).id;
    let metrics = cluster.raft().metrics();
    let node = metrics.borrow_watched().membership_config.membership().get_node(&target).unwrap().clone();
    network.new_client(target, &node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_rest_of_a_snapshot_is_sent() {
    let pair = Pair::new().await;
    let head = pair.head();
    let parts = pair.bytes.len() / 5 + 1;
    for (at, part) in pair.bytes.chunks(parts).enumerate() {
        let come = pair.come(&head).await;
        assert_eq!(come, (at * parts) as u64);
        let sent = pair.send(head.clone(), come, part).await;
        let last = come + part.len() as u64 == head.bytes;
        assert_eq!(sent.map_err(|status| status.code()), if last { Ok(()) } else { Err(Code::Aborted) });
    }
    assert_eq!(pair.left(), 0, "what is whole went on to Raft");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_to_what_has_come_is_refused() {
    let pair = Pair::new().await;
    let head = pair.head();
    pair.send(head.clone(), 0, &pair.bytes[..200]).await.unwrap_err();
    for offset in [0, 100, 201] {
        let refused = pair.send(head.clone(), offset, &pair.bytes[offset as usize..]).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{offset}");
    }
    assert_eq!(pair.come(&head).await, 200);
    let longer = [&pair.bytes[200..], &[0; 300]].concat();
    pair.send(head.clone(), 200, &longer).await.unwrap_err();
    // Another snapshot begins anew.
    let other = wire::SnapshotHead { digest: vec![9; 32], ..head.clone() };
    assert_eq!(pair.come(&other).await, 0);
    pair.send(other.clone(), 0, &pair.bytes[..50]).await.unwrap_err();
    assert_eq!((pair.come(&other).await, pair.come(&head).await), (50, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_thrown_away_and_sent_again() {
    let pair = Pair::new().await;
    let mut damaged = pair.bytes[..pair.bytes.len() / 2].to_vec();
    damaged[100] ^= 1;
    pair.send(pair.head(), 0, &damaged).await.unwrap_err();
    assert_eq!(pair.come(&pair.head()).await, damaged.len() as u64);
    let mut way = way(&pair).await;
    let standing = pair.lab.node(pair.leader).cluster.standing();
    let vote = types::Vote::new_committed(standing.term, pair.lab.node(pair.leader).id);
    let option = || RPCOption::new(PATIENCE);
    let refused = way.full_snapshot(vote, pair.snapshot.clone(), future::pending(), option()).await;
    assert!(refused.unwrap_err().to_string().contains("damaged"));
    assert_eq!((pair.come(&pair.head()).await, pair.left()), (0, 0));
    way.full_snapshot(vote, pair.snapshot.clone(), future::pending(), option()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_goes_on_where_the_receiver_says() {
    let pair = Pair::new().await;
    pair.send(pair.head(), 0, &pair.bytes[..300]).await.unwrap_err();
    assert_eq!(pair.come(&pair.head()).await, 300);
    let standing = pair.lab.node(pair.leader).cluster.standing();
    let vote = types::Vote::new_committed(standing.term, pair.lab.node(pair.leader).id);
    // From the beginning it would be refused.
    let option = RPCOption::new(PATIENCE);
    let mut way = way(&pair).await;
    way.full_snapshot(vote, pair.snapshot.clone(), future::pending(), option).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_snapshot_comes_in_at_a_time_and_none_of_an_older_term() {
    let pair = Pair::new().await;
    let receiving = pair.lab.node(pair.other).cluster.shared.snapshots.receiving.clone();
    let alone = receiving.lock().await;
    let refused = pair.send(pair.head(), 0, &pair.bytes).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    drop(alone);
    let mut old = pair.head();
    old.vote.as_mut().unwrap().term = 0;
    assert_eq!(pair.send(old, 0, &pair.bytes).await.unwrap_err().code(), Code::Aborted);
    pair.send(pair.head(), 0, &pair.bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_purged_only_behind_a_durable_snapshot() {
    let pair = Pair::new().await;
    let shared = &pair.lab.node(pair.leader).cluster.shared;
    let durable = shared.snapshots.durable().unwrap();
    let mut store = LogStore::new(shared.log.clone()).behind(shared.snapshots.clone());
    let next = types::LogId::new_term_index(durable.committed_leader_id().term, durable.index() + 1);
    let refused = store.purge(next).await.unwrap_err();
    assert!(refused.to_string().contains("newest durable snapshot"), "{refused}");
    assert!(store.get_log_state().await.unwrap().last_purged_log_id < Some(durable));
    store.purge(durable).await.unwrap();
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(durable));
}
