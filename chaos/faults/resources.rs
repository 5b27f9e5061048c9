//! A host that runs out: of file descriptors (prlimit), or of memory (a control group).

use crate::cluster::Cluster;
use crate::support::program::run;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A node may open so many more files than it has open now.
#[track_caller]
pub fn files(cluster: &Cluster, number: usize, more: usize) {
    let pid = cluster.host(number).node.running_pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    limit_files(pid, open + more);
}

/// A node may open as many files as before.
#[track_caller]
pub fn files_again(cluster: &Cluster, number: usize) {
    limit_files(cluster.host(number).node.running_pid(), FILES_USUAL);
}

#[track_caller]
fn limit_files(pid: u32, files: usize) {
    // The hard limit stays, so that it can be raised again.
    let limit = format!("--nofile={files}:");
    run(Command::new("prlimit").args(["--pid", &pid.to_string(), &limit])).check_code(0);
}

/// A control group whose memory has a limit, until this is dropped.
pub struct Memory(PathBuf);

impl Memory {
    /// One for a node, without a limit yet.
    #[track_caller]
    pub fn group(cluster: &Cluster, number: usize) -> Self {
        let pid = cluster.host(number).node.running_pid();
        let group = PathBuf::from(GROUPS).join(format!("rmsc-chaos-{pid}"));
        let made = fs::create_dir(&group);
        made.unwrap_or_else(|error| panic!("no control group for memory at {GROUPS}: {error}"));
        Memory(group)
    }

    /// What starts a program inside.
    pub fn wrapper(&self) -> Vec<String> {
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh", "-c", &enter, "sh"].map(ToOwned::to_owned).to_vec()
    }

    /// From now on it may use so much; what it used before is forgotten.
    #[track_caller]
    pub fn limit(&self, bytes: u64) {
        let set = fs::write(self.0.join("memory.limit_in_bytes"), bytes.to_string())
            .and_then(|()| fs::write(self.0.join(USED_MAX), "0"));
        set.unwrap_or_else(|error| panic!("no limit of {bytes} bytes: {error}"));
    }

    /// The most that was in use under its limit.
    pub fn used_max(&self) -> u64 {
        let text = fs::read_to_string(self.0.join(USED_MAX)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let processes = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines() {
            let _ = fs::write(PathBuf::from(GROUPS).join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}

const GROUPS: &str = "/sys/fs/cgroup/memory";
const USED_MAX: &str = "memory.max_usage_in_bytes";
const FILES_USUAL: usize = 1_024;
