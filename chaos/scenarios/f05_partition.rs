//! One node, often the leader, or a minority of five, is cut off from the others in both directions; the clients reach all.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "partition",
    row: "F5",
    says: "the leader or a follower cut off from all others for 5 s, clients and service reachable",
    nodes: &[2, 3, 5],
    budget: SILENT,
    play,
    part: Part::Always,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = if stage.rng.random() { stage.leader() } else { stage.follower() };
    let others = stage.others(&[victim]);
    stage.cut_off(victim, |stage| {
        stage.broken(|stage| {
            cut(&stage.cluster, victim, &others, Direction::Both, Ports::All);
            stage.hold(Duration::from_secs(5));
            heal(&stage.cluster, victim);
        });
        stage.recover();
    });
    stage.settled(Duration::from_secs(4));
}
