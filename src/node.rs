//! A node: builds every part, wires them, runs, drains. The only place that knows them all.

mod admission;
mod dial;
mod freshness;
mod own;
mod peer_service;
mod start_error;
mod table_events;

pub use start_error::StartError;

use crate::cluster::{Cluster, Facts, Member};
use crate::config::Config;
use crate::control;
use crate::directory::Directory;
use crate::enrolment::{self, Enrolment, JoinService};
use crate::event::{Event, with_causes};
use crate::front::{self, Authenticator, Front, Listener, Peer, Peers};
use crate::identity::Settings;
use crate::listener::{self, Port};
use crate::relay::{self, Readiness, Relay, Serving};
use crate::state::Timestamp;
use crate::tasks::Tasks;
use crate::telemetry::{self, Answer, Ops, Registry};
use crate::tls::{FrontServer, Guests};
use crate::upstream::{self, Upstream};
use admission::Admission;
use own::Own;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The replicated part of a running node stopped by itself.
#[derive(Debug, thiserror::Error)]
#[error("the replicated part stopped: {reason}")]
pub struct Broken {
    reason: String,
}

/// A node that runs.
pub struct Node {
    name: String,
    node_id: u64,
    data_dir: PathBuf,
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
        let own = Own::open(&config)?;
        let directory = Arc::new(Directory::open_local(&config.identity.accounts_file)?);
        let relay_metrics = relay::Metrics::register(&mut registry);
        let (serving, served) = watch::channel(Serving::Not(UNHEARD.into()));
        let admission = Arc::new(OnceLock::new());
        let dial = dial::TlsDial::new(own.membership.client(), admission.clone());
        let cluster = Cluster::open(
            own.cluster_config(&config),
            Arc::new(dial),
            facts(served.clone(), relay_metrics.clone()),
            &groups.storage,
        )
        .await
        .map_err(|error| own.explain(&config.node.name, error))?;
        let admission = admission.get_or_init(|| Admission::new(cluster.clone())).clone();
        let enrolment = own.enrolment(&config, &cluster, &mut registry);
        enrolment.renew_if_due();
        let upstream = Upstream::new(config.upstream.clone(), upstream::Metrics::register(&mut registry))?;
        let relay = Relay::new(cluster.state(), served, upstream, relay_metrics);
        serve_peers(&config, (&own, admission), &relay, (&cluster, &enrolment), &groups).await?;
        serve_administrators(&config, &own, (&cluster, &enrolment), directory.clone(), &groups).await?;
        let this = Peer {
            id: own.node_id(),
            name: config.node.name.clone(),
            address: config.listen.peer.to_string(),
            key: own.key().0,
        };
        let peers =
            Peers::start(this, &relay, own.membership.client(), peers(&cluster, &groups.hops), &groups.hops);
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
        if !own.identity.witness {
            serve_clients(&config, &front, &groups.clients).await?;
        }
        serve_monitors(
            &config,
            &cluster,
            Readings { relay: relay.clone(), rotation, registry },
            &groups.control,
        )
        .await?;
        keep_up(&cluster, &enrolment, serving.clone(), &groups.storage);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            node_id: own.node_id(),
            data_dir: config.node.data_dir,
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
            reason = failed.failed() => Err(Broken { reason }),
        };
        let removed_by = self.removed_by();
        if let (Err(Broken { reason }), None) = (&ended, &removed_by) {
            // Only a disk, a newer entry or a defect can cause it; the others go on without this node.
            Event::Unexpected { doing: "keeping the replicated state", reason }.log();
        }
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
        if let Some(by) = removed_by {
            // Nothing of it may be used again, so it is not left where a start would find it.
            match enrolment::put_aside(&self.data_dir, self.node_id) {
                Ok(aside) => tracing::info!(aside = %aside.display(), "what the node kept is put aside"),
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "what the node kept stays where it is");
                }
            }
            Event::NodeLeft { node_id: self.node_id, by: &by }.log();
            return Ok(());
        }
        Event::ServiceStopped { node: &self.name }.log();
        ended
    }

    /// Who removed this node, if somebody did.
    fn removed_by(&self) -> Option<String> {
        let roster = self.cluster.state().borrow().roster.clone();
        roster.removed.get(&self.node_id).map(|removed| removed.by.clone())
    }
}

fn facts(serving: watch::Receiver<Serving>, metrics: relay::Metrics) -> Arc<dyn Fn() -> Facts + Send + Sync> {
    let started = Instant::now();
    Arc::new(move || {
        let (ready, reason) = in_words(serving.borrow().now());
        Facts { ready, reason, relayed: metrics.answered(), uptime: started.elapsed() }
    })
}

/// What goes on beside the requests: founding, new certificates, staying fresh, saying what changed.
fn keep_up(cluster: &Cluster, enrolment: &Enrolment, serving: watch::Sender<Serving>, tasks: &Tasks) {
    tasks.spawn("table events", table_events::log(cluster.state(), cluster.members(), tasks.clone()));
    tasks.spawn("freshness", freshness::keep(cluster.clone(), serving, tasks.clone()));
    tasks.spawn("enrolment", enrolment.clone().keep(tasks.clone()));
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
    (own, admission): (&Own, Admission),
    relay: &Relay,
    (cluster, enrolment): (&Cluster, &Enrolment),
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("peer", config.listen.peer).await?;
    let service = peer_service::PeerService::new(
        relay::Server::new(relay.clone(), groups.hops.clone()),
        cluster.routes(),
        JoinService::into_routes(enrolment.clone()),
        admission,
    );
    // The peer port outlives the hops: Raft goes on until the store closes.
    let port = Port { listener, name: "peer" };
    let tls = own.membership.server(Guests::Welcome);
    groups
        .storage
        .spawn("peer listener", listener::serve(port, tls, Arc::new(service), groups.storage.clone()));
    Ok(())
}

async fn serve_administrators(
    config: &Config,
    own: &Own,
    (cluster, enrolment): (&Cluster, &Enrolment),
    directory: Arc<Directory>,
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("admin", config.listen.admin).await?;
    let control = control::Config {
        cluster_id: own.identity.cluster_id.clone(),
        service_name: config.cluster.service_name.clone(),
        upstream_kind: config.upstream.kind.word(),
        upstream_address: config.upstream.base.to_string(),
        peer_address: config.listen.peer.to_string(),
    };
    let routes = control::routes(control, cluster.clone(), enrolment.clone(), directory).await?;
    let service = Arc::new(peer_service::AdminService::new(routes));
    let port = Port { listener, name: "admin" };
    let tls = own.membership.server(Guests::Refused);
    groups.control.spawn("admin listener", listener::serve(port, tls, service, groups.control.clone()));
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
    let state = cluster.state();
    let as_peers = move |members: &[Member]| {
        let roster = state.borrow().roster.clone();
        let peer = |member: &Member| {
            let key = roster.nodes.get(&member.node_id)?.key.0;
            Some(Peer {
                id: member.node_id,
                name: member.name.clone(),
                address: member.peer_address.clone(),
                key,
            })
        };
        Arc::new(members.iter().filter(|member| !member.witness).filter_map(peer).collect::<Vec<_>>())
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
/// [MS-NBTE] 1.8: a NetBIOS name has 15 characters and a suffix.
const NETBIOS_NAME_CHARS_MAX: usize = 15;
