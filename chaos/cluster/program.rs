//! Which program a host runs.

use super::Cluster;
use crate::programs;
use std::fs;
use std::path::PathBuf;

impl Cluster {
    /// The program of an earlier build.
    #[track_caller]
    pub fn older(&self) -> PathBuf {
        self.settings.older.clone().expect("the scenario is played with one alone")
    }

    /// The program of this build.
    pub fn newer(&self) -> PathBuf {
        programs::newer()
    }

    /// What the process of a host that runs was started from.
    pub fn runs(&self, number: usize) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.host(number).node.pid?)).ok()
    }
}
