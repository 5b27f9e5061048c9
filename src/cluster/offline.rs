//! A node's data while its server is stopped: what it has, and a new lineage out of it.
//!
//! The new lineage is one snapshot, whose log id is far beyond anything that the old one can have reached:
//! no revision and no node id comes twice. Until that snapshot is on disk nothing has changed but the vote;
//! from then on the node starts with it, whatever else was not done.

use super::log_store::LogStore;
use super::medium;
use super::rows::Closed;
use super::state_machine::{Published, Snapshots, StateMachine};
use super::survey::{Known, Place, Survey};
use super::types::{Address, Entry, LogId, SnapshotMeta, StoredMembership};
use super::{LOG, OpenError, codec, snapshot};
use crate::state::{
    Change, ClientId, Command, Digest, NewAdministrator, NewNode, Outcome, Rejection, Roster, RosterChange,
    State, Timestamp,
};
use crate::storage::log::{Log, Made, Vote};
use crate::storage::space::Space;
use crate::storage::{self, version};
use crate::tasks::Tasks;
use openraft::storage::RaftLogStorage;
use openraft::{EntryPayload, Membership, RaftLogReader};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A data folder that is held open, so that no server can start in it.
pub struct Offline {
    data_dir: PathBuf,
    cluster_id: String,
    node_id: u64,
    log: Log,
    snapshots: Snapshots,
    closed: Closed,
    contents: Contents,
}

/// The state with everything applied that is in the log, and what belongs to it.
struct Contents {
    state: State,
    meta: SnapshotMeta,
    vote: u64,
    committed: Option<LogId>,
    changed_at: Option<Timestamp>,
}

