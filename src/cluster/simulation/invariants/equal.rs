//! Soon after the last fault every node takes writes, and all have the same state.

use super::super::model::Model;
use super::super::record::Record;

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    let mut stopped = record.stopped.iter();
    if let Some((machine, reason)) = stopped.find(|(machine, _)| record.wanted.contains(machine)) {
        return Err(format!("node {machine} is to be there, and ended: {reason}"));
    }
    if record.settled.is_none() {
        let missing = record.missing.as_deref().unwrap_or("nothing");
        return Err(format!("healed at {:?}, and not come to rest: {missing}", record.healed));
    }
    for last in &record.last {
        let [first, ..] = record.last.as_slice() else { return Err("no node is left".into()) };
        if last.stored != first.stored {
            return Err(format!("the stores of the nodes {} and {} differ", first.machine, last.machine));
        }
        let expected = model.tables.values().next_back();
        if expected != Some(&last.table) {
            return Err(format!("node {} has {:?} in the end, not {expected:?}", last.machine, last.table));
        }
    }
    Ok(())
}
