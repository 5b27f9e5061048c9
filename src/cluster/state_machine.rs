//! Applies committed entries to the state, publishes it, and keeps it.

use super::medium::{self, Tree};
use super::rows::{Changes, Closed, LoadError, Rows, Store};
use super::snapshot::{self, SnapshotFile, check};
use super::types::{Applied, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::event::Event;
use crate::state::{Command, Roster, State, Table};
use crate::storage::space::Space;
use crate::storage::tree::OpenError;
use crate::storage::{self, StopOnPanic};
use crate::tasks::Tasks;
use futures::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The state, and what belongs to it on disk.
pub(crate) struct StateMachine {
    state: State,
    meta: SnapshotMeta,
    rows: Rows,
    snapshots: Snapshots,
    published: Published,
}

/// What the rest of the node sees.
#[derive(Clone)]
pub(super) struct Published {
    /// The newest state, without the clients' answers: those are for applying alone.
    pub(super) state: watch::Sender<Arc<State>>,
    /// The roster of it, for those who would be woken in vain by every change of the table; set after it.
    pub(super) roster: watch::Sender<Arc<Roster>>,
    /// The log index up to which it is applied; set after the state.
    pub(super) applied: watch::Sender<u64>,
}

/// Where snapshots are, and the newest one.
#[derive(Clone)]
pub(super) struct Snapshots {
    pub(super) folder: PathBuf,
    pub(super) cluster_id: String,
    /// Nothing large is written without asking it.
    pub(super) space: Space,
    newest: Arc<Mutex<Option<(SnapshotMeta, SnapshotFile)>>>,
    /// One snapshot comes in at a time.
    pub(super) receiving: Arc<tokio::sync::Mutex<()>>,
    /// What this node has; a snapshot that comes in shares with it what is the same.
    state: watch::Sender<Arc<State>>,
}

/// Builds a snapshot of the state as it was when this was made.
pub(crate) struct Builder {
    state: State,
    meta: SnapshotMeta,
    snapshots: Snapshots,
}

impl Published {
    pub(super) fn new() -> Self {
        Published {
            state: watch::Sender::new(Arc::default()),
            roster: watch::Sender::new(Arc::default()),
            applied: watch::Sender::new(0),
        }
    }
}

impl StateMachine {
    /// Reads back what is on disk: the store, or the newest snapshot where that goes further.
    pub(super) fn open(
        data_dir: &Path,
        cluster_id: &str,
        space: &Space,
        published: Published,
        tasks: &Tasks,
    ) -> io::Result<(Self, Snapshots, Closed)> {
        let folder = data_dir.join(snapshot::FOLDER);
        storage::create_folder(&folder)?;
        let (store, stored) = open_store(&data_dir.join("tree"))?;
        let mut replace = stored.is_none();
        let (mut state, mut meta) = stored.unwrap_or_default();
        let mut current = None;
        if let Some(newest) = snapshot::newest(&folder, cluster_id, meta.last_log_id.as_ref())? {
            if let Some(newer) = newest.state {
                (state, meta) = (newer, newest.meta.clone());
                replace = true;
            }
            current = Some((newest.meta, newest.file));
        }
        let snapshots = Snapshots {
            folder,
            cluster_id: cluster_id.into(),
            space: space.clone(),
            newest: Arc::new(Mutex::new(current)),
            receiving: Arc::default(),
            state: published.state.clone(),
        };
        let (rows, closed) = Rows::start(store, space.clone(), tasks);
        if replace {
            rows.replace(&state, &meta);
        }
        let machine = StateMachine { state, meta, rows, snapshots: snapshots.clone(), published };
        machine.publish();
        Ok((machine, snapshots, closed))
    }

    /// Whether what the log has goes on where the state ends.
    pub(super) fn reaches(&self, begins: Option<LogId>) -> bool {
        self.meta.last_log_id >= begins
    }

    /// The state, and what belongs to it.
    pub(super) fn contents(&self) -> (State, SnapshotMeta) {
        (self.state.clone(), self.meta.clone())
    }

    pub(super) fn has_applied(&self) -> bool {
        self.meta.last_log_id.is_some()
    }

    /// Writes a snapshot where the log cannot give back what the store has: its tail was not on
    /// disk yet, or its head is purged and the snapshot behind which it was cannot be read.
    pub(super) fn cover(&self, last: Option<LogId>, purged: Option<LogId>) -> io::Result<()> {
        let newest = self.snapshots.current().and_then(|snapshot| snapshot.meta.last_log_id);
        let applied = self.meta.last_log_id;
        let (ahead, bare) = (applied > last, purged > newest && applied >= purged);
        if applied > newest && (ahead || bare) {
            tracing::warn!(?applied, ?last, ?purged, ?newest, "the store goes further than log and snapshot");
            let snapshots = &self.snapshots;
            let file = snapshot::write(&snapshots.folder, &snapshots.cluster_id, &self.meta, &self.state)?;
            snapshots.put(self.meta.clone(), file);
        }
        Ok(())
    }

    fn apply_command(&mut self, command: &Command, log_index: u64, changes: &mut Changes) -> Applied {
        #[cfg(test)]
        if super::simulation::hook::before_apply(&mut self.state, log_index, &self.snapshots.folder) {
            return Applied(None);
        }
        let oldest = self.state.clients.oldest();
        let before = self.state.clients.get(command.client).map(|answered| answered.log_index);
        let roster = self.state.roster.clone();
        let outcome = self.state.apply(command, log_index);
        let after = self.state.clients.get(command.client).map(|answered| answered.log_index);
        if before != after {
            if let Some(sid) = command.change.sid() {
                changes.entry(sid);
            }
            if roster.revision != self.state.roster.revision {
                changes.roster(&roster, &self.state.roster);
            }
            before.into_iter().chain(after).for_each(|log_index| changes.client(log_index));
        }
        if let Some((log_index, _)) = oldest.filter(|(_, client)| self.state.clients.get(*client).is_none()) {
            changes.client(log_index);
        }
        Applied(Some(outcome))
    }

    fn publish(&self) {
        let state =
            State { table: self.state.table.clone(), roster: self.state.roster.clone(), ..State::default() };
        self.published.state.send_replace(Arc::new(state));
        let newest = &self.state.roster;
        self.published.roster.send_if_modified(|roster| {
            let changed = !Arc::ptr_eq(roster, newest) && roster != newest;
            roster.clone_from(newest);
            changed
        });
        self.published.applied.send_replace(self.meta.last_log_id.as_ref().map_or(0, LogId::index));
    }
}

#[derive(Debug, thiserror::Error)]
enum TreeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A damaged store is put aside and made again: the log and the snapshot have everything.
fn open_store(folder: &Path) -> io::Result<(Store, Option<(State, SnapshotMeta)>)> {
    // sled panics on many kinds of damage, while opening and while reading.
    let opened = std::panic::catch_unwind(|| Ok(Store::load(Tree::open(folder)?)?));
    let reason = match opened {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(
            error @ (TreeError::Open(OpenError::Damaged { .. }) | TreeError::Load(LoadError::Damaged(_))),
        )) => error.to_string(),
        Ok(Err(error @ TreeError::Open(OpenError::Io { .. }))) => return Err(io::Error::other(error)),
        Ok(Err(TreeError::Load(LoadError::Read(error)))) if error.is_damage() => error.to_string(),
        Ok(Err(error @ TreeError::Load(LoadError::Read(_) | LoadError::NeedsMore(_)))) => {
            return Err(io::Error::other(error));
        }
        Err(_) => "reading it panicked".into(),
    };
    let kept = storage::set_aside(folder)?;
    Event::DamageSetAside { what: "the store", kept: &kept, reason: &reason }.log();
    Ok((Store::empty(Tree::open(folder).map_err(io::Error::other)?), None))
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.meta.last_log_id, self.meta.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let _guard = StopOnPanic("applying an entry");
        let mut changes = Changes::default();
        let mut answers: Vec<(ApplyResponder<TypeConfig>, Applied)> = Vec::new();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            assert!(self.meta.last_log_id < Some(entry.log_id), "entries are applied in order");
            let applied = match entry.payload {
                EntryPayload::Blank => Applied(None),
                EntryPayload::Normal(proposal) => {
                    // Applying less than the others would be worse than stopping.
                    let command = proposal.command().inspect_err(|error| {
                        tracing::error!(log_id = %entry.log_id, %error, "cannot apply; Raft stops here");
                    })?;
                    self.apply_command(&command, entry.log_id.index(), &mut changes)
                }
                EntryPayload::Membership(membership) => {
                    self.meta.last_membership = StoredMembership::new(Some(entry.log_id), membership);
                    Applied(None)
                }
            };
            self.meta.last_log_id = Some(entry.log_id);
            answers.extend(responder.map(|responder| (responder, applied)));
        }
        changes.applied(&self.state, &self.meta);
        self.rows.send(changes).await;
        // Who gets an answer finds the change in the published state.
        self.publish();
        for (responder, applied) in answers {
            responder.send(applied);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { state: self.state.clone(), meta: self.meta.clone(), snapshots: self.snapshots.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let _guard = StopOnPanic("installing a snapshot");
        let snapshots = self.snapshots.clone();
        let contents = blocking(move || {
            let contents = snapshot.take(&snapshots.cluster_id, &snapshots.known())?;
            let file = snapshot::adopt(&snapshots.folder, &snapshot, &contents.meta)?;
            snapshots.put(contents.meta.clone(), file);
            Ok(contents)
        })
        .await?;
        assert!(contents.meta == *meta, "the snapshot is the one that was announced");
        self.state = contents.state;
        self.meta = contents.meta;
        self.publish();
        self.rows.replace(&self.state, &self.meta);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let (state, meta, snapshots) = (self.state.clone(), self.meta.clone(), self.snapshots.clone());
        blocking(move || snapshots.current_whole(&state, &meta)).await
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let bytes = check::bytes_max(&self.state);
        loop {
            // An error would end Raft. Until there is room the log just keeps what it has.
            self.snapshots.space.room(bytes).await;
            let (state, meta, snapshots) = (self.state.clone(), self.meta.clone(), self.snapshots.clone());
            match blocking(move || snapshots.write(&state, &meta)).await {
                Err(error) if check::is_full(&error) => self.snapshots.space.note_full(),
                written => return written,
            }
        }
    }
}

