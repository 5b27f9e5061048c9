//! What is on disk, opened: log and state, whole and fit together, or not at all.

use super::OpenError;
use super::log_store::{self, LogStore};
use super::medium::Log;
use super::rescue::Rescue;
use super::rows::Closed;
use super::state_machine::{Published, Snapshots, StateMachine};
use crate::event::with_causes;
use crate::storage;
use crate::storage::log::{self, Made};
use crate::storage::space::Space;
use crate::tasks::Tasks;
use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;
use std::io;
use std::path::{Path, PathBuf};

/// Opens the log, or sets it aside if it is damaged: what this node granted and acknowledged is not known
/// any more, so it must not take part.
pub(super) fn log(path: &Path, made: bool, name: &str) -> Result<Log, OpenError> {
    let damaged = |kept, reason| OpenError::LogDamaged { kept, reason, name: name.into() };
    if (made || Log::has_guard(path)) && !Log::exists(path).map_err(|source| OpenError::State { source })? {
        return Err(match storage::was_set_aside(path) {
            Some(kept) => damaged(kept, "an earlier start found it so".into()),
            None => OpenError::LogLost { path: path.into() },
        });
    }
    match Log::open(path, if made { Made::Before } else { Made::Perhaps }) {
        Ok(log) => Ok(log),
        Err(log::OpenError::Damaged { reason, .. }) => {
            let kept = storage::set_aside(path).map_err(|source| OpenError::State { source })?;
            Err(damaged(kept, reason))
        }
        Err(error @ (log::OpenError::Io { .. } | log::OpenError::InUse { .. })) => Err(error.into()),
    }
}

/// Opens the state, and fetches it if the log begins behind everything that is here.
pub(super) async fn state(
    rescue: &Rescue<'_>,
    space: &Space,
    published: &Published,
    tasks: &Tasks,
) -> Result<(StateMachine, Snapshots, Closed), OpenError> {
    let failed = |source| OpenError::State { source };
    let open = || {
        StateMachine::open(
            &rescue.config.data_dir,
            &rescue.config.cluster_id,
            space,
            published.clone(),
            tasks,
        )
    };
    let (machine, snapshots, closed) = open().map_err(failed)?;
    let begins = rescue.log.contents().map_err(|error| failed(io::Error::other(error)))?.purged;
    match begins {
        Some(begins) if !machine.reaches(Some(log_store::from_stored(begins))) => {
            drop(machine);
            closed.wait().await;
            tracing::error!(
                ?begins,
                "there is no state that the log could go on from; other members have one"
            );
            let rescued = rescue.fetch(begins).await;
            rescued.map_err(|error| OpenError::StateLost {
                reason: with_causes(&error),
                name: rescue.config.name.clone(),
            })?;
            open().map_err(failed)
        }
        _ => Ok((machine, snapshots, closed)),
    }
}

/// Log and state as they come back from disk: without its log a node must not start, and what only
/// the store has is put into a snapshot, so that others can get it.
pub(super) async fn fit(
    store: &mut LogStore,
    machine: &StateMachine,
    path: PathBuf,
) -> Result<(), OpenError> {
    let failed = |source| OpenError::State { source };
    let vote = store.read_vote().await.map_err(failed)?;
    if vote.is_none() && machine.has_applied() {
        return Err(OpenError::LogLost { path });
    }
    let log = store.get_log_state().await.map_err(failed)?;
    machine.cover(log.last_log_id, log.last_purged_log_id).map_err(failed)
}
