//! The values that go in and out of a [`Cluster`](super::Cluster).

use crate::proto::peer::v1 as wire;
use crate::state::{KeyHash, NodeKind, Outcome, Rejection, ServiceKeyId, Timestamp};
use crate::storage::{log, version};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What a node has to know before it can take part.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept; this node's alone.
    pub data_dir: PathBuf,
    /// The cluster; messages of any other are refused.
    pub cluster_id: String,
    /// This node. An id is never used again, not even for the same host with a new disk.
    pub node_id: u64,
    /// Its name, for people.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where administrators reach it.
    pub admin_address: String,
    /// What it does.
    pub kind: NodeKind,
    /// SHA-256 of its public key.
    pub key: KeyHash,
    /// The program's version.
    pub version: String,
    /// What time it is; written into what the node proposes by itself.
    pub clock: fn() -> Timestamp,
    /// How often a leader says that it lives.
    pub heartbeat: Duration,
    /// The shortest silence after which a node stands for election; several heartbeats.
    pub election_min: Duration,
    /// The longest.
    pub election_max: Duration,
    /// After how many entries a snapshot is made and older ones are dropped.
    pub snapshot_after: u64,
}

/// What the rest of the node says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether it relays.
    pub ready: bool,
    /// Why not.
    pub reason: String,
    /// How many requests it has relayed.
    pub relayed: u64,
    /// How long it has been running.
    pub uptime: Duration,
    /// How old its table may be; nothing until a leader was heard.
    pub age: Option<Duration>,
    /// From which age on it refuses by itself.
    pub stale_after: Duration,
    /// How many requests it is relaying now.
    pub in_flight: u64,
    /// The nodes that its front hands requests to.
    pub rotation: Vec<u64>,
    /// When its certificate expires.
    pub certificate_expires_at: Option<Timestamp>,
    /// Whether its seal key lies in the clear, though nobody chose that.
    pub plain_seal_key: bool,
    /// Whether it lets Exchange servers in by NTLM that is not bound to TLS.
    pub exchange_ntlm_unbound: bool,
    /// For how long its directory has not answered; nothing if it answers, or there is none.
    pub directory_away: Option<Duration>,
    /// Whether winbind, which is to verify NTLM for it, did not answer when it was asked last.
    pub winbind_away: bool,
    /// Whether callers of several roles are one account of the connector's at the service.
    pub account_shared: bool,
    /// Which of its settings is another one than that of the login at the cloud; empty: none.
    pub cloud_differs: String,
    /// What it opens Kerberos tickets with.
    pub service_keys: Vec<KeyInUse>,
    /// What time it is there.
    pub clock: Option<Timestamp>,
    /// What its front sees, in the words in which it is told; nothing if it has none.
    pub front: Option<wire::FrontReport>,
    /// What it lacks, so that others are better; empty: nothing.
    pub hampered: String,
    /// What its front shows to calling servers; nothing without a certificate, or without a front with TLS.
    pub front_certificate: Option<ShownCertificate>,
    /// Why its front does not show the certificate that it should; empty: it does, or it has no front with TLS.
    pub certificate_lacking: String,
    /// What should be done about certificates, in sentences.
    pub certificate_faults: Vec<String>,
    /// Whether its front takes calls, or has connections of callers left.
    pub serves_clients: bool,
    /// The name by which its file says that servers call it; empty: not known.
    pub service_name: String,
    /// What its file says about the service, in words; empty: not known.
    pub upstream: String,
    /// That the service does nothing but fail there, in words; empty: it does not.
    pub service_failing: String,
}

/// The certificate that calling servers see at a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownCertificate {
    /// SHA-256 of it.
    pub fingerprint: Vec<u8>,
    /// Whom it is for.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// When it expires.
    pub not_after: Timestamp,
    /// Whether it is out of the node's own file, and not the cluster's.
    pub of_file: bool,
}

/// A key with which a node opens Kerberos tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyInUse {
    /// Which one.
    pub id: ServiceKeyId,
    /// Whether it is out of the node's own file, and not the cluster's.
    pub of_file: bool,
    /// When it last opened a ticket there.
    pub used_at: Option<Timestamp>,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node_id: u64,
    /// Its name.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where administrators reach it.
    pub admin_address: String,
    /// Whether it has a vote.
    pub voter: bool,
    /// Whether it votes alone, and neither takes nor relays requests.
    pub witness: bool,
    /// Whether an administrator took it out of the rotation.
    pub drained: bool,
}

/// How a node stands in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The leader, if one is known. It may have lost its quorum: see `quorum`.
    pub leader: Option<u64>,
    /// The term.
    pub term: u64,
    /// The last entry of this node's log.
    pub last_log_index: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// Whether changes can be made, as far as this node knows: the leader heard from a quorum a
    /// moment ago, and a follower from its leader.
    pub quorum: bool,
    /// The last entry that a snapshot covers; 0 if there is none.
    pub snapshot: u64,
    /// The lineage of the group: another after a recovery or a restore. 0 before there is a group.
    pub group: u128,
}

