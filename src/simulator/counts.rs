//! What the simulated service has seen, in bounded memory: the proof that nothing is sent twice
//! and that every node works.

use super::journal::{Arrived, Journal};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The record of all requests since the start or the last reset.
#[derive(Debug, Default)]
pub struct Counts {
    record: Mutex<Record>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// All requests that arrived whole, good or not.
    pub total: u64,
    /// By `x-rmsc-relay-node`: the node that sent it here.
    pub by_node: BTreeMap<String, u64>,
    /// By [`Operation::word`](crate::rms::Operation::word); `malformed` where there was none.
    pub by_operation: BTreeMap<String, u64>,
    /// By `x-rmsc-role`.
    pub by_role: BTreeMap<String, u64>,
    /// By `x-rmsc-front-node`: the node that the caller reached.
    pub by_front: BTreeMap<String, u64>,
    /// By `x-rmsc-caller-sid`.
    pub by_caller: BTreeMap<String, u64>,
    /// By `x-rmsc-entry-sid`.
    pub by_entry: BTreeMap<String, u64>,
    /// By the names of the faults that acted on requests, handshakes and the listener.
    pub by_fault: BTreeMap<String, u64>,
    /// Requests without `x-rmsc-request-id`, which cannot be told apart.
    pub without_id: u64,
    /// How often the ids that came more than once came; the first 10,000 such ids.
    pub duplicates: BTreeMap<String, u32>,
    /// How many requests had an id that had come before.
    pub duplicate_requests: u64,
}

/// How often one request id came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// How often; 0 also when it was among more than the last million.
    pub times: u32,
    /// From which relaying nodes, in the order of arrival; the first four.
    pub nodes: Vec<String>,
    /// SHA-256 of its body, in hexadecimal digits, if it was among the last thousand requests.
    pub sha256: Option<String>,
    /// Its content type, likewise.
    pub content_type: Option<String>,
    /// Its SOAPAction, likewise; empty for none.
    pub soap_action: Option<String>,
}

/// One request.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) request_id: Option<String>,
    pub(super) operation: &'static str,
    pub(super) node: String,
    pub(super) front: String,
    pub(super) caller: String,
    pub(super) entry: String,
    pub(super) role: String,
    /// SHA-256 of the body.
    pub(super) digest: [u8; 32],
    pub(super) content_type: String,
    pub(super) soap_action: String,
}

impl Counts {
    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.locked().totals.clone()
    }

    /// How often this request id came.
    #[must_use]
    pub fn seen(&self, request_id: &str) -> Seen {
        let record = self.locked();
        let Some(trace) = record.traces.get(&number(request_id)) else { return Seen::default() };
        let nodes = trace.nodes.iter().flatten().filter_map(|node| record.nodes.get(usize::from(*node)));
        let id = number(request_id);
        let last = record.last.iter().rev().find(|last| last.id == id);
        Seen {
            times: trace.times,
            nodes: nodes.cloned().collect(),
            sha256: last.map(|last| last.digest.iter().map(|byte| format!("{byte:02x}")).collect()),
            content_type: last.map(|last| last.content_type.clone()),
            soap_action: last.map(|last| last.soap_action.clone()),
        }
    }

    /// The newest arrivals, in their order.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrived> {
        self.locked().journal.all()
    }

    /// Forgets everything.
    pub fn reset(&self) {
        *self.locked() = Record::default();
    }

    /// A fault has acted.
    pub(super) fn fault(&self, name: &str) {
        count(&mut self.locked().totals.by_fault, name);
    }

    pub(super) fn record(&self, arrival: &Arrival) {
        self.locked().add(arrival);
    }

    fn locked(&self) -> MutexGuard<'_, Record> {
        // A panic between two additions leaves counts that are still counts.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Record {
    totals: Snapshot,
    traces: HashMap<u128, Trace>,
    /// The ids in the order of their first arrival, to forget the oldest.
    order: VecDeque<u128>,
    /// What the last ones had in them.
    last: VecDeque<Last>,
    /// The names that traces refer to.
    nodes: Vec<String>,
    journal: Journal,
}

#[derive(Debug)]
struct Last {
    id: u128,
    digest: [u8; 32],
    content_type: String,
    soap_action: String,
}

#[derive(Debug, Default)]
struct Trace {
    times: u32,
    nodes: [Option<u16>; 4],
}

impl Record {
    fn add(&mut self, arrival: &Arrival) {
        self.journal.add(arrival);
        let totals = &mut self.totals;
        totals.total += 1;
        count(&mut totals.by_node, &arrival.node);
        count(&mut totals.by_operation, arrival.operation);
        count(&mut totals.by_role, &arrival.role);
        count(&mut totals.by_front, &arrival.front);
        count(&mut totals.by_caller, &arrival.caller);
        count(&mut totals.by_entry, &arrival.entry);
        match &arrival.request_id {
            Some(request_id) => {
                self.trace(request_id, &arrival.node);
                if self.last.len() == LAST_MAX {
                    self.last.pop_front();
                }
                self.last.push_back(Last {
                    id: number(request_id),
                    digest: arrival.digest,
                    content_type: shown(&arrival.content_type),
                    soap_action: shown(&arrival.soap_action),
                });
            }
            None => totals.without_id += 1,
        }
    }

