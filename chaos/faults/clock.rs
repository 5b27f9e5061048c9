//! A host whose clock jumps while its node runs: libfaketime, which reads from a file how far off it is.

use crate::cluster::Cluster;
use crate::support::cluster::faketime;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// What a node's process needs for it, from its start on.
pub fn environment(file: PathBuf) -> Vec<(OsString, OsString)> {
    vec![
        ("LD_PRELOAD".into(), faketime().into()),
        ("FAKETIME_TIMESTAMP_FILE".into(), file.into()),
        ("FAKETIME_CACHE_DURATION".into(), "1".into()),
        // Spans of time are as long as ever.
        ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
    ]
}

/// The clock of a node is so many seconds off from now on.
#[track_caller]
pub fn set(cluster: &Cluster, number: usize, seconds: i64) {
    let file = cluster.clock_file(number);
    let unfinished = file.with_extension("new");
    fs::write(&unfinished, format!("{seconds:+}\n")).expect("the folder of the run can be written");
    fs::rename(unfinished, file).expect("the folder of the run can be written");
}
