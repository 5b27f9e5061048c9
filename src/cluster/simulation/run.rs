//! One run: a group is formed, clients work while faults come and go, everything heals, and the nodes
//! become equal. All of it follows from the seed.

use super::super::Cluster;
use super::super::medium::Tree;
use super::super::rows::Store;
use super::bugs::{self, Bug};
use super::disk::{self, Disk, Honesty};
use super::faults::{self, Fault, Situation};
use super::links::Links;
use super::network::name;
use super::record::{self, Action, Last, Record};
use super::shared::{Phase, Shared, Task};
use super::{hook, node, runtime};
use crate::storage::testing::Folder;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use turmoil::Sim;

/// What makes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// How many begin; others may join later.
    pub(super) machines: u64,
    pub(super) bug: Option<Bug>,
}

impl Plan {
    /// The run of a seed: three machines, or five.
    pub(super) fn of(seed: u64) -> Self {
        Plan { seed, machines: if seed % 3 == 2 { 5 } else { 3 }, bug: None }
    }

    /// Runs it; what was seen.
    pub(super) fn run(self) -> Record {
        runtime::seed(self.seed);
        bugs::plant(self.bug);
        let folder = Folder::in_memory();
        let record = World::new(self, &folder).run();
        bugs::plant(None);
        disk::forget_all();
        hook::applied();
        record
    }
}

/// The simulation, and who moves and watches it.
struct World {
    plan: Plan,
    sim: Sim<'static>,
    shared: Shared,
    disks: BTreeMap<u64, Disk>,
    random: SmallRng,
    /// The faults that are going on, with their ends.
    going_on: Vec<(Duration, Fault)>,
    /// A fault that comes of another, with its begin.
    next: Option<(Duration, Fault)>,
    links: Links,
    down: BTreeSet<u64>,
    /// The revision of the table that each machine was seen to have.
    seen: BTreeMap<u64, u64>,
    /// The commands that each machine has applied.
    applied: BTreeMap<u64, BTreeSet<u64>>,
}

impl World {
    fn new(plan: Plan, folder: &Folder) -> Self {
        let mut random = SmallRng::seed_from_u64(plan.seed);
        let latency_max = latency_max(&mut random);
        let sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(latency_max)
            .tcp_capacity(SEGMENTS_MAX)
            .enable_random_order()
            .build();
        World {
            plan,
            sim,
            shared: Shared::new(plan.seed, folder.path().into()),
            disks: BTreeMap::new(),
            random,
            going_on: Vec::new(),
            next: None,
            links: Links::default(),
            down: BTreeSet::new(),
            seen: BTreeMap::new(),
            applied: BTreeMap::new(),
        }
    }

    fn run(mut self) -> Record {
        self.form();
        self.shared.lock().phase = Phase::Busy;
        let end = self.sim.elapsed() + Duration::from_millis(self.random.random_range(BUSY_MILLIS));
        let mut next = self.sim.elapsed() + faults::pause(&mut self.random);
        while self.sim.elapsed() < end || self.goes_on(end) {
            if self.sim.elapsed() >= next {
                next = self.sim.elapsed() + faults::pause(&mut self.random);
                self.start_fault();
            }
            self.end_faults(false);
            if let Some((_, fault)) = self.next.take_if(|(begin, _)| self.sim.elapsed() >= *begin) {
                self.begin(fault);
            }
            self.step();
        }
        self.end_faults(true);
        self.settle();
        self.finish()
    }

    /// Whether the run has to be longer than it was to be, since so much went wrong that little was done.
    fn goes_on(&self, end: Duration) -> bool {
        self.sim.elapsed() < end + LONGER_MAX && self.shared.lock().record.enough().is_err()
    }

    /// The first machine founds a cluster, and the others join.
    fn form(&mut self) {
        while !self.is_founded() {
            self.step();
        }
        {
            let mut inner = self.shared.lock();
            (2..=self.plan.machines).for_each(|machine| inner.want(Task::Admit(machine)));
        }
        while !self.is_formed() {
            assert!(self.sim.elapsed() < FORMING_MAX, "no cluster was formed");
            self.step();
        }
    }

