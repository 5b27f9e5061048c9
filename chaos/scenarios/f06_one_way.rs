//! A node hears the others and cannot speak to them, or the reverse.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "one-way",
    row: "F6",
    says: "a node that hears and cannot speak, or speaks and cannot hear, for 5 s",
    nodes: &[3, 5],
    budget: SILENT,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = if stage.rng.random() { stage.leader() } else { stage.follower() };
    let direction = if stage.rng.random() { Direction::In } else { Direction::Out };
    let others = stage.others(&[victim]);
    stage.cut_off(victim, |stage| {
        stage.broken(|stage| {
            cut(&stage.cluster, victim, &others, direction, Ports::All);
            stage.hold(Duration::from_secs(5));
            heal(&stage.cluster, victim);
        });
        stage.recover();
    });
    stage.settled(Duration::from_secs(4));
}
