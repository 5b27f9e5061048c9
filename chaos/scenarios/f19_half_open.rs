//! The service's end of a node's connections is gone without a word; new connections work.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::half_open;
use crate::invariants::Budget;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-half-open",
    row: "F19",
    says: "what one node or all send on their open connections to the service is dropped for 6 s",
    nodes: &[3],
    budget: Budget { gap: Duration::from_millis(1_500), ..SILENT },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let mut victims = stage.others(&[]);
    if stage.rng.random() {
        victims = vec![stage.pick(&victims)];
    }
    stage.broken(|stage| {
        for number in half_open::begin(&stage.cluster, &victims) {
            stage.record.findings.push(format!("node-{number} had no connection to cut"));
        }
        stage.hold(Duration::from_secs(6));
        half_open::end(&stage.cluster);
    });
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
