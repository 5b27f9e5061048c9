//! The service answers everything with an error: attempts are not multiplied, and each error is passed on in its way.

use super::{Part, SERVICE, Scenario, usual};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-storm",
    row: "F18",
    says: "the service answers 503, 500 and 429 only, for 4 s each",
    nodes: &[2, 3, 5],
    budget: SERVICE,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for fault in ["503=1", "500", "429=1"] {
        stage.broken_service(fault, |stage| stage.hold(Duration::from_secs(4)));
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
