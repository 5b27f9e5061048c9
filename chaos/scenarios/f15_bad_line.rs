//! The line of a node to the others loses packets, or takes half a second, or stands still for a while.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::slow_line::Lines;
use crate::faults::{kill, loss, partition};
use crate::invariants::Budget;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "bad-line",
    row: "F15",
    says: "a node's line loses 1 % or 10 % of its packets, or delays them by 50 ms or 500 ms",
    nodes: &[3],
    budget: Budget { gap: Duration::from_millis(1_500), single: Duration::from_secs(3), ..SILENT },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    if stage.rng.random() {
        let percent = if stage.rng.random() { 1 } else { 10 };
        stage.broken(|stage| {
            loss::begin(&stage.cluster, victim, percent);
            stage.hold(Duration::from_secs(5));
            partition::heal(&stage.cluster, victim);
        });
    } else {
        let delay = Duration::from_millis(if stage.rng.random() { 50 } else { 500 });
        // New connections go over the lines; those that are there end with the node's process.
        let lines = stage.without_front(victim, |stage| {
            let lines = Lines::between(&mut stage.cluster, victim);
            kill::restart_in_order(stage, victim);
            lines
        });
        stage.broken(|stage| {
            lines.delay(delay);
            stage.hold(Duration::from_secs(5));
            lines.delay(Duration::ZERO);
        });
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
