//! Disks of the simulated nodes. What a node wrote is there for it at once; a power cut leaves what
//! was synced, and of the rest as many of the oldest writes as chance has it.

use crate::storage::log::{Contents, LogError, LogId, Vote};
use crate::storage::tree::Batch;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

thread_local! {
    /// By data folder.
    static DISKS: RefCell<BTreeMap<PathBuf, Disk>> = const { RefCell::new(BTreeMap::new()) };
}

/// The disk on which a folder of a node lies; none outside of simulations.
pub(in crate::cluster) fn at(folder: &Path) -> Option<Disk> {
    DISKS.with_borrow(|disks| disks.get(folder.parent()?).cloned())
}

/// Forgets the disks of this thread's last run.
pub(super) fn forget_all() {
    DISKS.with_borrow_mut(BTreeMap::clear);
}

/// One node's disk. It outlives the node's crashes; clones name the same.
#[derive(Clone)]
pub(in crate::cluster) struct Disk(Arc<Mutex<Inner>>);

/// What a disk did in a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wear {
    pub(super) syncs: u64,
    pub(super) lost_records: u64,
    pub(super) lost_bytes: u64,
    pub(super) lost_batches: u64,
}

/// When a disk says that something is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Honesty {
    AfterSync,
    /// Like a disk with a volatile cache: the planted bug.
    BeforeSync,
}

struct Inner {
    honesty: Honesty,
    random: SmallRng,
    /// Which start of the node has it open.
    generation: u64,
    log_made: bool,
    /// What the node sees.
    log: Image,
    /// What is there after a power cut, whatever else is lost.
    synced: Image,
    unsynced: VecDeque<Record>,
    /// How many records were ever written, and synced.
    written: u64,
    waiting: VecDeque<(u64, Done)>,
    wake: Arc<Notify>,
    stalled_until: Duration,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How to undo the newest batches: the store is written behind, so a crash may come before any of
    /// them.
    undo: VecDeque<Rows>,
    /// Every entry that was dropped because a snapshot covers it, for the observer.
    purged: BTreeMap<u64, (LogId, Vec<u8>)>,
    wear: Wear,
}

type Done = Box<dyn FnOnce() + Send>;
type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Clone, Default)]
struct Image {
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    entries: BTreeMap<u64, (LogId, Vec<u8>)>,
}

enum Record {
    Vote(Vote),
    Append(LogId, Vec<u8>),
    Truncate(Option<LogId>),
    Purge(LogId),
    Commit(LogId),
}

impl Disk {
    /// A new, empty disk under a data folder.
    pub(super) fn new(data_dir: &Path, honesty: Honesty, seed: u64) -> Self {
        let disk = Disk(Arc::new(Mutex::new(Inner {
            honesty,
            random: SmallRng::seed_from_u64(seed),
            generation: 0,
            log_made: false,
            log: Image::default(),
            synced: Image::default(),
            unsynced: VecDeque::new(),
            written: 0,
            waiting: VecDeque::new(),
            wake: Arc::default(),
            stalled_until: Duration::ZERO,
            rows: BTreeMap::new(),
            undo: VecDeque::new(),
            purged: BTreeMap::new(),
            wear: Wear::default(),
        })));
        DISKS.with_borrow_mut(|disks| disks.insert(data_dir.into(), disk.clone()));
        disk
    }

    /// The power is cut: a random part of what was not synced is lost, the newest first.
    pub(super) fn cut_power(&self) {
        let inner = &mut *self.lock();
        let kept = inner.random.random_range(0..=inner.unsynced.len());
        for record in inner.unsynced.drain(..kept).collect::<Vec<_>>() {
            inner.synced.write(&record);
        }
        inner.wear.lost_records += inner.unsynced.len() as u64;
        inner.wear.lost_bytes += inner.unsynced.iter().map(Record::bytes).sum::<u64>();
        inner.unsynced.clear();
        inner.waiting.clear();
        inner.log = inner.synced.clone();
        let lost = inner.random.random_range(0..=inner.undo.len());
        for _ in 0..lost {
            let undo = inner.undo.pop_back().unwrap_or_default();
            write_rows(&mut inner.rows, undo);
        }
        inner.wear.lost_batches += lost as u64;
        inner.undo.clear();
        inner.generation += 1;
    }

    /// Nothing is synced before an instant of the simulation.
    pub(super) fn stall_until(&self, instant: Duration) {
        self.lock().stalled_until = instant;
    }

