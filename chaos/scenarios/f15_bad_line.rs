//! The line of a node to the others loses packets, or takes half a second, or carries no more than 1 Mbit/s.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::slow_line::Lines;
use crate::faults::{kill, loss, narrow_line, partition};
use crate::invariants::Budget;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "bad-line",
    row: "F15",
    says: "a node's line loses 1 % or 10 % of its packets, or delays them by 50 ms or 500 ms, or sends the others 1 Mbit/s",
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
    match stage.rng.random_range(0..3) {
        0 => lossy(stage, victim),
        1 => slow(stage, victim),
        _ => narrow(stage, victim),
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

fn lossy(stage: &mut Stage, victim: usize) {
    let percent = if stage.rng.random() { 1 } else { 10 };
    stage.broken(|stage| {
        loss::begin(&stage.cluster, victim, percent);
        stage.hold(SPAN);
        partition::heal(&stage.cluster, victim);
    });
}

fn slow(stage: &mut Stage, victim: usize) {
    let delay = Duration::from_millis(if stage.rng.random() { 50 } else { 500 });
    // New connections go over the lines; those that are there end with the node's process.
    let lines = stage.without_front(victim, |stage| {
        let lines = Lines::between(&mut stage.cluster, victim);
        kill::restart_in_order(stage, victim);
        lines
    });
    stage.broken(|stage| {
        lines.delay(delay);
        stage.hold(SPAN);
        lines.delay(Duration::ZERO);
    });
}

/// What a node sends to the others at 200 requests a second is seven times as much as this line carries.
fn narrow(stage: &mut Stage, victim: usize) {
    let sent = stage.broken(|stage| {
        narrow_line::begin(&stage.cluster, victim);
        stage.hold(SPAN);
        narrow_line::end(&stage.cluster, victim)
    });
    if !sent.was_full(SPAN) {
        stage.record.findings.push(format!("the line of node-{victim} was not narrow: {sent:?}"));
    }
}

const SPAN: Duration = Duration::from_secs(5);
