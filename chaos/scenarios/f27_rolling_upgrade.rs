//! The program is exchanged node by node, and back, and forward again; then the cluster keeps to the newer rules.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::kill;
use crate::invariants::{Budget, Repeats};
use crate::report::say;
use crate::stage::Stage;
use std::path::Path;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "rolling-upgrade",
    row: "F27",
    says: "every node from an earlier program to this one in turn, back, and forward; then rmsc cluster upgrade",
    nodes: &[2, 3, 5],
    budget: Budget { recovery: Duration::from_secs(3), repeats: Repeats::None, ..KILLED },
    play,
    part: Part::WithOlder,
    settings: usual,
};

fn play(stage: &mut Stage) {
    let (older, newer) = (stage.cluster.older(), stage.cluster.newer());
    check_programs(stage, &older);
    stage.baseline();
    let rules = rules(stage).0;
    for program in [&newer, &older, &newer] {
        exchange(stage, program);
        // It would take minutes, and say the same.
        if stage.record.recovered.is_none() {
            return;
        }
    }
    let (now, known) = self::rules(stage);
    if now != rules {
        stage.record.findings.push(format!("the rules went from version {rules} to {now} by themselves"));
    }
    say(&match known {
        _ if known == now => {
            format!("     both programs know version {now} of the rules: nothing is to be upgraded")
        }
        _ => format!("     the rules go from version {now} to {known}"),
    });
    upgrade(stage, (now, known));
    // Harmless, however often it is asked for.
    upgrade(stage, (known, known));
    stage.settled(Duration::from_secs(4));
}

/// The leader is the last one, as in the runbook: it hands over once.
fn exchange(stage: &mut Stage, program: &Path) {
    let leader = stage.leader();
    let mut order = stage.others(&[leader]);
    order.push(leader);
    for (at, number) in order.into_iter().enumerate() {
        stage.broken(|stage| {
            stage.cluster.host_mut(number).program = program.to_owned();
            kill::restart_in_order(stage, number);
            if stage.record.recovered.is_some() {
                look(stage);
            }
        });
        if stage.record.recovered.is_none() {
            return;
        }
        if at == 0 {
            // While the programs differ each has its share, too.
            stage.settled(Duration::from_secs(4));
        }
    }
    check_programs(stage, program);
    stage.settled(Duration::from_secs(4));
}

/// An administrator with the newer program at every node.
fn look(stage: &mut Stage) {
    for number in stage.others(&[]) {
        let through = stage.cluster.host(number).node.admin.to_string();
        for arguments in [&["status"][..], &["cluster", "show"], &["node", "list"], &["authz", "list"]] {
            let ran = stage.cluster.rmsc_through(&through, arguments);
            // 3: there is something to warn of.
            if !matches!(ran.code, Some(0 | 3)) {
                stage.record.findings.push(format!("{arguments:?} at node-{number}: {ran:?}"));
            }
        }
    }
}

fn check_programs(stage: &mut Stage, program: &Path) {
    for number in stage.others(&[]) {
        let runs = stage.cluster.runs(number);
        if runs.as_deref() != Some(program) {
            stage.record.findings.push(format!("node-{number} runs {runs:?}"));
        }
    }
}

/// The version of the rules that the cluster keeps to, and the newest that all nodes know.
fn rules(stage: &Stage) -> (u64, u64) {
    let shown = stage.cluster.rmsc(&["cluster", "show", "-o", "json"]);
    let number = |name| shown.field(name).as_u64().expect("a version is a number");
    (number("version"), number("version_known"))
}

fn upgrade(stage: &mut Stage, (now, known): (u64, u64)) {
    stage.broken(|stage| {
        let ran = stage.cluster.rmsc(&["cluster", "upgrade", "-o", "json"]);
        let expected = serde_json::json!({
            "before": now, "now": known, "newest": known, "oldest": [], "changed": known > now,
        });
        let said = serde_json::from_str(&ran.stdout).unwrap_or(serde_json::Value::Null);
        if ran.code != Some(0) || said != expected {
            stage.record.findings.push(format!("rmsc cluster upgrade is to say {expected}: {ran:?}"));
        }
    });
}
