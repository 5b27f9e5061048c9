//! What must hold in every scenario: one property a file. Each looks at what was seen, says what it measured or what
//! is wrong, and is tried on a record with its own planted defect.

pub mod acknowledged;
pub mod amplification;
pub mod authorized;
pub mod duplicates;
pub mod errors;
pub mod gaps;
pub mod linearizable;
pub mod recovery;
pub mod revocation;
pub mod sample;
pub mod secrets;
pub mod shares;
pub mod traffic;

use crate::record::Record;
use std::time::Duration;

/// A property, and a defect that breaks it.
pub struct Invariant {
    pub name: &'static str,
    /// What was measured, or what is wrong.
    pub check: fn(&Record, &Budget) -> Result<String, String>,
    /// Breaks a good record.
    pub plant: fn(&mut Record),
}

/// What a scenario may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub failures: Failures,
    /// The longest time without any answer to a client.
    pub gap: Duration,
    /// The longest that one request may take.
    pub single: Duration,
    /// From the end of the last fault until all nodes are well and equal.
    pub recovery: Duration,
    pub repeats: Repeats,
}

/// Which requests may fail, of accounts that may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failures {
    None,
    /// While the service is broken: with an answer that lets mail wait, and in time.
    OfTheService,
    /// The same, and an answer that has begun may break off: nothing else can be said any more.
    OfTheAnswer,
    /// While no node runs.
    WhileDown,
}

/// Which requests may come to the service twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    None,
    /// Those whose first attempt was lost with a node.
    OfLost,
}

pub const ALL: [Invariant; 12] = [
    traffic::INVARIANT,
    errors::INVARIANT,
    gaps::INVARIANT,
    recovery::INVARIANT,
    acknowledged::INVARIANT,
    linearizable::INVARIANT,
    revocation::INVARIANT,
    authorized::INVARIANT,
    shares::INVARIANT,
    duplicates::INVARIANT,
    amplification::INVARIANT,
    secrets::INVARIANT,
];

/// Checks that every checker passes a good record and catches its planted defect; gives a line for each.
pub fn self_test() -> Result<Vec<String>, String> {
    let budget = sample::BUDGET;
    let mut lines = Vec::new();
    for invariant in &ALL {
        let good = sample::record();
        let name = invariant.name;
        (invariant.check)(&good, &budget).map_err(|why| format!("{name} refuses a good record: {why}"))?;
        let mut bad = good;
        (invariant.plant)(&mut bad);
        match (invariant.check)(&bad, &budget) {
            Ok(said) => return Err(format!("{name} does not see its planted defect: {said}")),
            Err(why) => lines.push(format!("{name}: {why}")),
        }
    }
    lines.push(gaps::self_test(&budget)?);
    Ok(lines)
}

/// The first few of what is wrong, and how many there are.
pub fn some(found: &[String]) -> String {
    let shown: Vec<&str> = found.iter().take(4).map(String::as_str).collect();
    let more = found.len().saturating_sub(shown.len());
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join("; "))
}