/// There is no new lineage.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The roster does not allow it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The copy of what was before could not be made; nothing was changed.
    #[error("cannot copy the data to {path} first; nothing was changed")]
    Copy {
        /// Where to.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It could not be written.
    #[error("the new lineage was not written; run the same command again")]
    Write(#[source] io::Error),
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A new lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its name, 32 hexadecimal digits.
    pub group: String,
    /// Where its log begins.
    pub log_index: u64,
    /// The nodes that are in it no more.
    pub removed: Vec<Known>,
    /// What was there before.
    pub copy: PathBuf,
}

impl Offline {
    /// Opens the data folder of a node whose server is stopped.
    ///
    /// # Errors
    /// [`OpenError`], for one when a server has it open.
    pub async fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let (cluster_id, node_id, made) = owner_of(data_dir)?;
        let path = data_dir.join(LOG);
        if !Log::exists(&path).map_err(|source| OpenError::State { source })? {
            return Err(OpenError::LogLost { path });
        }
        // A damaged log is not set aside here: nothing changes before a recovery is confirmed.
        let log = Log::open(&path, made)?;
        let failed = |source| OpenError::State { source };
        let space = Space::open(data_dir).map_err(failed)?;
        let opened = StateMachine::open(data_dir, &cluster_id, &space, Published::new(), &Tasks::new());
        let (machine, snapshots, closed) = opened.map_err(failed)?;
        let contents = read(&log, machine).await.map_err(failed)?;
        let data_dir = data_dir.to_owned();
        Ok(Offline { data_dir, cluster_id, node_id, log, snapshots, closed, contents })
    }

    /// What it has.
    #[must_use]
    pub fn survey(&self) -> Survey {
        let Contents { state, meta, vote, committed, changed_at } = &self.contents;
        let membership = meta.last_membership.membership();
        let known = |(node_id, node): (&u64, &crate::state::Node)| Known {
            node_id: *node_id,
            name: node.name.clone(),
            peer_address: node.peer_address.clone(),
        };
        let name = state.roster.nodes.get(&self.node_id).map(|node| node.name.clone());
        Survey {
            cluster_id: self.cluster_id.clone(),
            group: group_of(meta),
            node_id: self.node_id,
            name: name.unwrap_or_else(|| format!("node {}", self.node_id)),
            term: *vote,
            last: place(meta.last_log_id.as_ref()),
            committed: place(committed.as_ref()),
            snapshot: self
                .snapshots
                .current()
                .and_then(|found| found.meta.last_log_id)
                .map_or(0, |id| id.index()),
            revision: state.table.revision,
            entries: state.table.entries.len() as u64,
            changed_at_ms: changed_at.map(|at| at.0),
            voters: membership.get_joint_config().clone(),
            nodes: state.roster.nodes.iter().map(known).collect(),
        }
    }

    /// The roster, with the sealed secrets.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.contents.state.roster.clone()
    }

    /// Closes the data folder again.
    pub async fn close(self) {
        self.closed.wait().await;
        self.log.close();
    }

    /// Makes a new lineage with this node alone, where it is wanted with one more administrator, and without the
    /// secrets that are to be forgotten. Can be repeated.
    ///
    /// Everything in the log is kept, whether it was committed or not: what a quorum of lost nodes had
    /// acknowledged may be here as an entry that nobody has told this node to be committed.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub async fn recover(
        mut self,
        administrator: Option<NewAdministrator>,
        (by, forgotten): (&str, &[String]),
        at: Timestamp,
    ) -> Result<Recovered, RecoverError> {
        let copy = copy_aside(&self.data_dir, at)?;
        let before = self.survey();
        let last = beyond(&self.contents.meta, self.contents.vote, at);
        let change = Change::Roster(RosterChange::Recover { node_id: self.node_id, administrator });
        let command = command(change, before.last.index, by, at);
        match self.contents.state.apply(&command, last.index()) {
            Outcome::RosterChanged | Outcome::RosterUnchanged => {}
            Outcome::Rejected(rejection) => return Err(rejection.into()),
            other => return Err(RecoverError::Write(io::Error::other(format!("{other:?}")))),
        }
        self.contents.state.forget_secrets(forgotten);
        self.contents.state.begin_again(last.index());
        let state = std::mem::take(&mut self.contents.state);
        let meta = alone(self.node_id, &state, last);
        let folder = self.snapshots.folder.clone();
        begin(&self.log, &folder, &self.cluster_id, (last, &meta, &state)).await?;
        let data_dir = self.data_dir.clone();
        self.close().await;
        // As the server will read it.
        let after = Offline::open(&data_dir).await?;
        let survey = after.survey();
        after.close().await;
        assert!(survey.is_alone() && survey.last.index == last.index(), "{survey:?}");
        let removed = before.nodes.into_iter().filter(|node| node.node_id != survey.node_id).collect();
        Ok(Recovered { group: survey.group, log_index: survey.last.index, removed, copy })
    }
}

/// A node that a copy of the state begins again with.
pub struct Beginning<'a> {
    /// Its data folder, which is empty.
    pub data_dir: &'a Path,
    /// The node.
    pub node: NewNode,
    /// The administrator that is made with it.
    pub administrator: Option<NewAdministrator>,
    /// Who does it.
    pub by: &'a str,
    /// The secrets that it does not go on with.
    pub forgotten: &'a [String],
    /// When.
    pub at: Timestamp,
}

/// The log id with which a lineage begins out of this state; its index is the id of the new node.
pub(super) fn next(meta: &SnapshotMeta, at: Timestamp) -> LogId {
    beyond(meta, 0, at)
}

