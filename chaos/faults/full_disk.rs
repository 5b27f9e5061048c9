//! A disk without room: a node's data move to a small disk in memory, which is filled to the last byte.

use crate::stage::Stage;
use crate::support::disk::Tmpfs;

/// Moves a node's data, with a restart in order.
pub fn small(stage: &mut Stage, number: usize) -> Tmpfs {
    stage.without_front(number, |stage| {
        stage.cluster.stop(number);
        let disk = Tmpfs::under(&stage.cluster.host(number).node.data_dir, DISK_BYTES);
        stage.cluster.start(number);
        stage.recover();
        disk
    })
}

const DISK_BYTES: u64 = 128 << 20;
