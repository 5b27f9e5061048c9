//! The state as rows of the store. Written behind: the log has every entry until a snapshot covers
//! it, and what the store misses is applied again at the next start.

use super::codec;
use super::medium::{self, Tree};
use super::types::{DecodeError, SnapshotMeta};
use crate::principal::Sid;
use crate::state::{ClientId, Roster, State};
use crate::storage::tree::{Batch, ReadError};
use crate::tasks::Tasks;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The way to the writer. Dropping it ends the writer, once it has written everything.
pub(super) struct Rows {
    queue: mpsc::Sender<Step>,
}

/// Tells when the writer has written everything and closed the store.
pub(super) struct Closed(oneshot::Receiver<()>);

/// One atomic step: rows, and how far they go.
pub(super) enum Step {
    Change(Changes),
    /// All rows anew, out of a snapshot that is on disk already.
    Replace(Arc<State>, SnapshotMeta),
}

/// The rows that some entries changed.
#[derive(Default)]
pub(super) struct Changes {
    rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: usize,
    applied: Vec<u8>,
}

/// The rows cannot be read; they can be made again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("cannot read the rows")]
    Read(#[from] ReadError),
    #[error("a row is damaged")]
    Damaged(#[from] DecodeError),
}

impl Changes {
    /// Notes what the row of an account is in this state.
    pub(super) fn entry(&mut self, state: &State, sid: &Sid) {
        let entry = state.table.entries.get(sid);
        self.put(entry_key(sid), entry.map(|entry| codec::entry_to(entry).encode_to_vec()));
    }

    /// Notes what a client was told in this state, or that it is forgotten.
    pub(super) fn client(&mut self, state: &State, client: ClientId) {
        let answered = state.clients.get(client);
        let row = answered.map(|answered| codec::answered_to(client, answered).encode_to_vec());
        self.put(client_key(client), row);
    }

    /// Notes the rows of the roster that differ.
    pub(super) fn roster(&mut self, before: &Roster, now: &Roster) {
        let encoded = |roster: &Roster| -> BTreeMap<String, Vec<u8>> {
            codec::roster_to(roster).into_iter().map(|(key, row)| (key, row.encode_to_vec())).collect()
        };
        let (before, now) = (encoded(before), encoded(now));
        for key in before.keys().filter(|key| !now.contains_key(*key)) {
            self.put(roster_key(key), None);
        }
        for (key, row) in now {
            if before.get(&key) != Some(&row) {
                self.put(roster_key(&key), Some(row));
            }
        }
    }

    /// Says how far the rows go.
    pub(super) fn applied(&mut self, state: &State, meta: &SnapshotMeta) {
        self.applied = codec::applied_to(meta, state).encode_to_vec();
    }

    /// Whether it is time to hand them to the writer.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= STEP_BYTES
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.push((key, value));
    }

    fn into_batch(self, batch: &mut Batch) {
        for (key, value) in self.rows {
            put(batch, &key, value.as_deref());
        }
        put(batch, APPLIED, Some(&self.applied));
    }

    fn bytes(&self) -> usize {
        self.bytes + APPLIED.len() + self.applied.len()
    }
}

impl Rows {
    /// Starts the writer of a store.
    pub(super) fn start(tree: Tree, tasks: &Tasks) -> (Self, Closed) {
        let (queue, steps) = mpsc::channel(STEPS_MAX);
        let (closing, closed) = oneshot::channel();
        tasks.spawn("rows", async move {
            write_all(Arc::new(tree), steps).await;
            // Nobody has to wait for it.
            closing.send(()).ok();
        });
        (Rows { queue }, Closed(closed))
    }

    /// Hands a step to the writer; waits while too many are queued.
    pub(super) async fn send(&self, step: Step) {
        // The writer ends before this handle only when the process ends: the log has it all.
        if self.queue.send(step).await.is_err() {
            tracing::warn!("the writer of the store has ended");
        }
    }
}

impl Closed {
    pub(super) async fn wait(self) {
        self.0.await.ok();
    }
}

