//! A node joins under load, and the leader is removed: nobody notices.

use super::{KILLED, Part, Scenario, usual};
use crate::stage::Stage;
use crate::support::wait;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "membership",
    row: "F28",
    says: "a fourth node joins, then the leader is removed, under load",
    nodes: &[3],
    budget: KILLED,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    stage.broken(|stage| {
        stage.cluster.enlist(4);
        stage.recover();
    });
    stage.settled(Duration::from_secs(4));
    let leader = stage.leader();
    let others = stage.others(&[leader]);
    let through = stage.pick(&others);
    let through = stage.cluster.host(through).node.admin.to_string();
    // It was asked to go: until its port is closed it serves.
    stage.set_down(leader, true);
    stage.broken(|stage| {
        let name = format!("node-{leader}");
        let ran = stage.cluster.rmsc_through(&through, &["node", "remove", &name, "--yes"]);
        if !matches!(ran.code, Some(0 | 3)) {
            stage.record.findings.push(format!("{name} cannot be removed: {ran:?}"));
        }
        stage.cluster.await_end(leader, wait::PATIENCE);
        stage.without_front_for_good(leader);
        stage.cluster.forget(leader);
        stage.record.nodes.retain(|node| *node != name);
    });
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
