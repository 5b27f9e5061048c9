//! A node may open hardly any more files: new connections wait, those that are there go on, and nothing spins.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::resources;
use crate::invariants::Budget;
use crate::stage::Stage;
use crate::support::processes;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "files",
    row: "F26",
    says: "a node may open four more files for 4 s",
    nodes: &[3],
    budget: Budget {
        gap: Duration::from_secs(1),
        single: Duration::from_secs(6),
        recovery: Duration::from_secs(2),
        ..KILLED
    },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    let pid = stage.cluster.host(victim).node.running_pid();
    let usual = used_meanwhile(stage, pid);
    let used = stage.broken(|stage| {
        resources::files(&stage.cluster, victim, 4);
        let used = used_meanwhile(stage, pid);
        resources::files_again(&stage.cluster, victim);
        used
    });
    if used > usual + SPAN / 10 {
        stage.record.findings.push(format!("node-{victim} used {used:?} of a processor, {usual:?} before"));
    }
    if !processes::is_alive(pid) {
        stage.record.findings.push(format!("node-{victim} did not live through it"));
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

/// The processor time that a process uses in four seconds.
fn used_meanwhile(stage: &Stage, pid: u32) -> Duration {
    let before = processes::processor_time(pid);
    stage.hold(SPAN);
    processes::processor_time(pid).saturating_sub(before)
}

const SPAN: Duration = Duration::from_secs(4);
