//! Two things at once: a node cut off while another stands still, or the leader killed while a disk is slow.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::freeze::Rejoin;
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::faults::{freeze, kill, slow_disk};
use crate::invariants::Budget;
use crate::stage::Stage;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "double",
    row: "F30",
    says: "one node cut off and another frozen for 2 s; or the leader killed beside a slow disk",
    nodes: &[3, 5],
    budget: Budget { gap: Duration::from_secs(1), recovery: Duration::from_secs(10), ..SILENT },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let (leader, follower) = (stage.leader(), stage.follower());
    if stage.rng.random() {
        let others = stage.others(&[follower]);
        stage.cut_off(follower, |stage| {
            stage.broken(|stage| cut(&stage.cluster, follower, &others, Direction::Both, Ports::All));
            freeze::for_a_while(stage, leader, Duration::from_secs(2), Rejoin::Later);
            stage.broken(|stage| heal(&stage.cluster, follower));
            stage.recover();
        });
    } else {
        slow_disk::under(stage, follower, Duration::from_millis(200), |stage| {
            let leader = stage.leader();
            kill::and_restart(stage, leader, Duration::from_secs(3));
        });
        stage.recover();
    }
    stage.settled(Duration::from_secs(4));
}
