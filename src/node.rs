//! A node: builds every part, wires them, runs, drains. The only place that knows them all.

mod dial;
mod duty;
mod freshness;
mod monitors;
mod peer_service;
mod relays;
mod roster_events;
mod table_events;
mod witness;

use crate::cluster::{self, Cluster, Facts};
use crate::config::{Basics, Config, Listen};
use crate::control::{self, Survey};
use crate::directory::{self, Directory};
use crate::event::Event;
use crate::front::{self, Authenticator, Front, Listener, Peer, Peers};
use crate::identity::{self, Settings};
use crate::listener;
use crate::relay::{self, Readiness, Relay};
use crate::state::{KeyHash, NodeKind, Timestamp};
use crate::tasks::Tasks;
use crate::telemetry::Registry;
use crate::tls::{self, FrontServer, Membership};
use crate::upstream::{self, Upstream};
use duty::Duty;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

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
    /// It was started as what it is not.
    #[error("the cluster has this node as a {kind}; start it with: {command} --config FILE")]
    OtherKind {
        /// What it is.
        kind: &'static str,
        /// What starts such a node.
        command: &'static str,
    },
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
    duty: Duty,
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
        let node_id = node_id(config.basics(), &member)?;
        let directory = Arc::new(Directory::open_local(&config.identity.accounts_file)?);
        let relay_metrics = relay::Metrics::register(&mut registry);
        let duty = Duty::new(node_id, NodeKind::Relay);
        let rotation = Arc::new(OnceLock::new());
        let facts =
            facts(&duty, &member, Counted { relay: relay_metrics.clone(), rotation: rotation.clone() });
        let cluster = open((config.basics(), NodeKind::Relay), &member, facts, &groups.storage).await?;
        check_kind(&cluster, node_id, NodeKind::Relay)?;
        let upstream = Upstream::new(config.upstream.clone(), upstream::Metrics::register(&mut registry))?;
        let relay = Relay::new(cluster.state(), duty.serving(), upstream, relay_metrics);
        serve_peers(&config, &member, &relay, &cluster, &groups).await?;
        let survey = Survey::new(cluster.clone(), control::Metrics::register(&mut registry));
        let control = control_config(&config, &member);
        serve_administrators(control, (&config.listen, &member), &survey, Some(directory.clone()), &groups)
            .await?;
        let peers = Peers::start(
            own_peer(&config, node_id),
            &relay,
            member.client()?,
            relays::follow(&cluster, &groups.hops),
            &groups.hops,
        );
        // It is set here alone.
        let _ = rotation.set(peers.clone());
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
        let readings = monitors::Readings { duty: duty.clone(), rotation: Some(rotation), survey, registry };
        monitors::serve(&config.listen, &cluster, readings, &groups.control).await?;
        keep_up(&cluster, &duty, &groups.storage);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            duty,
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
        self.duty.stop();
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

/// Opens what is on disk.
async fn open(
    (basics, kind): (Basics<'_>, NodeKind),
    member: &Membership,
    facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    tasks: &Tasks,
) -> Result<Cluster, StartError> {
    let node_id = node_id(basics, member)?;
    let config = cluster_config(basics, member, kind, node_id);
    Ok(Cluster::open(config, Arc::new(dial::TlsDial(member.client()?)), facts, tasks).await?)
}

fn node_id(basics: Basics<'_>, member: &Membership) -> Result<u64, StartError> {
    let not_a_node = || StartError::NotANode { path: basics.node.member.certificate.clone() };
    member.member().node_id().ok_or_else(not_a_node)
}

/// What the cluster knows this node as, if it does, is what it must be started as.
fn check_kind(cluster: &Cluster, node_id: u64, runs_as: NodeKind) -> Result<(), StartError> {
    let kind = cluster.state().borrow().roster.nodes.get(&node_id).map(|node| node.kind);
    match kind {
        Some(NodeKind::Relay) if runs_as != NodeKind::Relay => {
            Err(StartError::OtherKind { kind: "node that relays", command: "rmsc server" })
        }
        Some(NodeKind::Witness) if runs_as != NodeKind::Witness => {
            Err(StartError::OtherKind { kind: "witness", command: "rmsc witness" })
        }
        Some(_) | None => Ok(()),
    }
}

fn own_peer(config: &Config, id: u64) -> Peer {
    let (name, address) = (config.node.name.clone(), config.listen.peer.to_string());
    Peer { id, name, address, drained: false }
}

fn cluster_config(config: Basics<'_>, member: &Membership, kind: NodeKind, node_id: u64) -> cluster::Config {
    cluster::Config {
        data_dir: config.node.data_dir.clone(),
        cluster_id: member.member().cluster.clone(),
        node_id,
        name: config.node.name.clone(),
        peer_address: config.listen.peer.to_string(),
        admin_address: config.listen.admin.to_string(),
        kind,
        key: KeyHash::default(),
        clock: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: config.cluster.heartbeat,
        election_min: config.cluster.election_min,
        election_max: config.cluster.election_max,
        snapshot_after: SNAPSHOT_AFTER_ENTRIES,
    }
}

/// Where a node that relays counts.
struct Counted {
    relay: relay::Metrics,
    /// Its front comes later than the cluster that tells others about it.
    rotation: Arc<OnceLock<Peers>>,
}

fn facts(duty: &Duty, member: &Membership, counted: Counted) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let (duty, serving, started) = (duty.clone(), duty.serving(), Instant::now());
    let certificate_expires_at = member.expires_at().map(Timestamp);
    Arc::new(move || {
        let (ready, reason) = in_words(serving.borrow().now());
        Facts {
            ready,
            reason,
            relayed: counted.relay.answered(),
            uptime: started.elapsed(),
            age: duty.age(),
            stale_after: duty.stale_after(),
            in_flight: counted.relay.in_flight(),
            rotation: counted.rotation.get().map(Peers::ids).unwrap_or_default(),
            certificate_expires_at,
        }
    })
}

/// What goes on beside the requests: forming the group, staying fresh, saying what changed.
fn keep_up(cluster: &Cluster, duty: &Duty, tasks: &Tasks) {
    tasks.spawn("table events", table_events::log(cluster.state(), cluster.members(), tasks.clone()));
    tasks.spawn("roster events", roster_events::log(cluster.state(), tasks.clone()));
    tasks.spawn("freshness", freshness::keep(cluster.clone(), duty.clone(), tasks.clone()));
    tasks.spawn("roster", freshness::heed(cluster.clone(), duty.clone(), tasks.clone()));
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
        Some(relay::Server::new(relay.clone(), groups.hops.clone())),
        cluster.routes(),
        cluster.members(),
    );
    // The peer port outlives the hops: Raft goes on until the store closes.
    let serving = listener::serve(listener, member.server()?, Arc::new(service), groups.storage.clone());
    groups.storage.spawn("peer listener", serving);
    Ok(())
}

fn control_config(config: &Config, member: &Membership) -> control::Config {
    control::Config {
        cluster_id: member.member().cluster.clone(),
        node_id: member.member().node_id().unwrap_or_default(),
        service_name: config.cluster.service_name.clone(),
        upstream_kind: config.upstream.kind.word(),
        upstream_address: config.upstream.base.to_string(),
    }
}

async fn serve_administrators(
    control: control::Config,
    (listen, member): (&Listen, &Membership),
    survey: &Survey,
    directory: Option<Arc<Directory>>,
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("admin", listen.admin).await?;
    groups.control.spawn("survey", survey.clone().keep(groups.control.clone()));
    let routes = control::routes(control, survey.clone(), directory, groups.control.clone()).await?;
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
