//! The service takes two seconds for each answer, and then never gives one: what it does not hold up goes on.

use super::{Part, SERVICE, Scenario, usual};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-slow",
    row: "F17",
    says: "each answer takes 2 s for 3 s, then there is none for 3 s",
    nodes: &[3],
    budget: SERVICE,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for fault in ["latency=2s", "silent"] {
        stage.broken_service(fault, |stage| stage.hold(Duration::from_secs(3)));
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
