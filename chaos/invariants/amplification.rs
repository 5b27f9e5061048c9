//! Trouble is not made worse by trying again: in any ten seconds at most a tenth more attempts reach the service than there
//! are requests. The bound is that of a retry budget, as Google's SRE book and Envoy have it.

use super::{Budget, Invariant};
use crate::record::{Arrival, Record};
use std::collections::BTreeSet;
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "amplification", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let mut arrivals: Vec<&Arrival> = record.arrivals.iter().collect();
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut worst = (0.0_f64, Duration::ZERO);
    let mut from = Duration::ZERO;
    while from + STEP <= record.ended.max(WINDOW) {
        let inside = || arrivals.iter().filter(|arrival| (from..from + WINDOW).contains(&arrival.at));
        let ids: BTreeSet<&str> = inside().map(|arrival| arrival.id.as_str()).collect();
        if ids.len() >= REQUESTS_MIN {
            let ratio = inside().count() as f64 / ids.len() as f64;
            worst = if ratio > worst.0 { (ratio, from) } else { worst };
        }
        from += STEP;
    }
    let said = format!("{:.3} attempts for a request in the worst 10 s, from {:.0?} on", worst.0, worst.1);
    if worst.0 <= ATTEMPTS_MAX { Ok(said) } else { Err(said) }
}

/// Every seventh is sent again.
fn plant(record: &mut Record) {
    let again: Vec<Arrival> = record.arrivals.iter().step_by(7).cloned().collect();
    record.arrivals.extend(again);
}

const WINDOW: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: f64 = 1.10;
/// With fewer the handful of retries that a budget begins with weighs too much.
const REQUESTS_MIN: usize = 300;
