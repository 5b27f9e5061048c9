//! Brings changes to the disk, one after the other: of two changes of one answer the later one stays.

use super::{KeptAnswer, Key, file};
use crate::event::with_causes;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to be done with a file.
pub(super) enum Change {
    Write(KeptAnswer),
    Remove,
}

/// The one writer of a folder.
pub(super) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    changes: HashMap<Key, Change>,
    is_at_work: bool,
}

impl Writer {
    pub(super) fn new(folder: PathBuf) -> Self {
        Writer { shared: Arc::new(Shared { folder, pending: Mutex::default() }) }
    }

    /// Takes changes; nobody waits for them.
    pub(super) fn change(&self, changes: impl Iterator<Item = (Key, Change)>) {
        let mut pending = self.shared.locked();
        for (key, change) in changes {
            // A disk that hangs gets no more to do; memory has the answer.
            let is_room = pending.changes.len() < PENDING_MAX || pending.changes.contains_key(&key);
            if is_room {
                pending.changes.insert(key, change);
            }
        }
        if !pending.changes.is_empty() && !pending.is_at_work {
            pending.is_at_work = true;
            let shared = self.shared.clone();
            drop(tokio::task::spawn_blocking(move || shared.work()));
        }
    }

    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        self.shared.locked().is_at_work
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let changes = {
                let mut pending = self.locked();
                pending.is_at_work = !pending.changes.is_empty();
                std::mem::take(&mut pending.changes)
            };
            if changes.is_empty() {
                return;
            }
            for (key, change) in changes {
                match change {
                    Change::Remove => file::remove(&self.folder, key),
                    Change::Write(answer) => {
                        if let Err(error) = file::write(&self.folder, key, &answer) {
                            let reason = with_causes(&error);
                            tracing::warn!(reason, "an answer of the service cannot be kept on disk");
                        }
                    }
                }
            }
        }
    }
}

/// All answers that there can be, once written and once removed. What is not removed for it is removed at a start.
const PENDING_MAX: usize = 2_000;
