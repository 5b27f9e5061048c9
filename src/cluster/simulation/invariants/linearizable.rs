//! Reads and writes of one account look as if each had happened at one moment between its call and its
//! answer.

use super::super::model::Model;
use super::super::record::{Action, Answer, Moment, Operation, Record};
use crate::state::Outcome;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeSet;

/// The entry of one account: its note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Register(Option<u64>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Call {
    number: u64,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reply {
    Read(Option<u64>),
    /// Whether there was an entry before.
    Written(bool),
    /// The client never heard; others saw that it was done.
    Unheard,
}

impl SequentialSpec for Register {
    type Op = Call;
    type Ret = Reply;

    fn invoke(&mut self, call: &Call) -> Reply {
        let before = self.0;
        match call.action {
            Action::Read => return Reply::Read(before),
            Action::Allow => self.0 = Some(call.number),
            Action::Remove => self.0 = None,
        }
        Reply::Written(before.is_some())
    }

    fn is_valid_step(&mut self, call: &Call, reply: &Reply) -> bool {
        let would = self.invoke(call);
        *reply == Reply::Unheard || *reply == would
    }
}

/// An operation that has an end.
struct Span {
    begins: Moment,
    ends: Moment,
    call: Call,
    reply: Reply,
    /// Where the command stands in the log.
    log_index: Option<u64>,
}

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    let accounts: BTreeSet<u32> = record.operations.iter().map(|operation| operation.account).collect();
    for account in accounts {
        let numbered = record.operations.iter().enumerate();
        let here = numbered.filter(|(_, operation)| operation.account == account);
        let mut spans: Vec<Span> =
            here.filter_map(|(number, operation)| span(record, model, number, operation)).collect();
        spans.sort_by_key(|span| span.begins);
        check_account(account, &spans, model)?;
    }
    Ok(())
}

/// A write without an answer that was committed ends where a node was first seen to have applied it:
/// until then at the latest it was done. One that never was, and a read without an answer, say nothing.
fn span(record: &Record, model: &Model, number: usize, operation: &Operation) -> Option<Span> {
    let log_index = model.acted.get(&number).map(|acted| acted.log_index);
    let (ends, reply) = match &operation.returned {
        Some((ends, Answer::Read(note))) => (*ends, Reply::Read(*note)),
        Some((ends, Answer::Written { outcome, .. })) => {
            let there = matches!(outcome, Outcome::Renewed | Outcome::Removed { .. });
            (*ends, Reply::Written(there))
        }
        Some((_, Answer::Refused)) => return None,
        None => (record.committed.get(&log_index?)?.seen, Reply::Unheard),
    };
    let call = Call { number: number as u64, action: operation.action };
    Some(Span { begins: operation.invoked, ends, call, reply, log_index })
}

/// The history is cut where nothing is under way: the search is short then. What the entry is there, the
/// log says.
fn check_account(account: u32, spans: &[Span], model: &Model) -> Result<(), String> {
    let mut rest = spans;
    let mut register = Register::default();
    let mut newest = 0;
    while !rest.is_empty() {
        let mut ends = rest[0].ends;
        let overlapping = |(at, span): (usize, &Span)| {
            let apart = at > 0 && span.begins > ends;
            ends = ends.max(span.ends);
            apart.then_some(at)
        };
        let cut = rest.iter().enumerate().find_map(overlapping).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(cut);
        if !is_linearizable(register.clone(), part) {
            let story: Vec<String> = part.iter().map(Span::story).collect();
            return Err(format!("account {account}, from {register:?}:\n{}", story.join("\n")));
        }
        newest = part.iter().filter_map(|span| span.log_index).max().unwrap_or(0).max(newest);
        register = Register(model.note(account, newest));
        rest = behind;
    }
    Ok(())
}

fn is_linearizable(register: Register, spans: &[Span]) -> bool {
    let mut tester = LinearizabilityTester::new(register);
    let mut events: Vec<(Moment, usize)> = Vec::new();
    for (at, span) in spans.iter().enumerate() {
        events.extend([(span.begins, at), (span.ends, at)]);
    }
    events.sort();
    // A thread of the tester does one thing after the other; any that is free takes the next.
    let mut busy: Vec<Option<usize>> = Vec::new();
    for (_, at) in events {
        let span = &spans[at];
        if let Some(thread) = busy.iter().position(|doing| *doing == Some(at)) {
            busy[thread] = None;
            tester.on_return(thread, span.reply.clone()).unwrap();
            continue;
        }
        let thread = busy.iter().position(Option::is_none).unwrap_or_else(|| {
            busy.push(None);
            busy.len() - 1
        });
        busy[thread] = Some(at);
        tester.on_invoke(thread, span.call.clone()).unwrap();
    }
    tester.is_consistent()
}

impl Span {
    fn story(&self) -> String {
        format!(
            "{:?} to {:?}: {:?} {:?} at {:?}",
            self.begins.at, self.ends.at, self.call, self.reply, self.log_index
        )
    }
}
