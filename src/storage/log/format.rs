//! What stands in the write-ahead log, in the words of the crate that writes it.

use raft_log::codeq::{Decode, Encode};
use raft_log::{Callback, Types};
use std::io;

/// Where an entry stands: the term of the leader that appended it, and its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId {
    /// The term.
    pub term: u64,
    /// The log index.
    pub index: u64,
}

/// Whom the node votes for. The order is that in which votes may follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// Whether a quorum granted it.
    pub committed: bool,
    /// The candidate, or leader.
    pub node_id: u64,
}

impl Encode for LogId {
    fn encode<W: io::Write>(&self, mut writer: W) -> io::Result<usize> {
        Ok(self.term.encode(&mut writer)? + self.index.encode(&mut writer)?)
    }
}

impl Decode for LogId {
    fn decode<R: io::Read>(mut reader: R) -> io::Result<Self> {
        Ok(LogId { term: u64::decode(&mut reader)?, index: u64::decode(&mut reader)? })
    }
}

impl Encode for Vote {
    fn encode<W: io::Write>(&self, mut writer: W) -> io::Result<usize> {
        let head = self.term.encode(&mut writer)? + self.committed.encode(&mut writer)?;
        Ok(head + self.node_id.encode(&mut writer)?)
    }
}

impl Decode for Vote {
    fn decode<R: io::Read>(mut reader: R) -> io::Result<Self> {
        Ok(Vote {
            term: u64::decode(&mut reader)?,
            committed: bool::decode(&mut reader)?,
            node_id: u64::decode(&mut reader)?,
        })
    }
}

/// Called when a group is on disk.
pub(super) struct OnDisk(Option<Box<dyn FnOnce() + Send>>);

impl OnDisk {
    pub(super) fn new(done: impl FnOnce() + Send + 'static) -> Self {
        OnDisk(Some(Box::new(done)))
    }
}

/// The writer ends at the first error, and tells only the group whose error it was.
impl Drop for OnDisk {
    fn drop(&mut self) {
        if self.0.is_some() {
            crate::storage::stop("writing the log", &"the writer has ended");
        }
    }
}

impl Callback for OnDisk {
    fn send(mut self, result: Result<(), io::Error>) {
        let done = self.0.take();
        match result {
            Ok(()) => done.into_iter().for_each(|done| done()),
            Err(error) => crate::storage::stop("writing the log", &error),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Format;

impl Types for Format {
    type LogId = LogId;
    type LogPayload = Vec<u8>;
    type Vote = Vote;
    type Callback = OnDisk;
    type UserData = ();

    fn log_index(log_id: &LogId) -> u64 {
        log_id.index
    }

    fn payload_size(payload: &Vec<u8>) -> u64 {
        payload.len() as u64
    }
}
