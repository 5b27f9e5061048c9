//! What was acknowledged is in the log for ever, and what was applied once is applied everywhere (Raft,
//! "leader completeness" and "state machine safety").

use super::super::model::Model;
use super::super::record::{Record, client_id};

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    if let Some(conflict) = record.conflicts.first() {
        return Err(conflict.clone());
    }
    for (number, operation, log_index, _) in record.acknowledged() {
        if model.commands.get(&log_index) != Some(&number) {
            let there = model.commands.get(&log_index);
            return Err(format!(
                "{number} ({operation:?}) was acknowledged at {log_index}; {there:?} is there"
            ));
        }
    }
    if record.settled.is_none() {
        return Ok(());
    }
    // In the end every node remembers having done it.
    for last in &record.last {
        for (number, ..) in record.acknowledged() {
            if last.stored.clients.get(client_id(number)).is_none() {
                return Err(format!("{number} was acknowledged; node {} has forgotten it", last.machine));
            }
        }
    }
    Ok(())
}
