//! What was seen of a run. The checkers read it and nothing else.

use super::disk::Wear;
use crate::principal::Sid;
use crate::state::{ClientId, Outcome, State};
use crate::storage::log::LogId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Everything that was seen, in the order in which it happened.
#[derive(Default)]
pub(super) struct Record {
    /// The nodes that said of themselves that they lead, by term.
    pub(super) leaders: BTreeMap<u64, BTreeSet<u64>>,
    /// Every entry that some node has applied, by log index.
    pub(super) committed: BTreeMap<u64, Committed>,
    /// Two nodes, or one node at two times, applied different entries at one index.
    pub(super) conflicts: Vec<String>,
    pub(super) operations: Vec<Operation>,
    /// The tables that nodes published, by revision: the notes by account.
    pub(super) tables: BTreeMap<u64, Vec<(u64, Table)>>,
    /// When a node last let somebody in because of an entry, by node and note.
    pub(super) served: BTreeMap<(u64, u64), Duration>,
    /// How each node stood in the end.
    pub(super) last: Vec<Last>,
    /// When the last fault was over, and when all nodes were equal and had taken a write after that.
    pub(super) healed: Duration,
    pub(super) settled: Option<Duration>,
    /// What was missing for that when it was looked at last.
    pub(super) missing: Option<String>,
    /// Machines whose node ended by itself, or did not start, and why.
    pub(super) stopped: Vec<(u64, String)>,
    /// The machines that were to be in the cluster in the end.
    pub(super) wanted: BTreeSet<u64>,
    pub(super) counts: Counts,
    order: u64,
}

/// The notes of the entries, by account.
pub(super) type Table = BTreeMap<u32, u64>;

/// A moment: simulated time, and the order of all that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) order: u64,
    pub(super) at: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) log_id: LogId,
    pub(super) payload: Vec<u8>,
    /// When a node was first seen to have applied it.
    pub(super) seen: Moment,
}

/// What a client did, with all its attempts. Its place in the record is also its client id and the note
/// that it writes.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) account: u32,
    pub(super) action: Action,
    /// Where the newest attempt is made.
    pub(super) machine: u64,
    pub(super) invoked: Moment,
    /// Whether an earlier attempt may have acted, or may still.
    pub(super) uncertain: bool,
    /// Nothing while it is under way, or for ever when the client has crashed or given up.
    pub(super) returned: Option<(Moment, Answer)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Allow,
    Remove,
    Read,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Written {
        log_index: u64,
        outcome: Outcome,
    },
    /// The note that the account's entry has.
    Read(Option<u64>),
    /// Surely nothing was done.
    Refused,
}

#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) machine: u64,
    pub(super) table: Table,
    /// What its store holds: the table, the roster, and what clients were told.
    pub(super) stored: State,
}

/// How much happened: a run in which too little did proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) crashes: u64,
    pub(super) partitions: u64,
    pub(super) delays: u64,
    pub(super) stalls: u64,
    /// What administrators wanted, and what was done of it.
    pub(super) jobs: u64,
    pub(super) jobs_done: u64,
    /// Nodes that got a part of what they have as a snapshot.
    pub(super) snapshots: u64,
    pub(super) dials: u64,
    pub(super) repeats: u64,
    pub(super) wear: Wear,
}

impl Counts {
    /// More connections than that are no sign of patience with nodes that are down.
    pub(super) fn dials_max(&self, simulated: Duration) -> u64 {
        DIALS_A_SECOND * simulated.as_secs().max(1)
    }
}

impl Record {
    pub(super) fn moment(&mut self, at: Duration) -> Moment {
        self.order += 1;
        Moment { order: self.order, at }
    }

    /// An operation begins; its number.
    pub(super) fn invoke(&mut self, machine: u64, account: u32, action: Action, at: Duration) -> usize {
        let invoked = self.moment(at);
        let operation = Operation { account, action, machine, invoked, uncertain: false, returned: None };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    pub(super) fn answer(&mut self, number: usize, answer: Answer, at: Duration) {
        let moment = self.moment(at);
        self.operations[number].returned = Some((moment, answer));
    }

    pub(super) fn apply(&mut self, node: u64, entry: (LogId, Vec<u8>), at: Duration) {
        let (log_id, payload) = entry;
        let seen = self.moment(at);
        let index = log_id.index;
        let known =
            self.committed.entry(index).or_insert(Committed { log_id, payload: payload.clone(), seen });
        if known.log_id != log_id || known.payload != payload {
            let conflict = format!("node {node} applied {log_id:?} where {:?} was applied", known.log_id);
            self.conflicts.push(conflict);
        }
    }

    pub(super) fn publish(&mut self, node: u64, revision: u64, table: Table) {
        let tables = self.tables.entry(revision).or_default();
        if !tables.iter().any(|(_, known)| *known == table) {
            tables.push((node, table));
        }
    }

    /// The acknowledged operations, with their answers.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (usize, &Operation, u64, &Outcome)> {
        self.operations.iter().enumerate().filter_map(|(number, operation)| match &operation.returned {
            Some((_, Answer::Written { log_index, outcome })) => {
                Some((number, operation, *log_index, outcome))
            }
            Some((_, Answer::Read(_) | Answer::Refused)) | None => None,
        })
    }

    /// A run in which hardly anything happens proves nothing.
    pub(super) fn enough(&self) -> Result<(), String> {
        let counts = &self.counts;
        let faults = counts.crashes + counts.partitions + counts.delays + counts.stalls;
        for (what, happened, least) in [
            ("acknowledged writes", self.acknowledged().count() as u64, 40),
            ("linearizable reads", self.reads() as u64, 25),
            ("faults", faults, 4),
            ("tables", self.tables.len() as u64, 10),
        ] {
            if happened < least {
                return Err(format!("the run is invalid: {happened} {what}, less than {least}"));
            }
        }
        Ok(())
    }

    pub(super) fn reads(&self) -> usize {
        let read = |operation: &&Operation| matches!(operation.returned, Some((_, Answer::Read(_))));
        self.operations.iter().filter(read).count()
    }
}

/// The client id of an operation.
pub(super) fn client_id(number: usize) -> ClientId {
    ClientId((number as u128).to_be_bytes())
}

/// The operation with a client id.
pub(super) fn number_of(client: ClientId) -> usize {
    usize::try_from(u128::from_be_bytes(client.0)).expect("the simulation's ids are small")
}

/// The notes of a state's entries, by account.
pub(super) fn table(state: &State) -> Table {
    let entries = state.table.entries.iter();
    entries.map(|(sid, entry)| (account(sid), entry.note.parse().expect("the note is a number"))).collect()
}

/// The account with a SID.
pub(super) fn account(sid: &Sid) -> u32 {
    (1..=ACCOUNTS).find(|account| self::sid(*account) == *sid).expect("only these are used")
}

pub(super) fn sid(account: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, account]).unwrap()
}

/// So few that clients meet.
pub(super) const ACCOUNTS: u32 = 6;
/// From five nodes, each to four others on four lanes, several times a second.
const DIALS_A_SECOND: u64 = 200;
