//! A node may use 1 GB of memory, and then 256 MB, and no more.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::kill;
use crate::faults::resources::Memory;
use crate::invariants::Budget;
use crate::stage::Stage;
use crate::support::processes;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "memory",
    row: "F25",
    says: "a node in a control group of 1 GB for 5 s, and of 256 MB for 6 s",
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
    // In the group from its start: what a process has when it comes into one is not counted there.
    let group = Memory::group(&stage.cluster, victim);
    stage.cluster.host_mut(victim).wrapper = group.wrapper();
    kill::restart_aside(stage, victim);
    for (words, bytes, span) in LIMITS {
        stage.broken(|stage| {
            group.limit(bytes);
            stage.hold(span);
        });
        let used = group.used_max();
        if used == 0 || used >= bytes {
            stage.record.findings.push(format!("node-{victim} used {used} bytes of the {words} it had"));
        }
        if !processes::is_alive(stage.cluster.host(victim).node.running_pid()) {
            stage.record.findings.push(format!("node-{victim} did not live through {words}"));
        }
    }
    stage.cluster.host_mut(victim).wrapper.clear();
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

const LIMITS: [(&str, u64, Duration); 2] =
    [("1 GB", 1 << 30, Duration::from_secs(5)), ("256 MB", 256 << 20, Duration::from_secs(6))];
