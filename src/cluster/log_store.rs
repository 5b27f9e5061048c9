//! Raft's log on the write-ahead log.

use super::codec;
use super::medium::Log;
use super::state_machine::Snapshots;
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::proto::state::v1 as stored;
use crate::storage::log::{self, LogError};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use prost::Message;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use tokio::sync::oneshot;

/// Clones name the same log: Raft reads while it writes.
#[derive(Clone)]
pub(super) struct LogStore {
    log: Log,
    /// Behind which it may be purged.
    snapshots: Option<Snapshots>,
}

impl LogStore {
    pub(super) fn new(log: Log) -> Self {
        LogStore { log, snapshots: None }
    }

    /// The same log, that is purged only behind a durable snapshot.
    pub(super) fn behind(self, snapshots: Snapshots) -> Self {
        LogStore { snapshots: Some(snapshots), ..self }
    }

    fn entries(&self, indexes: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(indexes, bytes_max).map_err(failed)?;
        entries.into_iter().map(|(log_id, payload)| decode(log_id, &payload)).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.entries(start..end, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.log.contents().map_err(failed)?.vote;
        Ok(vote.map(|vote| {
            let granted = if vote.committed { Vote::new_committed } else { Vote::new };
            granted(vote.term, vote.node_id)
        }))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(start..end, REPLICATED_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let contents = self.log.contents().map_err(failed)?;
        Ok(LogState {
            last_purged_log_id: contents.purged.map(from_stored),
            last_log_id: contents.last.map(from_stored),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = log::Vote {
            term: vote.leader_id.term,
            committed: vote.committed,
            node_id: vote.leader_id.voted_for,
        };
        self.on_disk(|log, done| log.save_vote(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        match committed {
            Some(log_id) => self.log.commit(to_stored(&log_id)).map_err(failed),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.contents().map_err(failed)?.committed.map(from_stored))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| {
            let payload = codec::payload_to(&entry.payload).encode_to_vec();
            (to_stored(&entry.log_id()), payload)
        });
        self.log.append(entries.collect(), move || callback.io_completed(Ok(()))).map_err(failed)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let last = last.as_ref().map(to_stored);
        self.on_disk(|log, done| log.truncate_after(last, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let durable = self.snapshots.as_ref().map(Snapshots::durable);
        if let Some(durable) = durable.filter(|durable| *durable < Some(log_id)) {
            // A node without this part of its log could never apply what follows. Raft ends with this.
            return Err(io::Error::other(format!(
                "the log is to be purged up to {log_id}, and the newest durable snapshot is {durable:?}"
            )));
        }
        let log_id = to_stored(&log_id);
        self.on_disk(|log, done| log.purge(log_id, done)).await
    }
}

impl LogStore {
    async fn on_disk<F>(&self, ask: F) -> io::Result<()>
    where
        F: FnOnce(&Log, Box<dyn FnOnce() + Send>) -> Result<(), LogError>,
    {
        let (sender, done) = oneshot::channel();
        // Nobody listens any more when Raft was stopped meanwhile.
        let on_disk = move || {
            sender.send(()).ok();
        };
        ask(&self.log, Box::new(on_disk)).map_err(failed)?;
        done.await.map_err(|_| failed(LogError::Closed))
    }
}

fn decode(log_id: log::LogId, payload: &[u8]) -> io::Result<Entry> {
    let payload = stored::Payload::decode(payload)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Entry::new(from_stored(log_id), codec::payload_from(payload)?))
}

fn to_stored(log_id: &LogId) -> log::LogId {
    log::LogId { term: log_id.committed_leader_id().term, index: log_id.index() }
}

pub(super) fn from_stored(log_id: log::LogId) -> LogId {
    LogId::new_term_index(log_id.term, log_id.index)
}

fn failed(error: LogError) -> io::Error {
    match error {
        LogError::Closed => io::Error::other(error),
        LogError::Refused(source) => source,
    }
}

/// What one append carries to another node, far below the limit of a message.
const REPLICATED_BYTES_MAX: usize = 1 << 20;
