//! A follower is killed under load, and started again.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::kill;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "follower-killed",
    row: "F1",
    says: "kill -9 of a follower; started again after 4 s",
    nodes: &[2, 3, 5],
    budget: KILLED,
    play,
    part: Part::Always,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = stage.follower();
    kill::and_restart(stage, victim, Duration::from_secs(4));
    stage.settled(Duration::from_secs(4));
}
