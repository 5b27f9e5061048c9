//! Who this node is: its identity, opened with the host's own key.

use super::admission::Admission;
use super::dial::TlsDial;
use super::{Groups, StartError};
use crate::cluster::{self, Cluster, Facts, OpenError};
use crate::config::Basics;
use crate::enrolment::{self, Enrolment, Identity, Parts};
use crate::event::Event;
use crate::seal::{self, Key};
use crate::state::{KeyHash, NodeKind, Timestamp};
use crate::storage::version::VersionError;
use crate::telemetry::Registry;
use crate::tls::{MemberKey, Membership};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use time::OffsetDateTime;

/// What only this node has.
pub(super) struct Own {
    pub(super) identity: Identity,
    pub(super) membership: Membership,
    seal_key: Key,
    /// It lies in the clear, though nobody chose that.
    pub(super) plain_seal_key: bool,
    key: KeyHash,
    data_dir: PathBuf,
}

impl Own {
    /// Opens the identity that `rmsc init` or `rmsc join` left.
    ///
    /// # Errors
    /// There is none, it cannot be opened, or it is of another kind of node.
    pub(super) fn open(config: Basics<'_>, runs_as: NodeKind) -> Result<Self, StartError> {
        let data_dir = config.node.data_dir.clone();
        // First: who has not joined yet has no key either, and is to be told what to do.
        if enrolment::card(&data_dir)?.is_none() {
            return Err(enrolment::IdentityError::Missing { path: data_dir.join("identity") }.into());
        }
        let found = seal::find(config.secrets)?;
        if let Some(path) = &found.plain_file {
            Event::SealKeyInFile { path: &path.display() }.log();
        }
        let identity = enrolment::load(&data_dir, &found.key)?;
        check_kind(identity.witness, runs_as)?;
        // Before it promises anything: with it a host without its log would be this node again.
        enrolment::forget_joining(&data_dir)?;
        let membership = enrolment::membership(&identity, data_dir.join("identity"))?;
        let key = KeyHash(MemberKey::of_der(identity.node_key.expose())?.hash());
        let plain_seal_key = found.plain_file.is_some() && config.secrets.kind != seal::Kind::File;
        Ok(Own { identity, membership, seal_key: found.key, plain_seal_key, key, data_dir })
    }

    pub(super) fn node_id(&self) -> u64 {
        self.identity.node_id
    }

    /// SHA-256 of its public key.
    pub(super) fn key(&self) -> KeyHash {
        self.key
    }

    /// Takes part in the cluster with what is on disk.
    pub(super) async fn join_in(
        &self,
        config: Basics<'_>,
        facts: Arc<dyn Fn() -> Facts + Send + Sync>,
        groups: &Groups,
    ) -> Result<(Cluster, Admission), StartError> {
        let admission = Arc::new(OnceLock::new());
        let dial = Arc::new(TlsDial::new(self.membership.client(), admission.clone()));
        let opened = Cluster::open(self.cluster_config(config), dial, facts, &groups.storage).await;
        let cluster = opened.map_err(|error| self.explain(&config.node.name, error))?;
        if let Some(introduction) = &self.identity.introduction {
            cluster.introduce(introduction.clone());
        }
        let admission = admission.get_or_init(|| Admission::new(cluster.clone())).clone();
        Ok((cluster, admission))
    }

    fn cluster_config(&self, config: Basics<'_>) -> cluster::Config {
        cluster::Config {
            data_dir: self.data_dir.clone(),
            cluster_id: self.identity.cluster_id.clone(),
            node_id: self.node_id(),
            name: config.node.name.clone(),
            peer_address: config.listen.peer.to_string(),
            admin_address: config.listen.admin.to_string(),
            kind: if self.identity.witness { NodeKind::Witness } else { NodeKind::Relay },
            key: self.key,
            clock: super::now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat: config.cluster.heartbeat,
            election_min: config.cluster.election_min,
            election_max: config.cluster.election_max,
            snapshot_after: SNAPSHOT_AFTER_ENTRIES,
        }
    }

    /// Whether the data are gone that this identity had: then the host must not come back as this node.
    fn explain(&self, name: &str, error: OpenError) -> StartError {
        match error {
            OpenError::Folder(VersionError::Lost { .. } | VersionError::Unclaimed { .. })
            | OpenError::LogLost { .. } => StartError::DataLost {
                name: name.into(),
                node_id: self.node_id(),
                path: self.data_dir.clone(),
                source: Box::new(error),
            },
            error => StartError::Cluster(error),
        }
    }

    pub(super) fn enrolment(
        &self,
        config: Basics<'_>,
        cluster: &Cluster,
        registry: &mut Registry,
    ) -> Enrolment {
        Enrolment::new(Parts {
            cluster: cluster.clone(),
            identity: self.identity.clone(),
            seal_key: self.seal_key.clone(),
            data_dir: self.data_dir.clone(),
            membership: self.membership.clone(),
            certificate_life: config.node.certificate_life,
            metrics: enrolment::Metrics::register(registry),
            clock: OffsetDateTime::now_utc,
        })
    }
}

/// What a host joined as is what it must be started as.
fn check_kind(is_witness: bool, runs_as: NodeKind) -> Result<(), StartError> {
    match (is_witness, runs_as) {
        (true, NodeKind::Witness) | (false, NodeKind::Relay) => Ok(()),
        (true, NodeKind::Relay) => Err(StartError::OtherKind { kind: "witness", command: "rmsc witness" }),
        (false, NodeKind::Witness) => {
            Err(StartError::OtherKind { kind: "node that relays", command: "rmsc server" })
        }
    }
}

/// When the certificate that is used now expires.
pub(super) fn expires_at(membership: &Membership) -> Timestamp {
    let at = membership.validity().until.unix_timestamp_nanos() / 1_000_000;
    Timestamp(i64::try_from(at).unwrap_or(i64::MAX))
}

/// A snapshot of a small table costs little, and a log of this length is quickly replayed.
const SNAPSHOT_AFTER_ENTRIES: u64 = 10_000;