    /// An entry, even when it was dropped behind a snapshot.
    pub(super) fn entry(&self, index: u64) -> Option<(LogId, Vec<u8>)> {
        let inner = self.lock();
        inner.log.entries.get(&index).or_else(|| inner.purged.get(&index)).cloned()
    }

    /// The rows of the store that begin with a prefix.
    pub(super) fn rows(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inner = self.lock();
        let rows = inner.rows.iter().filter(|(key, _)| key.starts_with(prefix));
        rows.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn wear(&self) -> Wear {
        self.lock().wear
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn bytes(&self) -> u64 {
        match self {
            Record::Append(_, payload) => 16 + payload.len() as u64,
            Record::Vote(_) | Record::Truncate(_) | Record::Purge(_) | Record::Commit(_) => 24,
        }
    }
}

impl Image {
    fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|(log_id, _)| *log_id).or(self.purged)
    }

    fn write(&mut self, record: &Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Append(log_id, payload) => {
                self.entries.insert(log_id.index, (*log_id, payload.clone()));
            }
            Record::Truncate(last) => {
                let first = last.map_or(0, |last| last.index + 1);
                self.entries.split_off(&first);
            }
            Record::Purge(log_id) => {
                self.entries = self.entries.split_off(&(log_id.index + 1));
                self.purged = self.purged.max(Some(*log_id));
            }
            Record::Commit(log_id) => self.committed = Some(*log_id),
        }
    }
}

impl Inner {
    fn write(&mut self, record: Record) {
        if let Record::Purge(log_id) = &record {
            let dropped = self.log.entries.range(..=log_id.index);
            self.purged.extend(dropped.map(|(index, entry)| (*index, entry.clone())));
        }
        self.log.write(&record);
        self.unsynced.push_back(record);
        self.written += 1;
    }

    /// Up to which record a sync that begins now goes, and when it ends.
    fn sync_begins(&mut self) -> (u64, Duration) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        let longest = match self.honesty {
            Honesty::AfterSync => SYNC_MICROS_MAX,
            Honesty::BeforeSync => CACHED_MICROS_MAX,
        };
        let takes = Duration::from_micros(self.random.random_range(SYNC_MICROS_MIN..longest));
        (self.written, takes.max(self.stalled_until.saturating_sub(now)))
    }

    fn sync_ends(&mut self, upto: u64) -> Vec<Done> {
        let left = self.written - upto;
        while self.unsynced.len() as u64 > left {
            let Some(record) = self.unsynced.pop_front() else { break };
            self.synced.write(&record);
        }
        self.wear.syncs += 1;
        let mut done = Vec::new();
        while self.waiting.front().is_some_and(|(written, _)| *written <= upto) {
            done.extend(self.waiting.pop_front().map(|(_, call)| call));
        }
        done
    }
}

/// The write-ahead log on a simulated disk.
#[derive(Clone)]
pub(in crate::cluster) struct Log {
    disk: Disk,
    generation: u64,
}

impl Log {
    pub(in crate::cluster) fn open(disk: Disk) -> Self {
        let mut inner = disk.lock();
        inner.log_made = true;
        inner.generation += 1;
        let generation = inner.generation;
        let wake = Arc::new(Notify::new());
        inner.wake = wake.clone();
        drop(inner);
        let log = Log { disk, generation };
        tokio::spawn(log.clone().sync(wake));
        log
    }

    pub(in crate::cluster) fn exists(disk: &Disk) -> bool {
        disk.lock().log_made
    }

    pub(in crate::cluster) fn contents(&self) -> Result<Contents, LogError> {
        let inner = self.open_disk()?;
        let Image { vote, purged, committed, .. } = inner.log;
        Ok(Contents { vote, last: inner.log.last(), purged, committed })
    }

    pub(in crate::cluster) fn append(
        &self,
        entries: Vec<(LogId, Vec<u8>)>,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let mut inner = self.open_disk()?;
        for (log_id, payload) in entries {
            let last = inner.log.last();
            if last.is_some_and(|last| last.index + 1 != log_id.index || last.term > log_id.term) {
                return Err(refused(format!("{log_id:?} after {last:?}")));
            }
            inner.write(Record::Append(log_id, payload));
        }
        Self::when_synced(inner, Box::new(done));
        Ok(())
    }

    pub(in crate::cluster) fn save_vote(
        &self,
        vote: Vote,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let mut inner = self.open_disk()?;
        if inner.log.vote > Some(vote) {
            return Err(refused(format!("{vote:?} after {:?}", inner.log.vote)));
        }
        inner.write(Record::Vote(vote));
        Self::when_synced(inner, Box::new(done));
        Ok(())
    }

