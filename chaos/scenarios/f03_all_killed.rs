//! Every node is killed at the same time, and started again: nothing that was acknowledged is lost.

use super::{KILLED, Part, Scenario, usual};
use crate::invariants::{Budget, Failures};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "all-killed",
    row: "F3",
    says: "kill -9 of all nodes at once; all started again after 1 s",
    nodes: &[2, 3, 5],
    budget: Budget {
        failures: Failures::WhileDown,
        gap: Duration::from_secs(6),
        recovery: Duration::from_secs(10),
        ..KILLED
    },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    stage.broken(|stage| {
        all.iter().for_each(|number| stage.cluster.kill(*number));
        stage.hold(Duration::from_secs(1));
        all.iter().for_each(|number| stage.cluster.start(*number));
        stage.recover();
    });
    stage.settled(Duration::from_secs(4));
}
