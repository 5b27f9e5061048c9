//! What is played, one scenario a file: which nodes, what happens to them, and what it may cost.

mod f01_follower_killed;
mod f02_leader_killed;
mod f02_tickets;
mod f03_all_killed;
mod f05_partition;
mod f05_quorum_lost;
mod f06_one_way;
mod f07_bridge;
mod f08_front_port;
mod f08_ports;
mod f09_frozen;
mod f10_slow_disk;
mod f11_full_disk;
mod f13_damage;
mod f14_clock;
mod f15_bad_line;
mod f16_service_refuses;
mod f17_service_slow;
mod f18_service_storm;
mod f19_half_open;
mod f20_service_garbage;
mod f23_certificate_swap;
mod f23_certificates;
mod f25_memory;
mod f26_files;
mod f27_drain;
mod f27_rolling_restart;
mod f27_rolling_upgrade;
mod f28_join_killed;
mod f28_membership;
mod f30_all_killed_damaged;
mod f30_double;
mod f30_removal_killed;

use crate::cluster::{Certificates, Clocks, Settings};
use crate::invariants::{Budget, Failures, Repeats};
use crate::stage::Stage;
use std::time::Duration;

pub struct Scenario {
    pub name: &'static str,
    /// The row of the fault matrix.
    pub row: &'static str,
    pub says: &'static str,
    /// Numbers of nodes that it can be played with.
    pub nodes: &'static [usize],
    pub budget: Budget,
    pub play: fn(&mut Stage),
    pub part: Part,
    pub settings: fn(usize) -> Settings,
}

/// When it is played.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// In every slice.
    Always,
    /// In a slice if the seed draws it.
    Drawn,
    /// By its name alone, because of what does not hold yet.
    Named(&'static str),
    /// In every slice, if there is a program of an earlier build to play it with.
    WithOlder,
}

pub const ALL: &[Scenario] = &[
    f01_follower_killed::SCENARIO,
    f02_leader_killed::SCENARIO,
    f02_tickets::SCENARIO,
    f03_all_killed::SCENARIO,
    f05_partition::SCENARIO,
    f05_quorum_lost::SCENARIO,
    f06_one_way::SCENARIO,
    f07_bridge::SCENARIO,
    f08_front_port::SCENARIO,
    f08_ports::SCENARIO,
    f09_frozen::SCENARIO,
    f10_slow_disk::SCENARIO,
    f11_full_disk::SCENARIO,
    f13_damage::SCENARIO,
    f14_clock::SCENARIO,
    f15_bad_line::SCENARIO,
    f16_service_refuses::SCENARIO,
    f17_service_slow::SCENARIO,
    f18_service_storm::SCENARIO,
    f19_half_open::SCENARIO,
    f20_service_garbage::SCENARIO,
    f23_certificate_swap::SCENARIO,
    f23_certificates::SCENARIO,
    f25_memory::SCENARIO,
    f26_files::SCENARIO,
    f27_drain::SCENARIO,
    f27_rolling_restart::SCENARIO,
    f27_rolling_upgrade::SCENARIO,
    f28_join_killed::SCENARIO,
    f28_membership::SCENARIO,
    f30_all_killed_damaged::SCENARIO,
    f30_double::SCENARIO,
    f30_removal_killed::SCENARIO,
];

/// A node dies: nobody notices but its own connections.
const KILLED: Budget = Budget {
    failures: Failures::None,
    gap: Duration::from_millis(100),
    single: Duration::from_millis(1_500),
    recovery: Duration::from_secs(5),
    repeats: Repeats::OfLost,
};

/// A node is silent, or cannot be reached: it takes longer to find out.
const SILENT: Budget = Budget { gap: Duration::from_millis(500), ..KILLED };

/// The service fails, and what it says is passed on.
const SERVICE: Budget = Budget {
    failures: Failures::OfTheService,
    gap: Duration::from_millis(500),
    recovery: Duration::from_secs(2),
    ..KILLED
};

fn usual(nodes: usize) -> Settings {
    Settings {
        nodes,
        certificate_life: Duration::from_secs(90 * 86_400),
        certificates: Certificates::OfFiles,
        clocks: Clocks::Shared,
        tickets: false,
        older: None,
    }
}