    fn is_founded(&self) -> bool {
        let inner = self.shared.lock();
        inner.clusters.values().any(|cluster| cluster.state().borrow().roster.is_founded())
    }

    fn is_formed(&self) -> bool {
        let inner = self.shared.lock();
        let voters = |cluster: &Cluster| {
            let metrics = cluster.raft().metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.voter_ids().count() as u64
        };
        inner.clusters.len() as u64 == self.plan.machines
            && inner.clusters.values().all(|cluster| voters(cluster) == self.plan.machines)
    }

    /// Waits until every node has taken a write and all are equal, or for so long that they will not be.
    fn settle(&mut self) {
        let healed = self.sim.elapsed();
        {
            let mut inner = self.shared.lock();
            inner.phase = Phase::Settling;
            inner.record.healed = healed;
        }
        while self.sim.elapsed() < healed + SETTLING_MAX {
            self.step();
            let missing = self.missing();
            let is_settled = missing.is_none();
            self.shared.lock().record.missing = missing;
            if is_settled {
                return self.write_behind();
            }
        }
    }

    /// The stores are written behind, and are compared, too.
    fn write_behind(&mut self) {
        let mut newest = (self.furthest(), self.sim.elapsed());
        self.shared.lock().record.settled = Some(newest.1);
        while self.sim.elapsed() < newest.1 + WRITTEN_BEHIND {
            self.step();
            if self.furthest() > newest.0 {
                newest = (self.furthest(), self.sim.elapsed());
            }
        }
    }

    /// How far the node is that has applied most.
    fn furthest(&self) -> u64 {
        self.shared.lock().clusters.values().map(applied).max().unwrap_or_default()
    }

    /// What keeps the run from being over, if anything does.
    fn missing(&self) -> Option<String> {
        let furthest = self.furthest();
        let inner = self.shared.lock();
        let wanted_ids: BTreeSet<u64> = inner.wanted.iter().map(|machine| inner.ids[machine]).collect();
        for machine in &inner.wanted {
            let Some(cluster) = inner.clusters.get(machine) else {
                return Some(format!("node {machine} does not run"));
            };
            if !inner.probed.contains_key(machine) {
                return Some(format!("node {machine} took no write"));
            }
            let applied = applied(cluster);
            if applied < furthest {
                return Some(format!("node {machine} has applied {applied}, another {furthest}"));
            }
            let metrics = cluster.raft().metrics();
            let metrics = metrics.borrow_watched();
            let members: BTreeSet<u64> = metrics.membership_config.nodes().map(|(id, _)| *id).collect();
            if members != wanted_ids {
                return Some(format!("node {machine} has the members {members:?}, not {wanted_ids:?}"));
            }
        }
        if let Some(job) = inner.jobs.first() {
            return Some(format!("{job:?} is not done"));
        }
        let number = inner.under_way.first()?;
        Some(format!("{:?} is under way", inner.record.operations[*number]))
    }

    fn step(&mut self) {
        self.start_admitted();
        self.sim.step().expect("a node records its end, and returns no error");
        self.watch();
    }

    /// Machines that were let in begin with an empty disk.
    fn start_admitted(&mut self) {
        let admitted = std::mem::take(&mut self.shared.lock().admitted);
        for machine in admitted {
            let (folder, node_id) = {
                let inner = self.shared.lock();
                (node::data_dir(&inner, machine), inner.ids[&machine])
            };
            let honesty = match self.plan.bug {
                Some(Bug::AcknowledgesBeforeSync) => Honesty::BeforeSync,
                _ => Honesty::AfterSync,
            };
            self.disks.insert(machine, Disk::new(&folder, honesty, self.random.random()));
            Cluster::claim(&folder, node::CLUSTER, node_id, node::incarnation(machine)).unwrap();
            let shared = self.shared.clone();
            self.sim.host(name(machine), move || node::run(shared.clone(), machine));
        }
    }

