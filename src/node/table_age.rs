//! How old the table is, for monitors: when it was known to be the newest, and when it changed here.

use super::duty::Duty;
use crate::cluster::Cluster;
use crate::metrics::Enter;
use crate::tasks::Tasks;
use crate::telemetry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Enters both ages, and follows the table.
pub(super) fn enter(registry: &mut Registry, duty: &Duty, cluster: &Cluster, tasks: &Tasks) {
    let updated = Arc::new(Mutex::new(Instant::now()));
    let (duty, reading) = (duty.clone(), updated.clone());
    registry.enter_age(
        "rmsc_table_age_seconds",
        "For how long this node has not known that its table is the newest",
        move || duty.age().map(|age| age.as_secs_f64()),
    );
    registry.enter_age(
        "rmsc_table_update_age_seconds",
        "Time since last authorization policy update: since a change was applied here, or since the start",
        move || Some(elapsed(&reading).as_secs_f64()),
    );
    tasks.spawn("table age", follow(cluster.clone(), updated, tasks.clone()));
}

async fn follow(cluster: Cluster, updated: Arc<Mutex<Instant>>, tasks: Tasks) {
    let mut state = cluster.state();
    let mut revision = state.borrow_and_update().table.revision;
    loop {
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
        let newest = state.borrow_and_update().table.revision;
        if newest != revision {
            revision = newest;
            *updated.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

fn elapsed(since: &Mutex<Instant>) -> Duration {
    since.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
}
