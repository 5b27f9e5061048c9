//! Nodes that die, stop or freeze while servers call through the others.

use crate::support::cluster::TestCluster;
use crate::support::load::{Load, Report};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{log, processes, wait};
use rustix::process::Signal;
use std::time::Duration;

/// The longest that one request may take while a node fails.
const SLOWEST_MAX: Duration = Duration::from_millis(2_500);
const CLIENTS_PER_FRONT: usize = 3;

#[derive(Clone, Copy)]
enum Victim {
    Leader,
    Follower,
}

struct Scenario {
    cluster: TestCluster,
    victim: String,
    others: Vec<String>,
}

impl Scenario {
    fn new(victim: Victim) -> Self {
        let cluster = TestCluster::alone(3);
        cluster.await_rotation();
        let leader = cluster.leader();
        let victim = match victim {
            Victim::Leader => leader,
            Victim::Follower => cluster.others(&[&leader]).remove(0),
        };
        cluster.reset_counts();
        let others = cluster.others(&[&victim]);
        Scenario { cluster, victim, others }
    }

    /// Load through the fronts of the others.
    fn load(&self) -> Load {
        let fronts: Vec<_> = self.others.iter().map(|name| self.cluster.node(name)).collect();
        Load::start(&fronts, &self.cluster.exchange(), &ACQUIRE_LICENSE, CLIENTS_PER_FRONT)
    }

    /// Requests before, the fault, and requests after.
    fn under_load(&self, fault: impl FnOnce(&Self)) -> Report {
        let load = self.load();
        load.await_more(150);
        fault(self);
        load.await_more(300);
        load.stop()
    }

    /// Checks that the service saw every request, and which ones twice.
    #[track_caller]
    fn check_duplicates_are_reported(&self, report: &Report) {
        let counts = self.cluster.counts();
        assert_eq!(counts.without_id, 0);
        assert!(counts.duplicates.values().all(|times| *times <= 2), "{:?}", counts.duplicates);
        assert_eq!(counts.duplicates.len() as u64, counts.duplicate_requests);
        assert_eq!(counts.total, report.requests + counts.duplicate_requests);
    }
}

fn kill(scenario: &Scenario) {
    scenario.cluster.kill(&scenario.victim);
}

#[test]
fn a_killed_follower_fails_no_request_through_the_others() {
    let report = Scenario::new(Victim::Follower).under_load(kill);
    report.check_nothing_failed();
}

#[test]
fn a_killed_leader_fails_no_request_through_the_others() {
    let report = Scenario::new(Victim::Leader).under_load(kill);
    report.check_nothing_failed();
    assert!(report.slowest <= SLOWEST_MAX, "{:?}", report.slowest);
}

#[test]
fn no_request_reaches_the_service_more_than_twice_when_a_node_is_killed() {
    let scenario = Scenario::new(Victim::Follower);
    let report = scenario.under_load(kill);
    scenario.check_duplicates_are_reported(&report);
}

#[test]
fn the_share_of_a_dead_node_goes_to_the_others_and_comes_back_with_it() {
    let scenario = Scenario::new(Victim::Follower);
    let (cluster, victim, others) = (&scenario.cluster, &scenario.victim, &scenario.others);
    let load = scenario.load();
    load.await_more(90);
    cluster.kill(victim);
    cluster.await_rotation_of(others, others);
    let before = cluster.counts();
    load.await_more(200);
    let after = cluster.counts();
    let gained = |name: &String| {
        after.by_node.get(name).copied().unwrap_or(0) - before.by_node.get(name).copied().unwrap_or(0)
    };
    assert_eq!(gained(victim), 0);
    let shares: Vec<u64> = others.iter().map(gained).collect();
    assert!(shares[0].abs_diff(shares[1]) <= (shares[0] + shares[1]) / 20, "{shares:?}");

    cluster.restart(victim);
    cluster.await_rotation_of(others, &cluster.others(&[]));
    cluster.reset_counts();
    load.await_more(300);
    load.stop().check_nothing_failed();
    let counts = cluster.counts();
    for name in cluster.others(&[]) {
        let share = counts.by_node.get(&name).copied().unwrap_or(0);
        assert!(share * 3 >= counts.total * 9 / 10, "{name} has {share} of {}", counts.total);
    }
}

#[test]
fn a_node_that_is_told_to_stop_fails_no_request_and_repeats_none() {
    let scenario = Scenario::new(Victim::Leader);
    let pid = scenario.cluster.node(&scenario.victim).running_pid();
    let report = scenario.under_load(|scenario| {
        scenario.cluster.signal(&scenario.victim, Signal::TERM);
        processes::check_gone(&[pid], wait::PATIENCE);
    });
    report.check_nothing_failed();
    assert_eq!(scenario.cluster.counts().duplicate_requests, 0);
}

#[test]
fn the_last_line_of_a_node_that_is_told_to_stop_is_that_it_has_stopped() {
    let scenario = Scenario::new(Victim::Follower);
    let node = scenario.cluster.node(&scenario.victim);
    scenario.under_load(|scenario| {
        scenario.cluster.signal(&scenario.victim, Signal::TERM);
        processes::check_gone(&[node.running_pid()], wait::PATIENCE);
    });
    let last = log::lines(&node).pop().unwrap();
    assert_eq!((&last["event"], &last["node"]), (&1001.into(), &scenario.victim.as_str().into()), "{last}");
}

#[track_caller]
fn check_frozen(victim: Victim) {
    let scenario = Scenario::new(victim);
    let pid = scenario.cluster.node(&scenario.victim).running_pid();
    let report = scenario.under_load(|_| {
        processes::signal(pid, Signal::STOP);
        wait::stays("the node is frozen", Duration::from_secs(3), || processes::is_alive(pid));
        processes::signal(pid, Signal::CONT);
    });
    report.check_nothing_failed();
    assert!(report.slowest <= SLOWEST_MAX, "{:?}", report.slowest);
    scenario.check_duplicates_are_reported(&report);
    scenario.cluster.await_rotation();
}

#[test]
fn a_frozen_follower_fails_no_request_and_delays_none_for_long() {
    check_frozen(Victim::Follower);
}

#[test]
fn a_frozen_leader_fails_no_request_and_delays_none_for_long() {
    check_frozen(Victim::Leader);
}
