//! The clock of a node jumps: an hour or ten minutes ahead or back, or five seconds back.

use super::{KILLED, Part, Scenario, usual};
use crate::cluster::{Clocks, Settings};
use crate::faults::clock;
use crate::invariants::Budget;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "clock",
    row: "F14",
    says: "a node's clock jumps by an hour, ten minutes or five seconds for 5 s, and back",
    nodes: &[3],
    budget: Budget { recovery: Duration::from_secs(3), ..KILLED },
    play,
    part: Part::Drawn,
    settings,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let (victim, seconds) = (stage.pick(&all), stage.rng.random_range(0..JUMPS.len()));
    let seconds = JUMPS.get(seconds).copied().unwrap_or_default();
    stage.broken(|stage| {
        clock::set(&stage.cluster, victim, seconds);
        stage.hold(Duration::from_secs(5));
        clock::set(&stage.cluster, victim, 0);
    });
    stage.hold(Duration::from_secs(1));
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

fn settings(nodes: usize) -> Settings {
    Settings { clocks: Clocks::Own, ..usual(nodes) }
}

const JUMPS: [i64; 5] = [3_600, -3_600, 600, -600, -5];
