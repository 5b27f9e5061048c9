//! Nodes on loopback. A connection begins with the ids of both ends, in place of certificates.

use super::super::*;
use crate::storage::testing::Folder;
use futures::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::path::PathBuf;
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
    /// Nodes 1 to `count`, in one group.
    pub(super) async fn formed(count: u64) -> Self {
        Lab::with_elections(count, Duration::from_millis(400)).await
    }

    /// The same, where nobody stands for election before a silence of at least this long.
    pub(super) async fn with_elections(count: u64, after: Duration) -> Self {
        let lab = Lab::opened(count, after).await;
        let peers = lab.addresses();
        let forming = lab.nodes.iter().map(|node| node.cluster.form(&peers));
        for formed in futures::future::join_all(forming).await {
            formed.unwrap();
        }
        lab.leader().await;
        lab
    }

    /// Nodes 1 to `count`, in no group.
    pub(super) async fn unformed(count: u64) -> Self {
        Lab::opened(count, Duration::from_millis(400)).await
    }

    async fn opened(count: u64, election_min: Duration) -> Self {
        let mut lab = Lab { nodes: Vec::new(), folder: Folder::new(), election_min };
        for id in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let node = lab.open(id, listener).await;
            lab.nodes.push(node);
        }
        lab
    }

    /// What a message between two members says about its way.
    pub(super) fn route(&self, from: u64, to: u64) -> wire::Route {
        let metrics = self.node(from).cluster.raft().metrics();
        let metrics = metrics.borrow_watched();
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
        let channel = self.channel(candidate, route.to).await;
        let vote = Some(wire::Vote { term: 0, node_id: candidate, committed: false });
        let request = wire::VoteRequest { route: Some(route), vote, ..Default::default() };
        wire::raft_client::RaftClient::new(channel).vote(request).await
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    pub(super) fn node(&self, id: u64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).unwrap()
    }

    /// The node that leads in the eyes of one that runs, and has a quorum.
    pub(super) async fn leader(&self) -> u64 {
        let looking = async {
            loop {
                for node in &self.nodes {
                    let standing = node.cluster.standing();
                    if standing.leader == Some(node.id) && standing.quorum {
                        return node.id;
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

    /// Starts a node again at its address, in its group.
    pub(super) async fn start(&mut self, id: u64) {
        self.start_alone(id).await;
        let peers = self.addresses();
        self.node(id).cluster.form(&peers).await.unwrap();
    }

    pub(super) async fn start_alone(&mut self, id: u64) {
        let address = self.node(id).address.clone();
        let listener = TcpListener::bind(&address).await.unwrap();
        let node = self.open(id, listener).await;
        let place = self.nodes.iter_mut().find(|node| node.id == id).unwrap();
        *place = node;
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
        let address = self.node(to).address.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let dialing = Plain(from).dial(address.clone());
            async move { Ok::<_, io::Error>(TokioIo::new(dialing.await?.stream)) }
        });
        Endpoint::from_static("http://peer").connect_with_connector(connector).await.unwrap()
    }

    pub(super) fn data_dir(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("node-{id}"))
    }

    async fn open(&self, id: u64, listener: TcpListener) -> Node {
        let address = listener.local_addr().unwrap().to_string();
        let cluster = self.try_open(id, &address).await.unwrap();
        let serving = tokio::spawn(serve(id, listener, cluster.routes()));
        Node { id, cluster, address, serving }
    }

    pub(super) async fn try_open(&self, id: u64, address: &str) -> Result<Cluster, OpenError> {
        let config = Config {
            data_dir: self.data_dir(id),
            cluster_id: "lab".into(),
            node_id: id,
            name: format!("node-{id}"),
            peer_address: address.into(),
            admin_address: String::new(),
            version: "test".into(),
            heartbeat: Duration::from_millis(75),
            election_min: self.election_min,
            election_max: self.election_min + Duration::from_millis(300),
            snapshot_after: 40,
        };
        let facts = Arc::new(|| Facts { ready: true, ..Facts::default() });
        Cluster::open(config, Arc::new(Plain(id)), facts, &Tasks::new()).await
    }
}
