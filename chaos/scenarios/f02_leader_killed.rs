//! The leader is killed under load: nothing that is relayed waits for another one.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::kill;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "leader-killed",
    row: "F2",
    says: "kill -9 of the leader; started again after 4 s",
    nodes: &[2, 3, 5],
    budget: KILLED,
    play,
    part: Part::Always,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = stage.leader();
    kill::and_restart(stage, victim, Duration::from_secs(4));
    stage.settled(Duration::from_secs(4));
}
