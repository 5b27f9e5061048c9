//! The state as rows of the store. Written behind: the log has every entry until a snapshot covers
//! it, and what the store misses is applied again at the next start.

mod pages;
mod waiting;

use super::codec;
use super::medium::{self, Tree};
use super::packed::unpack;
use super::snapshot::check::bytes_max;
use super::types::{DecodeError, SnapshotMeta};
use crate::principal::Sid;
use crate::proto::state::v1 as stored;
use crate::state::{Roster, State};
use crate::storage::space::Space;
use crate::storage::tree::{Batch, ReadError};
use crate::tasks::Tasks;
use pages::{Pages, Put, Source};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stored::snapshot_row::Row;
use tokio::sync::oneshot;
use waiting::Shared;

/// The way to the writer. Dropping it ends the writer, once it has written everything.
pub(super) struct Rows {
    shared: Arc<Shared>,
}

/// Tells when the writer has written everything and closed the store.
pub(super) struct Closed(oneshot::Receiver<()>);

/// What some entries changed, and the state with it: what is written is read from there.
#[derive(Default)]
pub(super) struct Changes {
    state: State,
    applied: Vec<u8>,
    entries: BTreeSet<Sid>,
    /// The log indexes at which clients were told something last, or had been.
    clients: BTreeSet<u64>,
    roster: Vec<Put>,
    /// Everything is written anew.
    all: bool,
}

/// The store, and which rows are where in it.
pub(super) struct Store {
    tree: Tree,
    entries: Pages<Sid>,
    clients: Pages<u64>,
}

/// The rows cannot be read; they can be made again.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("cannot read the rows")]
    Read(#[from] ReadError),
    #[error("a row is damaged")]
    Damaged(#[from] DecodeError),
    #[error("the rows are of a newer build")]
    NeedsMore(#[source] DecodeError),
}

impl Changes {
    /// Notes that the row of an account may have changed.
    pub(super) fn entry(&mut self, sid: &Sid) {
        self.entries.insert(sid.clone());
    }

    /// Notes that a client was told something at a log index, or that this is not the last any more.
    pub(super) fn client(&mut self, log_index: u64) {
        self.clients.insert(log_index);
    }

    /// Notes the rows of the roster that differ.
    pub(super) fn roster(&mut self, before: &Roster, now: &Roster) {
        let (before, now) = (roster_rows(before), roster_rows(now));
        let gone = before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key.clone(), None));
        self.roster.extend(gone);
        let changed = now.into_iter().filter(|(key, row)| before.get(key) != Some(row));
        self.roster.extend(changed.map(|(key, row)| (key, Some(row))));
    }

    /// Says how far the changes go.
    pub(super) fn applied(&mut self, state: &State, meta: &SnapshotMeta) {
        self.applied = codec::applied_to(meta, state).encode_to_vec();
        self.state = state.clone();
    }

    fn then(&mut self, later: Changes) {
        if later.all {
            *self = later;
            return;
        }
        self.state = later.state;
        self.applied = later.applied;
        if !self.all {
            self.entries.extend(later.entries);
            self.clients.extend(later.clients);
            self.roster.extend(later.roster);
        }
    }

    /// How much room they take, besides what is free in the store anyway.
    fn bytes_max(&self) -> u64 {
        // The store is as large as all rows of two generations.
        if self.all { 2 * bytes_max(&self.state) } else { 0 }
    }

    fn is_full(&self) -> bool {
        self.entries.len() + self.clients.len() + self.roster.len() >= CHANGES_MAX
    }
}

impl Rows {
    /// Starts the writer of a store.
    pub(super) fn start(store: Store, space: Space, tasks: &Tasks) -> (Self, Closed) {
        let shared: Arc<Shared> = Arc::default();
        let (closing, closed) = oneshot::channel();
        let rows = Rows { shared: shared.clone() };
        tasks.spawn("rows", async move {
            write_all(store, &space, &shared).await;
            shared.waiting().ended = true;
            shared.taken.notify_one();
            // Nobody has to wait for it.
            closing.send(()).ok();
        });
        (rows, Closed(closed))
    }