/// Makes a data folder with a copy of the state, in a new lineage of one new node.
pub(super) async fn seed(
    cluster_id: &str,
    (mut state, meta): (State, SnapshotMeta),
    beginning: Beginning<'_>,
) -> Result<u64, RecoverError> {
    let Beginning { data_dir, node, administrator, by, forgotten, at } = beginning;
    let last = next(&meta, at);
    let node_id = last.index();
    let change = Change::Roster(RosterChange::Recover { node_id, administrator: administrator.clone() });
    state.restore(node_id, (&node, administrator.as_ref()), &command(change, 0, by, at))?;
    state.forget_secrets(forgotten);
    let path = data_dir.join(LOG);
    let owner = super::owner(cluster_id, node_id);
    let made = version::make(data_dir, &path, &owner, node.incarnation).map_err(OpenError::from);
    let mut claim = made?;
    let log = Log::open(&path, Made::Perhaps).map_err(OpenError::from)?;
    claim.note_log().map_err(OpenError::from)?;
    let folder = data_dir.join(snapshot::FOLDER);
    storage::create_folder(&folder).map_err(RecoverError::Write)?;
    let meta = alone(node_id, &state, last);
    begin(&log, &folder, cluster_id, (last, &meta, &state)).await?;
    log.close();
    Ok(node_id)
}

/// The vote first, since no log may be newer than it; then the snapshot; then the log, which it replaces.
async fn begin(
    log: &Log,
    folder: &Path,
    cluster_id: &str,
    (last, meta, state): (LogId, &SnapshotMeta, &State),
) -> Result<(), RecoverError> {
    let node_id = meta.last_membership.voter_ids().next().unwrap_or_default();
    let term = last.committed_leader_id().term;
    let refused = |error| RecoverError::Write(io::Error::other(error));
    let (sender, done) = oneshot::channel();
    let on_disk = move || {
        sender.send(()).ok();
    };
    log.save_vote(Vote { term, committed: false, node_id }, on_disk).map_err(refused)?;
    done.await.map_err(|error| RecoverError::Write(io::Error::other(error)))?;
    snapshot::write(folder, cluster_id, meta, state).map_err(|error| RecoverError::Write(error.into()))?;
    let mut store = LogStore::new(medium::Log::Real(log.clone()));
    store.purge(last).await.map_err(RecoverError::Write)
}

/// Far beyond anything that the old lineage can have reached, and any other that began out of the same
/// state before: no log grows by a thousand entries a second for as long as it lives, and one that
/// was just filled faster is ahead of the clock by less than an hour. Where the clock is
/// wrong, a round number is still far enough.
fn beyond(meta: &SnapshotMeta, vote: u64, at: Timestamp) -> LogId {
    let last = place(meta.last_log_id.as_ref());
    let milliseconds = u64::try_from(at.0).unwrap_or_default();
    LogId::new_term_index(
        last.term.max(vote) + 1,
        (milliseconds + 4 * STRIDE).max((last.index / STRIDE + 2) * STRIDE),
    )
}

/// One voter in a new group.
fn alone(node_id: u64, state: &State, last: LogId) -> SnapshotMeta {
    let node = state.roster.nodes.get(&node_id);
    let address = node.map_or_else(Address::default, |node| Address {
        name: node.name.clone(),
        peer: node.peer_address.clone(),
        admin: node.admin_address.clone(),
        incarnation: node.incarnation,
        group: rand::random(),
    });
    let voters = vec![BTreeSet::from([node_id])];
    let membership = Membership::new(voters, BTreeMap::from([(node_id, address)]));
    let membership = membership.expect("the one voter is among the nodes");
    SnapshotMeta { last_log_id: Some(last), last_membership: StoredMembership::new(Some(last), membership) }
}

fn command(change: Change, since: u64, by: &str, at: Timestamp) -> Command {
    let digest: Digest = codec::digest(&change);
    Command { client: ClientId(rand::random()), serial: 1, digest, since, at, by: by.into(), change }
}

