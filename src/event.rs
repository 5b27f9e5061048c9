//! Every event in one table: its number, level, words and remedy. Numbers up to 3001 are those
//! of the original connector and keep their meaning; new ones start at 4000.

mod seen;

pub use seen::Seen;

use std::error::Error;
use std::fmt;
use std::path::Path;
use tracing::{error, info, warn};

/// Something an administrator may want to know, with the fields that belong to it.
#[derive(Clone, Debug)]
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
    /// 3000: an unexpected error on the way to the service or in the node.
    Unexpected {
        /// What was being done.
        doing: &'a str,
        /// What went wrong, with its causes.
        reason: &'a str,
    },
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

/// What is fixed about an event: the row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The number.
    pub number: u16,
    /// How urgent it is.
    pub level: Level,
    /// What it means.
    pub words: &'static str,
    /// What to do; empty where there is nothing to do.
    pub remedy: &'static str,
}

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Information,
    /// To be read tomorrow.
    Warning,
    /// To be read now.
    Error,
}

/// The catalogue, in the order of the numbers.
pub const CATALOGUE: &[Description] = &[
    SERVICE_STARTED,
    SERVICE_STOPPED,
    ACCESS_ALLOWED,
    TABLE_UPDATED,
    PRINCIPAL_INVALID,
    ACCESS_REFUSED,
    CLEAR_TEXT,
    TABLE_EMPTY,
    UNEXPECTED,
    AMBIGUOUS,
    DISK_FULL,
    DISK_HAS_ROOM,
    DAMAGE_SET_ASIDE,
];

const SERVICE_STARTED: Description =
    Description { number: 1000, level: Level::Information, words: "the connector has started", remedy: "" };
const SERVICE_STOPPED: Description =
    Description { number: 1001, level: Level::Information, words: "the connector has stopped", remedy: "" };
const ACCESS_ALLOWED: Description = Description {
    number: 1002,
    level: Level::Information,
    words: "an authorized account was let in for the first time",
    remedy: "",
};
const TABLE_UPDATED: Description = Description {
    number: 1004,
    level: Level::Information,
    words: "the list of authorized accounts was updated",
    remedy: "",
};
const PRINCIPAL_INVALID: Description = Description {
    number: 2000,
    level: Level::Warning,
    words: "a request came without a valid Windows identity",
    remedy: "check that the calling server uses Windows authentication and that its account is known here",
};
const ACCESS_REFUSED: Description = Description {
    number: 2001,
    level: Level::Warning,
    words: "an account that is not authorized asked for service",
    remedy: "if it is one of your servers: rmsc authz test ACCOUNT, then rmsc authz add",
};
const CLEAR_TEXT: Description = Description {
    number: 2002,
    level: Level::Warning,
    words: "an account uses HTTP instead of HTTPS",
    remedy: "give the server the connector's https address",
};
const TABLE_EMPTY: Description = Description {
    number: 2003,
    level: Level::Warning,
    words: "the list of authorized accounts is empty, so nobody is served",
    remedy: "authorize the servers: rmsc authz add",
};
const UNEXPECTED: Description = Description {
    number: 3000,
    level: Level::Error,
    words: "an unexpected error occurred",
    remedy: "read the reason; if it names the service, test the way to it from this node",
};

const AMBIGUOUS: Description = Description {
    number: 4000,
    level: Level::Warning,
    words: "more than one entry matches an account",
    remedy: "one and only one entry should: rmsc authz test ACCOUNT, then rmsc authz remove",
};

const DISK_FULL: Description = Description {
    number: 4010,
    level: Level::Warning,
    words: "the disk is full: this node takes no changes of the table, and relays on",
    remedy: "make room on the disk of the data folder; the node goes on by itself",
};
const DISK_HAS_ROOM: Description = Description {
    number: 4011,
    level: Level::Information,
    words: "the disk has room again: this node takes changes",
    remedy: "",
};
const DAMAGE_SET_ASIDE: Description = Description {
    number: 4012,
    level: Level::Warning,
    words: "something on disk was damaged; it is kept aside, and made again from what is whole",
    remedy: "test the disk; when it is sound or replaced, remove what was kept aside",
};

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
