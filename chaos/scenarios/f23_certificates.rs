//! The nodes' certificates live for twelve seconds: each renews its own under load, twice at least.

use super::{KILLED, Part, Scenario, usual};
use crate::cluster::Settings;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "certificates",
    row: "F23",
    says: "certificates of the nodes that live for 12 s, renewed under load for 20 s",
    nodes: &[3],
    budget: KILLED,
    play,
    part: Part::Drawn,
    settings,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    stage.broken(|stage| stage.hold(Duration::from_secs(20)));
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

fn settings(nodes: usize) -> Settings {
    Settings { certificate_life: Duration::from_secs(12), ..usual(nodes) }
}
