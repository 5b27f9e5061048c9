//! No acknowledged change is lost: the last one of each account that was acknowledged, or one that could have come after
//! it, is what every node has in the end. After Jepsen's set checker: what was acknowledged is in the final read.

use super::{Budget, Invariant, some};
use crate::record::{Action, Change, Record, Told};
use std::collections::BTreeSet;

pub const INVARIANT: Invariant = Invariant { name: "acknowledged", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let keys: BTreeSet<&String> = record.changes.iter().map(|change| &change.key).collect();
    let (mut wrong, mut acknowledged) = (Vec::new(), 0);
    for key in keys {
        let writes: Vec<&Change> =
            record.changes.iter().filter(|change| change.key == *key && writes(change)).collect();
        acknowledged += writes.iter().filter(|change| change.ended.is_some()).count();
        // Nobody was told of a later one that ended before another began: it cannot be the last.
        let last: Vec<&&Change> = writes.iter().filter(|change| !is_behind(change, &writes)).collect();
        let mut ends: Vec<Option<u64>> = last.iter().map(|change| leaves(change.action)).collect();
        if writes.iter().all(|change| change.ended.is_none()) {
            ends.push(None);
        }
        for (node, table) in &record.finals {
            let has = table.get(key).copied().flatten();
            if !ends.contains(&has) {
                wrong.push(format!("{node} has {has:?} of {key} in the end, and not one of {ends:?}"));
            }
        }
    }
    if record.finals.len() < record.nodes.len() {
        wrong.push(format!(
            "only {} of {} nodes said what they have",
            record.finals.len(),
            record.nodes.len()
        ));
    }
    if wrong.is_empty() { Ok(format!("{acknowledged} acknowledged changes")) } else { Err(some(&wrong)) }
}

fn writes(change: &Change) -> bool {
    change.action != Action::Read && !matches!(change.ended, Some((_, Told::Nothing)))
}

fn is_behind(change: &Change, writes: &[&Change]) -> bool {
    let Some((ended, _)) = change.ended else { return false };
    writes.iter().any(|later| later.ended.is_some() && ended < later.begun)
}

fn leaves(action: Action) -> Option<u64> {
    match action {
        Action::Add(note) => Some(note),
        Action::Remove | Action::Read => None,
    }
}

fn plant(record: &mut Record) {
    for table in record.finals.values_mut() {
        table.insert(super::sample::CHANGING.into(), Some(2));
    }
}
