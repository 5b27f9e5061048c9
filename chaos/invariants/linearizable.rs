//! Changes and reads of one account look as if each had happened at one moment between its call and its answer (Herlihy
//! and Wing 1990; Jepsen and etcd check the same). One that was never answered may have acted at any time since, or not.

use super::{Budget, Invariant};
use crate::record::{Action, Change, Record, Told};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeSet;

pub const INVARIANT: Invariant = Invariant { name: "linearizable", check, plant };

/// The entry of one account: its note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Register(Option<u64>);

impl SequentialSpec for Register {
    type Op = Action;
    type Ret = Told;

    fn invoke(&mut self, action: &Action) -> Told {
        match action {
            Action::Add(note) => Told::Added(self.0.replace(*note).is_none()),
            Action::Remove => Told::Removed(self.0.take().is_some()),
            Action::Read => Told::Note(self.0),
        }
    }
}

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let keys: BTreeSet<&String> = record.changes.iter().map(|change| &change.key).collect();
    let (mut operations, mut unknown) = (0, 0);
    for key in &keys {
        let history: Vec<&Change> =
            record.changes.iter().filter(|change| change.key == **key && counts(change)).collect();
        operations += history.len();
        unknown += history.iter().filter(|change| change.ended.is_none()).count();
        if !is_linearizable(&history) {
            let lines: Vec<String> = history.iter().map(|change| line(change)).collect();
            return Err(format!("no order explains what happened to {key}: {}", lines.join("; ")));
        }
    }
    Ok(format!("{operations} changes and reads of {} accounts, {unknown} without an answer", keys.len()))
}

fn line(change: &Change) -> String {
    let ended = change.ended.map(|(ended, told)| format!("{ended:.3?} {told:?}"));
    format!("{:.3?}-{} {:?}", change.begun, ended.unwrap_or_default(), change.action)
}

/// A read that was not answered, and a change that was refused, say nothing.
fn counts(change: &Change) -> bool {
    match (change.action, change.ended) {
        (_, Some((_, Told::Nothing))) | (Action::Read, None) => false,
        (_, Some(_)) | (Action::Add(_) | Action::Remove, None) => true,
    }
}

fn is_linearizable(history: &[&Change]) -> bool {
    let begins = history.iter().enumerate().map(|(thread, change)| (change.begun, 0, thread, None));
    let ends = history
        .iter()
        .enumerate()
        .filter_map(|(thread, change)| change.ended.map(|(ended, told)| (ended, 1, thread, Some(told))));
    let mut events: Vec<_> = begins.chain(ends).collect();
    events.sort_by_key(|(at, end, thread, _)| (*at, *end, *thread));
    let mut tester = LinearizabilityTester::new(Register::default());
    for (_, _, thread, told) in events {
        let Some(change) = history.get(thread) else { continue };
        // Each has a thread of its own, so that one without an answer stands in nobody's way.
        let took = match told {
            None => tester.on_invoke(thread, change.action).map(|_| ()),
            Some(told) => tester.on_return(thread, told).map(|_| ()),
        };
        if took.is_err() {
            return false;
        }
    }
    tester.is_consistent()
}

/// A read that does not see what was acknowledged before it.
fn plant(record: &mut Record) {
    if let Some(read) = record.changes.get_mut(3) {
        read.ended = read.ended.map(|(ended, _)| (ended, Told::Note(Some(1))));
    }
}
