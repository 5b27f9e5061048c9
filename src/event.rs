//! Every event in one table: its number, level, words and remedy. Numbers up to 3001 are those
//! of the original connector and keep their meaning; new ones start at 4000.

mod catalogue;
mod membership;
mod seen;

pub use catalogue::{CATALOGUE, Description, Level};
pub use membership::{NotJoined, Refused};
pub use seen::Seen;

use catalogue::{
    ACCESS_ALLOWED, ACCESS_REFUSED, ADMINISTRATOR_ADDED, ADMINISTRATOR_REMOVED, AMBIGUOUS,
    CERTIFICATE_RENEWED, CLEAR_TEXT, DAMAGE_SET_ASIDE, DIRECTORY_AWAY, DIRECTORY_BACK, DIRECTORY_UNREADABLE,
    DISK_FULL, DISK_HAS_ROOM, NODE_DRAINED, NODE_JOINED, NODE_LEFT, NODE_REFUSED, NODE_REMOVED,
    PRINCIPAL_INVALID, RENEWAL_FAILED, SEAL_KEY_IN_FILE, SERVICE_KEY_CLOSED, SERVICE_KEYS_CHANGED,
    SERVICE_STARTED, SERVICE_STOPPED, TABLE_EMPTY, TABLE_UPDATED, UNEXPECTED,
};
use std::error::Error;
use std::fmt;
use std::path::Path;
use tracing::{error, info, warn};

/// Something an administrator may want to know, with the fields that belong to it.
#[derive(Clone)]
pub enum Event<'a> {
    /// 1000: the node serves.
    ServiceStarted {
        /// The node's name.
        node: &'a str,
        /// The program's version.
        version: &'a str,
    },
    /// 1001: the node stopped in order.
    ServiceStopped {
        /// The node's name.
        node: &'a str,
    },
    /// 1002: an account was let in for the first time since it is authorized.
    AccessAllowed(Who<'a>),
    /// 1004: the node has a new authorization table.
    TableUpdated {
        /// The table's revision.
        revision: u64,
        /// Every entry of it, or the first thousand.
        accounts: &'a [String],
    },
    /// 2000: a request came with no valid principal.
    PrincipalInvalid {
        /// Where from.
        computer: &'a str,
        /// What was wrong.
        reason: &'a str,
    },
    /// 2001: an account that is not authorized asked for service.
    AccessRefused {
        /// Who asked.
        who: Who<'a>,
        /// Why it was refused.
        reason: &'a str,
    },
    /// 2002: an account uses HTTP.
    ClearText(Who<'a>),
    /// 2003: the table is empty.
    TableEmpty {
        /// The table's revision.
        revision: u64,
    },
    /// 1010: a node was let in.
    NodeJoined {
        /// Its id.
        node_id: u64,
        /// Its name.
        name: &'a str,
        /// The token that it came with.
        token: &'a dyn fmt::Display,
    },
    /// 1011: this node has a new certificate.
    CertificateRenewed {
        /// Until when it can be used.
        until: &'a dyn fmt::Display,
    },
    /// 1012: this node is none of the cluster any more, and ends.
    NodeLeft {
        /// Its id.
        node_id: u64,
        /// Who removed it.
        by: &'a str,
    },
    /// 4018 to 4029: a connection to the peer or the admin port was refused.
    ConnectionRefused {
        /// Why.
        why: Refused,
        /// `peer` or `admin`.
        port: &'a str,
        /// Where it came from.
        remote: &'a dyn fmt::Display,
        /// Who, as far as the certificate says, and what else is known.
        who: &'a str,
    },
    /// 4030 to 4034: a host was not let in.
    JoinRefused {
        /// Why.
        why: NotJoined,
        /// Where it came from.
        remote: &'a dyn fmt::Display,
        /// The token's id.
        token: &'a dyn fmt::Display,
        /// Why, in words.
        reason: &'a str,
    },
    /// 4040: this node's certificate could not be renewed.
    RenewalFailed {
        /// Until when the old one can be used.
        until: &'a dyn fmt::Display,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
    /// 4041: this node's seal key lies in the clear.
    SealKeyInFile {
        /// The file.
        path: &'a dyn fmt::Display,
    },
    /// 4000: more than one entry of the table matches an account.
    Ambiguous {
        /// Who asked.
        who: Who<'a>,
        /// The entry that counts.
        entry: &'a str,
        /// The others.
        also: &'a str,
    },
    /// 4010: the disk is full, so this node takes no changes.
    DiskFull {
        /// How full, and until when.
        reason: &'a str,
    },
    /// 4011: there is room again.
    DiskHasRoom,
    /// 4012: something on disk was damaged; it is kept aside, and made again.
    DamageSetAside {
        /// What it is.
        what: &'a str,
        /// Where it is now.
        kept: &'a Path,
        /// What is wrong with it.
        reason: &'a str,
    },
    /// 4035: an administrator took a node out of the rotation.
    NodeDrained {
        /// The node's name.
        node: &'a str,
        /// The administrator.
        by: &'a str,
    },
    /// 4036: a node was removed from the cluster.
    NodeRemoved {
        /// The name it had.
        node: &'a str,
        /// Its id, which is never used again.
        id: u64,
        /// The administrator.
        by: &'a str,
    },
    /// 4037: an administrator was added.
    AdministratorAdded {
        /// The administrator's name.
        administrator: &'a str,
        /// SHA-256 of the key.
        key: &'a dyn fmt::Display,
        /// Who added it.
        by: &'a str,
    },
    /// 4038: an administrator was removed.
    AdministratorRemoved {
        /// The administrator's name.
        administrator: &'a str,
        /// SHA-256 of the key.
        key: &'a dyn fmt::Display,
        /// Who removed it.
        by: &'a str,
    },
    /// 4050: the Kerberos keys of the cluster are others.
    ServiceKeysChanged {
        /// Those that came.
        added: &'a str,
        /// Those that went.
        removed: &'a str,
    },
    /// 4051: a Kerberos key of the cluster is of no use here.
    ServiceKeyClosed {
        /// Which one.
        key: &'a dyn fmt::Display,
        /// Why.
        reason: &'a dyn fmt::Display,
    },
    /// 4042: another node says that this one is none of the cluster.
    NodeRefused {
        /// What it says.
        reason: &'a str,
    },
    /// 1013: a domain controller answers again.
    DirectoryBack {
        /// The domain.
        domain: &'a str,
    },
    /// 4052: no domain controller answers.
    DirectoryAway {
        /// The domain.
        domain: &'a str,
        /// What each of them did.
        reason: &'a str,
    },
    /// 4062: a domain controller answers, but not about an account.
    DirectoryUnreadable {
        /// The domain.
        domain: &'a str,
        /// The account.
        account: &'a dyn fmt::Display,
        /// What it does not show.
        reason: &'a str,
    },
    /// 3000: an unexpected error on the way to the service or in the node.
    Unexpected {
        /// What was being done.
        doing: &'a str,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", self.description().number)
    }
}

/// The caller an event is about.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The account's SID.
    pub sid: &'a dyn fmt::Display,
    /// The account's name.
    pub account: &'a dyn fmt::Display,
    /// The computer it came from.
    pub computer: &'a str,
}

impl fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {}", self.account, self.sid, self.computer)
    }
}

