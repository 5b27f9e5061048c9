//! One run: a group is formed, clients work while faults come and go, everything heals, and the nodes
//! become equal. All of it follows from the seed.

use super::bugs::{self, Bug};
use super::disk::{self, Disk, Honesty};
use super::faults::{self, Fault, Situation};
use super::hook;
use super::network::name;
use super::node::{self, Phase, Shared};
use super::record::{Last, Record};
use super::runtime;
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
    pub(super) nodes: u64,
    pub(super) bug: Option<Bug>,
}

impl Plan {
    /// The run of a seed: three nodes, or five.
    pub(super) fn of(seed: u64) -> Self {
        Plan { seed, nodes: if seed % 3 == 2 { 5 } else { 3 }, bug: None }
    }

    /// Runs it; what was seen.
    pub(super) fn run(self) -> Record {
        runtime::seed(self.seed);
        bugs::plant(self.bug);
        let folder = Folder::new();
        let record = World::new(self, &folder).run();
        bugs::plant(None);
        disk::forget_all();
        record
    }
}

/// The simulation, and who moves and watches it.
struct World {
    sim: Sim<'static>,
    shared: Shared,
    disks: BTreeMap<u64, Disk>,
    random: SmallRng,
    /// The faults that are going on, with their ends.
    going_on: Vec<(Duration, Fault)>,
    links: BTreeMap<(u64, u64), Link>,
    down: BTreeSet<u64>,
    /// The revision of the table that each node was seen to have.
    seen: BTreeMap<u64, u64>,
}

/// How a link between two nodes is, one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Healthy,
    Cut,
    Held,
}

impl World {
    fn new(plan: Plan, folder: &Folder) -> Self {
        let mut random = SmallRng::seed_from_u64(plan.seed);
        let latency_max = Duration::from_millis(random.random_range(3..25));
        let mut sim = turmoil::Builder::new()
            .rng_seed(plan.seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(latency_max)
            .tcp_capacity(SEGMENTS_MAX)
            .enable_random_order()
            .build();
        let nodes: Vec<u64> = (1..=plan.nodes).collect();
        let peers = nodes.iter().map(|node| super::network::address(*node)).collect();
        let shared = Shared::new(folder.path().into(), peers);
        let honesty = match plan.bug {
            Some(Bug::AcknowledgesBeforeSync) => Honesty::BeforeSync,
            _ => Honesty::AfterSync,
        };
        let mut disks = BTreeMap::new();
        for node in nodes {
            disks.insert(node, Disk::new(&folder.path().join(name(node)), honesty));
            let shared = shared.clone();
            sim.host(name(node), move || node::run(shared.clone(), node));
        }
        let (going_on, links) = (Vec::new(), BTreeMap::new());
        World { sim, shared, disks, random, going_on, links, down: BTreeSet::new(), seen: BTreeMap::new() }
    }

    fn run(mut self) -> Record {
        self.form();
        self.shared.lock().phase = Phase::Busy;
        let end = self.sim.elapsed() + Duration::from_millis(self.random.random_range(BUSY_MILLIS));
        let mut next = self.sim.elapsed() + faults::pause(&mut self.random);
        while self.sim.elapsed() < end {
            if self.sim.elapsed() >= next {
                next = self.sim.elapsed() + faults::pause(&mut self.random);
                self.start_fault();
            }
            self.end_faults(false);
            self.step();
        }
        self.end_faults(true);
        self.settle();
        self.finish()
    }

    /// Waits until there is a group whose leader takes writes.
    fn form(&mut self) {
        while self.leader().is_none() && self.sim.elapsed() < FORMING_MAX {
            self.step();
        }
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
            if self.is_settled() {
                self.shared.lock().record.settled = Some(self.sim.elapsed());
                return;
            }
        }
    }

    fn is_settled(&self) -> bool {
        let inner = self.shared.lock();
        let applied: BTreeSet<u64> = inner.clusters.values().map(|cluster| applied(cluster)).collect();
        let newest = inner.probed.values().max().copied().unwrap_or(u64::MAX);
        inner.probed.len() == self.disks.len() && applied.len() == 1 && applied.iter().all(|it| *it >= newest)
    }

