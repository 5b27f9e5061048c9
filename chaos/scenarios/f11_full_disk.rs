//! The disk of a node is full to the last byte: changes may be refused, relaying is not, and it heals by itself.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::full_disk;
use crate::invariants::Budget;
use crate::stage::Stage;
use crate::support::disk::Tmpfs;
use rand::RngExt;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "full-disk",
    row: "F11",
    says: "the disk of the leader or of all nodes full for 4 s",
    nodes: &[2, 3],
    budget: Budget { recovery: Duration::from_secs(5), ..KILLED },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let disks: Vec<_> = all.iter().map(|number| full_disk::small(stage, *number)).collect();
    let full = if stage.rng.random() { all.clone() } else { vec![stage.leader()] };
    let filled = || all.iter().zip(&disks).filter(|(number, _)| full.contains(number)).map(|(_, disk)| disk);
    stage.broken(|stage| {
        filled().for_each(|disk| disk.fill(0));
        stage.hold(Duration::from_secs(4));
        filled().for_each(Tmpfs::make_room);
    });
    stage.recover();
    stage.settled(Duration::from_secs(4));
}
