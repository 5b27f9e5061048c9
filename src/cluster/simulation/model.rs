//! What the committed entries should have done: the rules of the table once more, in the fewest words,
//! and with nothing of the code that is checked but the reading of a command.

use super::super::codec;
use super::record::{Action, Record, Table, account, number_of};
use crate::proto::state::v1 as stored;
use crate::state::{Change, Command};
use openraft::EntryPayload;
use prost::Message;
use std::collections::BTreeMap;

/// The commands of a log, in order.
pub(super) struct Model {
    /// What each operation did, by its number, when its command stood in the log for the first time.
    pub(super) acted: BTreeMap<usize, Acted>,
    /// The operation whose command stands at an index.
    pub(super) commands: BTreeMap<u64, usize>,
    /// The tables, by the log index that made them.
    pub(super) tables: BTreeMap<u64, Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acted {
    pub(super) log_index: u64,
    pub(super) account: u32,
    pub(super) action: Action,
    /// The note that the account's entry had before.
    pub(super) before: Option<u64>,
}

impl Model {
    /// Goes through the log that the nodes have applied.
    pub(super) fn of(record: &Record) -> Self {
        let mut table = Table::new();
        let mut model = Model { acted: BTreeMap::new(), commands: BTreeMap::new(), tables: BTreeMap::new() };
        model.tables.insert(0, table.clone());
        for (index, committed) in &record.committed {
            let Some(command) = command(&committed.payload) else { continue };
            let Some(sid) = command.change.sid() else { continue };
            let number = number_of(command.client);
            model.commands.insert(*index, number);
            if model.acted.contains_key(&number) {
                continue;
            }
            let account = account(sid);
            let (action, before) = match &command.change {
                Change::Allow(entry) => {
                    let note = entry.note.parse().expect("the note is a number");
                    (Action::Allow, table.insert(account, note))
                }
                Change::Remove { .. } => (Action::Remove, table.remove(&account)),
                Change::Roster(_) => continue,
            };
            if action == Action::Allow || before.is_some() {
                model.tables.insert(*index, table.clone());
            }
            model.acted.insert(number, Acted { log_index: *index, account, action, before });
        }
        model
    }
}

fn command(payload: &[u8]) -> Option<Command> {
    let payload = stored::Payload::decode(payload).expect("the log gives back what it took");
    match codec::payload_from(payload).expect("it is of this build") {
        EntryPayload::Normal(proposal) => Some(proposal.command().expect("it is of this build")),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}
