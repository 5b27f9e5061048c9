//! No client sees a failure that it could have been spared. After the failover figures of load balancers (HAProxy with
//! redispatch fails no request when a server dies), where anything but an answer counts.

use super::{Budget, Failures, Invariant, some};
use crate::clients::CONNECTING;
use crate::record::{Outcome, Record, Request};
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "errors", check, plant };

fn check(record: &Record, budget: &Budget) -> Result<String, String> {
    let wrong: Vec<String> =
        record.requests.iter().filter_map(|request| fault(record, budget, request)).collect();
    let count = |wanted: fn(&Record, &Request) -> bool| {
        record.requests.iter().filter(|request| wanted(record, request)).count()
    };
    let moved = count(|_, request| request.moved.is_some());
    let own = count(Record::own_front_was_down);
    let own_failed = count(own_failure);
    let passed = count(|record, request| record.service_was_broken(request) && request.outcome.is_failure());
    let own_failure = record.requests.iter().find(|request| own_failure(record, request));
    let shown = own_failure.map(|request| format!(", as {:?} at {:.1?}", request.outcome, request.intended));
    let said = format!(
        "{} failures; {moved} went on at another front, {own} were through a front that was down ({own_failed} failed{}); \
         {passed} failed with the service",
        wrong.len(),
        shown.unwrap_or_default()
    );
    if wrong.is_empty() { Ok(said) } else { Err(format!("{said}: {}", some(&wrong))) }
}

fn own_failure(record: &Record, request: &Request) -> bool {
    record.own_front_was_down(request) && request.outcome.is_failure()
}

fn fault(record: &Record, budget: &Budget, request: &Request) -> Option<String> {
    let words = |outcome: &Outcome| {
        let (from, took) = (request.intended, request.latency());
        let connection = if request.fresh { "a new" } else { "a kept" };
        let (front, id) = (&request.front, &request.id);
        Some(format!(
            "through {front} on {connection} connection at {from:.1?} after {took:.1?}: {outcome:?} {id}"
        ))
    };
    if record.own_front_was_down(request) {
        // Its own connections are lost; the next attempt, at another address, is answered.
        let lost = request.moved.is_some() && request.outcome.is_failure();
        return (lost && budget.failures != Failures::WhileDown).then(|| words(&request.outcome)).flatten();
    }
    // A refused connection is no failure where the next address answers; a request that was cut is.
    if let Some(Outcome::Broke(why)) = &request.moved
        && !why.starts_with(CONNECTING)
    {
        return words(&Outcome::Broke(format!("cut, before it went elsewhere: {why}")));
    }
    // Who may all the time may not be refused.
    let refused = request.outcome == Outcome::Refused && {
        let sid = record.accounts.iter().find(|(_, name)| **name == request.account).map(|(sid, _)| sid);
        sid.is_some_and(|sid| record.always.contains(sid))
    };
    if !request.outcome.is_failure() && !refused {
        return None;
    }
    match budget.failures {
        Failures::OfTheService | Failures::OfTheAnswer
            if record.service_was_broken(request) && may_wait(&request.outcome, budget) =>
        {
            (request.latency() > ANSWER_MAX).then(|| words(&request.outcome)).flatten()
        }
        Failures::WhileDown
            if record.faults.iter().any(|span| span.meets(request.intended, request.ended)) =>
        {
            None
        }
        _ => words(&request.outcome),
    }
}

/// The answers by which a calling server tries again later.
fn may_wait(outcome: &Outcome, budget: &Budget) -> bool {
    match outcome {
        Outcome::Answered(status, _) => matches!(status, 500 | 429),
        Outcome::Broke(why) => budget.failures == Failures::OfTheAnswer && !why.starts_with(CONNECTING),
        Outcome::Good | Outcome::Refused => false,
    }
}

fn plant(record: &mut Record) {
    if let Some(request) = record.requests.get_mut(1_100) {
        request.outcome = Outcome::Broke("connection reset".into());
    }
}

/// The service is given up after 25 s, and a second for each recipient; and the machine may be busy.
const ANSWER_MAX: Duration = Duration::from_millis(28_500);
