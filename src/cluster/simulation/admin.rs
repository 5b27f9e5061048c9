//! Administrators: they found the cluster, let machines in and out, and hand leadership over, at
//! whatever node takes the work.

use super::super::{Cluster, Roots, VERSION, Written};
use super::network;
use super::node;
use super::shared::{Shared, Task};
use crate::state::{
    Change, ClientId, KeyHash, NewNode, NodeKind, Outcome, RosterChange, Sealed, Timestamp, Token, TokenFate,
    TokenId,
};
use std::time::Duration;

/// Makes the cluster; the founder does it at each start, like the product.
pub(super) async fn found(cluster: Cluster) {
    let roots = Roots { authority: "PEM".into(), administrator: None };
    while cluster.found(roots.clone(), "init", Timestamp(0)).await.is_err() {
        if cluster.state().borrow().roster.is_founded() {
            return;
        }
    }
}

/// Takes what is to be done, one after the other.
pub(super) async fn work(shared: Shared, cluster: Cluster, machine: u64) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let job = {
            let mut inner = shared.lock();
            if !inner.wanted.contains(&machine) {
                continue;
            }
            let open = inner.jobs.iter_mut().find(|job| job.machine.is_none());
            open.map(|job| {
                job.machine = Some(machine);
                job.clone()
            })
        };
        let Some(mut job) = job else { continue };
        let done = match job.task {
            Task::Admit(newcomer) => admit(&shared, &cluster, newcomer).await,
            Task::Remove(other) => remove(&shared, &cluster, other, job.number).await,
            // Whoever leads then: nothing rests on it.
            Task::HandOver => {
                cluster.transfer(None).await.ok();
                Some(())
            }
        };
        let mut inner = shared.lock();
        inner.jobs.retain(|other| other.number != job.number);
        match done {
            Some(()) => inner.record.counts.jobs_done += 1,
            None => {
                job.machine = None;
                inner.jobs.push(job);
            }
        }
    }
}

async fn admit(shared: &Shared, cluster: &Cluster, newcomer: u64) -> Option<()> {
    let id = TokenId(newcomer.to_be_bytes());
    let token = Token {
        key: Sealed::default(),
        kind: NodeKind::Relay,
        replaces: None,
        created_by: String::new(),
        created_at: Timestamp(0),
        expires_at: Timestamp(i64::MAX),
        fate: TokenFate::Open,
    };
    let node = NewNode {
        name: network::name(newcomer),
        peer_address: network::address(newcomer),
        admin_address: String::new(),
        kind: NodeKind::Relay,
        incarnation: node::incarnation(newcomer),
        key: KeyHash::default(),
        build: VERSION,
    };
    write(cluster, RosterChange::CreateToken { id, token }, 2 * newcomer).await?;
    let admitted = write(cluster, RosterChange::Admit { token: id, node }, 2 * newcomer + 1).await?;
    let Outcome::Admitted { node_id } = admitted.outcome else { panic!("{admitted:?}") };
    let mut inner = shared.lock();
    if inner.ids.insert(newcomer, node_id).is_none() {
        inner.wanted.insert(newcomer);
        inner.admitted.push(newcomer);
    }
    Some(())
}

async fn remove(shared: &Shared, cluster: &Cluster, other: u64, job: u64) -> Option<()> {
    let node_id = shared.lock().ids[&other];
    write(cluster, RosterChange::RemoveNode { node_id }, REMOVALS + job).await?;
    Some(())
}

/// Repeats of the same work have the same client id.
async fn write(cluster: &Cluster, change: RosterChange, number: u64) -> Option<Written> {
    let client = ClientId((ADMINS + u128::from(number)).to_be_bytes());
    cluster.write("admin", Change::Roster(change), Some(client), Timestamp(0)).await.ok()
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Far from the ids of the clients.
const ADMINS: u128 = 1 << 100;
const REMOVALS: u64 = 1 << 32;
