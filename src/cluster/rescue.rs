//! The state of a node that has its log and its votes, but no store and no snapshot that fit to them: other
//! members have it. Fetched before Raft starts; what the node granted and acknowledged stays as it was.

use super::medium::{self, Log};
use super::peers::Peers;
use super::service::SNAPSHOT_BYTES_MAX;
use super::snapshot::{self, Contents, SnapshotFile};
use super::{Cluster, Config, Member, codec};
use crate::event::with_causes;
use crate::proto::peer::v1 as wire;
use crate::state::Table;
use crate::storage::log::LogId;
use futures::{Stream, StreamExt, stream};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

/// What is looked for, and for whom.
pub(super) struct Rescue<'a> {
    pub(super) config: &'a Config,
    pub(super) incarnation: u128,
    pub(super) peers: &'a Peers,
    pub(super) log: &'a Log,
}

/// No state was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRescued {
    /// Members answer, but none gives a state that fits; or none answers.
    #[error("no other member has given one within {waited:?}: {reason}")]
    Nobody { waited: Duration, reason: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the members are is in the state as well, so it is kept beside.
pub(super) fn note_members(data_dir: &Path, members: &[Member]) -> io::Result<()> {
    let path = data_dir.join(MEMBERS);
    let lines = members.iter().map(|member| format!("{} {}\n", member.node_id, member.peer_address));
    let text = lines.collect::<String>();
    if std::fs::read_to_string(&path).is_ok_and(|noted| noted == text) {
        return Ok(());
    }
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, text)?;
    // Nothing rests on it but a rescue, so it need not be on disk now.
    std::fs::rename(unfinished, path)
}

fn members(data_dir: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(data_dir.join(MEMBERS)).unwrap_or_default();
    let member = |line: &str| {
        let (node_id, address) = line.split_once(' ')?;
        Some((node_id.parse().ok()?, address.to_owned()))
    };
    text.lines().filter_map(member).collect()
}