    fn step(&mut self) {
        self.sim.step().expect("a node records its end, and returns no error");
        self.watch();
    }

    /// Notes what can be seen from outside.
    fn watch(&mut self) {
        let at = self.sim.elapsed();
        let inner = &mut *self.shared.lock();
        for (node, index) in hook::applied() {
            let entry = self.disks[&node].entry(index).expect("what is applied was in the log");
            inner.record.apply(node, entry, at);
        }
        for (node, cluster) in &inner.clusters {
            let metrics = cluster.raft().metrics();
            let metrics = metrics.borrow_watched();
            if metrics.state == ServerState::Leader {
                inner.record.leaders.entry(metrics.current_term).or_default().insert(*node);
            }
            let state = cluster.state().borrow().clone();
            let revision = state.table.revision;
            if self.seen.insert(*node, revision) != Some(revision) {
                inner.record.publish(*node, revision, node::table(&state));
            }
        }
    }

    fn leader(&self) -> Option<u64> {
        let inner = self.shared.lock();
        let leading = inner
            .clusters
            .iter()
            .find(|(_, cluster)| cluster.raft().metrics().borrow_watched().state == ServerState::Leader);
        leading.map(|(node, _)| *node)
    }

    fn start_fault(&mut self) {
        if self.going_on.len() >= FAULTS_AT_ONCE_MAX {
            return;
        }
        let situation = Situation { nodes: self.disks.keys().copied().collect(), leader: self.leader() };
        let (fault, lasts) = Fault::draw(&situation, &mut self.random);
        let until = self.sim.elapsed() + lasts;
        {
            let counts = &mut self.shared.lock().record.counts;
            match &fault {
                Fault::Cut(_) => counts.partitions += 1,
                Fault::Hold(..) | Fault::Slow(..) => counts.delays += 1,
                Fault::Crash(_) => counts.crashes += 1,
                Fault::Stall(_) => counts.stalls += 1,
                Fault::Churn => counts.churns += 1,
            }
        }
        match &fault {
            Fault::Crash(nodes) => nodes.iter().for_each(|node| self.crash(*node)),
            Fault::Stall(node) => self.disks[node].stall_until(until),
            Fault::Slow(node, longest) => self.slow(*node, *longest),
            Fault::Churn | Fault::Cut(_) | Fault::Hold(..) => {}
        }
        self.going_on.push((until, fault));
        self.set_links();
    }

    fn end_faults(&mut self, all: bool) {
        let now = self.sim.elapsed();
        let over: Vec<Fault> =
            self.going_on.extract_if(.., |(until, _)| all || *until <= now).map(|(_, fault)| fault).collect();
        for fault in &over {
            match fault {
                Fault::Crash(nodes) => nodes.iter().for_each(|node| self.start(*node)),
                Fault::Stall(node) => self.disks[node].stall_until(Duration::ZERO),
                Fault::Slow(node, _) => self.slow(*node, LATENCY_USUAL),
                Fault::Churn | Fault::Cut(_) | Fault::Hold(..) => {}
            }
        }
        if !over.is_empty() {
            self.set_links();
        }
    }

    fn crash(&mut self, node: u64) {
        if !self.down.insert(node) {
            return;
        }
        {
            let inner = &mut *self.shared.lock();
            inner.clusters.remove(&node);
            let operations = inner.record.operations.iter_mut().enumerate();
            let left =
                operations.filter(|(_, operation)| operation.node == node && operation.returned.is_none());
            for (number, operation) in left {
                let fresh = !operation.uncertain;
                operation.uncertain = true;
                if operation.action != super::record::Action::Read && fresh && self.random.random_bool(0.5) {
                    inner.orphans.push(number);
                }
            }
        }
        self.seen.remove(&node);
        self.sim.crash(name(node));
        self.disks[&node].cut_power();
    }

