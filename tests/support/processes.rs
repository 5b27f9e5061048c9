//! Processes as the kernel knows them: alive or not, signals, memory.

use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::Duration;

/// Whether the process runs. One that has ended and was not waited for yet does not, unless one of its threads
/// is still ending: until then its files are open and locked.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the name in parentheses, which may hold anything.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None) || threads(pid) > 1
}

fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Sends a signal.
pub fn signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id is a positive number");
    kill_process(raw, signal).unwrap_or_else(|error| panic!("cannot send {signal:?} to {pid}: {error}"));
}

/// The same, to one that may have ended.
pub fn try_signal(pid: u32, signal: Signal) -> bool {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id is a positive number");
    kill_process(raw, signal).is_ok()
}

/// The processes that one has started and that run.
pub fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has it");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state and then the parent follow the name.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1) == Some(parent.to_string().as_str()) && is_alive(*pid)
    };
    pids.filter(is_child).collect()
}

/// Waits until none of them runs.
#[track_caller]
pub fn check_gone(pids: &[u32], within: Duration) {
    wait::until_true(&format!("none of the processes {pids:?} runs"), within, || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}

/// How long its threads have run on a processor. The threads must all live on: what one that has ended took is gone.
pub fn processor_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The memory that is in use now, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// The most memory that was ever in use, in bytes.
pub fn resident_bytes_max(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_else(|| panic!("no {key} in {status}")) * 1_024
}
