//! Who this node is: its identity, opened with the host's own key.

use super::StartError;
use crate::cluster::{self, OpenError};
use crate::config::Config;
use crate::enrolment::{self, Enrolment, Identity, Parts};
use crate::event::Event;
use crate::seal::{self, Key};
use crate::state::{KeyHash, NodeKind};
use crate::storage::version::VersionError;
use crate::telemetry::Registry;
use crate::tls::{MemberKey, Membership};
use std::path::PathBuf;
use time::OffsetDateTime;

/// What only this node has.
pub(super) struct Own {
    pub(super) identity: Identity,
    pub(super) membership: Membership,
    seal_key: Key,
    key: KeyHash,
    data_dir: PathBuf,
}

impl Own {
    /// Opens the identity that `rmsc init` or `rmsc join` left.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let data_dir = config.node.data_dir.clone();
        // First: who has not joined yet has no key either, and is to be told what to do.
        if enrolment::card(&data_dir)?.is_none() {
            return Err(enrolment::IdentityError::Missing { path: data_dir.join("identity") }.into());
        }
        let found = seal::find(&config.secrets)?;
        if let Some(path) = &found.plain_file {
            Event::SealKeyInFile { path: &path.display() }.log();
        }
        let identity = enrolment::load(&data_dir, &found.key)?;
        let membership = enrolment::membership(&identity, data_dir.join("identity"))?;
        let key = KeyHash(MemberKey::of_der(identity.node_key.expose())?.hash());
        Ok(Own { identity, membership, seal_key: found.key, key, data_dir })
    }

    pub(super) fn node_id(&self) -> u64 {
        self.identity.node_id
    }

    /// SHA-256 of its public key.
    pub(super) fn key(&self) -> KeyHash {
        self.key
    }

    pub(super) fn cluster_config(&self, config: &Config) -> cluster::Config {
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
    pub(super) fn explain(&self, name: &str, error: OpenError) -> StartError {
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
        config: &Config,
        cluster: &cluster::Cluster,
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

/// A snapshot of a small table costs little, and a log of this length is quickly replayed.
const SNAPSHOT_AFTER_ENTRIES: u64 = 10_000;