impl Snapshots {
    /// One may be built while a newer one comes in.
    fn put(&self, meta: SnapshotMeta, file: SnapshotFile) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|(known, _)| known.last_log_id <= meta.last_log_id) {
            *newest = Some((meta, file));
        }
    }

    fn write(&self, state: &State, meta: &SnapshotMeta) -> io::Result<Snapshot> {
        let file = snapshot::write(&self.folder, &self.cluster_id, meta, state)?;
        self.put(meta.clone(), file.clone());
        Ok(Snapshot { meta: meta.clone(), snapshot: file })
    }

    /// The newest snapshot, which others are about to get: it must be as it was written. One that is not
    /// is set aside, and the state is written anew.
    fn current_whole(&self, state: &State, meta: &SnapshotMeta) -> io::Result<Option<Snapshot>> {
        let Some(snapshot) = self.current() else {
            return Ok(None);
        };
        match snapshot.snapshot.check() {
            Ok(()) => Ok(Some(snapshot)),
            Err(error) if error.is_damage() => {
                check::set_aside(&snapshot.snapshot, &error)?;
                self.write(state, meta).map(Some)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is published.
    pub(super) fn known(&self) -> Arc<Table> {
        self.state.borrow().table.clone()
    }

    /// How far the log may be purged: the snapshot is on disk, and so is its name.
    pub(super) fn durable(&self) -> Option<LogId> {
        self.current()?.meta.last_log_id
    }

    pub(super) fn current(&self) -> Option<Snapshot> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        newest.map(|(meta, snapshot)| Snapshot { meta, snapshot })
    }
}

async fn blocking<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    medium::blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