    fn trace(&mut self, request_id: &str, node: &str) {
        let (id, node) = (number(request_id), self.node_index(node));
        let trace = self.traces.entry(id).or_default();
        trace.times = trace.times.saturating_add(1);
        if let Some(free) = trace.nodes.iter_mut().find(|node| node.is_none()) {
            *free = node;
        }
        if trace.times == 1 {
            self.order.push_back(id);
        } else {
            self.totals.duplicate_requests += 1;
            let known = self.totals.duplicates.len();
            match self.totals.duplicates.get_mut(request_id) {
                Some(times) => *times = trace.times,
                None if known < DUPLICATES_MAX => {
                    self.totals.duplicates.insert(shown(request_id), trace.times);
                }
                None => {}
            }
        }
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.traces.remove(&oldest);
        }
    }

    fn node_index(&mut self, node: &str) -> Option<u16> {
        let index = self.nodes.iter().position(|known| known == node);
        let index = index.or_else(|| {
            (self.nodes.len() < NAMES_MAX).then(|| {
                self.nodes.push(shown(node));
                self.nodes.len() - 1
            })
        });
        index.and_then(|index| u16::try_from(index).ok())
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
        return;
    }
    let name = if counts.len() < NAMES_MAX { shown(name) } else { "other".to_owned() };
    *counts.entry(name).or_default() += 1;
}

pub(super) fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// An id as a number: our own ids are 32 hexadecimal digits, with or without dashes; another text
/// is hashed.
fn number(request_id: &str) -> u128 {
    let digits: String = request_id.chars().filter(|c| *c != '-').take(33).collect();
    if digits.len() == 32
        && let Ok(number) = u128::from_str_radix(&digits, 16)
    {
        return number;
    }
    let hash = Sha256::digest(request_id.as_bytes());
    hash.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// About 90 MB when full.
const IDS_MAX: usize = 1_000_000;
/// As many as a test looks back.
const LAST_MAX: usize = 1_000;
const DUPLICATES_MAX: usize = 10_000;
/// Names in one table: more than any lab has nodes and accounts.
const NAMES_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(request_id: Option<&str>, node: &str) -> Arrival {
        Arrival {
            request_id: request_id.map(str::to_owned),
            operation: "certify",
            node: node.to_owned(),
            front: "n9".to_owned(),
            caller: "S-1-5-21-1".to_owned(),
            entry: "S-1-5-21-2".to_owned(),
            role: "exchange".to_owned(),
            digest: [0xab; 32],
            content_type: "text/xml".to_owned(),
            soap_action: "a".to_owned(),
        }
    }

    #[test]
    fn counts_by_name_and_finds_duplicates() {
        let counts = Counts::default();
        let id = "0123456789abcdef0123456789abcdef";
        counts.record(&arrival(Some(id), "n1"));
        counts.record(&arrival(Some("other"), "n2"));
        counts.record(&arrival(Some(id), "n2"));
        counts.record(&arrival(None, "n1"));
        let snapshot = counts.snapshot();
        assert_eq!((snapshot.total, snapshot.without_id, snapshot.duplicate_requests), (4, 1, 1));
        assert_eq!(snapshot.by_node, BTreeMap::from([("n1".to_owned(), 2), ("n2".to_owned(), 2)]));
        assert_eq!(snapshot.by_front, BTreeMap::from([("n9".to_owned(), 4)]));
        assert_eq!(snapshot.duplicates, BTreeMap::from([(id.to_owned(), 2)]));
        let nodes = vec!["n1".to_owned(), "n2".to_owned()];
        let sha256 = Some("ab".repeat(32));
        let (content_type, soap_action) = (Some("text/xml".to_owned()), Some("a".to_owned()));
        assert_eq!(counts.seen(id), Seen { times: 2, nodes, sha256, content_type, soap_action });
        assert_eq!(counts.seen("01234567-89AB-CDEF-0123-456789abcdef").times, 2);
        assert_eq!(counts.seen("other").times, 1);
        assert_eq!(counts.seen("never"), Seen::default());
        counts.record(&arrival(Some(id), "n3"));
        assert_eq!(counts.snapshot().duplicates, BTreeMap::from([(id.to_owned(), 3)]));
        let ids: Vec<String> = counts.arrivals().into_iter().map(|arrived| arrived.request_id).collect();
        assert_eq!(ids, [id, "other", id, "", id]);
        counts.reset();
        assert!(counts.arrivals().is_empty());
        assert_eq!(counts.snapshot(), Snapshot::default());
        assert_eq!(counts.seen(id), Seen::default());
    }

    #[test]
    fn forgets_the_oldest_ids() {
        let mut record = Record::default();
        for id in 0..=IDS_MAX {
            record.trace(&format!("{id:032x}"), "n1");
        }
        assert_eq!((record.order.len(), record.traces.len()), (IDS_MAX, IDS_MAX));
        assert!(!record.traces.contains_key(&0));
        assert!(record.traces.contains_key(&1));
    }

    #[test]
    fn does_not_grow_with_foreign_names() {
        let counts = Counts::default();
        for name in 0..3 * NAMES_MAX {
            counts.record(&arrival(None, &name.to_string().repeat(100)));
        }
        let by_node = counts.snapshot().by_node;
        assert_eq!(by_node.len(), NAMES_MAX + 1);
        assert_eq!(by_node.values().sum::<u64>(), 3_000);
        assert!(by_node.keys().all(|name| name.len() <= NAME_CHARS_MAX));
    }
}
