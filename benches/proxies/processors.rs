//! Which processor a process runs on, how much of it it used, and how much memory it has.

use anyhow::Context as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// For what is measured.
pub const CONTESTANTS: usize = 0;
/// For the callers and the service.
pub const CALLERS: usize = 1;

/// Processes that are one contestant together, by their ids.
pub struct Processes(Vec<u32>);

/// Puts this process there, and what it starts.
pub fn pin_own(processor: usize) -> anyhow::Result<()> {
    pin(std::process::id(), processor)
}

impl Processes {
    /// These, and all that they have started.
    pub fn with_children(ids: &[u32]) -> Self {
        let mut all = ids.to_vec();
        let mut next = 0;
        while let Some(id) = all.get(next).copied() {
            next += 1;
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        Processes(all)
    }

    pub fn pin(&self, processor: usize) -> anyhow::Result<()> {
        self.0.iter().try_for_each(|id| pin(*id, processor))
    }

    /// What they have used so far, by the scheduler's account.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        self.0.iter().map(|id| used(*id)).sum()
    }

    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.0.iter().map(|id| resident(*id)).sum()
    }
}

fn pin(id: u32, processor: usize) -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", &processor.to_string(), &id.to_string()]);
    let ran = taskset.output().context("taskset is missing: apt-get install util-linux")?;
    anyhow::ensure!(ran.status.success(), "taskset: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn used(id: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{id}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name of the program may have blanks in it; user and system time are fields 14 and 15 (proc(5)).
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

fn resident(id: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("there is no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}

/// Linux's `USER_HZ`, everywhere.
const TICKS_A_SECOND: u64 = 100;
