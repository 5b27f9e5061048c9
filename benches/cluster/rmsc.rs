//! rmsc: three nodes of a lab, called at their admin ports over mutual TLS.

use super::system::{self, Client, Leader, NODES, Operation, System, VALUE_BYTES, key};
use anyhow::{Context as _, bail, ensure};
use prost::Message;
use rmsc::control::{self, Context};
use rmsc::proto::control::v1 as proto;
use rmsc::proto::control::v1::authorizations_client::AuthorizationsClient;
use rustix::process::Signal;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};
use tonic::transport::Channel;

/// A running lab.
pub struct Rmsc {
    program: PathBuf,
    dir: PathBuf,
    context: Context,
    process: Child,
}

/// A client of one node.
#[derive(Clone)]
pub struct RmscClient(AuthorizationsClient<Channel>);

/// What `lab.json` says.
#[derive(Deserialize)]
struct Lab {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    pid: Option<u32>,
    admin: String,
    ops: String,
}

/// What the ops port says about the cluster.
#[derive(Deserialize)]
struct Standing {
    leader: Option<String>,
    term: u64,
}

impl Rmsc {
    /// Starts a lab in a new folder.
    pub async fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let output = std::fs::File::create(dir.with_extension("out"))?;
        let mut process = Command::new(program)
            // Should this process be killed, the lab ends by itself.
            .args(["dev", "--no-traffic", "--for", "2h", "--nodes", &NODES.to_string(), "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut ticks = interval(LOOK_EVERY);
        let begun = Instant::now();
        // The socket is there when everything else is.
        while !dir.join("lab.sock").exists() {
            ticks.tick().await;
            ensure!(process.try_wait()?.is_none(), "the lab has ended; see {}.out", dir.display());
            ensure!(begun.elapsed() < START_TIMEOUT, "the lab does not start; see {}.out", dir.display());
        }
        let context = Context::load(&dir.join("context.toml"))?;
        Ok(Rmsc { program: program.into(), dir: dir.into(), context, process })
    }

    /// Ends the nodes in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.process.id() {
            system::signal(pid, Signal::TERM)?;
        }
        timeout(START_TIMEOUT, self.process.wait()).await.context("the lab does not end")??;
        Ok(())
    }

    fn node(&self, node: usize) -> anyhow::Result<Node> {
        self.nodes()?.into_iter().nth(node).with_context(|| format!("there is no node {node}"))
    }

    fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        let text = std::fs::read_to_string(self.dir.join("lab.json"))?;
        Ok(serde_json::from_str::<Lab>(&text)?.nodes)
    }
}

impl System for Rmsc {
    type Client = RmscClient;

    fn name(&self) -> &'static str {
        "rmsc"
    }

    async fn connect(&self, node: usize) -> anyhow::Result<RmscClient> {
        let endpoints = vec![self.node(node)?.admin];
        let client = control::Client::connect(&Context { endpoints, ..self.context.clone() }).await?;
        Ok(RmscClient(client.authorizations()))
    }

    async fn leader_known_to(&self, node: usize) -> anyhow::Result<Option<Leader>> {
        let nodes = self.nodes()?;
        let asked = nodes.get(node).context("there is no such node")?;
        let standing: Standing = serde_json::from_str(&get(&asked.ops, "/clusterz").await?)?;
        let Some(leader) = standing.leader else { return Ok(None) };
        let place = nodes.iter().position(|node| node.name == leader);
        Ok(place.map(|node| Leader { node, term: standing.term }))
    }

    fn pid(&self, node: usize) -> anyhow::Result<u32> {
        self.node(node)?.pid.context("the node is down")
    }

    async fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        let name = self.node(node)?.name;
        let restarted = Command::new(&self.program)
            .args(["dev", "restart", &name, "--dir"])
            .arg(&self.dir)
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(restarted.success(), "cannot start {name} again");
        Ok(())
    }
}

impl Client for RmscClient {
    async fn call(&mut self, operation: Operation, number: usize) -> anyhow::Result<()> {
        let (sid, wait_for, consistency) = (
            key(number),
            match operation {
                Operation::PutEverywhere => proto::WaitFor::Effect,
                Operation::Put | Operation::Read | Operation::ReadLocal => proto::WaitFor::Acknowledgement,
            },
            match operation {
                Operation::ReadLocal => proto::Consistency::Local,
                Operation::Put | Operation::PutEverywhere | Operation::Read => {
                    proto::Consistency::Linearizable
                }
            },
        );
        match operation {
            Operation::Put | Operation::PutEverywhere => {
                self.0.add(addition(sid, wait_for)).await?;
            }
            Operation::Read | Operation::ReadLocal => {
                let request = proto::GetRequest { sid, consistency: consistency.into() };
                let response = self.0.get(request).await?.into_inner();
                if response.entry.is_none() {
                    bail!("an entry is missing");
                }
            }
        }
        Ok(())
    }
}

/// A change that makes the stored entry as large as a value in etcd.
fn addition(sid: String, wait_for: proto::WaitFor) -> proto::AddRequest {
    let (kind, role) = (proto::Kind::Computer.into(), proto::Role::Fileserver.into());
    let name = r"FAR\server".to_owned();
    let bare = proto::Entry {
        sid: sid.clone(),
        name: name.clone(),
        kind,
        role,
        note: String::new(),
        added_by: "lab".into(),
        added_at_ms: 1 << 40,
    };
    let note = "n".repeat(VALUE_BYTES - NOTE_HEAD_BYTES - bare.encoded_len());
    proto::AddRequest {
        name,
        sid,
        kind,
        role,
        note,
        request_id: rand::random::<[u8; 16]>().to_vec(),
        wait_for: wait_for.into(),
        // The change is measured, not what the directory says about it.
        force: true,
    }
}

/// The body of an answer of an ops port.
async fn get(url: &str, path: &str) -> anyhow::Result<String> {
    let address = url.trim_start_matches("http://");
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        anyhow::Ok(text)
    };
    let text = timeout(LOOK_TIMEOUT, asking).await??;
    let (_, body) = text.split_once("\r\n\r\n").context("no answer")?;
    Ok(body.to_owned())
}

/// Tag and length of a field of up to 16,383 bytes.
const NOTE_HEAD_BYTES: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
const START_TIMEOUT: Duration = Duration::from_secs(60);
