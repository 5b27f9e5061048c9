//! `rmsc init`: a new cluster with this host as its first node.

use super::administrators::{self, Administrator};
use super::identity_file::{self, Identity, IdentityError};
use super::{Host, node};
use crate::cluster::{Cluster, OpenError};
use crate::seal::{self, Key, NodeKeyError};
use crate::state::FOUNDER;
use crate::tls::{Authority, IssueError, MemberKey, RequestError, authority_pin};
use rand::distr::SampleString;
use std::path::PathBuf;
use time::{Duration, OffsetDateTime};

/// A cluster that is about to be founded.
pub struct Founding {
    /// The first administrator.
    pub administrator: Administrator,
    /// The cluster's id.
    pub cluster_id: String,
    /// SHA-256 of the key of its authority.
    pub pin: [u8; 32],
    /// The file in which this host's seal key lies in the clear, if it does.
    pub plain_seal_file: Option<PathBuf>,
    identity: Identity,
    data_dir: PathBuf,
    seal_key: Key,
}

/// No cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The host belongs to one.
    #[error("this host is node {node_id} of cluster {cluster_id} already; nothing was changed")]
    Already {
        /// Its id.
        node_id: u64,
        /// The cluster.
        cluster_id: String,
    },
    /// The host's seal key.
    #[error(transparent)]
    SealKey(#[from] NodeKeyError),
    /// The identity file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// A certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The authority that was kept.
    #[error(transparent)]
    Authority(#[from] super::CertifyError),
    /// The credentials do not fit together.
    #[error(transparent)]
    Credentials(#[from] crate::tls::LoadError),
    /// A key.
    #[error(transparent)]
    Key(#[from] RequestError),
}

/// Makes everything that a new cluster begins with. Nothing counts until [`Founding::commit`].
///
/// # Errors
/// [`InitError`].
pub fn init(
    host: &Host,
    administrator: &str,
    now: OffsetDateTime,
    certificate_life: std::time::Duration,
) -> Result<Founding, InitError> {
    if let Some(card) = identity_file::card(&host.data_dir)? {
        return Err(InitError::Already { node_id: card.node_id, cluster_id: card.cluster_id });
    }
    let found = seal::find_or_make(&host.seal)?;
    let cluster_id = rand::distr::Alphanumeric.sample_string(&mut rand::rng(), 16).to_lowercase();
    let authority = Authority::new(&format!("rmsc cluster {cluster_id}"), now)?;
    let key = MemberKey::new()?;
    let life = Duration::try_from(certificate_life).unwrap_or(Duration::MAX);
    let certificate = authority.certify_member(&node(&cluster_id, FOUNDER), &key.subject(), now, life)?;
    let (administrator, new) = administrators::issue(&authority, &cluster_id, administrator, now)?;
    let authority_pem = authority.certificate_pem().to_owned();
    let identity = Identity {
        cluster_id: cluster_id.clone(),
        node_id: FOUNDER,
        authority: authority_pem.clone(),
        certificate,
        incarnation: rand::random(),
        witness: false,
        node_key: key.der(),
        data_key: Key::random(),
        authority_key: Some(authority.key()),
        introduction: None,
        administrator: Some(new),
    };
    Ok(Founding {
        administrator,
        cluster_id,
        pin: authority_pin(&authority_pem).unwrap_or_default(),
        plain_seal_file: found.plain_file,
        identity,
        data_dir: host.data_dir.clone(),
        seal_key: found.key,
    })
}

impl Founding {
    /// Makes this host the first node. The cluster begins when it is started.
    ///
    /// # Errors
    /// [`InitError`]; it can be tried again then.
    pub fn commit(&self) -> Result<(), InitError> {
        let Identity { cluster_id, node_id, incarnation, .. } = &self.identity;
        Cluster::claim(&self.data_dir, cluster_id, *node_id, *incarnation)?;
        Ok(identity_file::save(&self.data_dir, &self.seal_key, &self.identity)?)
    }
}
