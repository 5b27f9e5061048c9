//! Tells the directory which groups are authorized: it reads the members of those of distribution.

use crate::cluster::Cluster;
use crate::directory::Directory;
use crate::state::{Kind, State};
use crate::tasks::Tasks;
use std::sync::Arc;
use tokio::sync::watch;

/// Starts what keeps the directory up to date.
pub(super) fn keep(cluster: &Cluster, directory: Arc<Directory>, tasks: &Tasks) {
    let (told, groups) = watch::channel(Arc::new(Vec::new()));
    tasks.spawn("authorized groups", tell(cluster.state(), told, tasks.clone()));
    let keeping = tasks.clone();
    tasks.spawn("directory", async move { directory.keep(groups, keeping).await });
}

async fn tell(
    mut state: watch::Receiver<Arc<State>>,
    told: watch::Sender<Arc<Vec<crate::principal::Sid>>>,
    tasks: Tasks,
) {
    let mut revision = None;
    loop {
        let table = state.borrow_and_update().table.clone();
        if revision != Some(table.revision) {
            revision = Some(table.revision);
            let entries = table.entries.values().filter(|entry| entry.kind == Kind::Group);
            let groups: Vec<_> = entries.map(|entry| entry.sid.clone()).collect();
            // Without a change nobody is woken.
            told.send_if_modified(|before| {
                let changed = **before != groups;
                if changed {
                    *before = Arc::new(groups);
                }
                changed
            });
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}
