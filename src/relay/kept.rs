//! Answers that are given again while the service cannot be reached: Exchange decides by one of them, once in the
//! life of a process, how it encrypts, and takes the lack of an answer for an answer.
//!
//! An answer is kept for one question of one caller: the key has all that was sent, who asked by which entry, and who
//! the connector is there. Nothing that another caller was told can come out of here.

mod answers;
mod file;
mod writer;

use crate::event::{Event, Tally, with_causes};
use crate::principal::Sid;
use crate::rms::Operation;
use answers::Answers;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use writer::{Change, Writer};

/// What is kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptConfig {
    /// Where.
    pub folder: PathBuf,
    /// How old an answer may be that is given again; none is kept without.
    pub age_max: Option<Duration>,
}

/// The answers that are kept.
#[derive(Clone)]
pub(super) struct Kept {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    age_max: Duration,
    answers: Mutex<Answers>,
    writer: Writer,
    said: Tally<Operation>,
}

/// Which answer: a digest of all that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// All that an answer depends on.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    /// Where to, as whom, with which headers.
    pub(super) sent: &'a [u8],
    pub(super) operation: Operation,
    pub(super) caller: &'a Sid,
    pub(super) entry: &'a Sid,
    pub(super) role: &'a str,
    pub(super) body: &'a [u8],
}

/// An answer that was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptAnswer {
    /// The SID of whoever asked.
    pub(super) caller: String,
    pub(super) content_type: String,
    pub(super) at: SystemTime,
    pub(super) body: Bytes,
}

impl Question<'_> {
    pub(super) fn key(&self) -> Key {
        let mut digest = Sha256::new();
        let (caller, entry) = (self.caller.to_string(), self.entry.to_string());
        let parts: [&[u8]; 6] = [
            self.sent,
            self.operation.name().as_bytes(),
            caller.as_bytes(),
            entry.as_bytes(),
            self.role.as_bytes(),
            self.body,
        ];
        for part in parts {
            // With its length, no part can be taken for another.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Key(digest.finalize().into())
    }
}

impl KeptAnswer {
    /// How old it is; `None`: too old, or of a time to come, which only a clock that was wrong can have said.
    fn age(&self, age_max: Duration) -> Option<Duration> {
        let age = match self.at.elapsed() {
            Ok(age) => age,
            Err(ahead) if ahead.duration() <= CLOCKS_APART_MAX => Duration::ZERO,
            Err(_) => return None,
        };
        (age <= age_max).then_some(age)
    }
}

impl Kept {
    /// Reads what was kept before the start, and removes what is too old or too much. What is damaged is set aside,
    /// with an event. Where nothing is to be kept, nothing stays.
    pub(super) fn open(config: &KeptConfig) -> Self {
        let Some(age_max) = config.age_max else {
            say_if_failed("removing the answers that were kept", file::clear(&config.folder));
            return Kept { shared: None };
        };
        let mut answers = Answers::default();
        let read = file::read_all(&config.folder, |key, answer| {
            let gone = match answer.age(age_max) {
                Some(_) => answers.put(key, &answer, age_max),
                None => vec![key],
            };
            gone.into_iter().for_each(|key| file::remove(&config.folder, key));
        });
        say_if_failed("reading the answers that are kept", read);
        let writer = Writer::new(config.folder.clone());
        let shared = Shared { age_max, answers: Mutex::new(answers), writer, said: Tally::new(SAID_EVERY) };
        Kept { shared: Some(Arc::new(shared)) }
    }

    /// Whether anything is kept.
    pub(super) fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// The answer to the same question, if it is not too old, and its age.
    pub(super) fn find(&self, key: Key) -> Option<(KeptAnswer, Duration)> {
        let shared = self.shared.as_ref()?;
        let answer = shared.locked().get(&key)?.clone();
        let age = answer.age(shared.age_max);
        if age.is_none() {
            self.forget(key);
        }
        Some((answer, age?))
    }

    /// Says that one was given.
    pub(super) fn say(&self, operation: Operation, age: Duration, reason: &str) {
        let Some(shared) = &self.shared else { return };
        if let Some(left_out) = shared.said.say(operation, Instant::now()) {
            let age_seconds = age.as_secs();
            Event::KeptAnswer { operation: operation.name(), age_seconds, reason, left_out }.log();
        }
    }

    /// Keeps the newest good answer, on disk as well unless it was written a short while ago.
    pub(super) fn keep(&self, key: Key, answer: KeptAnswer) {
        let Some(shared) = &self.shared else { return };
        let mut answers = shared.locked();
        let gone = answers.put(key, &answer, shared.age_max);
        let write = answers.is_to_be_written(key, Instant::now());
        // Under the lock, so that the disk hears of changes in their order.
        let gone = gone.into_iter().map(|key| (key, Change::Remove));
        shared.writer.change(gone.chain(write.then_some((key, Change::Write(answer)))));
    }

    /// The service has said otherwise.
    pub(super) fn forget(&self, key: Key) {
        let Some(shared) = &self.shared else { return };
        let mut answers = shared.locked();
        if answers.remove(key) {
            shared.writer.change(std::iter::once((key, Change::Remove)));
        }
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn say_if_failed(doing: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        Event::Unexpected { doing, reason: &with_causes(&error) }.log();
    }
}

/// 25 templates of 5 KB, escaped, are far below it.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Clocks are set right by less.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);
const SAID_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
