//! Every node is told to stop and started again, one after another, as in an upgrade.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::kill;
use crate::invariants::{Budget, Repeats};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "rolling-restart",
    row: "F27",
    says: "every node stopped and started in turn: no request is cut, none comes twice",
    nodes: &[2, 3, 5],
    budget: Budget { recovery: Duration::from_secs(3), repeats: Repeats::None, ..KILLED },
    play,
    part: Part::Always,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for number in stage.others(&[]) {
        stage.broken(|stage| kill::restart_in_order(stage, number));
    }
    stage.settled(Duration::from_secs(4));
}
