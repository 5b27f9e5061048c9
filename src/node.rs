//! A node: builds every part, wires them, runs, drains. The only place that knows them all.

mod administrators;
mod admission;
mod authorized_groups;
mod clients;
mod cloud;
mod dial;
mod duty;
mod facts;
mod files;
mod freshness;
mod front_certificate;
mod front_report;
mod keytab;
mod metrics;
mod monitors;
mod own;
mod path_events;
mod peer_service;
mod relays;
mod roster_events;
mod service_keys;
mod start_error;
mod table_age;
mod table_events;
mod ticket_keys;
mod witness;

pub use start_error::StartError;

use crate::cluster::Cluster;
use crate::config::{Config, Listen};
use crate::control::{self, CloudParts, Survey};
use crate::directory::{self, Directory};
use crate::enrolment::{self, Enrolment, JoinService};
use crate::event::{Event, with_causes};
use crate::front::{self, Authenticator, Front, Logins, Peer, Peers};
use crate::identity::Settings;
use crate::identity::kerberos::{Acceptor, Realms};
use crate::listener::{self, Port};
use crate::relay::{self, Readiness, Relay};
use crate::state::{NodeKind, Timestamp};
use crate::tasks::Tasks;
use crate::telemetry::{self, Registry};
use crate::tls::Guests;
use crate::trace::Spans;
use crate::upstream::{self, TokenSource, Tokens, Upstream};
use administrators::Administrators;
use duty::Duty;
use facts::{Counted, facts};
use front_certificate::FrontCertificates;
use futures::FutureExt;
use own::Own;
use service_keys::ServiceKeys;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;

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
    duty: Duty,
    cluster: Cluster,
    groups: Groups,
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
        files::raise(config.front.connections_max);
        let own = Own::open(config.basics(), NodeKind::Relay)?;
        let directory = Arc::new(open_directory(&config, &mut registry, &groups)?);
        let realms = Realms::new(&config.identity.realms, directory.domain_sid().cloned());
        let keys = ServiceKeys::open(config.identity.keytab.as_deref(), realms)?;
        let relay_metrics = relay::Metrics::register(&mut registry);
        let duty = Duty::new(own.node_id(), NodeKind::Relay);
        let rotation = Arc::new(OnceLock::new());
        let certificates = FrontCertificates::open(&config, &mut registry)?;
        let counted = Counted::new(&relay_metrics, &rotation, (&keys, &certificates), &directory, &config);
        let (difference, facts) = (counted.cloud.clone(), facts(&duty, &own, counted, &groups.clients));
        let (cluster, admission) = own.join_in(config.basics(), facts, &groups).await?;
        let enrolment = own.enrolment(config.basics(), &cluster, &mut registry);
        enrolment.renew_if_due();
        // Before the first caller comes: what was known before the restart.
        keys.keep(&cluster, &enrolment, &groups.storage);
        certificates.keep(&cluster, &enrolment, &groups.storage);
        let (upstream, token_source) = upstream(&config, &mut registry, &groups)?;
        let source = (token_source, difference);
        let in_cloud = cloud::keep(&config, (&cluster, &enrolment), source, &mut registry, &groups)?;
        groups.control.spawn("path events", path_events::log(upstream.path_cut(), groups.control.clone()));
        let spans = telemetry::spans(config.collector.as_deref(), &config.node.name, &groups.storage)?;
        let settings = relay_settings(&config, &own, &spans);
        let relay = Relay::new(cluster.state(), duty.serving(), upstream, settings, relay_metrics);
        let front_metrics = front::Metrics::register(&mut registry);
        let relays = relays::follow(&cluster, &groups.hops);
        let logins = relays::logins(&config, &relays, &front_metrics, &groups.clients);
        let hop = relay::Server::new(relay.clone(), groups.hops.clone(), relays::vouched(logins.clone()));
        let joins = JoinService::into_routes(enrolment.clone());
        let service = peer_service::PeerService::new(Some(hop), cluster.routes(), joins, admission);
        serve_peers(&config.listen, &own, service, &groups).await?;
        let survey = Survey::new(cluster.clone(), control::Metrics::register(&mut registry));
        let parts = control_parts(&survey, &enrolment, &directory, in_cloud);
        let control = (control_config(&config, &own), parts, Administrators::new(cluster.clone()));
        serve_administrators(&config.listen, &own, control, &groups).await?;
        let peers =
            Peers::start(own_peer(&config, &own), &relay, own.membership.client(), relays, &groups.hops);
        // It is set here alone.
        let rotation = rotation.get_or_init(|| peers.clone()).clone();
        let front = Arc::new(Front::new(front::Parts {
            node: config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            service_name: config.cluster.service_name.clone(),
            mark: mark(&own),
            authenticator: authenticator(&config, directory.clone(), logins, keys.acceptor())?,
            peers,
            state: cluster.state(),
            tenant_url: relay.tenant_url(),
            spans,
            limits: (config.front.clone(), relay.busy()),
            metrics: front_metrics,
        }));
        let caught_up = keys.caught_up(cluster.clone(), enrolment.clone(), groups.clients.clone());
        clients::serve(&config, &front, &certificates, caught_up.shared(), &groups.clients).await?;
        let readings = monitors::Readings { duty: duty.clone(), rotation: Some(rotation), survey, registry };
        monitors::serve(&config.listen, &cluster, readings, &groups.control).await?;
        keep_up(&cluster, &enrolment, &duty, &groups);
        authorized_groups::keep(&cluster, directory, &groups.control);
        Event::ServiceStarted { node: &config.node.name, version: env!("CARGO_PKG_VERSION") }.log();
        Ok(Node {
            name: config.node.name,
            node_id: own.node_id(),
            data_dir: config.node.data_dir,
            duty,
            cluster,
            groups,
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
        self.duty.stop();
        // The other fronts ask four times a second. They must have heard before connections close. Of a removal they
        // know from the log, and take nothing from this one any more: its callers were let go before.
        if removed_by.is_none() {
            tokio::time::sleep(LEAVE_ROTATION).await;
        }
        self.drain(&self.groups.clients, "clients' connections").await;
        self.drain(&self.groups.hops, "requests of other nodes").await;
        // The peer port outlives them, and what comes now would be cut.
        self.duty.end();
        self.drain(&self.groups.control, "administrators' calls").await;
        self.cluster.shutdown().await;
        if let Err(error) = self.groups.storage.drain(STORAGE_DRAIN_TIMEOUT).await {
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

    async fn drain(&self, tasks: &Tasks, what: &str) {
        if let Err(error) = tasks.drain(self.drain_timeout).await {
            tracing::warn!(what, %error, "cut off");
        }
    }

    /// Who removed this node, if somebody did.
    fn removed_by(&self) -> Option<String> {
        let roster = self.cluster.state().borrow().roster.clone();
        roster.removed.get(&self.node_id).map(|removed| removed.by.clone())
    }
}

/// What goes on beside the requests: founding, new certificates, staying fresh, saying what changed.
fn keep_up(cluster: &Cluster, enrolment: &Enrolment, duty: &Duty, groups: &Groups) {
    let tasks = &groups.storage;
    tasks.spawn("farewell", clients::let_go(cluster.clone(), groups.clients.clone()));
    tasks.spawn("table events", table_events::log(cluster.state(), cluster.members(), tasks.clone()));
    tasks.spawn("administrator events", administrators::log(cluster.roster(), tasks.clone()));
    tasks.spawn("service key events", service_keys::log_and_drop(cluster.clone(), tasks.clone()));
    tasks.spawn("roster events", roster_events::log(cluster.roster(), tasks.clone()));
    tasks.spawn("freshness", freshness::keep(cluster.clone(), duty.clone(), tasks.clone()));
    tasks.spawn("refusals", freshness::hear(cluster.clone(), duty.clone(), tasks.clone()));
    tasks.spawn("roster", freshness::heed(cluster.clone(), duty.clone(), tasks.clone()));
    tasks.spawn("enrolment", enrolment.clone().keep(tasks.clone()));
}

fn now() -> Timestamp {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Timestamp(i64::try_from(now).unwrap_or(i64::MAX))
}

fn in_words(readiness: Readiness) -> (bool, String) {
    match readiness {
        Readiness::Ready | Readiness::Hampered(_) => (true, String::new()),
        Readiness::NotReady(reason) => (false, reason),
    }
}

async fn serve_peers(
    listen: &Listen,
    own: &Own,
    service: peer_service::PeerService,
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("peer", listen.peer).await?;
    // The peer port outlives the hops: Raft goes on until the store closes.
    let port = Port { listener, name: "peer", streams_max: HOP_STREAMS_MAX };
    let tls = own.membership.server(Guests::Welcome);
    groups
        .storage
        .spawn("peer listener", listener::serve(port, tls, Arc::new(service), groups.storage.clone()));
    Ok(())
}

/// What the cluster knows its own requests by, on each of its nodes.
fn mark(own: &Own) -> relay::Mark {
    relay::Mark::of(&own.identity.cluster_id, own.identity.data_key.bytes().expose())
}

fn relay_settings(config: &Config, own: &Own, spans: &Spans) -> relay::Settings {
    let kept = relay::KeptConfig { folder: config.node.data_dir.join("kept"), age_max: config.kept_answers };
    let service_locations = config.service_locations;
    let (ntlm, spans) = (config.identity.ntlm, spans.clone());
    relay::Settings { ntlm, kept, service_locations, mark: mark(own), spans }
}

fn own_peer(config: &Config, own: &Own) -> Peer {
    Peer {
        id: own.node_id(),
        name: config.node.name.clone(),
        address: config.listen.peer.to_string(),
        key: own.key().0,
        drained: false,
    }
}

fn control_parts(
    survey: &Survey,
    enrolment: &Enrolment,
    directory: &Arc<Directory>,
    cloud: CloudParts,
) -> control::Parts {
    let (survey, enrolment, directory) = (survey.clone(), enrolment.clone(), Some(directory.clone()));
    control::Parts { survey, enrolment, directory, cloud: Some(cloud) }
}

fn control_config(config: &Config, own: &Own) -> control::Config {
    control::Config {
        cluster_id: own.identity.cluster_id.clone(),
        node_id: own.node_id(),
        service_name: config.cluster.service_name.clone(),
        upstream_kind: config.upstream.kind.word(),
        upstream_address: config.upstream.base.to_string(),
        peer_address: config.listen.peer.to_string(),
        node: config.node.name.clone(),
    }
}

async fn serve_administrators(
    listen: &Listen,
    own: &Own,
    (control, parts, administrators): (control::Config, control::Parts, Administrators),
    groups: &Groups,
) -> Result<(), StartError> {
    let listener = bind("admin", listen.admin).await?;
    groups.control.spawn("survey", parts.survey.clone().keep(groups.control.clone()));
    let routes = control::routes(control, parts, groups.control.clone()).await?;
    let service = Arc::new(peer_service::AdminService::new(routes, administrators));
    let port = Port { listener, name: "admin", streams_max: ADMINISTRATOR_STREAMS_MAX };
    let tls = own.membership.server(Guests::Refused);
    groups.control.spawn("admin listener", listener::serve(port, tls, service, groups.control.clone()));
    Ok(())
}

/// Its connections outlive the hops, whose requests go over them.
fn upstream(
    config: &Config,
    registry: &mut Registry,
    groups: &Groups,
) -> Result<(Upstream, TokenSource), StartError> {
    if config.upstream.in_the_clear() {
        Event::UpstreamInTheClear { url: &config.upstream.base.to_string() }.log();
    }
    let metrics = upstream::Metrics::register(registry);
    let (tokens, source) = Tokens::new();
    Ok((Upstream::new(config.upstream.clone(), tokens, metrics, groups.control.clone())?, source))
}

/// Where neither an accounts file nor `[directory]` names the domain, the service's own domain does.
fn open_directory(
    config: &Config,
    registry: &mut Registry,
    groups: &Groups,
) -> Result<Directory, directory::OpenError> {
    let labels = config.cluster.service_name.split_once('.').map_or("", |(_, domain)| domain);
    let name = labels.split('.').next().filter(|label| !label.is_empty()).unwrap_or("DOMAIN");
    let metrics = directory::Metrics::register(registry);
    Directory::open(config.identity.directory.clone(), &name.to_uppercase(), metrics, &groups.control)
}

fn authenticator(
    config: &Config,
    directory: Arc<Directory>,
    logins: Arc<Logins>,
    acceptor: Arc<Acceptor>,
) -> Result<Authenticator, StartError> {
    let computer: String = config.node.name.chars().take(NETBIOS_NAME_CHARS_MAX).collect();
    let settings = Settings::new(
        directory.domain(),
        &computer.to_uppercase(),
        &config.cluster.service_name,
        config.identity.channel_binding,
    )?;
    let settings = settings.with_kerberos(acceptor);
    Ok(Authenticator::new(settings, directory, logins, config.identity.target_names.clone()))
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { what, address, source })
}

/// Why a node takes no requests at first: it cannot know how old its table is.
const UNHEARD: &str = "no leader was heard since the start";
/// And after the node was told to stop.
const DRAINING: &str = "draining";
/// More than a front has in flight (`limits.requests_max`), all of which may go to one node: what waits for a stream is
/// taken for a node without a sign of life.
const HOP_STREAMS_MAX: u32 = 1_000;
const ADMINISTRATOR_STREAMS_MAX: u32 = 100;
/// Two probes of the other fronts.
const LEAVE_ROTATION: Duration = Duration::from_millis(500);
const STORAGE_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// [MS-NBTE] 1.8: a NetBIOS name has 15 characters and a suffix.
const NETBIOS_NAME_CHARS_MAX: usize = 15;
