//! There was enough traffic to show anything: a run below its minimum is no run. After etcd's robustness tests, whose
//! runs are invalid below a rate of requests.

use super::{Budget, Invariant};
use crate::record::{Outcome, Record, Request};

pub const INVARIANT: Invariant = Invariant { name: "traffic", check, plant };

/// Every moment of the plan has its request, those outside of faults were answered, and administrators were at work.
fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let planned = record.ended.as_secs_f64() * f64::from(record.rate);
    let sent = record.requests.len();
    // With all nodes down nothing can be answered.
    let calm = |request: &&Request| !record.faults.iter().any(|span| span.has(request.intended));
    let calm: Vec<&Request> = record.requests.iter().filter(calm).collect();
    let answered = calm.iter().filter(|request| !matches!(request.outcome, Outcome::Broke(_))).count();
    let heard = record.changes.iter().filter(|change| change.ended.is_some()).count();
    let said = format!(
        "{sent} of {planned:.0} requests sent; {answered} of {} answered outside of faults; {heard} changes and reads",
        calm.len()
    );
    let enough = sent as f64 >= SENT_MIN * planned
        && calm.len() as f64 >= CALM_SECONDS_MIN * f64::from(record.rate)
        && answered as f64 >= ANSWERED_MIN * calm.len() as f64;
    if enough && heard >= CHANGES_MIN { Ok(said) } else { Err(format!("the run is not valid: {said}")) }
}

fn plant(record: &mut Record) {
    record.requests.truncate(1_000);
}

const SENT_MIN: f64 = 0.95;
/// A baseline at least.
const CALM_SECONDS_MIN: f64 = 4.0;
const ANSWERED_MIN: f64 = 0.9;
const CHANGES_MIN: usize = 5;
