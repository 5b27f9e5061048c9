//! Nothing reaches the service for an account that is not in the table: with the table as an oracle, each request that
//! the service saw is judged again. The same is asked of every cluster of this project's tests.

use super::{Budget, Invariant, some};
use crate::record::{Action, Arrival, Outcome, Record};

pub const INVARIANT: Invariant = Invariant { name: "authorized", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let strange =
        |arrival: &&Arrival| !record.always.contains(&arrival.caller) && !was_let_in(record, arrival);
    let mut wrong: Vec<String> = record
        .arrivals
        .iter()
        .filter(strange)
        .map(|arrival| format!("{} came through {} at {:.1?}", arrival.caller, arrival.node, arrival.at))
        .collect();
    // An account that nobody ever added is told so, and nothing else.
    let known = |name: &String| {
        let sid = record.accounts.iter().find(|(_, account)| *account == name).map(|(sid, _)| sid);
        sid.is_some_and(|sid| {
            record.always.contains(sid) || record.changes.iter().any(|change| change.key == *sid)
        })
    };
    let answered =
        record.requests.iter().filter(|request| request.outcome == Outcome::Good && !known(&request.account));
    wrong.extend(answered.map(|request| format!("{} was served through {}", request.account, request.front)));
    if wrong.is_empty() {
        Ok(format!("{} requests came to the service", record.arrivals.len()))
    } else {
        Err(some(&wrong))
    }
}

fn was_let_in(record: &Record, arrival: &Arrival) -> bool {
    record.changes.iter().any(|change| {
        change.key == arrival.caller && matches!(change.action, Action::Add(_)) && change.begun <= arrival.at
    })
}

fn plant(record: &mut Record) {
    let at = std::time::Duration::from_secs(3);
    record.arrivals.push(super::sample::arrival(at, super::sample::STRANGER, "strange", "node-3"));
}
