//! Two nodes cannot reach each other, and each reaches the rest: the rest is a bridge between them.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "bridge",
    row: "F7",
    says: "the leader and a follower cannot reach each other for 5 s, the others reach both",
    nodes: &[3, 5],
    budget: SILENT,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let (leader, follower) = (stage.leader(), stage.follower());
    stage.cut_off(follower, |stage| {
        stage.cut_off(leader, |stage| {
            stage.broken(|stage| {
                cut(&stage.cluster, follower, &[leader], Direction::Both, Ports::All);
                stage.hold(Duration::from_secs(5));
                heal(&stage.cluster, follower);
            });
            stage.recover();
        });
    });
    stage.settled(Duration::from_secs(4));
}
