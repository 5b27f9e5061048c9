//! Says when the table changed on this node: events 1004 and 2003.

use crate::cluster::Member;
use crate::event::Event;
use crate::state::State;
use crate::tasks::Tasks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Logs the newest table until the tasks drain, the first at once and others that follow it together a
/// while later: the whole table for each of many changes would cost more than the changes themselves.
/// Nothing before the cluster is formed.
pub(super) async fn log(
    mut state: watch::Receiver<Arc<State>>,
    mut members: watch::Receiver<Arc<Vec<Member>>>,
    tasks: Tasks,
) {
    let mut logged = None;
    loop {
        let formed = !members.borrow_and_update().is_empty();
        let table = state.borrow_and_update().table.clone();
        if formed && logged != Some(table.revision) {
            logged = Some(table.revision);
            if table.entries.is_empty() {
                Event::TableEmpty { revision: table.revision }.log();
            } else {
                let accounts: Vec<String> = table
                    .entries
                    .values()
                    .take(ACCOUNTS_SHOWN_MAX)
                    .map(|entry| format!("{} {} ({})", entry.role, entry.name, entry.sid))
                    .collect();
                Event::TableUpdated { revision: table.revision, accounts: &accounts }.log();
            }
            tokio::select! {
                () = tokio::time::sleep(LOG_EVERY) => {}
                () = tasks.draining() => return,
            }
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            changed = members.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

/// Nobody reads faster.
const LOG_EVERY: Duration = Duration::from_secs(1);
/// What one line of a log can hold.
const ACCOUNTS_SHOWN_MAX: usize = 1_000;
