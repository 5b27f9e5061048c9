//! What a node may propose to change the state.

use super::{KeyHash, Kind, NewServiceKey, NodeKind, Role, SealMark, Sealed, Timestamp, Token, TokenId};
use crate::principal::Sid;

/// One proposed change, with all that applying it may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who proposes, chosen at random by the proposer.
    pub client: ClientId,
    /// Counts that client's commands: a command with a serial not above the last one does not act again.
    pub serial: u64,
    /// What to change, in short: another change under the same serial is a mistake of the client.
    pub digest: Digest,
    /// Up to where the proposer had applied the log before it proposed this for the first time.
    pub since: u64,
    /// When it was proposed.
    pub at: Timestamp,
    /// The administrator, for the record.
    pub by: String,
    /// What to change.
    pub change: Change,
}

/// A proposer, unique by 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub [u8; 16]);

/// A digest of a change, made by the proposer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub [u8; 16]);

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Authorize a principal.
    Allow(NewEntry),
    /// Take a principal out of the table.
    Remove {
        /// Which one.
        sid: Sid,
    },
    /// Change the roster.
    Roster(RosterChange),
}

/// What to change about the nodes and what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// Begin: the authority, and the first node, which is [`FOUNDER`](super::FOUNDER).
    Found {
        /// The cluster's certificate authority, PEM.
        authority: String,
        /// The first node.
        node: NewNode,
        /// The version of the rules to begin with.
        version: u32,
        /// The first administrator; with none nobody may use the admin port.
        administrator: Option<NewAdministrator>,
    },
    /// Keep a secret under a name, or drop it.
    PutSecret {
        /// Its name.
        name: String,
        /// The secret, sealed; nothing drops it.
        sealed: Option<Sealed>,
    },
    /// Keep and drop secrets together, or none of them.
    PutSecrets(PutSecrets),
    /// Make a token.
    CreateToken {
        /// Its id.
        id: TokenId,
        /// The token; who and when come from the command.
        token: Token,
    },
    /// Take a token back.
    RevokeToken {
        /// Which one.
        id: TokenId,
    },
    /// Let a node in, with a token.
    Admit {
        /// The token.
        token: TokenId,
        /// The node.
        node: NewNode,
    },
    /// Let a node go: it loses its vote first, and is dropped then.
    RemoveNode {
        /// Which one.
        node_id: u64,
    },
    /// Take a node out at once and for ever.
    DropNode {
        /// Which one.
        node_id: u64,
    },
    /// Give a node another name.
    RenameNode {
        /// Which one.
        node_id: u64,
        /// The new name.
        name: String,
    },
    /// A node says where it is now and what its build knows.
    ReportNode {
        /// Which one.
        node_id: u64,
        /// Where other nodes reach it.
        peer_address: String,
        /// Where administrators reach it.
        admin_address: String,
        /// The newest version of the rules that its build knows.
        build: u32,
    },
    /// Take a node out of the rotation, or put it back.
    DrainNode {
        /// Which one.
        node_id: u64,
        /// Out, or back.
        drained: bool,
    },
    /// Keep to newer rules from now on.
    RaiseVersion {
        /// The version.
        version: u32,
    },
    /// Start a new lineage with this node alone: all others are removed, all open tokens are taken back.
    Recover {
        /// The node that stays.
        node_id: u64,
        /// An administrator that is made with it; those that were known stay.
        administrator: Option<NewAdministrator>,
    },
    /// Let an administrator in.
    AddAdministrator(NewAdministrator),
    /// Take an administrator's rights for ever: the key is not taken again.
    RemoveAdministrator {
        /// Its name.
        name: String,
    },
    /// Take tickets that were made with these keys.
    PutServiceKeys(PutServiceKeys),
    /// Forget keys of a service at once.
    RemoveServiceKeys {
        /// Whose, `HTTP/host@REALM`.
        service: String,
        /// Of which version; nothing stands for all.
        version: Option<u32>,
    },
    /// Forget the keys whose time is over.
    DropRetiredKeys,
}

/// Secrets that change together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutSecrets {
    /// Their names, and what is kept under them from now on; nothing drops it.
    pub secrets: Vec<(String, Option<Sealed>)>,
    /// What must be kept until then: who has seen something else has decided by something else.
    pub expected: Vec<(String, Option<SealMark>)>,
}

/// Keys of services that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutServiceKeys {
    /// The keys.
    pub keys: Vec<NewServiceKey>,
    /// Until when keys of other versions of these services are taken; nothing leaves them as they are.
    pub others_retire_at: Option<Timestamp>,
    /// Also those that were removed before.
    pub removed_too: bool,
}

/// An administrator that is to be let in; who adds it and when come from the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAdministrator {
    /// Its name, as its certificate has it.
    pub name: String,
    /// SHA-256 of its public key.
    pub key: KeyHash,
}

/// A node that is to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Its name.
    pub name: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where administrators reach it.
    pub admin_address: String,
    /// What it does.
    pub kind: NodeKind,
    /// Which disk it has.
    pub incarnation: u128,
    /// SHA-256 of its public key.
    pub key: KeyHash,
    /// The newest version of the rules that its build knows.
    pub build: u32,
}

/// An entry to be added; who and when come from the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// The principal's security id.
    pub sid: Sid,
    /// Its name, for people.
    pub name: String,
    /// What kind of principal it is.
    pub kind: Kind,
    /// What it may do.
    pub role: Role,
    /// The administrator's note.
    pub note: String,
}

impl Change {
    /// The one row of the table that this change can touch; none if it is about the roster.
    #[must_use]
    pub fn sid(&self) -> Option<&Sid> {
        match self {
            Change::Allow(entry) => Some(&entry.sid),
            Change::Remove { sid } => Some(sid),
            Change::Roster(_) => None,
        }
    }

    /// The version of the rules that all nodes must keep to before this may be proposed.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Change::Roster(RosterChange::PutSecrets(_)) => 2,
            Change::Allow(_) | Change::Remove { .. } | Change::Roster(_) => 1,
        }
    }
}
