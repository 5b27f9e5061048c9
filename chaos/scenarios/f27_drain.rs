//! A node is taken out for maintenance and put back: its own callers notice nothing, and the others have its share.

use super::{KILLED, Part, Scenario, usual};
use crate::invariants::{Budget, Repeats};
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "drain",
    row: "F27",
    says: "rmsc node drain of the leader or a follower, and undrain",
    nodes: &[2, 3, 5],
    budget: Budget { recovery: Duration::from_secs(3), repeats: Repeats::None, ..KILLED },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = if stage.rng.random() { stage.leader() } else { stage.follower() };
    let name = format!("node-{victim}");
    let without: Vec<String> = stage.cluster.names().into_iter().filter(|node| *node != name).collect();
    ask(stage, &["node", "drain", &name]);
    stage.settled_of(without, Duration::from_secs(4));
    ask(stage, &["node", "undrain", &name]);
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

fn ask(stage: &mut Stage, arguments: &[&str]) {
    stage.broken(|stage| {
        let ran = stage.cluster.rmsc(arguments);
        if ran.code != Some(0) {
            stage.record.findings.push(format!("{arguments:?} was not done: {ran:?}"));
        }
    });
}
