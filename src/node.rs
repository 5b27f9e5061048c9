//! A node: builds every part, wires them, runs, drains. The only place that knows them all.

mod dial;
mod freshness;
mod peer_service;
mod table_events;

use crate::cluster::{self, Cluster, Facts, Member};
use crate::config::Config;
use crate::control;
use crate::directory::{self, Directory};
use crate::event::Event;
use crate::front::{self, Authenticator, Front, Listener, Peer, Peers};
use crate::identity::{self, Settings};
use crate::listener;
use crate::relay::{self, Readiness, Relay, Serving};
use crate::state::{KeyHash, NodeKind, Timestamp};
use crate::tasks::Tasks;
use crate::telemetry::{self, Answer, Ops, Registry};
use crate::tls::{self, FrontServer, Membership};
use crate::upstream::{self, Upstream};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key is unusable.
    #[error("cannot use the node's certificates")]
    Tls(#[from] tls::LoadError),
    /// The node's certificate is an administrator's.
    #[error("{path} is an administrator's certificate; a node needs one for rmsc://CLUSTER/node/ID")]
    NotANode {
        /// The certificate.
        path: PathBuf,
    },
    /// The accounts file is unusable.
    #[error("cannot use the directory")]
    Directory(#[from] directory::OpenError),
    /// The node's names cannot be told to clients.
    #[error("cannot authenticate clients")]
    Identity(#[from] identity::SettingsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({what})")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The replicated part did not start.
    #[error("cannot start the replicated store")]
    Cluster(#[from] cluster::OpenError),
    /// The admin port's descriptors are wrong.
    #[error("cannot serve the admin port")]
    Control(#[from] tonic_reflection::server::Error),
}

/// The replicated part of a running node stopped by itself.
#[derive(Debug, thiserror::Error)]
#[error("the replicated part stopped: {reason}")]
pub struct Broken {
    reason: String,
}

/// A node that runs.
pub struct Node {
    name: String,
    serving: watch::Sender<Serving>,
    cluster: Cluster,
    clients: Tasks,
    hops: Tasks,
    control: Tasks,
    storage: Tasks,
    drain_timeout: Duration,
}

/// The task groups, in the order in which they drain.
#[derive(Default)]
struct Groups {
    clients: Tasks,
    hops: Tasks,
    control: Tasks,
    storage: Tasks,
}

impl Node {
    /// Builds and starts every part.
    ///
    /// # Errors
    /// [`StartError`] says which part, and names what is wrong.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let groups = Groups::default();
        let mut registry = Registry::default();
        let member = Membership::load(&config.node.member, &config.node.authority)?;
        let node_id = member
            .member()
            .node_id()
            .ok_or_else(|| StartError::NotANode { path: config.node.member.certificate.clone() })?;
        let directory = Arc::new(Directory::open_local(&config.identity.accounts_file)?);
        let relay_metrics = relay::Metrics::register(&mut registry);
        let (serving, served) = watch::channel(Serving::Not(UNHEARD.into()));
        let cluster = Cluster::open(
            cluster_config(&config, &member, node_id),
            Arc::new(dial::TlsDial(member.client()?)),
            facts(served.clone(), relay_metrics.clone()),
            &groups.storage,
        )
        .await?;
        let upstream = Upstream::new(config.upstream.clone(), upstream::Metrics::register(&mut registry))?;
        let relay = Relay::new(cluster.state(), served, upstream, relay_metrics);
        serve_peers(&config, &member, &relay, &cluster, &groups).await?;
        serve_administrators(&config, &member, &cluster, directory.clone(), &groups).await?;
        let peers = Peers::start(
            Peer { id: node_id, name: config.node.name.clone(), address: config.listen.peer.to_string() },
            &relay,
            member.client()?,
            peers(&cluster, &groups.hops),
            &groups.hops,
        );
        let rotation = peers.clone();
        let front = Arc::new(Front::new(front::Parts {
            node: config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            service_name: config.cluster.service_name.clone(),
            authenticator: authenticator(&config, directory)?,
            peers,
            state: cluster.state(),
            tenant_url: relay.tenant_url(),
            metrics: front::Metrics::register(&mut registry),
        }));
        serve_clients(&config, &front, &groups.clients).await?;
        serve_monitors(
            &config,
            &cluster,
            Readings { relay: relay.clone(), rotation, registry },
            &groups.control,
        )
        .await?;
        keep_up(&cluster, serving.clone(), &groups.storage);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            serving,
            cluster,
            clients: groups.clients,
            hops: groups.hops,
            control: groups.control,
            storage: groups.storage,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Runs until `stop`, then drains: no new requests, the accepted ones end, then the store closes.
    ///
    /// # Errors
    /// [`Broken`] if the replicated part stopped by itself.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Broken> {
        let failed = self.cluster.clone();
        let ended = tokio::select! {
            () = stop => Ok(()),
            reason = failed.failed() => {
                // Only a disk, a newer entry or a defect can cause it; the others go on without this node.
                Event::Unexpected { doing: "keeping the replicated state", reason: &reason }.log();
                Err(Broken { reason })
            }
        };
        tracing::info!("draining");
        self.serving.send_replace(Serving::Not(DRAINING.into()));
        // The other fronts ask four times a second. They must have heard before connections close.
        tokio::time::sleep(LEAVE_ROTATION).await;
        for (tasks, what) in [
            (&self.clients, "clients' connections"),
            (&self.hops, "requests of other nodes"),
            (&self.control, "administrators' calls"),
        ] {
            if let Err(error) = tasks.drain(self.drain_timeout).await {
                tracing::warn!(what, %error, "cut off");
            }
        }
        self.cluster.shutdown().await;
        if let Err(error) = self.storage.drain(STORAGE_DRAIN_TIMEOUT).await {
            tracing::warn!(%error, "the store's tasks did not end");
        }
        Event::ServiceStopped { node: &self.name }.log();
        ended
    }
}

fn cluster_config(config: &Config, member: &Membership, node_id: u64) -> cluster::Config {
    cluster::Config {
        data_dir: config.node.data_dir.clone(),
        cluster_id: member.member().cluster.clone(),
        node_id,
        name: config.node.name.clone(),
        peer_address: config.listen.peer.to_string(),
        admin_address: config.listen.admin.to_string(),
        kind: NodeKind::Relay,
        key: KeyHash::default(),
        clock: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: config.cluster.heartbeat,
        election_min: config.cluster.election_min,
        election_max: config.cluster.election_max,
        snapshot_after: SNAPSHOT_AFTER_ENTRIES,
    }
}

fn facts(serving: watch::Receiver<Serving>, metrics: relay::Metrics) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let started = Instant::now();
    Arc::new(move || {
        let (ready, reason) = in_words(serving.borrow().now());
        Facts { ready, reason, relayed: metrics.answered(), uptime: started.elapsed() }
    })
}

/// What goes on beside the requests: forming the group, staying fresh, saying what changed.
fn keep_up(cluster: &Cluster, serving: watch::Sender<Serving>, tasks: &Tasks) {
    tasks.spawn("table events", table_events::log(cluster.state(), cluster.members(), tasks.clone()));
    tasks.spawn("freshness", freshness::keep(cluster.clone(), serving, tasks.clone()));
}

fn now() -> Timestamp {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Timestamp(i64::try_from(now).unwrap_or(i64::MAX))
}

fn in_words(readiness: Readiness) -> (bool, String) {
    match readiness {
        Readiness::Ready => (true, String::new()),
        Readiness::NotReady(reason) => (false, reason),
    }
}

async fn serve_peers(
    config: &Config,
    member: &Membership,
    relay: &Relay,
    cluster: &Cluster,
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("peer", config.listen.peer).await?;
    let service = peer_service::PeerService::new(
        relay::Server::new(relay.clone(), groups.hops.clone()),
        cluster.routes(),
        cluster.members(),
    );
    // The peer port outlives the hops: Raft goes on until the store closes.
    let serving = listener::serve(listener, member.server()?, Arc::new(service), groups.storage.clone());
    groups.storage.spawn("peer listener", serving);
    Ok(())
}

async fn serve_administrators(
    config: &Config,
    member: &Membership,
    cluster: &Cluster,
    directory: Arc<Directory>,
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("admin", config.listen.admin).await?;
    let control = control::Config {
        cluster_id: member.member().cluster.clone(),
        service_name: config.cluster.service_name.clone(),
        upstream_kind: config.upstream.kind.word(),
        upstream_address: config.upstream.base.to_string(),
    };
    let routes = control::routes(control, cluster.clone(), directory).await?;
    let service = Arc::new(peer_service::AdminService::new(routes));
    let serving = listener::serve(listener, member.server()?, service, groups.control.clone());
    groups.control.spawn("admin listener", serving);
    Ok(())
}

async fn serve_clients(config: &Config, front: &Arc<Front>, tasks: &Tasks) -> Result<(), StartError> {
    let mut listeners = Vec::new();
    if let Some((address, files)) = &config.listen.https {
        listeners.push(("https", *address, Some(FrontServer::load(files)?)));
    }
    if let Some(address) = config.listen.http {
        listeners.push(("http", address, None));
    }
    for (what, address, tls) in listeners {
        let listener = Listener::bind(address, tls, &config.front)
            .await
            .map_err(|source| StartError::Listen { what, address, source })?;
        tasks.spawn("client listener", listener.serve(front.clone(), tasks.clone()));
    }
    Ok(())
}

/// What monitors read.
struct Readings {
    relay: Relay,
    rotation: Peers,
    registry: Registry,
}

async fn serve_monitors(
    config: &Config,
    cluster: &Cluster,
    readings: Readings,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let listener = bind("ops", config.listen.ops).await?;
    let Readings { relay, rotation, registry } = readings;
    let (state, cluster) = (cluster.state(), cluster.clone());
    let ops = Ops {
        ready: Arc::new(move || {
            let (yes, reason) = in_words(relay.readiness());
            let table = state.borrow().table.clone();
            let (revision, entries) = (table.revision, table.entries.len());
            let details = serde_json::json!({ "ready": yes, "reason": reason, "revision": revision, "entries": entries,
                "rotation": rotation.names(), });
            Answer { yes, details }
        }),
        cluster: Arc::new(move || {
            let standing = cluster.standing();
            let members = cluster.members().borrow().clone();
            let leader = standing.leader.and_then(|id| members.iter().find(|member| member.node_id == id));
            let leader = leader.map(|member| member.name.clone());
            let details = serde_json::json!({
                "changes": standing.quorum, "leader": leader, "term": standing.term, "nodes": members.len(),
            });
            Answer { yes: standing.quorum, details }
        }),
        metrics: Arc::new(registry),
    };
    tasks.spawn("ops listener", telemetry::serve(listener, ops, tasks.clone()));
    Ok(())
}

fn authenticator(config: &Config, directory: Arc<Directory>) -> Result<Authenticator, StartError> {
    let computer: String = config.node.name.chars().take(NETBIOS_NAME_CHARS_MAX).collect();
    let settings = Settings::new(
        directory.domain(),
        &computer.to_uppercase(),
        &config.cluster.service_name,
        config.identity.channel_binding,
    )?;
    Ok(Authenticator::new(settings, directory, config.identity.target_names.clone()))
}

/// The members as a front knows them.
fn peers(cluster: &Cluster, tasks: &Tasks) -> watch::Receiver<Arc<Vec<Peer>>> {
    let mut members = cluster.members();
    let as_peers = |members: &[Member]| {
        let peer = |member: &Member| Peer {
            id: member.node_id,
            name: member.name.clone(),
            address: member.peer_address.clone(),
        };
        Arc::new(members.iter().map(peer).collect())
    };
    let (sender, receiver) = watch::channel(as_peers(&members.borrow_and_update()));
    let draining = tasks.clone();
    tasks.spawn("members", async move {
        loop {
            tokio::select! {
                changed = members.changed() => if changed.is_err() { return },
                () = draining.draining() => return,
            }
            sender.send_replace(as_peers(&members.borrow_and_update()));
        }
    });
    receiver
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
}

/// Why a node takes no requests at first: it cannot know how old its table is.
const UNHEARD: &str = "no leader was heard since the start";
/// And after the node was told to stop.
const DRAINING: &str = "draining";
/// Two probes of the other fronts.
const LEAVE_ROTATION: Duration = Duration::from_millis(500);
const STORAGE_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A snapshot of a small table costs little, and a log of this length is quickly replayed.
const SNAPSHOT_AFTER_ENTRIES: u64 = 10_000;
/// [MS-NBTE] 1.8: a NetBIOS name has 15 characters and a suffix.
const NETBIOS_NAME_CHARS_MAX: usize = 15;
