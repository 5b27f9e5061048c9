//! Once a change of an entry is acknowledged, no node lets anybody in by what was there before for
//! longer than a table may be old: not even one that is cut off.

use super::super::callers::STALENESS_MAX;
use super::super::model::Model;
use super::super::record::{Answer, Record};
use std::time::Duration;

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    for (number, acted) in &model.acted {
        let Some(replaced) = acted.before else { continue };
        let Some((acknowledged, Answer::Written { .. })) = &record.operations[*number].returned else {
            continue;
        };
        let allowed_until = acknowledged.at + STALENESS_MAX + TICK;
        for ((node, note), last) in &record.served {
            if *note == replaced && *last > allowed_until {
                return Err(format!(
                    "{number} took the place of {replaced}, acknowledged at {:?}; node {node} let in by it \
                     at {last:?}",
                    acknowledged.at
                ));
            }
        }
    }
    Ok(())
}

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(1);
