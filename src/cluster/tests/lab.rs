//! Nodes on loopback. A connection begins with the ids of both ends, in place of certificates.

use super::super::*;
use crate::proto::peer::v1 as wire;
use crate::state::{
    FOUNDER, KeyHash, NewNode, NodeKind, Outcome, RosterChange, Sealed, Token, TokenFate, TokenId,
};
use crate::storage::testing::Folder;
use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

/// How long a test waits for what has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Lab {
    pub(super) nodes: Vec<Node>,
    folder: Folder,
    election_min: Duration,
}

pub(super) struct Node {
    /// Counted from 1 in the order in which the nodes joined.
    pub(super) number: u64,
    pub(super) id: u64,
    pub(super) cluster: Cluster,
    pub(super) address: String,
    serving: JoinHandle<()>,
}

struct Plain(u64);

impl Dial for Plain {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        let own = self.0;
        Box::pin(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream.write_u64(own).await?;
            let node_id = stream.read_u64().await?;
            Ok(Dialed { stream: Box::new(stream), node_id })
        })
    }
}

async fn serve(id: u64, listener: TcpListener, routes: tonic::service::Routes) {
    // Dropped with this task, and then the connections are cut.
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let routes = routes.clone();
        connections.spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(peer) = stream.read_u64().await else { return };
            if stream.write_u64(id).await.is_err() {
                return;
            }
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut request = request.map(tonic::body::Body::new);
                request.extensions_mut().insert(PeerNode(peer));
                routes.clone().oneshot(request)
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

impl Lab {
    /// Nodes 1 to `count`, in one group; all of them vote.
    pub(super) async fn formed(count: usize) -> Self {
        Lab::with_elections(count, Duration::from_millis(400)).await
    }

    /// The same, where nobody stands for election before a silence of at least this long.
    pub(super) async fn with_elections(count: usize, after: Duration) -> Self {
        let mut lab = Lab { nodes: Vec::new(), folder: Folder::new(), election_min: after };
        let founder = lab.claimed(1, FOUNDER).await;
        let roots = Roots { authority: "PEM".into(), administrator: None };
        founder.cluster.found(roots, "init", Timestamp(1)).await.unwrap();
        lab.nodes.push(founder);
        for number in 2..=count as u64 {
            lab.join(number).await;
        }
        for node in &lab.nodes {
            node.votes_with(count).await;
        }
        lab.leader().await;
        lab
    }

    /// One more node, let in with a token.
    pub(super) async fn join(&mut self, number: u64) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cluster = &self.nodes[0].cluster;
        let id = TokenId(number.to_be_bytes());
        let token = Token {
            key: Sealed::default(),
            kind: NodeKind::Relay,
            replaces: None,
            created_by: String::new(),
            created_at: Timestamp(0),
            expires_at: Timestamp(i64::MAX),
            fate: TokenFate::Open,
        };
        let node = NewNode {
            name: format!("node-{number}"),
            peer_address: address,
            admin_address: String::new(),
            kind: NodeKind::Relay,
            incarnation: u128::from(number),
            key: KeyHash::default(),
            build: VERSION,
        };
        let changes = [RosterChange::CreateToken { id, token }, RosterChange::Admit { token: id, node }];
        let mut admitted = None;
        for change in changes {
            let written = cluster.write("admin", Change::Roster(change), None, Timestamp(1)).await.unwrap();
            admitted = Some(written.outcome);
        }
        let Some(Outcome::Admitted { node_id }) = admitted else { panic!("{admitted:?}") };
        Cluster::claim(&self.data_dir(number), "lab", node_id, u128::from(number)).unwrap();
        let node = self.open(number, node_id, listener).await;
        self.nodes.push(node);
    }

    async fn claimed(&self, number: u64, id: u64) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Cluster::claim(&self.data_dir(number), "lab", id, u128::from(number)).unwrap();
        self.open(number, id, listener).await
    }

    /// A node whose data folder is there already.
    pub(super) async fn claimed_already(&mut self, number: u64, id: u64) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = self.open(number, id, listener).await;
        self.nodes.push(node);
    }

    /// What a message between two members says about its way.
    pub(super) fn route(&self, from: u64, to: u64) -> wire::Route {
        let metrics = self.node(from).cluster.raft().metrics();
        let metrics = metrics.borrow_watched();
        let (from, to) = (self.node(from).id, self.node(to).id);
        let member = |node_id| metrics.membership_config.membership().get_node(node_id).unwrap().clone();
        wire::Route {
            cluster_id: "lab".into(),
            from,
            to,
            from_incarnation: codec::random_to(member(&from).incarnation),
            to_incarnation: codec::random_to(member(&to).incarnation),
            group: codec::random_to(member(&to).group),
        }
    }

    /// Asks the node of a route for a vote in an old term.
    pub(super) async fn vote(
        &self,
        candidate: u64,
        route: wire::Route,
    ) -> Result<tonic::Response<wire::VoteResponse>, tonic::Status> {
        let to = self.nodes.iter().find(|node| node.id == route.to).unwrap().number;
        let channel = self.channel(candidate, to).await;
        let node_id = self.node(candidate).id;
        let vote = Some(wire::Vote { term: 0, node_id, committed: false });
        let request = wire::VoteRequest { route: Some(route), vote, ..Default::default() };
        wire::raft_client::RaftClient::new(channel).vote(request).await
    }

    pub(super) fn node(&self, number: u64) -> &Node {
        self.nodes.iter().find(|node| node.number == number).unwrap()
    }

    /// The node that leads in the eyes of one that runs, and has a quorum.
    pub(super) async fn leader(&self) -> u64 {
        let looking = async {
            loop {
                for node in &self.nodes {
                    let standing = node.cluster.standing();
                    if standing.leader == Some(node.id) && standing.quorum {
                        return node.number;
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap()
    }

    /// Cuts a node off and stops it without handing over.
    pub(super) async fn kill(&mut self, id: u64) {
        let node = self.node(id);
        node.serving.abort();
        let shared = &node.cluster.shared;
        shared.raft.shutdown().await.unwrap();
        let closed = shared.closed.lock().unwrap().take();
        closed.unwrap().wait().await;
        shared.log.close();
    }

    pub(super) async fn stop(&mut self, id: u64) {
        let node = self.node(id);
        node.cluster.shutdown().await;
        node.serving.abort();
    }

    /// Starts a node again at its address.
    pub(super) async fn start(&mut self, number: u64) {
        let (id, address) = (self.node(number).id, self.node(number).address.clone());
        let listener = TcpListener::bind(&address).await.unwrap();
        let node = self.open(number, id, listener).await;
        let place = self.nodes.iter_mut().find(|node| node.number == number).unwrap();
        *place = node;
    }

    /// Starts a node again at another address, which it gives back.
    pub(super) async fn move_to_another_port(&mut self, number: u64) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = self.open(number, self.node(number).id, listener).await;
        let address = node.address.clone();
        let place = self.nodes.iter_mut().find(|node| node.number == number).unwrap();
        *place = node;
        address
    }

    pub(super) fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.data_dir(id)).unwrap();
    }

    /// Waits until a node has dropped the log up to an index.
    pub(super) async fn purged(&self, id: u64, index: u64) {
        let raft = self.node(id).cluster.raft();
        let wait = raft.wait(Some(PATIENCE));
        let purged = wait.metrics(
            |metrics| metrics.purged.is_some_and(|log_id| log_id.index() >= index),
            "the log is purged",
        );
        purged.await.unwrap();
    }

    pub(super) fn has_snapshot(&self, id: u64) -> bool {
        let folder = std::fs::read_dir(self.data_dir(id).join("snapshots")).unwrap();
        folder.count() > 0
    }

    /// A channel from one node to another, past all checks of the sender.
    pub(super) async fn channel(&self, from: u64, to: u64) -> Channel {
        let (id, address) = (self.node(from).id, self.node(to).address.clone());
        let connector = tower::service_fn(move |_: http::Uri| {
            let dialing = Plain(id).dial(address.clone());
            async move { Ok::<_, io::Error>(TokioIo::new(dialing.await?.stream)) }
        });
        Endpoint::from_static("http://peer").connect_with_connector(connector).await.unwrap()
    }

    pub(super) fn data_dir(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("node-{id}"))
    }

    async fn open(&self, number: u64, id: u64, listener: TcpListener) -> Node {
        let address = listener.local_addr().unwrap().to_string();
        let cluster = self.try_open(number, id, &address).await.unwrap();
        let serving = tokio::spawn(serve(id, listener, cluster.routes()));
        Node { number, id, cluster, address, serving }
    }

    pub(super) async fn try_open(&self, number: u64, id: u64, address: &str) -> Result<Cluster, OpenError> {
        let config = Config {
            data_dir: self.data_dir(number),
            cluster_id: "lab".into(),
            node_id: id,
            name: format!("node-{number}"),
            peer_address: address.into(),
            admin_address: String::new(),
            kind: NodeKind::Relay,
            key: KeyHash::default(),
            version: "test".into(),
            clock: || Timestamp(1),
            heartbeat: Duration::from_millis(75),
            election_min: self.election_min,
            election_max: self.election_min + Duration::from_millis(300),
            snapshot_after: 40,
        };
        let facts = Arc::new(|| Facts { ready: true, ..Facts::default() });
        Cluster::open(config, Arc::new(Plain(id)), facts, &Tasks::new()).await
    }
}

impl Node {
    /// Waits until this many nodes vote and no change of the membership is under way, as far as this one
    /// knows.
    pub(super) async fn votes_with(&self, count: usize) {
        let wait = self.cluster.raft().wait(Some(PATIENCE));
        let settled = wait.metrics(
            |metrics| {
                let sets = metrics.membership_config.membership().get_joint_config();
                metrics.membership_config == metrics.committed_membership_config
                    && matches!(sets.as_slice(), [voters] if voters.len() == count)
            },
            "the voters are as many as they should be",
        );
        settled.await.unwrap();
    }
}
