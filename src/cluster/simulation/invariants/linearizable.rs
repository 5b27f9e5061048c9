//! Reads and writes of one account look as if each had happened at one moment between its call and its
//! answer, the writes in the order of the log.
//!
//! With the order of the writes known there is nothing to search for: every read takes the earliest place
//! between two writes that it can have.

use super::super::model::Model;
use super::super::record::{Action, Answer, Moment, Operation, Record};
use crate::state::Outcome;
use std::collections::BTreeSet;

/// A write that is in the log.
#[derive(Clone, Debug)]
struct Write {
    begins: Moment,
    ends: Moment,
    log_index: u64,
    /// The note of the account's entry afterwards.
    leaves: Option<u64>,
    /// Whether there was an entry before; nothing if its client never heard.
    heard: Option<bool>,
}

#[derive(Clone, Debug)]
struct Read {
    begins: Moment,
    ends: Moment,
    note: Option<u64>,
}

/// What happened to one account.
#[derive(Clone, Debug, Default)]
struct History {
    writes: Vec<Write>,
    reads: Vec<Read>,
}

pub(super) fn check(record: &Record, model: &Model) -> Result<(), String> {
    let accounts: BTreeSet<u32> = record.operations.iter().map(|operation| operation.account).collect();
    for account in accounts {
        let mut history = History::default();
        let numbered = record.operations.iter().enumerate();
        for (number, operation) in numbered.filter(|(_, operation)| operation.account == account) {
            history.add(record, model, number, operation)?;
        }
        history.check().map_err(|fault| format!("account {account}: {fault}\n{history:#?}"))?;
    }
    Ok(())
}

impl History {
    /// A write without an answer that was committed ends where a node was first seen to have applied it:
    /// until then at the latest it was done. One that never was, and a read without an answer, say nothing.
    fn add(
        &mut self,
        record: &Record,
        model: &Model,
        number: usize,
        operation: &Operation,
    ) -> Result<(), String> {
        let begins = operation.invoked;
        let log_index = model.acted.get(&number).map(|acted| acted.log_index);
        let (ends, heard) = match (&operation.returned, log_index) {
            (Some((_, Answer::Refused)), _) | (None, None) => return Ok(()),
            (Some((ends, Answer::Read(note))), _) => {
                self.reads.push(Read { begins, ends: *ends, note: *note });
                return Ok(());
            }
            (Some((ends, Answer::Written { outcome, .. })), _) => {
                let there = matches!(outcome, Outcome::Renewed | Outcome::Removed { .. });
                (*ends, Some(there))
            }
            (None, Some(index)) => (record.committed[&index].seen, None),
        };
        let log_index = log_index.ok_or_else(|| format!("operation {number} is not in the log"))?;
        let leaves = (operation.action == Action::Allow).then_some(number as u64);
        self.writes.push(Write { begins, ends, log_index, leaves, heard });
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        self.writes.sort_by_key(|write| write.log_index);
        self.reads.sort_by_key(|read| read.begins);
        self.check_writes()?;
        // The reads that have a place, by their ends.
        let mut placed: Vec<(Moment, usize)> = Vec::new();
        for read in &self.reads {
            let after_reads = placed.iter().filter(|(ends, _)| *ends < read.begins).map(|(_, place)| *place);
            let earliest = after_reads.max().unwrap_or(0);
            let place = self.place(read, earliest).ok_or_else(|| format!("no place for {read:?}"))?;
            placed.push((read.ends, place));
        }
        Ok(())
    }

    /// No write is behind one in the log that began after its end, and each was told what was there.
    fn check_writes(&self) -> Result<(), String> {
        let mut newest_begin = None;
        let mut before = None;
        for write in &self.writes {
            if newest_begin.is_some_and(|begin| write.ends < begin) {
                return Err(format!("behind a later one in the log: {write:?}"));
            }
            if write.heard.is_some_and(|there| there != before.is_some()) {
                return Err(format!("there was {before:?} before: {write:?}"));
            }
            newest_begin = newest_begin.max(Some(write.begins));
            before = write.leaves;
        }
        Ok(())
    }