    pub(in crate::cluster) fn commit(&self, log_id: LogId) -> Result<(), LogError> {
        let mut inner = self.open_disk()?;
        if Some(log_id) <= inner.log.last() && Some(log_id) > inner.log.committed {
            inner.write(Record::Commit(log_id));
        }
        Ok(())
    }

    pub(in crate::cluster) fn truncate_after(
        &self,
        log_id: Option<LogId>,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let mut inner = self.open_disk()?;
        if log_id < inner.log.last() {
            inner.write(Record::Truncate(log_id));
        }
        Self::when_synced(inner, Box::new(done));
        Ok(())
    }

    pub(in crate::cluster) fn purge(
        &self,
        log_id: LogId,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let mut inner = self.open_disk()?;
        inner.write(Record::Purge(log_id));
        Self::when_synced(inner, Box::new(done));
        Ok(())
    }

    pub(in crate::cluster) fn read(
        &self,
        indexes: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(LogId, Vec<u8>)>, LogError> {
        let inner = self.open_disk()?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        if indexes.is_empty() {
            return Ok(entries);
        }
        for (_, (log_id, payload)) in inner.log.entries.range(indexes) {
            bytes += payload.len();
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push((*log_id, payload.clone()));
        }
        Ok(entries)
    }

    /// Everything that was asked is written out.
    pub(in crate::cluster) fn close(&self) {
        let Ok(mut inner) = self.open_disk() else { return };
        let written = inner.written;
        let done = inner.sync_ends(written);
        inner.generation += 1;
        drop(inner);
        done.into_iter().for_each(|call| call());
    }

    fn when_synced(mut inner: MutexGuard<'_, Inner>, done: Done) {
        let written = inner.written;
        let wake = inner.wake.clone();
        match inner.honesty {
            Honesty::AfterSync => inner.waiting.push_back((written, done)),
            Honesty::BeforeSync => {
                drop(inner);
                done();
            }
        }
        wake.notify_one();
    }

    /// Syncs group by group, for as long as this start of the node lasts.
    async fn sync(self, wake: Arc<Notify>) {
        loop {
            wake.notified().await;
            let Ok((upto, takes)) = self.open_disk().map(|mut disk| disk.sync_begins()) else { return };
            tokio::time::sleep(takes).await;
            let done = {
                let Ok(mut inner) = self.open_disk() else { return };
                let done = inner.sync_ends(upto);
                if !inner.unsynced.is_empty() {
                    wake.notify_one();
                }
                done
            };
            done.into_iter().for_each(|call| call());
        }
    }

    fn open_disk(&self) -> Result<MutexGuard<'_, Inner>, LogError> {
        let inner = self.disk.lock();
        if inner.generation == self.generation { Ok(inner) } else { Err(LogError::Closed) }
    }
}

fn refused(reason: String) -> LogError {
    LogError::Refused(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// The store on a simulated disk.
pub(in crate::cluster) struct Tree {
    disk: Disk,
}

impl Tree {
    pub(in crate::cluster) fn open(disk: Disk) -> Self {
        Tree { disk }
    }

    pub(in crate::cluster) fn write(&self, batch: Batch) {
        let mut inner = self.disk.lock();
        let undo = write_rows(&mut inner.rows, batch.recorded);
        inner.undo.push_back(undo);
        while inner.undo.len() > BATCHES_BEHIND_MAX {
            inner.undo.pop_front();
        }
    }

    pub(in crate::cluster) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.disk.lock().rows.get(key).cloned()
    }

    pub(in crate::cluster) fn scan(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.disk.rows(prefix)
    }
}

/// Writes rows, and gives back what undoes it.
fn write_rows(rows: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Rows) -> Rows {
    let mut undo: Rows = Vec::new();
    for (key, value) in changes {
        let before = match value {
            Some(value) => rows.insert(key.clone(), value),
            None => rows.remove(&key),
        };
        undo.push((key, before));
    }
    undo.reverse();
    undo
}

const SYNC_MICROS_MIN: u64 = 500;
/// A disk that others use too.
const SYNC_MICROS_MAX: u64 = 15_000;
/// How long a cache keeps what it has called durable.
const CACHED_MICROS_MAX: u64 = 400_000;
/// Fewer than the queue of the writer behind holds.
const BATCHES_BEHIND_MAX: usize = 16;
