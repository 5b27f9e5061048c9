//! Every node is killed while the leader is being removed: what was asked for has happened or has not, and asking again
//! ends it.

use super::{KILLED, Part, Scenario, usual};
use crate::invariants::{Budget, Failures};
use crate::stage::Stage;
use crate::support::wait;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "removal-killed",
    row: "F30",
    says: "kill -9 of all nodes up to 0.6 s after the leader's removal was asked for; asked again when they are back",
    nodes: &[3, 5],
    budget: Budget {
        failures: Failures::WhileDown,
        gap: Duration::from_secs(4),
        single: Duration::from_secs(3),
        recovery: Duration::from_secs(10),
        ..KILLED
    },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let leader = stage.leader();
    let name = format!("node-{leader}");
    let removal = ["node", "remove", &name, "--yes"];
    let (all, others) = (stage.others(&[]), stage.others(&[leader]));
    let through = stage.pick(&others);
    let through = stage.cluster.host(through).node.admin.to_string();
    // Asked, handed over, out of the voters, out of the list, told: it takes about so long.
    let after = Duration::from_millis(stage.rng.random_range(0..=600));
    stage.without_front_for_good(leader);
    stage.broken(|stage| {
        let mut asked = stage.cluster.ask(&through, &removal);
        stage.hold(after);
        all.iter().for_each(|number| stage.cluster.kill(*number));
        let _ = asked.kill();
        let _ = asked.wait();
        all.iter().for_each(|number| stage.cluster.start(*number));
        remove(stage, &through, &removal);
        stage.cluster.forget(leader);
        stage.record.nodes.retain(|node| *node != name);
        stage.recover();
    });
    let listed = listed(stage, &through);
    if listed != stage.cluster.names() {
        stage.record.findings.push(format!("the nodes after the removal of {name} are {listed:?}"));
    }
    stage.settled(Duration::from_secs(4));
}

/// The members that a node knows.
fn listed(stage: &Stage, through: &str) -> Vec<String> {
    let list = stage.cluster.rmsc_through(through, &["node", "list", "-o", "json"]).field("nodes");
    let name = |node: &serde_json::Value| node.get("name")?.as_str().map(ToOwned::to_owned);
    let mut names: Vec<String> = list.as_array().into_iter().flatten().filter_map(name).collect();
    names.sort();
    names
}

/// Asks until it is done: there may be no leader yet.
fn remove(stage: &mut Stage, through: &str, removal: &[&str]) {
    let mut ran = None;
    let done = wait::happens(wait::PATIENCE, || {
        let code = ran.insert(stage.cluster.rmsc_through(through, removal)).code;
        matches!(code, Some(0 | 3))
    });
    if !done {
        stage.record.findings.push(format!("the leader cannot be removed: {ran:?}"));
    }
}
