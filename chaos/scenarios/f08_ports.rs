//! Of a node only the port of the nodes is cut off, or only all the others.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "ports",
    row: "F8",
    says: "a node's peer port cut for 3 s, then all but its peer port for 3 s",
    nodes: &[2, 3, 5],
    budget: SILENT,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    let others = stage.others(&[victim]);
    for ports in [Ports::Peer, Ports::AllButPeer] {
        stage.cut_off(victim, |stage| {
            stage.broken(|stage| {
                cut(&stage.cluster, victim, &others, Direction::Both, ports);
                stage.hold(Duration::from_secs(3));
                heal(&stage.cluster, victim);
            });
            stage.recover();
        });
    }
    stage.settled(Duration::from_secs(4));
}
