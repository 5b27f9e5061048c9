//! A copy of the replicated state as a file: taken from a running node, read anywhere.

use super::offline::{self, Beginning, RecoverError};
use super::snapshot::{self, SnapshotFile};
use super::types::SnapshotMeta;
use super::{Cluster, ReadError};
use crate::state::{State, Table, Timestamp};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The state as it was at one log index, in a file of its own that goes when this is dropped.
#[derive(Debug)]
pub struct Copy {
    /// The cluster.
    pub cluster_id: String,
    /// Up to where the log is applied in it.
    pub log_index: u64,
    /// The revision of the table.
    pub revision: u64,
    /// How many accounts are in the table.
    pub entries: u64,
    /// How many nodes are in the roster.
    pub nodes: u64,
    /// The cluster's certificate authority, PEM.
    pub authority: String,
    file: SnapshotFile,
    _folder: Scratch,
}

/// No copy was taken.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It would not be known to have everything.
    #[error(transparent)]
    Behind(#[from] ReadError),
    /// The file cannot be written or read.
    #[error("the copy cannot be written")]
    Io(#[from] io::Error),
}

/// The state out of such a file.
#[derive(Debug)]
pub struct Copied {
    cluster_id: String,
    state: State,
    meta: SnapshotMeta,
}

/// The file is not usable.
#[derive(Debug, thiserror::Error)]
#[error("the copy of the state cannot be read")]
pub struct CopiedError(#[source] io::Error);

impl Cluster {
    /// Copies the state of this node, with everything that was acknowledged anywhere before.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn copy(&self) -> Result<Copy, CopyError> {
        self.read_barrier().await?;
        let taken = self.raft().with_state_machine(|machine| {
            let contents = machine.contents();
            Box::pin(async move { contents })
        });
        let (state, meta) = taken.await.map_err(io::Error::other)?;
        let (data_dir, cluster_id) = (self.config().data_dir.clone(), self.config().cluster_id.clone());
        let writing = super::medium::blocking(move || write(&data_dir, cluster_id, &state, &meta));
        Ok(writing.await.map_err(io::Error::other)??)
    }
}

fn write(data_dir: &Path, cluster_id: String, state: &State, meta: &SnapshotMeta) -> io::Result<Copy> {
    let folder = Scratch::make(data_dir)?;
    let file = snapshot::write(&folder.0, &cluster_id, meta, state)?;
    Ok(Copy {
        cluster_id,
        log_index: meta.last_log_id.map_or(0, |last| last.index()),
        revision: state.table.revision,
        entries: state.table.entries.len() as u64,
        nodes: state.roster.nodes.len() as u64,
        authority: state.roster.authority.clone(),
        file,
        _folder: folder,
    })
}

impl Copy {
    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// The bytes from `offset` on, some hundred KiB at most; none at the end.
    ///
    /// # Errors
    /// What the system says.
    pub fn chunk(&self, offset: u64) -> io::Result<Vec<u8>> {
        self.file.chunk(offset)
    }
}

impl Copied {
    /// Reads a copy, and checks all of it.
    ///
    /// # Errors
    /// [`CopiedError`].
    pub fn read(path: &Path, cluster_id: &str) -> Result<Self, CopiedError> {
        let read = SnapshotFile::open(path.into()).and_then(|file| file.read(cluster_id, &Table::default()));
        let contents = read.map_err(|error| CopiedError(error.into()))?;
        Ok(Copied { cluster_id: cluster_id.into(), state: contents.state, meta: contents.meta })
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The id of the node with which a cluster begins again out of this at a time: above all that it ever had.
    #[must_use]
    pub fn next_node_id(&self, at: Timestamp) -> u64 {
        offline::next(&self.meta, at).index()
    }

    /// Makes the data folder of that node. All other nodes are removed, all open tokens are taken back.
    ///
    /// # Errors
    /// [`RecoverError`].
    pub async fn begin(self, beginning: Beginning<'_>) -> Result<u64, RecoverError> {
        offline::seed(&self.cluster_id, (self.state, self.meta), beginning).await
    }
}

/// A folder for one file.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make(data_dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Scratch(data_dir.join(format!("{COPY}{number}{UNFINISHED}")));
        std::fs::create_dir(&folder.0)?;
        Ok(folder)
    }
}

/// Takes out what an earlier process left, which could not do it itself.
pub(super) fn remove_left(data_dir: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(data_dir)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with(COPY) && name.ends_with(UNFINISHED) {
            std::fs::remove_dir_all(file.path())?;
        }
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

const COPY: &str = "copy-";
const UNFINISHED: &str = ".tmp";
