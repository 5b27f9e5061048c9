//! One simulated node: the cluster's part as the product has it, its clients, and a reader that lets
//! accounts in by the product's rule of freshness.

use super::super::{Cluster, Config, Facts, WriteError};
use super::bugs::{self, Bug};
use super::network::{self, Plain};
use super::record::{Action, Answer, Record, Table, client_id};
use super::runtime;
use crate::principal::Sid;
use crate::state::{Change, Kind, NewEntry, Role, State, Timestamp};
use crate::tasks::Tasks;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What the nodes and the one who watches them have in common. Clones name the same.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    pub(super) record: Record,
    pub(super) phase: Phase,
    pub(super) clusters: BTreeMap<u64, Cluster>,
    /// The nodes that took a write after the last fault.
    pub(super) probed: BTreeMap<u64, u64>,
    /// Operations whose client has crashed, and which another one is to finish.
    pub(super) orphans: Vec<usize>,
    pub(super) data_dir: PathBuf,
    pub(super) peers: Vec<String>,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet.
    Forming,
    /// Read and write.
    Busy,
    /// Finish, and then write once through each node.
    Settling,
}

impl Shared {
    pub(super) fn new(data_dir: PathBuf, peers: Vec<String>) -> Self {
        Shared(Arc::new(Mutex::new(Inner {
            record: Record::default(),
            phase: Phase::Forming,
            clusters: BTreeMap::new(),
            probed: BTreeMap::new(),
            orphans: Vec::new(),
            data_dir,
            peers,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a node until it crashes.
pub(super) async fn run(shared: Shared, node_id: u64) -> turmoil::Result {
    let (config, peers) = {
        let inner = shared.lock();
        (config(&inner, node_id), inner.peers.clone())
    };
    let facts = Arc::new(|| Facts { ready: true, ..Facts::default() });
    let opened = Cluster::open(config, Arc::new(Plain(node_id)), facts, &Tasks::new()).await;
    let cluster = match opened {
        Ok(cluster) => cluster,
        Err(error) => {
            let error = anyhow::Error::from(error);
            shared.lock().record.stopped.push(format!("node {node_id} does not start: {error:#}"));
            return Ok(());
        }
    };
    shared.lock().clusters.insert(node_id, cluster.clone());
    tokio::spawn(network::serve(node_id, cluster.routes()));
    let forming = cluster.clone();
    tokio::spawn(async move { forming.form(&peers).await.map_err(|error| error.to_string()) });
    for _ in 0..CLIENTS {
        tokio::spawn(client(shared.clone(), cluster.clone(), node_id, runtime::random()));
    }
    tokio::spawn(probe(shared.clone(), cluster.clone(), node_id));
    tokio::spawn(serve_callers(shared.clone(), cluster.clone(), node_id));
    let reason = cluster.failed().await;
    shared.lock().record.stopped.push(format!("node {node_id} ends: {reason}"));
    Ok(())
}

fn config(inner: &Inner, node_id: u64) -> Config {
    Config {
        data_dir: inner.data_dir.join(network::name(node_id)),
        cluster_id: "simulation".into(),
        node_id,
        name: network::name(node_id),
        peer_address: network::address(node_id),
        admin_address: String::new(),
        version: "simulated".into(),
        heartbeat: Duration::from_millis(75),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        snapshot_after: SNAPSHOT_AFTER,
    }
}

/// Reads and writes, one after the other.
async fn client(shared: Shared, cluster: Cluster, node: u64, mut random: SmallRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(THINK_MILLIS))).await;
        if shared.lock().phase != Phase::Busy {
            continue;
        }
        let orphan = {
            let mut inner = shared.lock();
            let orphan = inner.orphans.pop();
            if let Some(number) = orphan {
                inner.record.operations[number].node = node;
                inner.record.counts.repeats += 1;
            }
            orphan
        };
        let number = orphan.unwrap_or_else(|| {
            let account = random.random_range(1..=ACCOUNTS);
            let action = match random.random_range(0..10) {
                0..4 => Action::Read,
                4..8 => Action::Allow,
                _ => Action::Remove,
            };
            shared.lock().record.invoke(node, account, action, now())
        });
        act(&shared, &cluster, number, &mut random).await;
    }
}

async fn act(shared: &Shared, cluster: &Cluster, number: usize, random: &mut SmallRng) {
    let (account, action) = {
        let operation = &shared.lock().record.operations[number];
        (operation.account, operation.action)
    };
    if action == Action::Read {
        if bugs::is_planted(Bug::ReadsLocally) || cluster.read_barrier().await.is_ok() {
            let note = table(&cluster.state().borrow()).get(&account).copied();
            shared.lock().record.answer(number, Answer::Read(note), now());
        }
        return;
    }
    for attempt in 1..=ATTEMPTS_MAX {
        let change = change(account, action, number);
        let written = cluster.write("simulation", change, Some(client_id(number)), Timestamp(0)).await;
        let mut inner = shared.lock();
        let uncertain = &mut inner.record.operations[number].uncertain;
        let answer = match written {
            Ok(written) => Answer::Written { log_index: written.log_index, outcome: written.outcome },
            Err(WriteError::Unknown { .. }) => {
                *uncertain = true;
                if attempt < ATTEMPTS_MAX && random.random_bool(REPEATED) {
                    inner.record.counts.repeats += 1;
                    continue;
                }
                return;
            }
            // An earlier attempt may have acted.
            Err(_) if *uncertain => return,
            Err(_) => Answer::Refused,
        };
        return inner.record.answer(number, answer, now());
    }
}

/// Once the last fault is over, every node has to take a write.
async fn probe(shared: Shared, cluster: Cluster, node: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if shared.lock().phase == Phase::Settling {
            break;
        }
    }
    let number = shared.lock().record.invoke(node, ACCOUNTS, Action::Allow, now());
    loop {
        let change = change(ACCOUNTS, Action::Allow, number);
        let written = cluster.write("simulation", change, Some(client_id(number)), Timestamp(0)).await;
        if let Ok(written) = written {
            let answer = Answer::Written { log_index: written.log_index, outcome: written.outcome };
            let mut inner = shared.lock();
            inner.record.answer(number, answer, now());
            inner.probed.insert(node, written.log_index);
            return;
        }
        shared.lock().record.operations[number].uncertain = true;
    }
}

/// Lets in whom the table names, as long as it is fresh; both as the product does, with shorter times.
async fn serve_callers(shared: Shared, cluster: Cluster, node: u64) {
    let fresh_until = Arc::new(Mutex::new(None::<Instant>));
    tokio::spawn(keep_fresh(cluster.clone(), fresh_until.clone()));
    loop {
        tokio::time::sleep(SERVE_EVERY).await;
        let fresh = fresh_until.lock().unwrap().is_some_and(|until| Instant::now() < until);
        if fresh {
            let notes: Vec<u64> = table(&cluster.state().borrow()).into_values().collect();
            let mut inner = shared.lock();
            for note in notes {
                inner.record.served.insert((node, note), now());
            }
        }
    }
}

async fn keep_fresh(cluster: Cluster, fresh_until: Arc<Mutex<Option<Instant>>>) {
    loop {
        let asked = Instant::now();
        let answer = tokio::time::timeout(ASK_TIMEOUT, cluster.read_barrier()).await;
        if matches!(answer, Ok(Ok(_))) {
            let late = bugs::is_planted(Bug::CountsFromTheAnswer);
            let from = if late { Instant::now() } else { asked };
            *fresh_until.lock().unwrap() = Some(from + STALENESS_MAX);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
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

fn sid(account: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, account]).unwrap()
}

fn change(account: u32, action: Action, number: usize) -> Change {
    match action {
        Action::Allow => Change::Allow(NewEntry {
            sid: sid(account),
            name: format!("LAB\\{account}"),
            kind: Kind::Computer,
            role: Role::Exchange,
            note: number.to_string(),
        }),
        Action::Remove => Change::Remove { sid: sid(account) },
        Action::Read => unreachable!("a read changes nothing"),
    }
}

/// The time of the simulation, the same for all nodes.
pub(super) fn now() -> Duration {
    turmoil::sim_elapsed().expect("inside of a simulation")
}

const ACCOUNTS: u32 = 6;
/// At each node.
const CLIENTS: usize = 4;
const THINK_MILLIS: std::ops::Range<u64> = 20..250;
const ATTEMPTS_MAX: u32 = 3;
const REPEATED: f64 = 0.7;
const SERVE_EVERY: Duration = Duration::from_millis(10);
const ASK_EVERY: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// After that a node that hears from no leader lets nobody in.
pub(super) const STALENESS_MAX: Duration = Duration::from_millis(1500);
/// So few that a node that was away for a second needs a snapshot.
const SNAPSHOT_AFTER: u64 = 40;