    /// Hands changes to the writer; waits while too many are waiting.
    pub(super) async fn send(&self, changes: Changes) {
        let mut changes = Some(changes);
        loop {
            {
                let mut waiting = self.shared.waiting();
                // The writer ends before this handle only when the process ends: the log has it all.
                if waiting.ended {
                    return tracing::warn!("the writer of the store has ended");
                }
                if !waiting.changes.as_ref().is_some_and(Changes::is_full) {
                    changes.take().into_iter().for_each(|changes| waiting.add(changes));
                    break;
                }
            }
            self.shared.taken.notified().await;
        }
        self.shared.more.notify_one();
    }

    /// Has all rows written anew, out of the log or a snapshot that is on disk already.
    pub(super) fn replace(&self, state: &State, meta: &SnapshotMeta) {
        let mut changes = Changes { all: true, ..Changes::default() };
        changes.applied(state, meta);
        self.shared.waiting().add(changes);
        self.shared.more.notify_one();
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.shared.waiting().ended = true;
        self.shared.more.notify_one();
    }
}

impl Closed {
    pub(super) async fn wait(self) {
        self.0.await.ok();
    }
}

async fn write_all(mut store: Store, space: &Space, shared: &Shared) {
    while let Some(mut changes) = shared.next().await {
        shared.gather(&mut changes).await;
        if !room(changes.bytes_max(), space, shared).await {
            return tracing::warn!("the disk is full; the next start applies again what the store lacks");
        }
        let writing = medium::blocking(move || {
            store.write(changes);
            store
        });
        store = match writing.await {
            Ok(store) => store,
            // What the store has in memory may disagree with the disk.
            Err(error) if error.is_panic() => crate::storage::stop("writing the store", &error),
            // The runtime ends; what was not written is applied again at the next start.
            Err(_) => return,
        };
    }
}

/// Waits for room on the disk: the store could not undo half a write. There are no new changes without
/// room, so few wait meanwhile. False when nobody is left who could send any.
async fn room(bytes: u64, space: &Space, shared: &Shared) -> bool {
    while !space.takes(bytes) {
        if shared.waiting().ended {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

impl Store {
    /// A store that holds nothing that is whole.
    pub(super) fn empty(tree: Tree) -> Self {
        Store { tree, entries: Pages::new(ENTRIES), clients: Pages::new(CLIENTS) }
    }

    /// The store, and the state that it holds: nothing if it holds none that is whole.
    pub(super) fn load(tree: Tree) -> Result<(Self, Option<(State, SnapshotMeta)>), LoadError> {
        let mut store = Store::empty(tree);
        let Some(applied) = store.tree.get(APPLIED)? else {
            return Ok((store, None));
        };
        check_known(&store.tree)?;
        let (meta, mut state) = codec::applied_from(message(&applied)?)?;
        let table = Arc::make_mut(&mut state.table);
        for page in store.tree.scan(ENTRIES) {
            let (key, page) = page?;
            let mut first = None;
            for row in unpack(&page)? {
                let Row::Entry(entry) = row? else { return Err(stranger("an entry").into()) };
                let entry = codec::entry_from(entry)?;
                first.get_or_insert_with(|| entry.sid.clone());
                table.entries.add(entry);
            }
            first.into_iter().for_each(|first| store.entries.note(&key, first));
        }
        for page in store.tree.scan(CLIENTS) {
            let (key, page) = page?;
            let mut first = None;
            for row in unpack(&page)? {
                let Row::Answered(answered) = row? else { return Err(stranger("a client").into()) };
                let (client, answered) = codec::answered_from(answered)?;
                first.get_or_insert(answered.log_index);
                state.clients.remember(client, answered);
            }
            first.into_iter().for_each(|first| store.clients.note(&key, first));
        }
        let roster = Arc::make_mut(&mut state.roster);
        for row in store.tree.scan(ROSTER) {
            codec::roster_row_from(roster, message(&row?.1)?)?;
        }
        Ok((store, Some((state, meta))))
    }

    fn write(&mut self, changes: Changes) {
        if changes.all {
            return self.replace(&changes.state, &changes.applied);
        }
        let mut puts = changes.roster;
        self.entries.rewrite(&changes.entries, &changes.state, &mut puts);
        self.clients.rewrite(&changes.clients, &changes.state, &mut puts);
        let bytes = |(key, value): &Put| key.len() + value.as_ref().map_or(0, Vec::len);
        let mut writer = Writer { tree: &self.tree, batch: Batch::default() };
        if puts.iter().map(bytes).sum::<usize>() + changes.applied.len() + APPLIED.len() > BATCH_BYTES_MAX {
            writer.forget();
        }
        puts.into_iter().for_each(|put| writer.put(put));
        writer.finish(changes.applied);
    }

    /// Writes all rows anew.
    fn replace(&mut self, state: &State, applied: &[u8]) {
        let mut writer = Writer { tree: &self.tree, batch: Batch::default() };
        writer.forget();
        let mut written = BTreeSet::new();
        let mut put = |put: Put| {
            written.insert(put.0.clone());
            writer.put(put);
        };
        self.entries.write_all(state, &mut put);
        self.clients.write_all(state, &mut put);
        roster_rows(&state.roster).into_iter().for_each(|(key, row)| put((key, Some(row))));
        for prefix in [self.entries.prefix(), self.clients.prefix(), ROSTER] {
            for row in self.tree.scan(prefix) {
                match row {
                    Ok((key, _)) if written.contains(&key) => {}
                    Ok((key, _)) => writer.put((key, None)),
                    Err(error) => crate::storage::stop("reading the store", &error),
                }
            }
        }
        writer.finish(applied.to_vec());
    }
}

/// Writes in batches, each durable.
struct Writer<'a> {
    tree: &'a Tree,
    batch: Batch,
}

impl Writer<'_> {
    /// Has the store say that it holds nothing, until it holds everything.
    fn forget(&mut self) {
        self.put((APPLIED.to_vec(), None));
        self.tree.write(std::mem::take(&mut self.batch));
    }

    fn put(&mut self, (key, value): Put) {
        if self.batch.bytes() + key.len() + value.as_ref().map_or(0, Vec::len) > BATCH_BYTES_MAX {
            self.tree.write(std::mem::take(&mut self.batch));
        }
        let result = match value {
            Some(value) => self.batch.put(&key, &value),
            None => self.batch.remove(&key),
        };
        result.expect("a page or a row of the roster is below 100 KiB, and a batch begins anew in time");
    }

    fn finish(mut self, applied: Vec<u8>) {
        self.put((APPLIED.to_vec(), Some(applied)));
        self.tree.write(self.batch);
    }
}

impl Source<Sid> for State {
    fn rows_from<'a>(&'a self, from: Option<&Sid>) -> Box<dyn Iterator<Item = (Sid, Row)> + 'a> {
        let entries = self.table.entries.iter_from(from);
        Box::new(entries.map(|(sid, entry)| (sid.clone(), Row::Entry(codec::entry_to(entry)))))
    }
}