    /// How many writes are before a read: the fewest that can be.
    fn place(&self, read: &Read, earliest: usize) -> Option<usize> {
        let done = self.writes.iter().rposition(|write| write.ends < read.begins).map_or(0, |at| at + 1);
        let ahead = self.writes.iter().position(|write| read.ends < write.begins);
        let latest = ahead.unwrap_or(self.writes.len());
        (earliest.max(done)..=latest).find(|place| self.note_after(*place) == read.note)
    }

    fn note_after(&self, writes: usize) -> Option<u64> {
        writes.checked_sub(1).and_then(|last| self.writes[last].leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
    use std::time::Duration;

    /// The entry of one account: its note, and where in the log the write stands that made it.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    struct Register {
        note: Option<u64>,
        log_index: u64,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Call {
        Write { log_index: u64, leaves: Option<u64> },
        Read,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    enum Reply {
        Note(Option<u64>),
        Written { in_order: bool, heard: Option<bool> },
    }

    impl SequentialSpec for Register {
        type Op = Call;
        type Ret = Reply;

        fn invoke(&mut self, call: &Call) -> Reply {
            match call {
                Call::Read => Reply::Note(self.note),
                Call::Write { log_index, leaves } => {
                    let in_order = self.log_index < *log_index;
                    let heard = Some(self.note.is_some());
                    *self = Register { note: *leaves, log_index: *log_index };
                    Reply::Written { in_order, heard }
                }
            }
        }

        fn is_valid_step(&mut self, call: &Call, reply: &Reply) -> bool {
            match (self.invoke(call), reply) {
                (Reply::Written { in_order, .. }, Reply::Written { heard: None, .. }) => in_order,
                (would, reply) => would == *reply,
            }
        }
    }

    /// The same question, answered by trying every order.
    fn search(history: &History) -> bool {
        let writes = history.writes.iter().map(|write| {
            let call = Call::Write { log_index: write.log_index, leaves: write.leaves };
            (write.begins, write.ends, call, Reply::Written { in_order: true, heard: write.heard })
        });
        let reads =
            history.reads.iter().map(|read| (read.begins, read.ends, Call::Read, Reply::Note(read.note)));
        let spans: Vec<_> = writes.chain(reads).collect();
        let begins = spans.iter().enumerate().map(|(thread, (begins, ..))| (*begins, thread));
        let ends = spans.iter().enumerate().map(|(thread, (_, ends, ..))| (*ends, thread));
        let mut events: Vec<(Moment, usize)> = begins.chain(ends).collect();
        events.sort();
        let mut tester = LinearizabilityTester::new(Register::default());
        for (moment, thread) in events {
            let (begins, _, call, reply) = &spans[thread];
            if moment == *begins {
                tester.on_invoke(thread, call.clone()).unwrap();
            } else {
                tester.on_return(thread, reply.clone()).unwrap();
            }
        }
        tester.is_consistent()
    }

    fn random(rng: &mut SmallRng) -> History {
        let count: u64 = rng.random_range(2..=7);
        let mut orders: Vec<u64> = (0..2 * count).collect();
        orders.shuffle(rng);
        let mut history = History::default();
        for (number, pair) in (1..=count).zip(orders.chunks(2)) {
            let moment = |order: u64| Moment { order, at: Duration::ZERO };
            let (begins, ends) = (moment(pair[0].min(pair[1])), moment(pair[0].max(pair[1])));
            if rng.random_bool(0.5) {
                let leaves = rng.random_bool(0.7).then_some(number);
                let heard = rng.random_bool(0.3).then(|| rng.random());
                history.writes.push(Write { begins, ends, log_index: number, leaves, heard });
            } else {
                let note = rng.random_bool(0.7).then(|| rng.random_range(1..=count));
                history.reads.push(Read { begins, ends, note });
            }
        }
        history
    }

    #[test]
    fn it_agrees_with_a_search_through_all_orders() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut verdicts = [0; 2];
        for _ in 0..20_000 {
            let mut history = random(&mut rng);
            let verdict = history.check().is_ok();
            assert_eq!(verdict, search(&history), "{history:#?}");
            verdicts[usize::from(verdict)] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 1_000), "{verdicts:?}");
    }
}
