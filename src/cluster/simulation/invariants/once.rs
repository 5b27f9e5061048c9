//! A command acts once, however often its client repeats it, and one that was refused never does.

use super::super::model::{Acted, Model};
use super::super::record::{Action, Answer, Record};
use crate::state::Outcome;

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    for (revision, tables) in &record.tables {
        for (node, table) in tables {
            if model.tables.get(revision) != Some(table) {
                let expected = model.tables.get(revision);
                return Err(format!("revision {revision} of node {node} is {table:?}, not {expected:?}"));
            }
        }
    }
    for (number, operation, log_index, outcome) in record.acknowledged() {
        let acted = model.acted.get(&number);
        if !acted.is_some_and(|acted| fits(acted, outcome)) {
            return Err(format!(
                "{number} was told {outcome:?} at {log_index}; it did {acted:?}: {operation:?}"
            ));
        }
    }
    for (number, operation) in record.operations.iter().enumerate() {
        let refused = matches!(operation.returned, Some((_, Answer::Refused)));
        if refused && model.acted.contains_key(&number) {
            return Err(format!("{number} was told that nothing was done, and it was: {operation:?}"));
        }
    }
    Ok(())
}

fn fits(acted: &Acted, outcome: &Outcome) -> bool {
    match (acted.action, acted.before) {
        (Action::Allow, None) => *outcome == Outcome::Allowed,
        (Action::Allow, Some(_)) => *outcome == Outcome::Renewed,
        (Action::Remove, None) => *outcome == Outcome::NotInTable,
        (Action::Remove, Some(_)) => matches!(outcome, Outcome::Removed { .. }),
        (Action::Read, _) => false,
    }
}
