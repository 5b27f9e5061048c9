//! Callers do not reach the front of a node, which is well: their next attempt at another address is answered, nobody else
//! notices, and the node goes on with its share of what the other fronts take.

use super::{KILLED, Part, Scenario, usual};
use crate::faults::partition::{Cut, cut_front, heal};
use crate::invariants::{Budget, Repeats};
use crate::network::Place;
use crate::stage::Stage;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "front-port",
    row: "F8",
    says: "the front's port of a node silent to callers for 2 s, then refused for 4 s; its peer port stays",
    nodes: &[2, 3, 5],
    budget: Budget { recovery: Duration::from_secs(2), repeats: Repeats::None, ..KILLED },
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    let all = stage.others(&[]);
    let victim = stage.pick(&all);
    stage.without_front(victim, |stage| {
        stage.broken(|stage| {
            cut_front(&stage.cluster, victim, Cut::Silent);
            check_port(stage, victim, ErrorKind::TimedOut);
            stage.hold(Duration::from_secs(2));
            cut_front(&stage.cluster, victim, Cut::Refused);
            check_port(stage, victim, ErrorKind::ConnectionRefused);
            // It does its share all the time.
            stage.settled(Duration::from_secs(3));
            heal(&stage.cluster, victim);
        });
        stage.recover();
    });
    if stage.moved(victim) == 0 {
        stage.record.findings.push(format!("nobody went on elsewhere when node-{victim} was cut off"));
    }
    stage.settled(Duration::from_secs(4));
}

/// What a caller sees who has no connection yet.
fn check_port(stage: &mut Stage, number: usize, expected: ErrorKind) {
    let seen = TcpStream::connect_timeout(&Place::Node(number).address(443), CONNECT_TIMEOUT);
    let seen = seen.map(|_| ()).map_err(|error| error.kind());
    if seen != Err(expected) {
        stage.record.findings.push(format!("the front of node-{number} gives {seen:?}, not {expected:?}"));
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
