//! etcd: three members with default settings, called over plain gRPC as they are by default.

use super::system::{Client, Leader, NODES, Operation, System, VALUE_BYTES, key};
use anyhow::{Context as _, bail};
use http::uri::PathAndQuery;
use prost::Message;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Three running members.
pub struct Etcd {
    program: PathBuf,
    dir: PathBuf,
    members: Vec<Member>,
}

/// A client of one member.
#[derive(Clone)]
pub struct EtcdClient(Grpc<Channel>);

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Child,
}

// Of etcd's rpc.proto, what is used here.

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    /// As the asked member has it; else with everything that was acknowledged before.
    #[prost(bool, tag = "7")]
    serializable: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "6")]
    raft_term: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

impl Etcd {
    /// Starts a cluster in a new folder.
    pub async fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let ports = free_ports(2 * NODES)?;
        let peers: Vec<u16> = ports.iter().skip(NODES).copied().collect();
        let mut members = Vec::new();
        for (node, (client_port, peer_port)) in ports.iter().zip(&peers).enumerate() {
            let process = spawn(program, dir, node, (*client_port, &peers))?;
            members.push(Member { client_port: *client_port, peer_port: *peer_port, process });
        }
        Ok(Etcd { program: program.into(), dir: dir.into(), members })
    }

    /// Ends the members.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.process.kill().await?;
        }
        Ok(())
    }

    fn member(&self, node: usize) -> anyhow::Result<&Member> {
        self.members.get(node).with_context(|| format!("there is no member {node}"))
    }
}

impl System for Etcd {
    type Client = EtcdClient;

    fn name(&self) -> &'static str {
        "etcd"
    }

    async fn connect(&self, node: usize) -> anyhow::Result<EtcdClient> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", self.member(node)?.client_port))?;
        Ok(EtcdClient(Grpc::new(endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await?)))
    }

    async fn leader_known_to(&self, node: usize) -> anyhow::Result<Option<Leader>> {
        let mut leader = 0;
        let mut term = 0;
        let mut ids = Vec::new();
        for asked in 0..NODES {
            let status = self.connect(asked).await?.status().await?;
            ids.push(status.header.unwrap_or_default().member_id);
            if asked == node {
                (leader, term) = (status.leader, status.raft_term);
            }
        }
        let place = ids.iter().position(|id| *id == leader);
        Ok(place.map(|node| Leader { node, term }))
    }

    fn pid(&self, node: usize) -> anyhow::Result<u32> {
        self.member(node)?.process.id().context("the member is down")
    }

    async fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        let peers: Vec<u16> = self.members.iter().map(|member| member.peer_port).collect();
        let member = self.members.get_mut(node).context("there is no such member")?;
        timeout(END_TIMEOUT, member.process.wait()).await.context("the member does not end")??;
        member.process = spawn(&self.program, &self.dir, node, (member.client_port, &peers))?;
        Ok(())
    }
}

impl EtcdClient {
    async fn ask<Q, A>(&mut self, path: &'static str, request: Q) -> anyhow::Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.0.ready().await?;
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        let path = PathAndQuery::from_static(path);
        Ok(self.0.unary(tonic::Request::new(request), path, codec).await?.into_inner())
    }

    async fn status(&mut self) -> anyhow::Result<StatusResponse> {
        timeout(CONNECT_TIMEOUT, self.ask("/etcdserverpb.Maintenance/Status", StatusRequest {})).await?
    }
}

impl Client for EtcdClient {
    async fn call(&mut self, operation: Operation, number: usize) -> anyhow::Result<()> {
        let key = key(number).into_bytes();
        let serializable = match operation {
            Operation::Put => {
                let request = PutRequest { key, value: vec![b'v'; VALUE_BYTES] };
                let _: PutResponse = self.ask("/etcdserverpb.KV/Put", request).await?;
                return Ok(());
            }
            Operation::PutEverywhere => bail!("etcd does not tell where a change acts"),
            Operation::Read => false,
            Operation::ReadLocal => true,
        };
        let request = RangeRequest { key, serializable };
        let response: RangeResponse = self.ask("/etcdserverpb.KV/Range", request).await?;
        if response.kvs.first().is_none_or(|found| found.value.len() != VALUE_BYTES) {
            bail!("a value is missing");
        }
        Ok(())
    }
}

/// All but names and addresses is left at its default.
fn spawn(program: &Path, dir: &Path, node: usize, (port, peers): (u16, &[u16])) -> anyhow::Result<Child> {
    let name = |node: usize| format!("member-{node}");
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let cluster: Vec<String> =
        peers.iter().enumerate().map(|(node, port)| format!("{}={}", name(node), url(*port))).collect();
    let peer = url(*peers.get(node).context("there is no such member")?);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(name(node)).with_extension("log"))?;
    let child = Command::new(program)
        .args(["--name", &name(node), "--initial-cluster", &cluster.join(",")])
        .args(["--listen-client-urls", &url(port), "--advertise-client-urls", &url(port)])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .arg("--data-dir")
        .arg(dir.join(name(node)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn();
    child.with_context(|| format!("cannot start {}; benches/run gets it", program.display()))
}

/// Ports that nobody has at the moment.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A leader that hands over takes its time.
const END_TIMEOUT: Duration = Duration::from_secs(30);
