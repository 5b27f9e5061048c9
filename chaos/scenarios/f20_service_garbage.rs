//! The service answers with what is no answer: pages, nothing, half of one, one without end.

use super::{Part, SERVICE, Scenario, usual};
use crate::invariants::{Budget, Failures};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-garbage",
    row: "F20",
    says: "pages, empty and cut answers for 1.5 s each, and four that do not end",
    nodes: &[2, 3, 5],
    budget: Budget { failures: Failures::OfTheAnswer, ..SERVICE },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for fault in ["html", "empty", "half-closed", "cut", "encoded-page", "endless,next=4"] {
        stage.broken_service(fault, |stage| stage.hold(Duration::from_millis(1_500)));
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
