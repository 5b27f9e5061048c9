//! An operation comes to the service once; twice only where the first attempt may have been lost, and never more often.
//! Counted by request id where it arrives, as payment systems count, and not by what clients believe.

use super::{Budget, Invariant, Repeats, some};
use crate::record::{Arrival, Record};
use std::collections::BTreeMap;

pub const INVARIANT: Invariant = Invariant { name: "duplicates", check, plant };

fn check(record: &Record, budget: &Budget) -> Result<String, String> {
    let mut by_id: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
    for arrival in &record.arrivals {
        by_id.entry(&arrival.id).or_default().push(arrival);
    }
    let troubled = record.troubled();
    let may_repeat = |arrival: &Arrival| {
        budget.repeats == Repeats::OfLost && troubled.is_some_and(|span| span.has(arrival.at))
    };
    let wrong: Vec<String> = by_id
        .iter()
        .filter(|(id, times)| {
            let again = times.get(1);
            id.is_empty() || times.len() > 2 || again.is_some_and(|arrival| !may_repeat(arrival))
        })
        .map(|(id, times)| {
            let places: Vec<String> =
                times.iter().map(|it| format!("{} at {:.2?}", it.node, it.at)).collect();
            format!("{id:?} came {} times: {}", times.len(), places.join(", "))
        })
        .collect();
    let twice = by_id.values().filter(|times| times.len() > 1).count();
    let said = format!("{} ids, {twice} of them twice", by_id.len());
    if wrong.is_empty() { Ok(said) } else { Err(format!("{said}: {}", some(&wrong))) }
}

/// One that arrived before anything was broken arrives again.
fn plant(record: &mut Record) {
    record.arrivals.extend(record.arrivals.get(400).cloned());
}
