//! What each client was last told, so that a repeated command does not act twice.

use super::{ClientId, Digest, Outcome, Sorted};

/// The clients that are remembered: the oldest is forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    answered: Sorted<ClientId, Answered>,
    /// The same clients by the log index of their last command.
    order: Sorted<u64, ClientId>,
    /// The largest log index of a command whose client is forgotten: one that was proposed before
    /// may have acted.
    pub forgotten: u64,
}

/// What a client was last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The serial of the command.
    pub serial: u64,
    /// What it was to change.
    pub digest: Digest,
    /// What came of it.
    pub outcome: Outcome,
    /// The log index of the command.
    pub log_index: u64,
}

impl Clients {
    /// What a client was last told.
    #[must_use]
    pub fn get(&self, client: ClientId) -> Option<&Answered> {
        self.answered.get(&client)
    }

    /// The clients, with what they were told.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Answered)> {
        self.answered.iter().map(|(client, answered)| (*client, answered))
    }

    /// The clients by the log index of their last command, from one on.
    pub fn iter_from(&self, log_index: u64) -> impl Iterator<Item = (u64, ClientId, &Answered)> {
        let clients = self.order.iter_from(Some(&log_index));
        clients.filter_map(|(log_index, client)| Some((*log_index, *client, self.get(*client)?)))
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answered.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }

    /// The client that would be forgotten next, and the log index of its last command.
    #[must_use]
    pub fn oldest(&self) -> Option<(u64, ClientId)> {
        self.order.first().map(|(log_index, client)| (*log_index, *client))
    }

    /// Remembers what a client was told; the oldest is forgotten when there are too many.
    pub fn remember(&mut self, client: ClientId, answered: Answered) {
        let log_index = answered.log_index;
        if let Some(before) = self.answered.insert(client, answered) {
            self.order.remove(&before.log_index);
        }
        self.order.insert(log_index, client);
        if self.answered.len() > CLIENTS_MAX
            && let Some((log_index, oldest)) = self.oldest()
        {
            self.order.remove(&log_index);
            self.answered.remove(&oldest);
            self.forgotten = self.forgotten.max(log_index);
        }
    }
}

/// How many proposers are remembered: some 10 MB. One gives up long before so many came after it.
pub(super) const CLIENTS_MAX: usize = 65_536;