impl Source<u64> for State {
    fn rows_from<'a>(&'a self, from: Option<&u64>) -> Box<dyn Iterator<Item = (u64, Row)> + 'a> {
        let clients = self.clients.iter_from(from.copied().unwrap_or_default());
        Box::new(clients.map(|(log_index, client, answered)| {
            (log_index, Row::Answered(codec::answered_to(client, answered)))
        }))
    }
}

/// What came of newer rules must neither be taken for damaged nor be read in part, so it is asked first.
fn check_known(tree: &Tree) -> Result<(), LoadError> {
    let mut roster = Roster::default();
    if let Some(head) = tree.get(&[ROSTER, codec::HEAD.as_bytes()].concat())? {
        codec::roster_row_from(&mut roster, message(&head)?)?;
    }
    codec::within_needs("the store", codec::needs(&roster)).map_err(LoadError::NeedsMore)
}

fn roster_rows(roster: &Roster) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = codec::roster_to(roster).into_iter();
    rows.map(|(key, row)| ([ROSTER, key.as_bytes()].concat(), row.encode_to_vec())).collect()
}

fn message<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError { what: "a row", reason: error.to_string() })
}

fn stranger(wanted: &str) -> DecodeError {
    DecodeError { what: "a page", reason: format!("a row of it is not {wanted}") }
}

const ENTRIES: &[u8] = b"entries/";
const CLIENTS: &[u8] = b"clients/";
const ROSTER: &[u8] = b"roster/";
const APPLIED: &[u8] = b"applied";
/// What is synced at once.
const BATCH_BYTES_MAX: usize = 900 * 1024;
/// How many changed rows wait for the disk before applying waits, too: some 5 MB. Scattered over a large
/// table they keep an older version of all its pages: 60 MB with a million entries.
const CHANGES_MAX: usize = 65_536;
/// How often to look whether a full disk has room again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
