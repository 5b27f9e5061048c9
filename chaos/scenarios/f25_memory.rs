//! A node may use 256 MB of memory, and no more.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::resources::Memory;
use crate::invariants::Budget;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "memory",
    row: "F25",
    says: "a node in a control group of 256 MB for 6 s",
    nodes: &[3],
    budget: Budget { gap: Duration::from_millis(200), recovery: Duration::from_secs(2), ..KILLED },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    stage.broken(|stage| {
        let limited = Memory::limit(&stage.cluster, victim, LIMIT_BYTES);
        stage.hold(Duration::from_secs(6));
        let used = limited.used_max();
        if used >= LIMIT_BYTES {
            stage.record.findings.push(format!("node-{victim} used all of its memory: {used} bytes"));
        }
    });
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

const LIMIT_BYTES: u64 = 256 << 20;
