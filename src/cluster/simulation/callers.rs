//! The data plane in short: lets in whom the local table names, as long as it is fresh. The rule is the
//! product's, with shorter times.

use super::super::Cluster;
use super::bugs::{self, Bug};
use super::node::now;
use super::record::table;
use super::shared::Shared;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Lets in, and notes by which entries.
pub(super) async fn serve(shared: Shared, cluster: Cluster, machine: u64) {
    let fresh_until = Arc::new(Mutex::new(None::<Instant>));
    tokio::spawn(keep_fresh(cluster.clone(), fresh_until.clone()));
    loop {
        tokio::time::sleep(SERVE_EVERY).await;
        let fresh = fresh_until.lock().unwrap().is_some_and(|until| Instant::now() < until);
        if fresh {
            let notes: Vec<u64> = table(&cluster.state().borrow()).into_values().collect();
            let mut inner = shared.lock();
            for note in notes {
                inner.record.served.insert((machine, note), now());
            }
        }
    }
}

async fn keep_fresh(cluster: Cluster, fresh_until: Arc<Mutex<Option<Instant>>>) {
    loop {
        let asked = Instant::now();
        let answer = tokio::time::timeout(ASK_TIMEOUT, cluster.read_barrier()).await;
        if matches!(answer, Ok(Ok(_))) {
            let from = if bugs::is_planted(Bug::CountsFromTheAnswer) { Instant::now() } else { asked };
            *fresh_until.lock().unwrap() = Some(from + STALENESS_MAX);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

const SERVE_EVERY: Duration = Duration::from_millis(10);
const ASK_EVERY: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// After that a node that hears from no leader lets nobody in.
pub(super) const STALENESS_MAX: Duration = Duration::from_millis(1500);
