//! No node reaches any other: nobody leads, and every front goes on with its own node.

use super::{Part, SILENT, Scenario, usual};
use crate::faults::partition::{Direction, Ports, cut, heal};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "quorum-lost",
    row: "F5",
    says: "no node reaches any other for 5 s: no quorum anywhere",
    nodes: &[2, 3, 5],
    budget: SILENT,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let from = stage.now();
    stage.broken(|stage| {
        for number in &all {
            let others = stage.others(&[*number]);
            cut(&stage.cluster, *number, &others, Direction::Both, Ports::All);
        }
        stage.hold(Duration::from_secs(5));
        all.iter().for_each(|number| heal(&stage.cluster, *number));
    });
    stage.recover();
    stage.were_cut_off(&all, from);
    stage.settled(Duration::from_secs(4));
}
