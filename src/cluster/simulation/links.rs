//! The links between the machines, as the faults that are going on want them.

use super::disk::Disk;
use super::faults::Fault;
use super::network::name;
use std::collections::BTreeMap;
use std::time::Duration;
use turmoil::Sim;

/// How each link is that was ever not healthy, one way.
#[derive(Default)]
pub(super) struct Links(BTreeMap<Way, Link>);

/// From a machine to another.
type Way = (u64, u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Healthy,
    Cut,
    Held,
}

impl Links {
    /// Changes what has to be changed.
    pub(super) fn set(&mut self, sim: &Sim<'_>, disks: &BTreeMap<u64, Disk>, faults: &[(Duration, Fault)]) {
        let wanted = wanted(faults);
        let machines: Vec<u64> = disks.keys().copied().collect();
        for (at, one) in machines.iter().enumerate() {
            for other in &machines[at + 1..] {
                let ways = [(*one, *other), (*other, *one)];
                let mut links = ways.map(|way| wanted.get(&way).copied().unwrap_or_default());
                if links.contains(&Link::Cut) {
                    // Only both ways can be held.
                    links = links.map(|link| if link == Link::Held { Link::Healthy } else { link });
                }
                self.set_pair(sim, ways, links);
            }
        }
    }

    fn set_pair(&mut self, sim: &Sim<'_>, ways: [Way; 2], wanted: [Link; 2]) {
        let is = ways.map(|way| self.0.get(&way).copied().unwrap_or_default());
        if is == wanted {
            return;
        }
        let [(one, other), _] = ways;
        if is[0] == Link::Held {
            sim.release(name(one), name(other));
        }
        for (way, (is, wanted)) in ways.into_iter().zip(is.into_iter().zip(wanted)) {
            match wanted {
                Link::Cut if is != Link::Cut => sim.partition_oneway(name(way.0), name(way.1)),
                Link::Healthy | Link::Held if is == Link::Cut => {
                    sim.repair_oneway(name(way.0), name(way.1));
                }
                Link::Healthy | Link::Held | Link::Cut => {}
            }
            self.0.insert(way, wanted);
        }
        if wanted[0] == Link::Held {
            sim.hold(name(one), name(other));
        }
    }
}

fn wanted(faults: &[(Duration, Fault)]) -> BTreeMap<Way, Link> {
    let mut wanted = BTreeMap::new();
    for (_, fault) in faults {
        match fault {
            Fault::Hold(one, other) => {
                for way in [(*one, *other), (*other, *one)] {
                    wanted.entry(way).or_insert(Link::Held);
                }
            }
            Fault::Strand(ways) => {
                for way in ways {
                    wanted.entry(*way).or_insert(Link::Held);
                }
            }
            Fault::Cut(ways) => wanted.extend(ways.iter().map(|way| (*way, Link::Cut))),
            Fault::Slow(..)
            | Fault::Crash(_)
            | Fault::Stall(_)
            | Fault::Join
            | Fault::Leave(_)
            | Fault::HandOver => {}
        }
    }
    wanted
}
