//! Clients: each reads and writes, one thing after the other, and repeats what may have been lost.

use super::super::{Cluster, WriteError};
use super::bugs::{self, Bug};
use super::node::now;
use super::record::{ACCOUNTS, Action, Answer, client_id, sid, table};
use super::shared::{Phase, Shared};
use crate::state::{Change, Kind, NewEntry, Role, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// Starts the clients of a machine.
pub(super) fn start(shared: &Shared, cluster: &Cluster, machine: u64, mut random: SmallRng) {
    for _ in 0..CLIENTS {
        let random = SmallRng::seed_from_u64(random.random());
        tokio::spawn(client(shared.clone(), cluster.clone(), machine, random));
    }
    tokio::spawn(probe(shared.clone(), cluster.clone(), machine));
}

async fn client(shared: Shared, cluster: Cluster, machine: u64, mut random: SmallRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(THINK_MILLIS))).await;
        let number = {
            let mut inner = shared.lock();
            if inner.phase != Phase::Busy {
                continue;
            }
            let orphan = inner.orphans.pop();
            if let Some(number) = orphan {
                inner.record.operations[number].machine = machine;
                inner.record.counts.repeats += 1;
            }
            let number = orphan.unwrap_or_else(|| {
                let account = random.random_range(1..=ACCOUNTS);
                let action = match random.random_range(0..10) {
                    0..4 => Action::Read,
                    4..8 => Action::Allow,
                    _ => Action::Remove,
                };
                inner.record.invoke(machine, account, action, now())
            });
            inner.under_way.insert(number);
            number
        };
        act(&shared, &cluster, number, &mut random).await;
        shared.lock().under_way.remove(&number);
    }
}

async fn act(shared: &Shared, cluster: &Cluster, number: usize, random: &mut SmallRng) {
    let (account, action) = {
        let operation = &shared.lock().record.operations[number];
        (operation.account, operation.action)
    };
    if action == Action::Read {
        if bugs::is_planted(Bug::ReadsLocally) || cluster.read_barrier().await.is_ok() {
            let note = table(&cluster.state().borrow()).get(&account).copied();
            shared.lock().record.answer(number, Answer::Read(note), now());
        }
        return;
    }
    for attempt in 1..=ATTEMPTS_MAX {
        let change = change(account, action, number);
        let written = cluster.write("simulation", change, Some(client_id(number)), Timestamp(0)).await;
        let mut inner = shared.lock();
        let uncertain = &mut inner.record.operations[number].uncertain;
        let answer = match written {
            Ok(written) => Answer::Written { log_index: written.log_index, outcome: written.outcome },
            Err(WriteError::Unknown { .. }) => {
                *uncertain = true;
                if attempt < ATTEMPTS_MAX && random.random_bool(REPEATED) {
                    inner.record.counts.repeats += 1;
                    continue;
                }
                return;
            }
            // An earlier attempt may have acted.
            Err(_) if *uncertain => return,
            Err(_) => Answer::Refused,
        };
        return inner.record.answer(number, answer, now());
    }
}

/// Once the last fault is over, every node has to take a write.
async fn probe(shared: Shared, cluster: Cluster, machine: u64) {
    while shared.lock().phase != Phase::Settling {
        tokio::time::sleep(PROBE_AFTER).await;
    }
    let number = shared.lock().record.invoke(machine, ACCOUNTS, Action::Allow, now());
    loop {
        let change = change(ACCOUNTS, Action::Allow, number);
        let written = cluster.write("simulation", change, Some(client_id(number)), Timestamp(0)).await;
        let mut inner = shared.lock();
        match written {
            Ok(written) => {
                inner.probed.insert(machine, written.log_index);
                let answer = Answer::Written { log_index: written.log_index, outcome: written.outcome };
                return inner.record.answer(number, answer, now());
            }
            Err(_) => inner.record.operations[number].uncertain = true,
        }
    }
}

fn change(account: u32, action: Action, number: usize) -> Change {
    match action {
        Action::Allow => Change::Allow(NewEntry {
            sid: sid(account),
            name: format!("LAB\\{account}"),
            kind: Kind::Computer,
            role: Role::Exchange,
            note: number.to_string(),
        }),
        Action::Remove => Change::Remove { sid: sid(account) },
        Action::Read => unreachable!("a read changes nothing"),
    }
}

/// At each machine.
const CLIENTS: usize = 4;
const THINK_MILLIS: std::ops::Range<u64> = 20..250;
const ATTEMPTS_MAX: u32 = 3;
const REPEATED: f64 = 0.7;
const PROBE_AFTER: Duration = Duration::from_millis(20);