    fn start(&mut self, node: u64) {
        if self.down.remove(&node) {
            self.sim.bounce(name(node));
        }
    }

    fn slow(&mut self, node: u64, longest: Duration) {
        for other in self.disks.keys().filter(|other| **other != node) {
            self.sim.set_link_max_message_latency(name(node), name(*other), longest);
        }
    }

    /// Makes every link as the faults that are going on want it.
    fn set_links(&mut self) {
        let mut wanted: BTreeMap<(u64, u64), Link> = BTreeMap::new();
        for (_, fault) in &self.going_on {
            match fault {
                Fault::Hold(one, other) => {
                    for way in [(*one, *other), (*other, *one)] {
                        wanted.entry(way).or_insert(Link::Held);
                    }
                }
                Fault::Cut(ways) => wanted.extend(ways.iter().map(|way| (*way, Link::Cut))),
                Fault::Slow(..) | Fault::Crash(_) | Fault::Stall(_) | Fault::Churn => {}
            }
        }
        let nodes: Vec<u64> = self.disks.keys().copied().collect();
        for (at, one) in nodes.iter().enumerate() {
            for other in &nodes[at + 1..] {
                let ways = [(*one, *other), (*other, *one)];
                let is = ways.map(|way| self.links.get(&way).copied().unwrap_or_default());
                let mut is_wanted = ways.map(|way| wanted.get(&way).copied().unwrap_or_default());
                if is_wanted.contains(&Link::Cut) {
                    // Only both ways can be held.
                    is_wanted = is_wanted.map(|link| if link == Link::Held { Link::Healthy } else { link });
                }
                self.set_link(ways, is, is_wanted);
            }
        }
    }

    fn set_link(&mut self, ways: [(u64, u64); 2], is: [Link; 2], wanted: [Link; 2]) {
        if is == wanted {
            return;
        }
        let [(one, other), _] = ways;
        if is[0] == Link::Held {
            self.sim.release(name(one), name(other));
        }
        for (way, (is, wanted)) in ways.into_iter().zip(is.into_iter().zip(wanted)) {
            match wanted {
                Link::Cut if is != Link::Cut => self.sim.partition_oneway(name(way.0), name(way.1)),
                Link::Healthy | Link::Held if is == Link::Cut => {
                    self.sim.repair_oneway(name(way.0), name(way.1));
                }
                Link::Healthy | Link::Held | Link::Cut => {}
            }
            self.links.insert(way, wanted);
        }
        if wanted[0] == Link::Held {
            self.sim.hold(name(one), name(other));
        }
    }

    fn finish(self) -> Record {
        let inner = &mut *self.shared.lock();
        let mut record = std::mem::take(&mut inner.record);
        for (node, cluster) in std::mem::take(&mut inner.clusters) {
            let disk = &self.disks[&node];
            let rows = [disk.rows(b"a/"), disk.rows(b"c/")].concat();
            let table = node::table(&cluster.state().borrow());
            record.last.push(Last { node, applied: applied(&cluster), table, rows });
            let wear = disk.wear();
            let counted = &mut record.counts.wear;
            counted.syncs += wear.syncs;
            counted.lost_records += wear.lost_records;
            counted.lost_bytes += wear.lost_bytes;
            counted.lost_batches += wear.lost_batches;
        }
        record
    }
}

fn applied(cluster: &super::super::Cluster) -> u64 {
    *cluster.shared.published.applied.borrow()
}

const TICK: Duration = Duration::from_millis(1);
/// More segments on one connection end the simulation.
const SEGMENTS_MAX: usize = 16 * 1024;
const FAULTS_AT_ONCE_MAX: usize = 3;
const LATENCY_USUAL: Duration = Duration::from_millis(10);
const BUSY_MILLIS: std::ops::Range<u64> = 12_000..20_000;
const FORMING_MAX: Duration = Duration::from_secs(10);
/// All must be equal and take writes within this after the last fault.
const SETTLING_MAX: Duration = Duration::from_secs(10);
