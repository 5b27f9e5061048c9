//! What goes wrong in a run, and when: drawn from the seed.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use std::collections::BTreeSet;
use std::time::Duration;

/// One fault, from when it begins until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing gets through between nodes, one way: what was under way is lost, too.
    Cut(BTreeSet<(u64, u64)>),
    /// What is sent between two nodes waits until the fault is over.
    Hold(u64, u64),
    /// What is sent between a node and all others waits; once it has arrived, nothing more gets through:
    /// answers come late, and no news after them.
    Strand(BTreeSet<(u64, u64)>),
    /// Every message of a node takes up to so long.
    Slow(u64, Duration),
    /// The power of nodes is cut; they start again when the fault is over.
    Crash(Vec<u64>),
    /// The disk of a node syncs nothing.
    Stall(u64),
    /// Administrators let a machine in.
    Join,
    /// And let one go.
    Leave(u64),
    /// And have somebody else lead.
    HandOver,
}

/// What the one who draws knows of the run.
pub(super) struct Situation {
    pub(super) machines: Vec<u64>,
    pub(super) leader: Option<u64>,
    pub(super) may_join: bool,
    pub(super) may_leave: bool,
}

impl Fault {
    /// Draws a fault.
    pub(super) fn draw(situation: &Situation, random: &mut SmallRng) -> Self {
        let nodes = &situation.machines;
        let target = match situation.leader {
            // Most of what can go wrong goes wrong around a leader.
            Some(leader) if random.random_bool(0.5) => leader,
            _ => *nodes.choose(random).expect("there are nodes"),
        };
        let others = || nodes.iter().copied().filter(move |node| *node != target);
        match random.random_range(0..100) {
            0..10 => Fault::Cut(both_ways(&[target], &others().collect::<Vec<_>>())),
            10..20 => Fault::Cut(others().map(|other| (target, other)).collect()),
            20..28 => Fault::Cut(others().map(|other| (other, target)).collect()),
            28..36 => Fault::Cut(bridge(nodes, target, random)),
            36..42 => Fault::Cut(halves(nodes, random)),
            42..48 => Fault::Strand(both_ways(&[target], &others().collect::<Vec<_>>())),
            48..54 => Fault::Hold(target, *others().collect::<Vec<_>>().choose(random).expect("three nodes")),
            54..62 => Fault::Slow(target, Duration::from_millis(random.random_range(50..400))),
            62..76 => Fault::Crash(vec![target]),
            76..80 => Fault::Crash(some(nodes, random)),
            80..84 => Fault::Crash(nodes.clone()),
            84..90 => Fault::Stall(target),
            90..92 => Fault::HandOver,
            _ if situation.may_leave && random.random_bool(0.6) => Fault::Leave(target),
            _ if situation.may_join => Fault::Join,
            _ => Fault::HandOver,
        }
    }

    /// Draws how long the fault lasts.
    pub(super) fn lasts(&self, random: &mut SmallRng) -> Duration {
        let millis = match self {
            Fault::Cut(_) => random.random_range(200..4_000),
            Fault::Hold(..) | Fault::Stall(_) => random.random_range(100..1_500),
            Fault::Strand(_) => random.random_range(500..900),
            Fault::Slow(..) => random.random_range(500..3_000),
            Fault::Crash(_) => random.random_range(50..2_500),
            Fault::Join | Fault::Leave(_) | Fault::HandOver => 0,
        };
        Duration::from_millis(millis)
    }
}

fn both_ways(these: &[u64], those: &[u64]) -> BTreeSet<(u64, u64)> {
    let pairs = these.iter().flat_map(|one| those.iter().map(move |other| (*one, *other)));
    pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}

/// Two halves that hear only the node between them.
fn bridge(nodes: &[u64], between: u64, random: &mut SmallRng) -> BTreeSet<(u64, u64)> {
    let mut rest: Vec<u64> = nodes.iter().copied().filter(|node| *node != between).collect();
    rest.shuffle(random);
    let (these, those) = rest.split_at(rest.len() / 2);
    both_ways(these, those)
}

fn halves(nodes: &[u64], random: &mut SmallRng) -> BTreeSet<(u64, u64)> {
    let mut nodes = nodes.to_vec();
    nodes.shuffle(random);
    let (these, those) = nodes.split_at(random.random_range(1..nodes.len()));
    both_ways(these, those)
}

fn some(nodes: &[u64], random: &mut SmallRng) -> Vec<u64> {
    let mut nodes = nodes.to_vec();
    nodes.shuffle(random);
    nodes.truncate(random.random_range(2..=nodes.len()));
    nodes
}

/// How long nothing new goes wrong.
pub(super) fn pause(random: &mut SmallRng) -> Duration {
    Duration::from_millis(random.random_range(100..1_500))
}
