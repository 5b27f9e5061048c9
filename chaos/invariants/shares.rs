//! Every node does the same share: by Pearson's chi-square test below its 99.9 % point, and within 1 % of an equal share,
//! as long as the membership stands still. The node that did a request is the one that its answer names.

use super::{Budget, Invariant, some};
use crate::record::{Record, Span};
use std::collections::BTreeMap;

pub const INVARIANT: Invariant = Invariant { name: "shares", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    for (span, nodes) in &record.epochs {
        match shares(record, span, nodes) {
            Some(Ok(words)) => said.push(words),
            Some(Err(words)) => wrong.push(words),
            None => said.push(format!("too few from {:.1?} on", span.from)),
        }
    }
    if wrong.is_empty() { Ok(said.join("; ")) } else { Err(some(&wrong)) }
}

fn shares(record: &Record, span: &Span, nodes: &[String]) -> Option<Result<String, String>> {
    let mut counts: BTreeMap<&str, u64> = nodes.iter().map(|node| (node.as_str(), 0)).collect();
    // By the moment when they should have been sent: what they take then does not choose among them.
    let inside = record.requests.iter().filter(|request| span.has(request.intended));
    for request in inside.filter(|request| !request.served_by.is_empty()) {
        *counts.entry(&request.served_by).or_default() += 1;
    }
    let total: u64 = counts.values().sum();
    if total < SAMPLES_MIN {
        return None;
    }
    let expected = total as f64 / nodes.len() as f64;
    let off = |count: &u64| (*count as f64 - expected).abs();
    let chi_square: f64 = counts.values().map(|count| off(count).powi(2) / expected).sum();
    let deviation = counts.values().map(|count| off(count) / total as f64).fold(0.0, f64::max);
    let words = format!("{counts:?} of {total}: chi-square {chi_square:.2}, {:.2} % off", deviation * 100.0);
    let point = CHI_SQUARE_POINTS.iter().find(|(count, _)| *count == nodes.len()).map(|(_, point)| *point);
    let good =
        counts.len() == nodes.len() && point.is_some_and(|point| chi_square < point) && deviation <= 0.01;
    Some(if good { Ok(words) } else { Err(words) })
}

/// One node takes a fiftieth of another's work over.
fn plant(record: &mut Record) {
    let taken = record.requests.iter_mut().filter(|request| request.served_by == "node-2").step_by(20);
    taken.for_each(|request| request.served_by = "node-1".into());
}

/// Numbers of nodes, and the 99.9 % points for one degree of freedom less.
const CHI_SQUARE_POINTS: [(usize, f64); 5] = [(1, 1.0), (2, 10.83), (3, 13.82), (4, 16.27), (5, 18.47)];
/// With fewer the requests at each end, of which each front may give one more to a node, count too much.
const SAMPLES_MIN: u64 = 500;