/// How a node fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeStatus {
    /// The program's version.
    pub version: String,
    /// The revision of the table that acts on it.
    pub revision: u64,
    /// The last entry that it has applied.
    pub applied: u64,
    /// Why its disk takes no changes; empty if it does.
    pub disk_full: String,
    /// What the rest of it says.
    pub facts: Facts,
}

/// A change was committed and applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it stands in the log.
    pub log_index: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// The node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder is another node's, or a newer build's.
    #[error("the data folder cannot be used")]
    Folder(#[from] version::VersionError),
    /// The log cannot be read.
    #[error("the log cannot be used")]
    Log(#[from] log::OpenError),
    /// The log was there and is not any more.
    #[error(
        "the log in {path} is gone, and with it what this node granted and acknowledged; the group must remove this node and a new node must join"
    )]
    LogLost {
        /// Where it was.
        path: PathBuf,
    },
    /// The log is there and not all of it can be read.
    #[error(
        "the log of this node is damaged ({reason}), and with it what the node granted and acknowledged is lost; it is kept in {kept}; remove the node (rmsc node remove {name}), empty its data folder, and join it anew (rmsc join)"
    )]
    LogDamaged {
        /// Where it is now.
        kept: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The node's name.
        name: String,
    },
    /// The log begins behind everything that the store and the snapshots have.
    #[error(
        "the store and every snapshot of this node are damaged, and its log does not go back far enough to make them again; {reason}; start it again when another node can be reached, or remove it (rmsc node remove {name}), empty its data folder, and join it anew (rmsc join)"
    )]
    StateLost {
        /// Why the others did not help.
        reason: String,
        /// The node's name.
        name: String,
    },
    /// Neither the store nor a snapshot can be read.
    #[error("the state cannot be read back")]
    State {
        /// What the system says.
        source: io::Error,
    },
    /// The times do not fit together.
    #[error("the settings of raft do not fit together: {reason}")]
    Settings {
        /// Which.
        reason: String,
    },
    /// Log and state do not fit together.
    #[error("raft cannot start: {reason}")]
    Raft {
        /// Why.
        reason: String,
    },
}

/// No cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// Raft has stopped or refuses.
    #[error("raft cannot make the group: {reason}")]
    Raft {
        /// Why.
        reason: String,
    },
    /// The first entry was not written.
    #[error("the cluster was not founded")]
    Write(#[from] WriteError),
    /// There is a cluster already.
    #[error(transparent)]
    Rejected(Rejection),
}

/// Nobody else leads now.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No node leads, or not the one that was asked.
    #[error("no node leads the cluster now; try again")]
    NoLeader,
    /// There is nobody to hand over to.
    #[error("no other voter answers, so nobody else can lead")]
    Alone,
    /// Only voters lead.
    #[error("node {node_id} has no vote, so it cannot lead")]
    NoVoter {
        /// The node.
        node_id: u64,
    },
    /// It was asked and does not lead.
    #[error("node {node_id} did not take over in time")]
    NotTaken {
        /// The node.
        node_id: u64,
    },
    /// Something else was in the way.
    #[error("leadership was not handed over: {reason}")]
    Failed {
        /// What.
        reason: String,
    },
}

/// A change was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No node leads: too few voters can reach each other. Nothing was changed.
    #[error("no node leads the cluster: {reason}")]
    NoLeader {
        /// What the last attempt met.
        reason: String,
    },
    /// The leader cannot be reached, or hears from too few voters. Nothing was changed.
    #[error("node {leader} leads, but accepts no change: {reason}")]
    NoQuorum {
        /// The leader.
        leader: u64,
        /// What the last attempt met.
        reason: String,
    },
    /// The change may have been made, or may still be.
    #[error("after {waited:?} it is not known whether the change was made: {reason}")]
    Unknown {
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt met.
        reason: String,
    },
    /// Not every node could apply the change.
    #[error(
        "this change needs the rules of version {needed}, and the cluster keeps to version {now}; \
         upgrade every node, then: rmsc cluster upgrade"
    )]
    TooNew {
        /// What the change needs.
        needed: u32,
        /// What the cluster keeps to.
        now: u32,
    },
    /// The disk of the leader, or of too many voters, is full. Nothing was changed.
    #[error("{reason}")]
    DiskFull {
        /// Which disks, and how full.
        reason: String,
    },
    /// The change is too large to be replicated.
    #[error("the change has {bytes} bytes; at most {bytes_max} are accepted")]
    TooLarge {
        /// How large.
        bytes: usize,
        /// How large it may be.
        bytes_max: usize,
    },
}

/// It is not known whether this node has everything.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No leader with a quorum answered.
    #[error("no leader says how far the log goes: {reason}")]
    NoLeader {
        /// What the last attempt met.
        reason: String,
    },
    /// This node is behind.
    #[error("this node has not applied the log up to {log_index} yet")]
    Behind {
        /// How far it has to.
        log_index: u64,
    },
}
