//! What is on a node's disk is not what it wrote: bits that flipped in its log, or a store that is something else.

use crate::cluster::Cluster;
use std::fs;
use std::path::PathBuf;

/// Flips bits in the middle of the newest file of the log. The node must not run.
#[track_caller]
pub fn log(cluster: &Cluster, number: usize) {
    let folder = cluster.host(number).node.data_dir.join("log");
    let files = fs::read_dir(folder).expect("a node has a log").flatten().map(|file| file.path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.metadata().is_ok_and(|it| it.len() > 512)).collect();
    files.sort();
    let path = files.pop().expect("something was written");
    let mut bytes = fs::read(&path).expect("it is ours");
    let middle = bytes.len() / 2;
    for byte in bytes.iter_mut().skip(middle).take(16) {
        *byte ^= 0x55;
    }
    fs::write(&path, bytes).expect("it is ours");
}

/// Writes something else over the store's own settings. The node must not run.
#[track_caller]
pub fn store(cluster: &Cluster, number: usize) {
    let settings = cluster.host(number).node.data_dir.join("tree/conf");
    fs::write(settings, "damaged, all of it").expect("it is ours");
}
