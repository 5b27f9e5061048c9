//! A node's disk takes 50 or 250 ms for each sync: what is relayed does not wait for it.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::slow_disk;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "slow-disk",
    row: "F10",
    says: "a node whose syncs take 50 ms or 250 ms, for 5 s",
    nodes: &[3, 5],
    budget: KILLED,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    let delay = Duration::from_millis(if stage.rng.random() { 50 } else { 250 });
    slow_disk::under(stage, victim, delay, |stage| stage.hold(Duration::from_secs(5)));
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
