//! The cluster in one process, on simulated time, network and disks, through faults that a seed draws.

mod bugs;
pub(super) mod disk;
mod faults;
pub(super) mod hook;
mod invariants;
mod model;
mod network;
mod node;
mod record;
mod run;
mod runtime;

pub(super) use runtime::Runtime;

use run::Plan;

#[test]
fn one() {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
    }
    let from: u64 = std::env::var("RMSC_SIMULATION_SEED").map_or(1, |seed| seed.parse().unwrap());
    let count: u64 = std::env::var("RMSC_SIMULATION_SEEDS").map_or(1, |seed| seed.parse().unwrap());
    let bug: Option<usize> = std::env::var("BUG").ok().map(|seed| seed.parse().unwrap());
    for seed in from..from + count {
        let started = std::time::Instant::now();
        let mut plan = Plan::of(seed);
        plan.bug = bug.map(|bug| invariants::ALL[bug].bug);
        let record = plan.run();
        let ran = started.elapsed();
        let model = model::Model::of(&record);
        println!("seed {seed} {ran:?} {:?} {:?}", record.counts, record.stopped);
        println!(
            "terms {} committed {} ops {} acked {} reads {} healed {:?} settled {:?}",
            record.leaders.len(),
            record.committed.len(),
            record.operations.len(),
            record.acknowledged().count(),
            record.reads(),
            record.healed,
            record.settled
        );
        for invariant in &invariants::ALL {
            let started = std::time::Instant::now();
            if let Err(found) = (invariant.check)(&record, &model) {
                println!("VIOLATION seed {seed} {}: {found}", invariant.name);
            }
            let took = started.elapsed();
            if took.as_millis() > 100 {
                println!("{} took {took:?}", invariant.name);
            }
        }
    }
}