impl Event<'_> {
    /// The event's row of the catalogue.
    #[must_use]
    pub fn description(&self) -> Description {
        match self {
            Event::ServiceStarted { .. } => SERVICE_STARTED,
            Event::ServiceStopped { .. } => SERVICE_STOPPED,
            Event::AccessAllowed(_) => ACCESS_ALLOWED,
            Event::TableUpdated { .. } => TABLE_UPDATED,
            Event::PrincipalInvalid { .. } => PRINCIPAL_INVALID,
            Event::AccessRefused { .. } => ACCESS_REFUSED,
            Event::ClearText(_) => CLEAR_TEXT,
            Event::TableEmpty { .. } => TABLE_EMPTY,
            Event::Unexpected { .. } => UNEXPECTED,
            Event::Ambiguous { .. } => AMBIGUOUS,
            Event::DiskFull { .. } => DISK_FULL,
            Event::DiskHasRoom => DISK_HAS_ROOM,
            Event::DamageSetAside { .. } => DAMAGE_SET_ASIDE,
            Event::NodeDrained { .. } => NODE_DRAINED,
            Event::NodeRemoved { .. } => NODE_REMOVED,
            Event::AdministratorAdded { .. } => ADMINISTRATOR_ADDED,
            Event::AdministratorRemoved { .. } => ADMINISTRATOR_REMOVED,
            Event::NodeJoined { .. } => NODE_JOINED,
            Event::CertificateRenewed { .. } => CERTIFICATE_RENEWED,
            Event::NodeLeft { .. } => NODE_LEFT,
            Event::ConnectionRefused { why, .. } => why.description(),
            Event::JoinRefused { why, .. } => why.description(),
            Event::RenewalFailed { .. } => RENEWAL_FAILED,
            Event::SealKeyInFile { .. } => SEAL_KEY_IN_FILE,
            Event::NodeRefused { .. } => NODE_REFUSED,
            Event::ServiceKeysChanged { .. } => SERVICE_KEYS_CHANGED,
            Event::ServiceKeyClosed { .. } => SERVICE_KEY_CLOSED,
            Event::DirectoryBack { .. } => DIRECTORY_BACK,
            Event::DirectoryAway { .. } => DIRECTORY_AWAY,
            Event::DirectoryUnreadable { .. } => DIRECTORY_UNREADABLE,
        }
    }

    /// Writes the event to the log, with its fields.
    pub fn log(&self) {
        let Description { number: event, words, remedy, .. } = self.description();
        match self {
            Event::ServiceStarted { node, version } => info!(event, node, version, "{words}"),
            Event::ServiceStopped { node } => info!(event, node, "{words}"),
            Event::AccessAllowed(who) => {
                info!(event, sid = %who.sid, account = %who.account, computer = who.computer, "{words}");
            }
            Event::TableUpdated { revision, accounts } => {
                info!(event, revision, accounts = accounts.join("; "), "{words}");
            }
            Event::PrincipalInvalid { computer, reason } => {
                warn!(event, computer, reason, remedy, "{words}");
            }
            Event::AccessRefused { who, reason } => {
                let (sid, account, computer) = (who.sid, who.account, who.computer);
                warn!(event, %sid, %account, computer, reason, remedy, "{words}");
            }
            Event::ClearText(who) => {
                warn!(event, sid = %who.sid, account = %who.account, computer = who.computer, remedy, "{words}");
            }
            Event::Ambiguous { who, entry, also } => {
                let (sid, account, computer) = (who.sid, who.account, who.computer);
                warn!(event, %sid, %account, computer, entry, also, remedy, "{words}");
            }
            Event::NodeDrained { node, by } => warn!(event, node, by, remedy, "{words}"),
            Event::NodeRemoved { node, id, by } => warn!(event, node, id, by, remedy, "{words}"),
            Event::AdministratorAdded { administrator, key, by }
            | Event::AdministratorRemoved { administrator, key, by } => {
                warn!(event, administrator, %key, by, remedy, "{words}");
            }
            Event::NodeJoined { node_id, name, token } => info!(event, node_id, name, %token, "{words}"),
            Event::CertificateRenewed { until } => info!(event, %until, "{words}"),
            Event::NodeLeft { node_id, by } => info!(event, node_id, by, "{words}"),
            Event::ConnectionRefused { port, remote, who, .. } => {
                warn!(event, port, %remote, who, remedy, "{words}");
            }
            Event::JoinRefused { remote, token, reason, .. } => {
                warn!(event, %remote, %token, reason, remedy, "{words}");
            }
            Event::RenewalFailed { until, reason } => warn!(event, %until, reason, remedy, "{words}"),
            Event::SealKeyInFile { path } => warn!(event, %path, remedy, "{words}"),
            Event::ServiceKeysChanged { added, removed } => warn!(event, added, removed, remedy, "{words}"),
            Event::ServiceKeyClosed { key, reason } => warn!(event, %key, %reason, remedy, "{words}"),
            Event::NodeRefused { reason } => warn!(event, reason, remedy, "{words}"),
            Event::DirectoryBack { domain } => info!(event, domain, "{words}"),
            Event::DirectoryAway { domain, reason } => warn!(event, domain, reason, remedy, "{words}"),
            Event::DirectoryUnreadable { domain, account, reason } => {
                warn!(event, domain, %account, reason, remedy, "{words}");
            }
            Event::TableEmpty { revision } => warn!(event, revision, remedy, "{words}"),
            Event::DiskFull { reason } => warn!(event, reason, remedy, "{words}"),
            Event::DiskHasRoom => info!(event, "{words}"),
            Event::DamageSetAside { what, kept, reason } => {
                warn!(event, what, kept = %kept.display(), reason, remedy, "{words}");
            }
            Event::Unexpected { doing, reason } => error!(event, doing, reason, remedy, "{words}"),
        }
    }
}

/// An error and its causes in one line, as events and logs show it.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors repeat their cause in their own words.
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_say_the_level() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].number < pair[1].number));
        for description in CATALOGUE {
            let level = match description.number {
                1000..2000 | 4011 => Level::Information,
                2000..3000 | 4000.. => Level::Warning,
                _ => Level::Error,
            };
            assert_eq!(description.level, level, "{}", description.number);
            assert_eq!(description.remedy.is_empty(), level == Level::Information, "{}", description.number);
        }
    }
}
