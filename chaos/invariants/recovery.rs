//! After the last fault all nodes are well and have the same, within a bound. After TigerBeetle's simulator, which heals
//! a core and then demands progress, and compares the replicas byte by byte.

use super::{Budget, Invariant, some};
use crate::record::Record;
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "recovery", check, plant };

fn check(record: &Record, budget: &Budget) -> Result<String, String> {
    if !record.findings.is_empty() {
        return Err(some(&record.findings));
    }
    match record.recovered {
        None => Err(format!("the nodes did not come together: {}", record.missing)),
        Some(took) if took > budget.recovery => Err(format!(
            "well and equal after {took:.1?}, later than {:.1?}: {}",
            budget.recovery, record.missing
        )),
        Some(took) => Ok(format!("well and equal after {took:.1?}")),
    }
}

fn plant(record: &mut Record) {
    record.recovered = Some(Duration::from_secs(9));
}
