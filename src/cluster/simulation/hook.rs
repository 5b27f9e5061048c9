//! What the product calls where a simulation has to be inside of it.

use super::bugs::{self, Bug};
use crate::state::{Clients, State};
use std::cell::RefCell;
use std::path::Path;

thread_local! {
    /// The commands that nodes have applied and that were not looked at yet: node and log index.
    static APPLIED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// A command is about to be applied by the node whose snapshots are in a folder; whether a planted bug
/// leaves it out.
pub(in crate::cluster) fn before_apply(state: &mut State, log_index: u64, snapshots: &Path) -> bool {
    if !turmoil::in_simulation() {
        return false;
    }
    let node = snapshots.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let node = node.and_then(|name| name.strip_prefix("node-")).and_then(|id| id.parse().ok());
    let node: u64 = node.expect("a simulated node's folder has its name");
    APPLIED.with_borrow_mut(|applied| applied.push((node, log_index)));
    if bugs::is_planted(Bug::ForgetsClients) {
        state.clients = Clients::default();
    }
    bugs::is_planted(Bug::SkipsEntries) && node == 2 && log_index.is_multiple_of(SKIPPED_EVERY)
}

/// The commands that were applied since this was asked last.
pub(super) fn applied() -> Vec<(u64, u64)> {
    APPLIED.take()
}

const SKIPPED_EVERY: u64 = 7;
