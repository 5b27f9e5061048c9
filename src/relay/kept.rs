//! Answers that are given again while the service cannot be reached: Exchange decides by one of them, once in the
//! life of a process, how it encrypts, and takes the lack of an answer for an answer.
//!
//! An answer is kept for one question of one entry: the key has every byte of the question, the entry and its role,
//! and the service that was asked. Nothing that another entry was told can come out of here.

mod file;

use crate::event::{Event, Tally, with_causes};
use crate::rms::Operation;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

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
    folder: PathBuf,
    age_max: Duration,
    answers: Mutex<HashMap<Key, Held>>,
    said: Tally<Operation>,
}

/// Which answer: a digest of all that it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// All that an answer depends on.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    pub(super) service: &'a str,
    pub(super) service_kind: &'a str,
    pub(super) path: &'a str,
    pub(super) operation: Operation,
    pub(super) content_type: &'a str,
    pub(super) soap_action: &'a str,
    pub(super) accept_encoding: &'a str,
    pub(super) entry: &'a str,
    pub(super) role: &'a str,
    pub(super) body: &'a [u8],
}

/// An answer that was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptAnswer {
    pub(super) content_type: String,
    pub(super) content_encoding: String,
    pub(super) at: SystemTime,
    pub(super) body: Bytes,
}

struct Held {
    answer: KeptAnswer,
    written: Option<Instant>,
}

/// Whether answers to this operation are kept: those that tell what the service is and has.
pub(super) fn is_kept(operation: Operation) -> bool {
    match operation {
        Operation::GetServerInfo
        | Operation::GetLicensorCertificate
        | Operation::AcquireTemplateInformation
        | Operation::AcquireTemplates => true,
        Operation::Certify
        | Operation::GetClientLicensorCert
        | Operation::AcquireIssuanceLicense
        | Operation::AcquireLicense
        | Operation::AcquirePreLicense
        | Operation::FindServiceLocations
        | Operation::FindServiceLocationsForUser => false,
    }
}

impl Question<'_> {
    pub(super) fn key(&self) -> Key {
        let mut digest = Sha256::new();
        let parts: [&[u8]; 10] = [
            self.service.as_bytes(),
            self.service_kind.as_bytes(),
            self.path.as_bytes(),
            self.operation.name().as_bytes(),
            self.content_type.as_bytes(),
            self.soap_action.as_bytes(),
            self.accept_encoding.as_bytes(),
            self.entry.as_bytes(),
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

impl Kept {
    /// Reads what was kept before the start. What is damaged is set aside, with an event.
    pub(super) fn open(config: &KeptConfig) -> Self {
        let Some(age_max) = config.age_max else { return Kept { shared: None } };
        let answers = match file::read_all(&config.folder) {
            Ok(answers) => answers,
            Err(error) => {
                Event::Unexpected {
                    doing: "reading the answers that are kept",
                    reason: &with_causes(&error),
                }
                .log();
                Vec::new()
            }
        };
        let held = |(key, answer)| (key, Held { answer, written: Some(Instant::now()) });
        let shared = Shared {
            folder: config.folder.clone(),
            age_max,
            answers: Mutex::new(answers.into_iter().map(held).collect()),
            said: Tally::new(SAID_EVERY),
        };
        Kept { shared: Some(Arc::new(shared)) }
    }

    /// The answer to the same question, if it is not too old, and its age.
    pub(super) fn find(&self, key: Key) -> Option<(KeptAnswer, Duration)> {
        let shared = self.shared.as_ref()?;
        let answer = shared.locked().get(&key)?.answer.clone();
        // A clock that was turned back makes an answer younger, not older.
        let age = answer.at.elapsed().unwrap_or_default();
        (age <= shared.age_max).then_some((answer, age))
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
    pub(super) fn keep(&self, operation: Operation, key: Key, answer: KeptAnswer) {
        let Some(shared) = self.shared.clone() else { return };
        if !is_good(operation, &answer) {
            return;
        }
        let (write, evicted) = shared.locked().put(key, &answer);
        if !write {
            return;
        }
        // It is bounded by the requests that are answered; nothing waits for it.
        drop(tokio::task::spawn_blocking(move || {
            for key in evicted {
                file::remove(&shared.folder, key);
            }
            if let Err(error) = file::write(&shared.folder, key, &answer) {
                let reason = with_causes(&error);
                tracing::warn!(reason, "an answer of the service cannot be kept on disk");
            }
        }));
    }
}

impl Shared {
    fn locked(&self) -> Answers<'_> {
        Answers(self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Answers<'a>(MutexGuard<'a, HashMap<Key, Held>>);

impl Answers<'_> {
    fn get(&self, key: &Key) -> Option<&Held> {
        self.0.get(key)
    }

    /// Whether it is to be written, and which had to go for it.
    fn put(&mut self, key: Key, answer: &KeptAnswer) -> (bool, Vec<Key>) {
        let answers = &mut *self.0;
        let recent = |at: Instant| at.elapsed() < WRITTEN_EVERY;
        let written = answers.get(&key).and_then(|held| held.written).filter(|at| recent(*at));
        let now = written.unwrap_or_else(Instant::now);
        answers.insert(key, Held { answer: answer.clone(), written: Some(now) });
        let mut evicted = Vec::new();
        let bytes = |answers: &HashMap<Key, Held>| -> usize {
            answers.values().map(|held| held.answer.body.len()).sum()
        };
        while answers.len() > ANSWERS_MAX || bytes(answers) > BYTES_MAX {
            let oldest = answers.iter().filter(|(it, _)| **it != key).min_by_key(|(_, held)| held.answer.at);
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            answers.remove(&oldest);
            evicted.push(oldest);
        }
        (written.is_none(), evicted)
    }
}

/// Whether it is what was asked for: what a device in the way has made up must not be kept for days.
fn is_good(operation: Operation, answer: &KeptAnswer) -> bool {
    let element = format!("{}Response", operation.name());
    let named = || answer.body.windows(element.len()).any(|bytes| bytes == element.as_bytes());
    answer.body.len() <= ANSWER_BYTES_MAX && (!answer.content_encoding.is_empty() || named())
}

/// 25 templates of 5 KB, escaped, are far below it.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A handful of questions of some hundred servers' entries.
const ANSWERS_MAX: usize = 1_000;
const BYTES_MAX: usize = 32 << 20;
/// A disk has better things to do than to take the same answer again.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);
const SAID_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
