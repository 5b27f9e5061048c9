//! A node's process ends without notice, as after `kill -9` or a crash; and one that is told to stop.

use crate::stage::Stage;
use std::time::Duration;

/// Ends a node, goes on without it for a while, starts it again, and waits until all are well.
pub fn and_restart(stage: &mut Stage, number: usize, after: Duration) {
    stage.without_front(number, |stage| {
        stage.broken(|stage| {
            stage.cluster.kill(number);
            stage.hold(after);
            stage.cluster.start(number);
        });
        stage.recover();
    });
}

/// The same in order, for what a scenario has to prepare: its own front is not looked at meanwhile.
pub fn restart_aside(stage: &mut Stage, number: usize) {
    stage.without_front(number, |stage| restart_in_order(stage, number));
}

/// Tells a node to stop, as an operator does, and starts it again. Its clients find the port closed and go on elsewhere.
pub fn restart_in_order(stage: &mut Stage, number: usize) {
    stage.set_down(number, true);
    let code = stage.cluster.stop(number);
    if code != Some(0) {
        stage.record.findings.push(format!("node-{number} ended with {code:?} when it was told to stop"));
    }
    stage.cluster.start(number);
    stage.recover();
    stage.set_down(number, false);
}
