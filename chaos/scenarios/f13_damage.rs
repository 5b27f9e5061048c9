//! A follower's log has flipped bits, or its store is something else: it is found, and never becomes the truth.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::damage;
use crate::invariants::Budget;
use crate::stage::Stage;
use crate::support::wait;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "damage",
    row: "F13",
    says: "a follower killed, its log or its store damaged: it stays out and is replaced, or rebuilds",
    nodes: &[3],
    budget: Budget { recovery: Duration::from_secs(10), ..KILLED },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = stage.follower();
    if stage.rng.random() {
        stage.without_front(victim, |stage| {
            stage.broken(|stage| {
                stage.cluster.kill(victim);
                damage::store(&stage.cluster, victim);
                stage.cluster.start(victim);
            });
            stage.recover();
        });
    } else {
        replace(stage, victim);
    }
    stage.settled(Duration::from_secs(4));
}

/// A log that is damaged keeps its node out; another host takes its place.
fn replace(stage: &mut Stage, victim: usize) {
    let name = format!("node-{victim}");
    stage.without_front_for_good(victim);
    stage.broken(|stage| {
        stage.cluster.kill(victim);
        damage::log(&stage.cluster, victim);
        stage.cluster.start(victim);
        let code = stage.cluster.await_end(victim, wait::PATIENCE);
        if code != Some(1) {
            stage.record.findings.push(format!("{name} ended with {code:?} over a damaged log"));
        }
        let ran = stage.cluster.rmsc(&["node", "remove", &name, "--yes"]);
        if !matches!(ran.code, Some(0 | 3)) {
            stage.record.findings.push(format!("{name} cannot be removed: {ran:?}"));
        }
        stage.cluster.forget(victim);
        stage.record.nodes.retain(|node| *node != name);
        stage.cluster.enlist(4);
    });
    stage.recover();
}