async fn write_all(tree: Arc<Tree>, mut steps: mpsc::Receiver<Step>) {
    let mut next = steps.recv().await;
    while let Some(step) = next.take() {
        let mut batch = Batch::default();
        match step {
            Step::Replace(state, meta) => {
                let tree = tree.clone();
                blocking(move || replace(&tree, &state, &meta)).await;
                next = steps.recv().await;
                continue;
            }
            Step::Change(changes) => changes.into_batch(&mut batch),
        }
        // Whatever is queued shares the sync, as far as it fits into one batch.
        loop {
            match steps.try_recv() {
                Ok(Step::Change(changes)) if batch.bytes() + changes.bytes() <= BATCH_BYTES_MAX => {
                    changes.into_batch(&mut batch);
                }
                Ok(other) => break next = Some(other),
                Err(_) => break,
            }
        }
        let tree = tree.clone();
        blocking(move || tree.write(batch)).await;
        if next.is_none() {
            next = steps.recv().await;
        }
    }
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    // A step that was dropped because the runtime ends is applied again at the next start.
    if let Err(error) = medium::blocking(work).await
        && error.is_panic()
    {
        // What the store has in memory may disagree with the disk.
        crate::storage::stop("writing the store", &error);
    }
}

/// The state that the store holds, or nothing if it holds none that is whole.
pub(super) fn load(tree: &Tree) -> Result<Option<(State, SnapshotMeta)>, LoadError> {
    let Some(applied) = tree.get(APPLIED)? else {
        return Ok(None);
    };
    let (meta, mut state) = codec::applied_from(message(&applied)?)?;
    let table = Arc::make_mut(&mut state.table);
    for row in tree.scan(ENTRIES) {
        let entry = codec::entry_from(message(&row?.1)?)?;
        table.entries.insert(entry.sid.clone(), Arc::new(entry));
    }
    for row in tree.scan(CLIENTS) {
        let (client, answered) = codec::answered_from(message(&row?.1)?)?;
        state.clients.remember(client, answered);
    }
    let roster = Arc::make_mut(&mut state.roster);
    for row in tree.scan(ROSTER) {
        codec::roster_row_from(roster, message(&row?.1)?)?;
    }
    Ok(Some((state, meta)))
}

/// Writes all rows anew. While this is unfinished the store says that it holds nothing.
pub(super) fn replace(tree: &Tree, state: &State, meta: &SnapshotMeta) {
    let mut batch = Batch::default();
    put(&mut batch, APPLIED, None);
    for prefix in [ENTRIES, CLIENTS, ROSTER] {
        for row in tree.scan(prefix) {
            match row {
                Ok((key, _)) => put_or_write(tree, &mut batch, (&key, None)),
                Err(error) => crate::storage::stop("reading the store", &error),
            }
        }
    }
    tree.write(std::mem::take(&mut batch));
    for (sid, entry) in &state.table.entries {
        let row = codec::entry_to(entry).encode_to_vec();
        put_or_write(tree, &mut batch, (&entry_key(sid), Some(&row)));
    }
    for (client, answered) in state.clients.iter() {
        let row = codec::answered_to(client, answered).encode_to_vec();
        put_or_write(tree, &mut batch, (&client_key(client), Some(&row)));
    }
    for (key, row) in codec::roster_to(&state.roster) {
        put_or_write(tree, &mut batch, (&roster_key(&key), Some(&row.encode_to_vec())));
    }
    let applied = codec::applied_to(meta, state).encode_to_vec();
    put_or_write(tree, &mut batch, (APPLIED, Some(&applied)));
    tree.write(batch);
}

fn put_or_write(tree: &Tree, batch: &mut Batch, (key, value): (&[u8], Option<&[u8]>)) {
    if batch.bytes() + key.len() + value.map_or(0, <[u8]>::len) > BATCH_BYTES_MAX {
        tree.write(std::mem::take(batch));
    }
    put(batch, key, value);
}

fn put(batch: &mut Batch, key: &[u8], value: Option<&[u8]>) {
    let result = match value {
        Some(value) => batch.put(key, value),
        None => batch.remove(key),
    };
    result.expect("a command, so a row, is at most 24 KiB, and a step is far below a batch");
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError { what: "a row", reason: error.to_string() })
}

fn entry_key(sid: &Sid) -> Vec<u8> {
    [ENTRIES, sid.to_string().as_bytes()].concat()
}

fn client_key(client: ClientId) -> Vec<u8> {
    [CLIENTS, &client.0].concat()
}

fn roster_key(key: &str) -> Vec<u8> {
    [ROSTER, key.as_bytes()].concat()
}

const ENTRIES: &[u8] = b"a/";
const CLIENTS: &[u8] = b"c/";
const ROSTER: &[u8] = b"r/";
const APPLIED: &[u8] = b"m/applied";
/// When changes are handed over: with one more command they still fit into a batch.
const STEP_BYTES: usize = 256 * 1024;
/// What is synced at once.
const BATCH_BYTES_MAX: usize = 900 * 1024;
/// How many steps wait for the disk before applying waits, too.
const STEPS_MAX: usize = 64;
