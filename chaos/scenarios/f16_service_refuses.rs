//! Nobody listens at the service, or it resets connections: clients hear so at once, and no node is blamed.

use super::{Part, SERVICE, Scenario, usual};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-refuses",
    row: "F16",
    says: "the service refuses connections for 3 s, then resets them for 3 s",
    nodes: &[2, 3, 5],
    budget: SERVICE,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for fault in ["refused", "reset"] {
        stage.broken_service(fault, |stage| stage.hold(Duration::from_secs(3)));
        stage.recover();
    }
    stage.settled(Duration::from_secs(4));
}
