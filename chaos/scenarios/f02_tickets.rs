//! Half of the callers have tickets of a real domain, and the others NTLM, when the leader is killed: who proves itself in
//! one leg notices as little as who needs three.

use super::{KILLED, Part, Scenario, usual};
use crate::cluster::Settings;
use crate::faults::kill;
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "tickets",
    row: "F2",
    says: "kill -9 of the leader while every second caller proves itself with Kerberos",
    nodes: &[3],
    budget: KILLED,
    play,
    part: Part::Named("on two slow processors a gap is longer than 100 ms now and then"),
    settings,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let victim = stage.leader();
    kill::and_restart(stage, victim, Duration::from_secs(4));
    stage.settled(Duration::from_secs(4));
}

fn settings(nodes: usize) -> Settings {
    Settings { tickets: true, ..usual(nodes) }
}
