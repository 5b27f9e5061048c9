//! Every node is killed at the same time, and the store of one is damaged meanwhile: the others have what it lost.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::damage;
use crate::invariants::{Budget, Failures};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "all-killed-damaged",
    row: "F30",
    says: "kill -9 of all nodes at once, a follower's store damaged; all started again",
    nodes: &[3, 5],
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
    let victim = stage.follower();
    let all = stage.others(&[]);
    stage.broken(|stage| {
        all.iter().for_each(|number| stage.cluster.kill(*number));
        damage::store(&stage.cluster, victim);
        all.iter().for_each(|number| stage.cluster.start(*number));
        stage.recover();
    });
    stage.settled(Duration::from_secs(4));
}
