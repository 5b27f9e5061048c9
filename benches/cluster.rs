//! Measures a cluster of three nodes beside one of etcd's, in the same run on the same machine: calls at
//! 1 and 64 clients, the death of the leader, its handing over. `benches/run` starts it.

#[path = "cluster/disk.rs"]
mod disk;
#[path = "cluster/etcd.rs"]
mod etcd;
#[path = "cluster/figures.rs"]
mod figures;
#[path = "cluster/gaps.rs"]
mod gaps;
#[path = "cluster/load.rs"]
mod load;
#[path = "cluster/report.rs"]
mod report;
#[path = "cluster/rmsc.rs"]
mod rmsc_lab;
#[path = "cluster/system.rs"]
mod system;

use clap::{Parser, ValueEnum};
use etcd::Etcd;
use report::Report;
use rmsc_lab::Rmsc;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::{NODES, Operation, System};

/// Measure rmsc beside etcd: three nodes each, on loopback, with default settings.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each call is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long, each time.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often the leader is killed, and how often it is stopped.
    #[arg(long, default_value_t = 7)]
    kills: usize,
    /// etcd's program.
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// Where both keep their data; by default the folder for temporary files.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A table, or JSON.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// One kind of call, as it is measured.
struct Cell {
    name: &'static str,
    operation: Operation,
    clients: usize,
    at: At,
}

/// Which node is called.
#[derive(Clone, Copy)]
enum At {
    Leader,
    Follower,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = dir.join(format!("rmsc-bench-{:08x}", rand::random::<u32>()));
    std::fs::create_dir_all(&dir)?;
    let measured = measure(&arguments, &dir).await;
    if measured.is_ok() {
        std::fs::remove_dir_all(&dir)?;
    } else {
        progress(&format!("logs and data are in {}", dir.display()));
    }
    let report = measured?;
    let text = match arguments.output {
        Output::Table => report.table(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

async fn measure(arguments: &Arguments, dir: &Path) -> anyhow::Result<Report> {
    let mut rmsc = Rmsc::start(Path::new(env!("CARGO_BIN_EXE_rmsc")), &dir.join("rmsc")).await?;
    let mut etcd = Etcd::start(&arguments.etcd, &dir.join("etcd")).await?;
    let mut report = Report::default();
    fill(&rmsc).await?;
    fill(&etcd).await?;
    for round in 0..arguments.rounds {
        progress(&format!("round {} of {}", round + 1, arguments.rounds));
        measure_disk(dir, &mut report)?;
        let span = Duration::from_secs(arguments.seconds);
        for (place, cell) in CELLS.iter().enumerate() {
            // Neither is always the first.
            if (round + place) % 2 == 0 {
                measure_cell(&rmsc, cell, span, &mut report).await?;
            }
            if cell.operation != Operation::PutEverywhere {
                measure_cell(&etcd, cell, span, &mut report).await?;
            }
            if (round + place) % 2 == 1 {
                measure_cell(&rmsc, cell, span, &mut report).await?;
            }
        }
    }
    for kill in 0..arguments.kills {
        progress(&format!("kill {} of {}", kill + 1, arguments.kills));
        measure_gaps(&mut rmsc, &mut report).await?;
        measure_gaps(&mut etcd, &mut report).await?;
    }
    rmsc.stop().await?;
    etcd.stop().await?;
    Ok(report)
}

async fn fill<S: System>(system: &S) -> anyhow::Result<()> {
    let leader = gaps::settled(system).await?;
    load::fill(system, leader.node).await
}

fn measure_disk(dir: &Path, report: &mut Report) -> anyhow::Result<()> {
    let (p50, p99) = disk::fdatasync(dir)?;
    for (name, value) in [("the disk's fdatasync: p50", p50), ("the disk's fdatasync: p99", p99)] {
        report.add("rmsc", name, "ms", value);
        report.add("etcd", name, "ms", value);
    }
    Ok(())
}

async fn measure_cell<S: System>(
    system: &S,
    cell: &Cell,
    span: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let before = gaps::settled(system).await?;
    let node = match cell.at {
        At::Leader => before.node,
        At::Follower => (before.node + 1) % NODES,
    };
    let load = load::run(system, node, cell.operation, cell.clients, span).await?;
    let after = gaps::settled(system).await?;
    let mut add = |what: &str, unit, value| {
        report.add(system.name(), &format!("{}: {what}", cell.name), unit, value);
    };
    add("rate", "/s", load.calls_per_second);
    add("p50", "ms", load.p50_ms);
    add("p99", "ms", load.p99_ms);
    if load.failed > 0 {
        add("failed", "calls", load.failed as f64);
    }
    if cell.operation == Operation::Put && cell.clients > 1 {
        add("elections meanwhile", "terms", after.term.saturating_sub(before.term) as f64);
    }
    Ok(())
}

async fn measure_gaps<S: System>(system: &mut S, report: &mut Report) -> anyhow::Result<()> {
    let failover = gaps::failover(system).await?;
    report.add(system.name(), report::FAILOVER, "ms", figures::milliseconds(failover));
    let handover = gaps::handover(system).await?;
    report.add(system.name(), report::HANDOVER, "ms", figures::milliseconds(handover));
    Ok(())
}

fn progress(words: &str) {
    // Nobody has to read it.
    writeln!(std::io::stderr(), "{words}").ok();
}

const CELLS: [Cell; 10] = [
    Cell { name: "put, 1 writer", operation: Operation::Put, clients: 1, at: At::Leader },
    Cell { name: "put, 64 writers", operation: Operation::Put, clients: 64, at: At::Leader },
    Cell { name: "linearizable read, 1 reader", operation: Operation::Read, clients: 1, at: At::Leader },
    Cell { name: "linearizable read, 64 readers", operation: Operation::Read, clients: 64, at: At::Leader },
    Cell { name: "local read, 1 reader", operation: Operation::ReadLocal, clients: 1, at: At::Leader },
    Cell { name: "local read, 64 readers", operation: Operation::ReadLocal, clients: 64, at: At::Leader },
    Cell { name: "put at a follower, 1 writer", operation: Operation::Put, clients: 1, at: At::Follower },
    Cell { name: "put at a follower, 64 writers", operation: Operation::Put, clients: 64, at: At::Follower },
    Cell {
        name: "read at a follower, 64 readers",
        operation: Operation::Read,
        clients: 64,
        at: At::Follower,
    },
    Cell { name: "put in effect, 1 writer", operation: Operation::PutEverywhere, clients: 1, at: At::Leader },
];
