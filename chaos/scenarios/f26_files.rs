//! A node may open hardly any more files: new connections wait, those that are there go on.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::resources;
use crate::invariants::Budget;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "files",
    row: "F26",
    says: "a node may open four more files for 4 s",
    nodes: &[3],
    budget: Budget {
        gap: Duration::from_secs(1),
        single: Duration::from_secs(6),
        recovery: Duration::from_secs(2),
        ..KILLED
    },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    let pid = stage.cluster.host(victim).node.running_pid();
    stage.broken(|stage| {
        resources::files(&stage.cluster, victim, 4);
        stage.hold(Duration::from_secs(4));
        resources::files_again(&stage.cluster, victim);
    });
    if stage.cluster.host(victim).node.pid != Some(pid) {
        stage.record.findings.push(format!("node-{victim} did not live through it"));
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
