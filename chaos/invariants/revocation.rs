//! What an account that was taken out of the table sends does not come to the service a second later, but through a node
//! that is cut off. The bound is the product's own promise: rmsc says with each change until when it may not act yet.

use super::{Budget, Invariant, some};
use crate::record::{Action, Change, Record, Span, Told};
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "revocation", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let out: Vec<(&String, Span)> = record.changes.iter().filter_map(|change| out(record, change)).collect();
    let (mut wrong, mut latest) = (Vec::new(), Duration::ZERO);
    for (key, span) in &out {
        let of_key = record.arrivals.iter().filter(|arrival| arrival.caller == **key);
        for arrival in of_key.filter(|arrival| span.has(arrival.at)) {
            let late = arrival.at - span.from;
            let cut_off = record
                .cut_off
                .iter()
                .any(|(node, cut)| *node == arrival.node && cut.and(WITHIN).meets(span.from, arrival.at));
            if cut_off {
                continue;
            }
            latest = latest.max(late);
            if late > WITHIN {
                wrong.push(format!("{key} came through {} {late:.0?} after it was taken out", arrival.node));
            }
        }
    }
    let longest = out.iter().map(|(_, span)| span.to - span.from).max().unwrap_or_default();
    let said = format!(
        "{} times out, for {longest:.1?} at the most; the last request {latest:.0?} after",
        out.len()
    );
    if wrong.is_empty() { Ok(said) } else { Err(some(&wrong)) }
}

/// From an acknowledged removal until anybody begins to put it back, if nobody else was at it.
fn out<'a>(record: &'a Record, change: &'a Change) -> Option<(&'a String, Span)> {
    let (ended, told) = change.ended?;
    if change.action != Action::Remove || told == Told::Nothing {
        return None;
    }
    let others = record
        .changes
        .iter()
        .filter(|other| other.key == change.key && matches!(other.action, Action::Add(_)));
    let mut until = record.ended;
    for other in others {
        let over = other.ended.is_some_and(|(ended, _)| ended < change.begun);
        if !over && other.begun <= ended {
            return None;
        }
        if !over {
            until = until.min(other.begun);
        }
    }
    Some((&change.key, Span::new(ended, until)))
}

fn plant(record: &mut Record) {
    let late =
        super::sample::arrival(Duration::from_millis(3_500), super::sample::CHANGING, "late", "node-2");
    record.arrivals.push(late);
}

const WITHIN: Duration = Duration::from_secs(1);
