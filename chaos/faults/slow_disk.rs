//! A disk that takes its time: a node's syncs wait, by strace. The node runs under strace from its start, which stops
//! nothing but the syncs; attached to a running process strace would stop every system call.

use super::kill;
use crate::stage::Stage;
use std::time::Duration;

/// Restarts a node on a slow disk, goes on with it for a while, and restarts it on its own.
pub fn under(stage: &mut Stage, number: usize, delay: Duration, play: impl FnOnce(&mut Stage)) {
    let fault = format!("inject=fdatasync,fsync:delay_enter={}", delay.as_micros());
    let strace =
        ["strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e"];
    let wrapper = strace.iter().map(|word| (*word).to_owned()).chain([fault]).collect();
    stage.cluster.host_mut(number).wrapper = wrapper;
    kill::restart_aside(stage, number);
    stage.broken(play);
    stage.cluster.host_mut(number).wrapper.clear();
    kill::restart_aside(stage, number);
}
