//! The service's end of a node's connections is gone without a word; new connections work.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::{half_open, partition};
use crate::invariants::Budget;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "service-half-open",
    row: "F19",
    says: "what a node sends on its open connections to the service is dropped for 6 s",
    nodes: &[3],
    budget: Budget { gap: Duration::from_millis(1_500), ..SILENT },
    play,
    part: Part::Named(
        "a request on such a connection waits until its packets flow again: 6.7 s, and 1.5 s is the aim",
    ),
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    stage.broken(|stage| {
        let cut = half_open::begin(&stage.cluster, victim);
        if cut == 0 {
            stage.record.findings.push("there was no connection to cut".into());
        }
        stage.hold(Duration::from_secs(6));
        partition::heal(&stage.cluster, victim);
    });
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
