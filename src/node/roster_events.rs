//! Says what administrators did with the nodes: events 4035 and 4036.

use crate::event::Event;
use crate::state::Roster;
use crate::tasks::Tasks;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Logs each node that was taken out of the rotation, and each that was removed, until the tasks drain.
/// After a start those that are out still are said again; those that were removed before are not.
pub(super) async fn log(mut newest: watch::Receiver<Arc<Roster>>, tasks: Tasks) {
    let mut drained = BTreeSet::new();
    let mut removed: BTreeSet<u64> = newest.borrow().removed.keys().copied().collect();
    loop {
        let roster = newest.borrow_and_update().clone();
        drained.retain(|id| roster.nodes.get(id).is_some_and(|node| node.drained.is_some()));
        for (id, node) in &roster.nodes {
            if let Some(by) = node.drained.as_ref().map(|drained| drained.by.as_str())
                && drained.insert(*id)
            {
                Event::NodeDrained { node: &node.name, by }.log();
            }
        }
        for (id, gone) in &roster.removed {
            if removed.insert(*id) {
                Event::NodeRemoved { node: &gone.name, id: *id, by: &gone.by }.log();
            }
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}
