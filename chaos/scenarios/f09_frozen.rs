//! A node stands still for 0.2 s, then for 3 s: the leader or a follower.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::freeze::{self, Rejoin};
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "frozen",
    row: "F9",
    says: "SIGSTOP of the leader or a follower for 0.2 s, and for 3 s",
    nodes: &[2, 3, 5],
    budget: SILENT,
    play,
    part: Part::Always,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = if stage.rng.random() { stage.leader() } else { stage.follower() };
    freeze::for_a_while(stage, victim, Duration::from_millis(200), Rejoin::AtOnce);
    freeze::for_a_while(stage, victim, Duration::from_secs(3), Rejoin::AtOnce);
    stage.settled(Duration::from_secs(4));
}