impl Rescue<'_> {
    /// Fetches a snapshot that goes at least up to where the log begins, and fits the log to it.
    pub(super) async fn fetch(&self, begins: LogId) -> Result<(), NotRescued> {
        let others =
            members(&self.config.data_dir).into_iter().filter(|(node_id, _)| *node_id != self.config.node_id);
        let others: Vec<(u64, String)> = others.collect();
        let deadline = Instant::now() + PATIENCE;
        let mut reason = String::from("where the others are is not known");
        while Instant::now() < deadline && !others.is_empty() {
            for (node_id, address) in &others {
                match self.fetch_from(*node_id, address, begins).await {
                    Ok((file, contents)) => return Ok(self.adopt(&file, &contents).await?),
                    Err(error) => reason = format!("node {node_id}: {}", with_causes(&error)),
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Err(NotRescued::Nobody { waited: PATIENCE, reason })
    }

    async fn fetch_from(
        &self,
        node_id: u64,
        address: &str,
        begins: LogId,
    ) -> io::Result<(SnapshotFile, Contents)> {
        let mut client = self.peers.node(node_id, address);
        let request = wire::FetchSnapshotRequest { term: begins.term, index: begins.index };
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, client.fetch_snapshot(request)).await?;
        let mut parts = asked.map_err(io::Error::other)?.into_inner();
        // A start that breaks off here leaves it behind, and the next one clears it away.
        let unfinished = self.folder().join("rescue.tmp");
        let mut file = tokio::fs::File::create(&unfinished).await?;
        let mut bytes = 0;
        while let Some(part) =
            tokio::time::timeout(ANSWER_TIMEOUT, parts.message()).await?.map_err(io::Error::other)?
        {
            bytes += part.data.len() as u64;
            if bytes > SNAPSHOT_BYTES_MAX {
                return Err(io::Error::other("the snapshot has no end"));
            }
            file.write_all(&part.data).await?;
        }
        file.sync_all().await?;
        let cluster_id = self.config.cluster_id.to_owned();
        let reading = medium::blocking(move || {
            let snapshot = SnapshotFile::open(unfinished)?;
            let contents = snapshot.read(&cluster_id, &Table::default())?;
            io::Result::Ok((snapshot, contents))
        });
        let (file, contents) = reading.await.map_err(io::Error::other)??;
        self.check(&contents, begins)?;
        Ok((file, contents))
    }

    /// The state has to go on to where the log begins, and its members have to know this disk.
    fn check(&self, contents: &Contents, begins: LogId) -> io::Result<()> {
        if last(contents) < Some(begins) {
            return Err(io::Error::other("its snapshot ends before the log begins"));
        }
        let member = contents.meta.last_membership.membership().get_node(&self.config.node_id);
        if member.is_none_or(|member| member.incarnation != self.incarnation) {
            return Err(io::Error::other("its members do not know this node with this disk"));
        }
        Ok(())
    }

    async fn adopt(&self, file: &SnapshotFile, contents: &Contents) -> io::Result<()> {
        let last = last(contents).ok_or_else(|| io::Error::other("it is empty"))?;
        // Each step leaves a node that starts again, or needs the rescue again.
        cut(self.log, last).await?;
        snapshot::adopt(&self.folder(), file, &contents.meta)?;
        on_disk(|done| self.log.purge(last, done)).await?;
        tracing::warn!(?last, "the state was fetched from another member");
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.config.data_dir.join(snapshot::FOLDER)
    }
}

fn last(contents: &Contents) -> Option<LogId> {
    let last = contents.meta.last_log_id.as_ref().map(codec::log_id_to)?;
    Some(LogId { term: last.term, index: last.index })
}

/// Cuts the log to fit to a state that ends at an entry, as a follower does with a snapshot of its leader. Entries
/// go on behind it if the log has that entry. If it has another in its place, that one and all behind it are of
/// a leader that never committed them, and go. If it ends before, the state has all of it.
async fn cut(log: &Log, last: LogId) -> io::Result<()> {
    let before = last.index.saturating_sub(1);
    let entries = log.read(before..last.index + 1, usize::MAX).map_err(io::Error::other)?;
    let entry = |index| entries.iter().map(|(log_id, _)| *log_id).find(|log_id| log_id.index == index);
    if entry(last.index).is_some_and(|found| found != last) {
        let purged = log.contents().map_err(io::Error::other)?.purged;
        let kept = entry(before).filter(|_| before < last.index).or(purged);
        on_disk(|done| log.truncate_after(kept, done)).await?;
    }
    Ok(())
}

async fn on_disk(
    ask: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<(), crate::storage::log::LogError>,
) -> io::Result<()> {
    let (sender, done) = oneshot::channel();
    let on_disk = move || {
        // This function waits.
        sender.send(()).ok();
    };
    ask(Box::new(on_disk)).map_err(io::Error::other)?;
    done.await.map_err(io::Error::other)
}

/// This node's newest snapshot in parts, for a member whose log begins at a place. One that does not go so
/// far is made anew, and the member has to ask again.
pub(super) async fn serve(
    cluster: &Cluster,
    begins: LogId,
) -> Result<impl Stream<Item = Result<wire::FetchSnapshotResponse, Status>> + Send + use<>, Status> {
    let raft = cluster.raft();
    let snapshot = raft.get_snapshot().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let reaches = |last: &super::types::LogId| {
        let last = codec::log_id_to(last);
        LogId { term: last.term, index: last.index } >= begins
    };
    let Some(snapshot) = snapshot.filter(|found| found.meta.last_log_id.as_ref().is_some_and(reaches)) else {
        raft.trigger().snapshot().await.map_err(|error| Status::unavailable(error.to_string()))?;
        return Err(Status::unavailable("the snapshot is being made"));
    };
    Ok(stream::unfold((snapshot.snapshot, 0), |(file, offset)| async move {
        let reading = file.clone();
        let chunk = medium::blocking(move || reading.chunk(offset)).await;
        match chunk.map_err(io::Error::other).flatten() {
            Ok(data) if data.is_empty() => None,
            Ok(data) => {
                let next = offset + data.len() as u64;
                Some((Ok(wire::FetchSnapshotResponse { data }), (file, next)))
            }
            Err(error) => Some((Err(Status::data_loss(error.to_string())), (file, u64::MAX))),
        }
    })
    .boxed())
}

const MEMBERS: &str = "members";
/// Long enough for a large snapshot to be made, and for a group that was started all at once.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::log::Made;
    use crate::storage::testing::Folder;

    const fn at(term: u64, index: u64) -> LogId {
        LogId { term, index }
    }

    /// A log with entries of term 2 up to 20, purged up to 10 and committed up to 15, fitted to a state.
    async fn check_fit(last: LogId, left: &[LogId]) {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let log = Log::open(&path, Made::Perhaps).unwrap();
        let entries = (0..=20).map(|index| (at(2, index), vec![1]));
        on_disk(|done| log.append(entries.collect(), done)).await.unwrap();
        log.commit(at(2, 15)).unwrap();
        on_disk(|done| log.purge(at(2, 10), done)).await.unwrap();
        cut(&log, last).await.unwrap();
        on_disk(|done| log.purge(last, done)).await.unwrap();
        log.close();
        let log = Log::open(&path, Made::Before).unwrap();
        let found = log.read(0..100, usize::MAX).unwrap();
        assert_eq!(found.iter().map(|(log_id, _)| *log_id).collect::<Vec<_>>(), left, "{last:?}");
        let contents = log.contents().unwrap();
        assert_eq!((contents.purged, contents.last), (Some(last), left.last().copied().or(Some(last))));
        let next = at(3, contents.last.unwrap().index + 1);
        on_disk(|done| log.append(vec![(next, vec![1])], done)).await.unwrap();
    }

    #[tokio::test]
    async fn the_log_keeps_what_goes_on_behind_the_state() {
        check_fit(at(2, 18), &[at(2, 19), at(2, 20)]).await;
        check_fit(at(2, 20), &[]).await;
        // It ends before the state does.
        check_fit(at(2, 30), &[]).await;
        check_fit(at(3, 21), &[]).await;
        // Another leader's entries are in the place of those from 16, 18 or 20 on.
        check_fit(at(3, 16), &[]).await;
        check_fit(at(3, 18), &[]).await;
        check_fit(at(3, 20), &[]).await;
    }
}
