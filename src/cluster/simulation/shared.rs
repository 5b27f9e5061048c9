//! What the machines and the one who watches them have in common.

use super::super::Cluster;
use super::record::Record;
use crate::state::FOUNDER;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clones name the same.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Inner>>);

pub(super) struct Inner {
    pub(super) seed: u64,
    pub(super) folder: PathBuf,
    pub(super) record: Record,
    pub(super) phase: Phase,
    /// The parts that run now, by machine.
    pub(super) clusters: BTreeMap<u64, Cluster>,
    /// The node ids of the machines that were let in, also of those that have gone since.
    pub(super) ids: BTreeMap<u64, u64>,
    /// The machines that are to be in the cluster.
    pub(super) wanted: BTreeSet<u64>,
    /// Let in, and not started yet.
    pub(super) admitted: Vec<u64>,
    /// What administrators want and what is not done yet.
    pub(super) jobs: Vec<Job>,
    /// The machines that took a write after the last fault, and where it stands in the log.
    pub(super) probed: BTreeMap<u64, u64>,
    /// Operations that a client works on.
    pub(super) under_way: BTreeSet<usize>,
    /// Operations whose client has crashed, and which another one is to finish.
    pub(super) orphans: Vec<usize>,
    starts: BTreeMap<u64, u64>,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet.
    Forming,
    /// Read and write.
    Busy,
    /// Finish, and then write once through each node.
    Settling,
}

/// What an administrator wants, and the machine that works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) task: Task,
    pub(super) machine: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A machine joins.
    Admit(u64),
    /// A machine leaves.
    Remove(u64),
    /// Somebody else leads.
    HandOver,
}

impl Shared {
    pub(super) fn new(seed: u64, folder: PathBuf) -> Self {
        Shared(Arc::new(Mutex::new(Inner {
            seed,
            folder,
            record: Record::default(),
            phase: Phase::Forming,
            clusters: BTreeMap::new(),
            ids: BTreeMap::from([(1, FOUNDER)]),
            wanted: BTreeSet::from([1]),
            admitted: vec![1],
            jobs: Vec::new(),
            probed: BTreeMap::new(),
            under_way: BTreeSet::new(),
            orphans: Vec::new(),
            starts: BTreeMap::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Random numbers for what a machine does between this start and its next.
    pub(super) fn random(&mut self, machine: u64) -> SmallRng {
        let starts = self.starts.entry(machine).or_default();
        *starts += 1;
        SmallRng::seed_from_u64(self.seed ^ (machine << 32) ^ (*starts << 40))
    }

    /// The node of a machine runs no more, and with it all that worked there.
    pub(super) fn gone(&mut self, machine: u64) {
        self.clusters.remove(&machine);
        for job in self.jobs.iter_mut().filter(|job| job.machine == Some(machine)) {
            job.machine = None;
        }
        let operations = &self.record.operations;
        self.under_way.retain(|number| operations[*number].machine != machine);
    }

    pub(super) fn want(&mut self, task: Task) {
        let number = self.record.counts.jobs;
        self.record.counts.jobs += 1;
        self.jobs.push(Job { number, task, machine: None });
    }
}
