//! What the catalogue says about failed logins that are at a limit.

use super::{Description, Level};

/// Which limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginsLimited {
    /// That of an account.
    Account,
    /// That of an address.
    Source,
    /// That of all accounts together.
    Room,
}

impl LoginsLimited {
    /// The row of the catalogue.
    pub(super) const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            LoginsLimited::Account => (
                4053,
                "so many logins of an account have failed that further ones are refused without asking the directory",
                "find out who fails at this computer; a server with a new password: see 4053 in the runbook",
            ),
            LoginsLimited::Source => (
                4054,
                "so many logins from an address have failed that further ones are refused without asking the directory",
                "find out who fails there; if it is a balancer, raise identity.limits.source_failures_max",
            ),
            LoginsLimited::Room => (
                4055,
                "logins of so many accounts have failed that new ones are refused without asking the directory",
                "somebody tries names from many addresses: find out who, and shut them out in the network",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}
