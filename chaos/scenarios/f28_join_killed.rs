//! A host is killed while it joins and while it starts for the first time, and the leader while it lets it in: joining
//! again makes it a node, and nothing is left of the attempts.

use super::{KILLED, Part, Scenario, usual};
use crate::stage::Stage;
use crate::support::program::run;
use crate::support::wait;
use rand::RngExt;
use std::process::{Child, Stdio};
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "join-killed",
    row: "F28",
    says: "kill -9 of rmsc join up to 0.2 s after it began, of the leader meanwhile, and of the new node's first starts",
    nodes: &[3],
    budget: KILLED,
    play,
    part: Part::Drawn,
    settings: usual,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    stage.cluster.prepare(NEW);
    let token = wait::until("a token is made", wait::PATIENCE, || stage.cluster.token());
    let attempts = stage.rng.random_range(1..=3);
    stage.broken(|stage| (0..attempts).for_each(|_| kill_join(stage, &token)));
    let leader = stage.leader();
    stage.without_front(leader, |stage| {
        stage.broken(|stage| {
            kill_leader(stage, leader, &token);
            join(stage, leader, &token);
            for _ in 0..stage.rng.random_range(1..=3) {
                stage.cluster.start(NEW);
                drawn(stage, 1_500);
                stage.cluster.kill(NEW);
            }
            stage.cluster.start(NEW);
            stage.hold(BETWEEN);
            stage.cluster.start(leader);
        });
        stage.recover();
    });
    check_members(stage);
    stage.settled(Duration::from_secs(4));
}

/// Key, disk number, asked, let in, claimed, identity: in a tenth of a second or so. It has come to any of them.
fn begin_join(stage: &mut Stage, token: &str) -> Child {
    let through = stage.others(&[NEW]);
    let through = stage.pick(&through);
    let mut joining = stage.cluster.join(NEW, through, token);
    let joining = joining.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let joining = joining.expect("the program was built with the tests");
    drawn(stage, 200);
    joining
}

fn kill_join(stage: &mut Stage, token: &str) {
    let mut joining = begin_join(stage, token);
    let _ = joining.kill();
    let _ = joining.wait();
}

/// Whoever is asked, it is the leader who lets the host in.
fn kill_leader(stage: &mut Stage, leader: usize, token: &str) {
    let mut joining = begin_join(stage, token);
    stage.cluster.kill(leader);
    let _ = joining.wait();
}

/// As the README says: again, with the same token or a new one, through a node that runs.
fn join(stage: &mut Stage, leader: usize, token: &str) {
    let others = stage.others(&[NEW, leader]);
    let through = stage.pick(&others);
    let mut token = Some(token.to_owned()).filter(|_| stage.rng.random());
    let mut ran = None;
    let done = wait::happens(wait::PATIENCE, || {
        let Some(text) = token.take().or_else(|| stage.cluster.token()) else { return false };
        let ran = ran.insert(run(&mut stage.cluster.join(NEW, through, &text)));
        // 4: that token is not taken.
        token = Some(text).filter(|_| ran.code != Some(4));
        ran.code == Some(0)
    });
    if !done {
        stage.record.findings.push(format!("the host cannot join: {ran:?}"));
    }
}

/// Four nodes, of which three vote, and nobody else.
fn check_members(stage: &mut Stage) {
    let expected = stage.cluster.names();
    let mut seen = String::new();
    let done = wait::happens(wait::PATIENCE, || {
        let shown = stage.cluster.rmsc(&["cluster", "show", "-o", "json"]);
        if shown.code != Some(0) {
            return false;
        }
        let names = |field| -> Vec<String> {
            let names = shown.field(field);
            let text = |name: &serde_json::Value| name.as_str().map(ToOwned::to_owned);
            names.as_array().into_iter().flatten().filter_map(text).collect()
        };
        let (voters, learners) = (names("voters"), names("learners"));
        seen = format!("voters {voters:?}, learners {learners:?}");
        let mut all = [&voters[..], &learners[..]].concat();
        all.sort();
        all == expected && voters.len() == 3
    });
    if !done {
        stage.record.findings.push(format!("the members are not {expected:?}: {seen}"));
    }
}

fn drawn(stage: &mut Stage, ms_max: u64) {
    let span = Duration::from_millis(stage.rng.random_range(0..=ms_max));
    stage.hold(span);
}

const NEW: usize = 4;
const BETWEEN: Duration = Duration::from_secs(1);