    /// Notes what can be seen from outside.
    fn watch(&mut self) {
        let at = self.sim.elapsed();
        let inner = &mut *self.shared.lock();
        for (machine, index) in hook::applied() {
            let entry = self.disks[&machine].entry(index).expect("what is applied was in the log");
            inner.record.apply(machine, entry, at);
            self.applied.entry(machine).or_default().insert(index);
        }
        for (machine, cluster) in &inner.clusters {
            let metrics = cluster.raft().metrics();
            let metrics = metrics.borrow_watched();
            if metrics.state == ServerState::Leader {
                inner.record.leaders.entry(metrics.current_term).or_default().insert(*machine);
            }
            let state = cluster.state().borrow().clone();
            let revision = state.table.revision;
            if self.seen.insert(*machine, revision) != Some(revision) {
                inner.record.publish(*machine, revision, record::table(&state));
            }
        }
    }

    fn situation(&self) -> Situation {
        let inner = self.shared.lock();
        let leads =
            |cluster: &&Cluster| cluster.raft().metrics().borrow_watched().state == ServerState::Leader;
        let mut clusters = inner.clusters.iter();
        let going: BTreeSet<u64> = inner.ids.keys().copied().collect();
        Situation {
            machines: inner
                .wanted
                .iter()
                .copied()
                .filter(|machine| self.disks.contains_key(machine))
                .collect(),
            leader: clusters.find_map(|(machine, cluster)| leads(&cluster).then_some(*machine)),
            may_join: inner.jobs.is_empty() && going.len() < MACHINES_MAX,
            may_leave: inner.jobs.is_empty() && inner.wanted.len() > 3,
        }
    }

    fn start_fault(&mut self) {
        if self.going_on.len() >= FAULTS_AT_ONCE_MAX {
            return;
        }
        let situation = self.situation();
        let fault = Fault::draw(&situation, &mut self.random);
        self.begin(fault);
    }

    fn begin(&mut self, fault: Fault) {
        let until = self.sim.elapsed() + fault.lasts(&mut self.random);
        self.count(&fault);
        match &fault {
            Fault::Crash(machines) => machines.iter().for_each(|machine| self.crash(*machine)),
            Fault::Stall(machine) => self.disks[machine].stall_until(until),
            Fault::Slow(machine, longest) => self.slow(*machine, *longest),
            Fault::Cut(_) | Fault::Hold(..) | Fault::Strand(_) => {}
            Fault::Join => {
                let mut inner = self.shared.lock();
                let newcomer = inner.ids.len() as u64 + 1;
                inner.want(Task::Admit(newcomer));
            }
            Fault::Leave(machine) => {
                let mut inner = self.shared.lock();
                inner.wanted.remove(machine);
                inner.want(Task::Remove(*machine));
            }
            Fault::HandOver => self.shared.lock().want(Task::HandOver),
        }
        self.going_on.push((until, fault));
        self.links.set(&self.sim, &self.disks, &self.going_on);
    }

    fn count(&self, fault: &Fault) {
        let counts = &mut self.shared.lock().record.counts;
        match fault {
            Fault::Cut(_) => counts.partitions += 1,
            Fault::Hold(..) | Fault::Strand(_) | Fault::Slow(..) => counts.delays += 1,
            Fault::Crash(_) => counts.crashes += 1,
            Fault::Stall(_) => counts.stalls += 1,
            Fault::Join | Fault::Leave(_) | Fault::HandOver => {}
        }
    }

    fn end_faults(&mut self, all: bool) {
        let now = self.sim.elapsed();
        let over: Vec<Fault> =
            self.going_on.extract_if(.., |(until, _)| all || *until <= now).map(|(_, fault)| fault).collect();
        for fault in &over {
            match fault {
                Fault::Crash(machines) => machines.iter().for_each(|machine| self.start(*machine)),
                Fault::Stall(machine) => self.disks[machine].stall_until(Duration::ZERO),
                Fault::Slow(machine, _) => self.slow(*machine, LATENCY_USUAL),
                Fault::Strand(ways) => self.next = Some((now + LET_THROUGH, Fault::Cut(ways.clone()))),
                Fault::Cut(_) | Fault::Hold(..) | Fault::Join | Fault::Leave(_) | Fault::HandOver => {}
            }
        }
        if !over.is_empty() {
            self.links.set(&self.sim, &self.disks, &self.going_on);
        }
    }

