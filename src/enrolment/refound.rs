//! A cluster that begins again out of a backup, with this host as its only node.

use super::administrators::{self, Administrator};
use super::authority::authority_of;
use super::found::InitError;
use super::identity_file::{self, Identity};
use super::{Host, node};
use crate::cluster;
use crate::seal::{self, Key};
use crate::state::{KeyHash, NewAdministrator, NewNode, NodeKind, Roster};
use crate::tls::{MemberKey, Membership};
use std::path::PathBuf;
use time::{Duration, OffsetDateTime};

/// What was kept of the cluster.
pub struct Kept<'a> {
    /// Its id.
    pub cluster_id: &'a str,
    /// Its roster, with the sealed secrets.
    pub roster: &'a Roster,
    /// The key that opens them.
    pub data_key: &'a Key,
    /// The id of the node with which it begins again.
    pub node_id: u64,
}

/// A node that is about to be the only one.
pub struct Refounding {
    /// For the roster.
    pub node: NewNode,
    /// An administrator of the cluster.
    pub administrator: Administrator,
    /// The same one for the roster.
    pub new_administrator: NewAdministrator,
    /// The node's credentials.
    pub membership: Membership,
    /// The file in which this host's seal key lies in the clear, if it does.
    pub plain_seal_file: Option<PathBuf>,
    identity: Identity,
    data_dir: PathBuf,
    seal_key: Key,
}

/// Makes the node's keys and certificates, with the authority that was kept. Nothing counts until
/// [`Refounding::commit`].
///
/// # Errors
/// [`InitError`].
pub fn refound(
    host: &Host,
    kept: &Kept<'_>,
    administrator: &str,
    now: OffsetDateTime,
    certificate_life: std::time::Duration,
) -> Result<Refounding, InitError> {
    let Kept { cluster_id, roster, data_key, node_id } = *kept;
    if let Some(card) = identity_file::card(&host.data_dir)? {
        return Err(InitError::Already { node_id: card.node_id, cluster_id: card.cluster_id });
    }
    let authority = authority_of(roster, cluster_id, data_key)?;
    let found = seal::find_or_make(&host.seal)?;
    let key = MemberKey::new()?;
    let life = Duration::try_from(certificate_life).unwrap_or(Duration::MAX);
    let certificate = authority.certify_member(&node(cluster_id, node_id), &key.subject(), now, life)?;
    let (administrator, new_administrator) =
        administrators::issue(&authority, cluster_id, administrator, now)?;
    let identity = Identity {
        cluster_id: cluster_id.into(),
        node_id,
        authority: roster.authority.clone(),
        certificate,
        incarnation: rand::random(),
        witness: false,
        node_key: key.der(),
        data_key: data_key.clone(),
        authority_key: None,
        introduction: None,
        administrator: None,
    };
    Ok(Refounding {
        node: NewNode {
            name: host.name.clone(),
            peer_address: host.peer_address.clone(),
            admin_address: host.admin_address.clone(),
            kind: NodeKind::Relay,
            incarnation: identity.incarnation,
            key: KeyHash(key.hash()),
            build: cluster::VERSION,
        },
        administrator,
        new_administrator,
        membership: super::membership(&identity, host.data_dir.join("identity"))?,
        plain_seal_file: found.plain_file,
        identity,
        data_dir: host.data_dir.clone(),
        seal_key: found.key,
    })
}

impl Refounding {
    /// Makes this host that node. Its data have to be there already.
    ///
    /// # Errors
    /// [`InitError`]; it can be tried again then.
    pub fn commit(&self) -> Result<(), InitError> {
        Ok(identity_file::save(&self.data_dir, &self.seal_key, &self.identity)?)
    }
}
