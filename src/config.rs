//! Checks what the operator typed, reports every fault at once, and builds each part's own `Config`.

mod account_section;
mod directory_section;
mod file;
mod ntlm_section;
mod oauth_section;
mod sections;
mod upstream_section;
mod witness;

pub use file::Fault;
pub use witness::{Any, Witness};

use crate::directory;
use crate::front;
use crate::identity::ChannelBindingPolicy;
use crate::principal::Sid;
use crate::relay::{NtlmRules, ServiceLocations};
use crate::seal;
use crate::telemetry::Target;
use crate::tls::Files;
use crate::upstream;
use file::Reader;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The node file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[node]`.
    pub node: Node,
    /// `[listen]`.
    pub listen: Listen,
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[identity]`.
    pub identity: Identity,
    /// `[upstream]`.
    pub upstream: upstream::Config,
    /// `[relay] kept_answers`: how old an answer may be that is given again; none is kept without.
    pub kept_answers: Option<Duration>,
    /// `[front] service_locations`: whose answer callers get who ask where the services are.
    pub service_locations: ServiceLocations,
    /// `[limits]`.
    pub front: front::Config,
    /// `[drain] deadline`: how long requests in flight may take to end.
    pub drain_timeout: Duration,
    /// `[secrets]`.
    pub secrets: seal::Config,
    /// `[log]`.
    pub log: Log,
    /// `[trace] otlp`: the collector that is told how long requests took; none without.
    pub collector: Option<String>,
}

/// What every kind of node has.
#[derive(Clone, Copy, Debug)]
pub struct Basics<'a> {
    /// `[node]`.
    pub node: &'a Node,
    /// `[listen]`.
    pub listen: &'a Listen,
    /// `[cluster]`.
    pub cluster: &'a Cluster,
    /// `[secrets]`.
    pub secrets: &'a seal::Config,
    /// `[drain] deadline`.
    pub drain_timeout: Duration,
}

/// `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name that status and events show.
    pub name: String,
    /// A free label.
    pub site: String,
    /// Where everything of the node is kept.
    pub data_dir: PathBuf,
    /// How long the certificates of nodes live that this one issues.
    pub certificate_life: Duration,
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For calling servers, and the certificate shown to them; without files it is the cluster's.
    pub https: Option<(SocketAddr, Option<Files>)>,
    /// The same without TLS.
    pub http: Option<SocketAddr>,
    /// For nodes.
    pub peer: SocketAddr,
    /// For administrators.
    pub admin: SocketAddr,
    /// For monitoring.
    pub ops: SocketAddr,
}

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The name that calling servers use.
    pub service_name: String,
    /// How often a leader shows itself.
    pub heartbeat: Duration,
    /// The shortest time without a leader before an election.
    pub election_min: Duration,
    /// The longest.
    pub election_max: Duration,
}

/// `[identity]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Where accounts and their groups come from.
    pub directory: directory::Config,
    /// `[identity.kerberos] keytab`: the keys of our services; without it NTLM alone is taken.
    pub keytab: Option<PathBuf>,
    /// `[identity.kerberos.realms]`: for each realm of the keytab the SIDs of the domains that it may speak for.
    pub realms: BTreeMap<String, Vec<Sid>>,
    /// The hosts that callers may mean by `HTTP/HOST`: the service name, and others by which it is called.
    pub target_names: Vec<String>,
    /// Whether callers must bind their authentication to the TLS channel.
    pub channel_binding: ChannelBindingPolicy,
    /// `[identity.limits]`: how many NTLM logins may fail.
    pub limits: front::LoginLimits,
    /// `[identity.ntlm]`: which roles take NTLM.
    pub ntlm: NtlmRules,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// error, warn, info, debug, trace, or a filter.
    pub level: String,
    /// Where it goes.
    pub target: Target,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Its content is wrong; all faults are here.
    #[error("the configuration {path} has {} fault{}:\n{}", faults.len(), if faults.len() == 1 { "" } else { "s" }, listed(faults))]
    Faults {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        faults: Vec<Fault>,
    },
}

impl Config {
    /// Reads and checks a node file.
    ///
    /// # Errors
    /// [`LoadError`] with every fault.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        load(path, |text| Config::parse(text).and_then(ntlm_section::with_program))
    }

    /// What every kind of node has.
    #[must_use]
    pub fn basics(&self) -> Basics<'_> {
        let Config { node, listen, cluster, secrets, .. } = self;
        Basics { node, listen, cluster, secrets, drain_timeout: self.drain_timeout }
    }

    /// Checks the text of a node file.
    ///
    /// # Errors
    /// Every fault.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        let reader = Reader::new(text).map_err(|fault| vec![fault])?;
        let node = sections::node(&reader);
        let listen = sections::listen(&reader, sections::Front::Needed);
        let cluster = sections::cluster(&reader);
        let identity = sections::identity(&reader, cluster.as_ref());
        let name = node.as_ref().map(|node| node.name.clone()).unwrap_or_default();
        let upstream = upstream_section::read(
            &reader,
            name,
            cluster.as_ref().map(|cluster| cluster.service_name.as_str()),
        );
        let kept_answers = sections::kept_answers(&reader);
        let service_locations = sections::service_locations(&reader);
        let front = sections::limits(&reader);
        let drain_timeout = sections::drain(&reader);
        let secrets = sections::secrets(&reader, node.as_ref());
        let log = sections::log(&reader);
        let collector = sections::collector(&reader);
        let faults = reader.faults();
        match (node, listen, cluster, identity, upstream) {
            (Some(node), Some(listen), Some(cluster), Some(identity), Some(upstream))
                if faults.is_empty() =>
            {
                Ok(Config {
                    node,
                    listen,
                    cluster,
                    identity,
                    upstream,
                    kept_answers,
                    service_locations,
                    front,
                    drain_timeout,
                    secrets,
                    log,
                    collector,
                })
            }
            _ => Err(faults),
        }
    }
}

fn load<T>(path: &Path, parse: impl FnOnce(&str) -> Result<T, Vec<Fault>>) -> Result<T, LoadError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
    parse(&text).map_err(|faults| LoadError::Faults { path: path.into(), faults })
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