    fn crash(&mut self, machine: u64) {
        if !self.down.insert(machine) {
            return;
        }
        {
            let inner = &mut *self.shared.lock();
            inner.gone(machine);
            let operations = inner.record.operations.iter_mut().enumerate();
            let here = operations.filter(|(_, operation)| operation.machine == machine);
            for (number, operation) in here.filter(|(_, operation)| operation.returned.is_none()) {
                let first = !std::mem::replace(&mut operation.uncertain, true);
                if operation.action != Action::Read && first && self.random.random_bool(0.5) {
                    inner.orphans.push(number);
                }
            }
        }
        self.seen.remove(&machine);
        self.sim.crash(name(machine));
        self.disks[&machine].cut_power();
    }

    fn start(&mut self, machine: u64) {
        if self.down.remove(&machine) {
            self.sim.bounce(name(machine));
        }
    }

    fn slow(&mut self, machine: u64, longest: Duration) {
        for other in self.disks.keys().filter(|other| **other != machine) {
            self.sim.set_link_max_message_latency(name(machine), name(*other), longest);
        }
    }

    fn finish(self) -> Record {
        let inner = &mut *self.shared.lock();
        let mut record = std::mem::take(&mut inner.record);
        record.wanted = inner.wanted.clone();
        for (machine, disk) in &self.disks {
            let wear = disk.wear();
            let counted = &mut record.counts.wear;
            counted.syncs += wear.syncs;
            counted.lost_records += wear.lost_records;
            counted.lost_bytes += wear.lost_bytes;
            counted.lost_batches += wear.lost_batches;
            let Some(cluster) = inner.clusters.get(machine).filter(|_| inner.wanted.contains(machine)) else {
                continue;
            };
            let store = Store::load(Tree::open(&node::data_dir(inner, *machine).join("tree")).unwrap());
            let (stored, _) = store.unwrap().1.unwrap_or_default();
            let table = record::table(&cluster.state().borrow());
            record.last.push(Last { machine: *machine, table, stored });
            let applied = self.applied.get(machine).map_or(0, BTreeSet::len);
            record.counts.snapshots += u64::from(applied < record.committed.len());
        }
        inner.clusters.clear();
        record
    }
}

/// How far apart the machines are: in every fourth run so far that elections fail for it now and then. A
/// message takes a fifth of the longest on average.
fn latency_max(random: &mut SmallRng) -> Duration {
    let far = random.random_ratio(1, 4);
    Duration::from_millis(if far { random.random_range(50..200) } else { random.random_range(3..25) })
}

fn applied(cluster: &Cluster) -> u64 {
    *cluster.shared.published.applied.borrow()
}

const TICK: Duration = Duration::from_millis(1);
/// Several times as long as changes wait for others before they are written to a store.
const WRITTEN_BEHIND: Duration = Duration::from_millis(500);
/// More segments on one connection end the simulation.
const SEGMENTS_MAX: usize = 16 * 1024;
/// What was held arrives, and nothing that is sent later.
const LET_THROUGH: Duration = Duration::from_millis(2);
const FAULTS_AT_ONCE_MAX: usize = 3;
const MACHINES_MAX: usize = 9;
const LATENCY_USUAL: Duration = Duration::from_millis(10);
const BUSY_MILLIS: std::ops::Range<u64> = 12_000..20_000;
const LONGER_MAX: Duration = Duration::from_secs(60);
const FORMING_MAX: Duration = Duration::from_secs(30);
/// All must be equal and take writes within this after the last fault.
const SETTLING_MAX: Duration = Duration::from_secs(30);
