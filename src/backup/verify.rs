//! Boots a copy of the cluster out of a backup: a real one of one node, in a folder of its own and with no
//! way to any other.

use super::archive::{Archive, Summary};
use crate::cluster::{
    self, Beginning, Cluster, Dial, Dialed, Facts, OpenError, ReadError, RecoverError, WriteError,
};
use crate::enrolment::{self, CertifyError};
use crate::state::{Change, KeyHash, NewNode, NodeKind, Outcome, RosterChange, Sealed, Timestamp};
use crate::tasks::Tasks;
use futures::future::BoxFuture;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A backup out of which a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it holds.
    pub summary: Summary,
    /// How many sealed secrets are in it.
    pub secrets: usize,
    /// How long the copy took from nothing to the first accepted change.
    pub booted_in: Duration,
    /// The revision at which a cluster out of it begins.
    pub next_revision: u64,
}

/// No cluster begins out of it.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The head and the state do not belong together.
    #[error("its head says {said} {what}, and there are {found}")]
    Head {
        /// Of what.
        what: &'static str,
        /// By the head.
        said: u64,
        /// In the state.
        found: u64,
    },
    /// Its authority cannot issue certificates any more.
    #[error("its secrets are of no use")]
    Secrets(#[from] CertifyError),
    /// It is the authority of another cluster.
    #[error("its authority is not the one that its head names")]
    OtherAuthority,
    /// There are no data out of it.
    #[error("no data folder can be made out of it")]
    Begin(#[from] RecoverError),
    /// The copy does not start.
    #[error("the copy does not start")]
    Open(#[from] OpenError),
    /// The copy does not answer.
    #[error("the copy does not answer")]
    Read(#[from] ReadError),
    /// The copy accepts no change.
    #[error("the copy accepts no change")]
    Write(#[from] WriteError),
    /// The copy has other accounts.
    #[error("the copy reads back another table than the backup holds")]
    OtherTable,
}

impl Archive {
    /// Checks that what is in it belongs together, and that its secrets open.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn check(&self) -> Result<(), VerifyError> {
        let (summary, state) = (&self.summary, self.copied.state());
        let counts = [
            ("accounts", summary.entries, state.table.entries.len() as u64),
            ("as the revision", summary.revision, state.table.revision),
            ("nodes", summary.nodes, state.roster.nodes.len() as u64),
        ];
        for (what, said, found) in counts {
            if said != found {
                return Err(VerifyError::Head { what, said, found });
            }
        }
        let authority = enrolment::authority_of(&state.roster, &summary.cluster_id, &self.data_key)?;
        if authority.certificate_pem() != self.authority {
            return Err(VerifyError::OtherAuthority);
        }
        Ok(())
    }
}

/// Boots a copy in `scratch`, reads everything back through it, and makes one change.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(
    archive: Archive,
    scratch: &Path,
    clock: fn() -> Timestamp,
) -> Result<Verified, VerifyError> {
    archive.check()?;
    let at = clock();
    let Archive { summary, copied, .. } = archive;
    let (table, secrets) = (copied.state().table.clone(), copied.state().roster.secrets.len());
    let begun = Instant::now();
    let data_dir = scratch.join("data");
    let node = node();
    let beginning = Beginning {
        data_dir: &data_dir,
        node: node.clone(),
        administrator: None,
        by: BY,
        forgotten: &[],
        at,
    };
    let node_id = copied.begin(beginning).await?;
    let tasks = Tasks::new();
    let config = config((&data_dir, clock), &summary.cluster_id, node_id, &node);
    let cluster = Cluster::open(config, Arc::new(Nowhere), Arc::new(Facts::default), &tasks).await?;
    let booted = exercise(&cluster, at).await;
    let same = cluster.state().borrow().table.entries == table.entries;
    let next_revision = cluster.state().borrow().table.revision;
    cluster.shutdown().await;
    if let Err(error) = tasks.drain(DRAIN_TIMEOUT).await {
        tracing::warn!(%error, "the copy did not end in time");
    }
    booted?;
    if !same {
        return Err(VerifyError::OtherTable);
    }
    Ok(Verified { summary, secrets, booted_in: begun.elapsed(), next_revision })
}

async fn exercise(cluster: &Cluster, at: Timestamp) -> Result<(), VerifyError> {
    let (name, sealed) = (BY.to_owned(), Some(Sealed(vec![0])));
    let change = Change::Roster(RosterChange::PutSecret { name, sealed });
    let written = cluster.write(BY, change, None, at).await?;
    if written.outcome != Outcome::RosterChanged {
        let reason = format!("{:?}", written.outcome);
        return Err(WriteError::NoLeader { reason }.into());
    }
    cluster.read_barrier().await?;
    Ok(())
}

fn node() -> NewNode {
    NewNode {
        name: "copy".into(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        incarnation: rand::random(),
        key: KeyHash::default(),
        build: cluster::VERSION,
    }
}

fn config(
    (data_dir, clock): (&Path, fn() -> Timestamp),
    cluster_id: &str,
    node_id: u64,
    node: &NewNode,
) -> cluster::Config {
    cluster::Config {
        data_dir: data_dir.into(),
        cluster_id: cluster_id.into(),
        node_id,
        name: node.name.clone(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind: node.kind,
        key: node.key,
        version: env!("CARGO_PKG_VERSION").into(),
        clock,
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(150),
        election_max: Duration::from_millis(300),
        snapshot_after: u64::from(u32::MAX),
    }
}

/// No other node can be reached.
struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _address: String) -> BoxFuture<'static, io::Result<Dialed>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::HostUnreachable.into())))
    }
}

/// As whom the copy is changed.
const BY: &str = "rmsc backup verify";
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
