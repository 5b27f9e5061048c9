//! The roster: the nodes that belong to the cluster, those that do not any more, what lets new ones
//! in, and the sealed secrets that all nodes share.

use super::{Administrator, FormerAdministrator, RemovedServiceKey, ServiceKey, ServiceKeyId, Timestamp};
use std::collections::BTreeMap;
use std::fmt;

/// What the nodes agree on about themselves. A change makes a new one; a reader keeps the one it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The cluster's certificate authority, PEM; empty until the cluster was founded.
    pub authority: String,
    /// The version of the rules that all nodes keep to: what needs a later one is not proposed.
    pub version: u32,
    /// The nodes by id.
    pub nodes: BTreeMap<u64, Node>,
    /// The nodes that were removed, by id. An id is never used again.
    pub removed: BTreeMap<u64, RemovedNode>,
    /// Who may use the admin port, by name. Where this is empty nobody may: see [`Roster::administers`].
    pub administrators: BTreeMap<String, Administrator>,
    /// Keys of administrators that are good no more.
    pub former_administrators: BTreeMap<KeyHash, FormerAdministrator>,
    /// What lets a node join.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Secrets by name, sealed with the cluster's data key.
    pub secrets: BTreeMap<String, Sealed>,
    /// The keys with which Kerberos tickets are opened.
    pub service_keys: BTreeMap<ServiceKeyId, ServiceKey>,
    /// Those that were removed last.
    pub removed_service_keys: BTreeMap<ServiceKeyId, RemovedServiceKey>,
    /// The log index of the last change.
    pub revision: u64,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where administrators reach it.
    pub admin_address: String,
    /// What it does.
    pub kind: NodeKind,
    /// Which disk it has: random, made with its data folder.
    pub incarnation: u128,
    /// SHA-256 of its public key: a node is its key, whatever its address is.
    pub key: KeyHash,
    /// The newest version of the rules that its build knows.
    pub build: u32,
    /// When it joined.
    pub joined_at: Timestamp,
    /// Whether an administrator took it out of the rotation.
    pub drained: Option<Drained>,
    /// Who removes it. It still helps to change the voters; when it is none of them, it goes.
    pub leaving: Option<String>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// It takes and relays requests, and may have a vote.
    Relay,
    /// It votes, and neither takes nor relays requests.
    Witness,
}

/// A node takes no requests until somebody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// The administrator.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A node that is not in the cluster any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedNode {
    /// Its name.
    pub name: String,
    /// Who removed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// SHA-256 of a public key (DER of its SubjectPublicKeyInfo).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names a token; not secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId(pub [u8; 8]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Lets one node join, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The key with which a joining node proves that it has the secret.
    pub key: Sealed,
    /// What the node will do.
    pub kind: NodeKind,
    /// The node that goes when the new one comes.
    pub replaces: Option<u64>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// What became of it.
    pub fate: TokenFate,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFate {
    /// Nobody has used it yet.
    Open,
    /// This node joined with it.
    UsedBy(u64),
    /// An administrator took it back.
    Revoked,
}

/// Bytes that only a node with the cluster's data key can open.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

/// Tells two sealings apart, even of the same bytes: the end of what was sealed, which depends on all of it and on a
/// random number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealMark(pub [u8; 16]);

impl Sealed {
    /// Which sealing it is.
    #[must_use]
    pub fn mark(&self) -> SealMark {
        let mut mark = [0; 16];
        self.0.iter().rev().zip(&mut mark).for_each(|(byte, mark)| *mark = *byte);
        SealMark(mark)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl Roster {
    /// Whether the cluster was founded; until then there is nothing to join.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        !self.authority.is_empty()
    }

    /// The node of that name, or with that id written out.
    #[must_use]
    pub fn find(&self, name_or_id: &str) -> Option<(u64, &Node)> {
        let by_name = self.nodes.iter().find(|(_, node)| node.name == name_or_id);
        let by_id = || self.nodes.get_key_value(&name_or_id.parse().ok()?);
        by_name.or_else(by_id).map(|(id, node)| (*id, node))
    }
}

/// The node that founds a cluster has the first id; each later one the log index at which it was let in.
pub const FOUNDER: u64 = 1;
