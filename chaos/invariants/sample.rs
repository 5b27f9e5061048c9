//! A record of a good run, made by hand: the checkers are tried on it with and without a defect.

use super::{Budget, Failures, Repeats};
use crate::record::{Action, Arrival, Change, Outcome, Record, Request, Span, Told};
use std::collections::BTreeMap;
use std::time::Duration;

pub const BUDGET: Budget = Budget {
    failures: Failures::None,
    gap: Duration::from_millis(100),
    single: Duration::from_millis(500),
    recovery: Duration::from_secs(5),
    repeats: Repeats::OfLost,
};

/// Twelve seconds of three nodes; one is killed after five, and back after eight.
pub fn record() -> Record {
    let nodes: Vec<String> = (1..=3).map(|number| format!("node-{number}")).collect();
    let mut record = Record {
        nodes: nodes.clone(),
        rate: 200,
        ended: Duration::from_secs(12),
        accounts: BTreeMap::from([
            (ALWAYS.to_owned(), "LAB\\EXCH01$".to_owned()),
            (CHANGING.to_owned(), "LAB\\quick-1".to_owned()),
            (STRANGER.to_owned(), "LAB\\mallory".to_owned()),
        ]),
        always: vec![ALWAYS.to_owned()],
        faults: vec![Span::new(Duration::from_secs(5), Duration::from_secs(8))],
        recovered: Some(Duration::from_secs(1)),
        epochs: vec![(Span::new(Duration::from_secs(1), Duration::from_secs(5)), nodes.clone())],
        searched: (9, 9),
        ..Record::default()
    };
    for number in 0..2_400_u32 {
        let at = Duration::from_millis(5) * number;
        let serving = nodes.get(number as usize % 3).cloned().unwrap_or_default();
        let id = format!("id-{number}");
        record.requests.push(request(at, "LAB\\EXCH01$", &id, &serving));
        record.arrivals.push(arrival(at, ALWAYS, &id, &serving));
    }
    record.changes = vec![
        change(Action::Add(1), 1_000, Told::Added(true)),
        change(Action::Read, 1_500, Told::Note(Some(1))),
        change(Action::Remove, 2_000, Told::Removed(true)),
        change(Action::Read, 5_000, Told::Note(None)),
        change(Action::Add(2), 6_000, Told::Added(true)),
        change(Action::Add(3), 7_000, Told::Added(false)),
    ];
    let end = BTreeMap::from([(CHANGING.to_owned(), Some(3))]);
    record.finals = nodes.iter().map(|node| (node.clone(), end.clone())).collect();
    record
}

pub fn request(at: Duration, account: &str, id: &str, serving: &str) -> Request {
    Request {
        front: "node-1".into(),
        account: account.into(),
        intended: at,
        ended: at + Duration::from_millis(3),
        outcome: Outcome::Good,
        moved: None,
        id: id.into(),
        served_by: serving.into(),
        fresh: false,
    }
}

pub fn arrival(at: Duration, caller: &str, id: &str, node: &str) -> Arrival {
    Arrival { at, id: id.into(), node: node.into(), caller: caller.into() }
}

fn change(action: Action, at_ms: u64, told: Told) -> Change {
    let begun = Duration::from_millis(at_ms);
    let ended = Some((begun + Duration::from_millis(20), told));
    Change { key: CHANGING.into(), action, begun, ended }
}

pub const ALWAYS: &str = "S-1-5-21-1-1-1-1101";
pub const CHANGING: &str = "S-1-5-21-1-1-1-1102";
pub const STRANGER: &str = "S-1-5-21-1-1-1-1103";