async fn read(log: &Log, machine: StateMachine) -> io::Result<Contents> {
    let (mut state, mut meta) = machine.contents();
    drop(machine);
    let mut store = LogStore::new(medium::Log::Real(log.clone()));
    let vote = store.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    let committed = store.read_committed().await?.max(meta.last_log_id);
    let range = store.get_log_state().await?;
    if range.last_purged_log_id > meta.last_log_id {
        let words =
            "the log begins behind everything that can be read of the state: another node has to be used";
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    let end = range.last_log_id.map_or(0, |last| last.index() + 1);
    let mut changed_at = None;
    // From the first that is left, for the time of the newest; what is applied already is not applied again.
    let mut at = range.last_purged_log_id.map_or(0, |purged| purged.index() + 1);
    while at < end {
        let entries = store.limited_get_log_entries(at, end).await?;
        let Some(last) = entries.last() else { break };
        at = last.log_id.index() + 1;
        for entry in entries {
            if let EntryPayload::Normal(proposal) = &entry.payload {
                changed_at = Some(proposal.command()?.at);
            }
            if Some(entry.log_id) > meta.last_log_id {
                apply(&mut state, &mut meta, entry)?;
            }
        }
    }
    Ok(Contents { state, meta, vote, committed, changed_at })
}

fn apply(state: &mut State, meta: &mut SnapshotMeta, entry: Entry) -> io::Result<()> {
    match entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(proposal) => {
            state.apply(&proposal.command()?, entry.log_id.index());
        }
        EntryPayload::Membership(membership) => {
            meta.last_membership = StoredMembership::new(Some(entry.log_id), membership);
        }
    }
    meta.last_log_id = Some(entry.log_id);
    Ok(())
}

/// Whose the folder is, and whether its log was made.
fn owner_of(data_dir: &Path) -> Result<(String, u64, Made), OpenError> {
    let claim = version::owner(data_dir)?;
    let lost = || version::VersionError::Lost { path: data_dir.into(), owner: "any node".into() };
    let claim = claim.ok_or_else(lost)?;
    let parts = claim.owner.split_once(" node ");
    let made = if claim.log_made { Made::Before } else { Made::Perhaps };
    let owner = parts.and_then(|(cluster_id, id)| Some((cluster_id.to_owned(), id.parse().ok()?, made)));
    let damaged = || version::VersionError::Damaged { path: data_dir.into(), text: claim.owner.clone() };
    Ok(owner.ok_or_else(damaged)?)
}

/// Copies what would be needed to go back. Snapshots never change, so a second name is enough.
fn copy_aside(data_dir: &Path, at: Timestamp) -> Result<PathBuf, RecoverError> {
    let folder = data_dir.join(format!("before-recovery-{}", at.0));
    let failed = |source| RecoverError::Copy { path: folder.clone(), source };
    let copy = || -> io::Result<()> {
        storage::create_folder(&folder)?;
        for name in [LOG, snapshot::FOLDER] {
            let (from, to) = (data_dir.join(name), folder.join(name));
            storage::create_folder(&to)?;
            for file in std::fs::read_dir(from)? {
                let file = file?;
                let target = to.join(file.file_name());
                if name == LOG {
                    std::fs::copy(file.path(), &target)?;
                    std::fs::File::open(&target)?.sync_all()?;
                } else {
                    std::fs::hard_link(file.path(), &target)?;
                }
            }
            storage::sync_folder(&to)?;
        }
        let guard = Log::guard_path(&data_dir.join(LOG));
        if let Some(name) = guard.file_name().filter(|_| guard.exists()) {
            std::fs::copy(&guard, folder.join(name))?;
        }
        storage::sync_folder(&folder)
    };
    copy()
        .inspect_err(|_| {
            // The next try makes another; on a full disk this one would be in its way.
            std::fs::remove_dir_all(&folder).ok();
        })
        .map_err(failed)?;
    Ok(folder)
}

fn place(log_id: Option<&LogId>) -> Place {
    log_id.map_or_else(Place::default, |id| Place { term: id.committed_leader_id().term, index: id.index() })
}

fn group_of(meta: &SnapshotMeta) -> String {
    let group = meta.last_membership.nodes().map(|(_, node)| node.group).next();
    format!("{:032x}", group.unwrap_or_default())
}

/// More than anybody changes between a backup and its restore.
const STRIDE: u64 = 1_000_000;
