//! Measures rmsc beside HAProxy and nginx in the same run on the same machine: all of them stand before the same service
//! and take turns, cell by cell, on one processor, with the service and the callers on the other.
//! `benches/run-proxies` starts it.

#[path = "proxies/calls.rs"]
mod calls;
#[path = "proxies/certificates.rs"]
mod certificates;
#[path = "proxies/haproxy.rs"]
mod haproxy;
#[path = "proxies/nginx.rs"]
mod nginx;
#[path = "proxies/processors.rs"]
mod processors;
#[path = "proxies/report.rs"]
mod report;
#[path = "proxies/rmsc.rs"]
mod rmsc_lab;
#[path = "proxies/service.rs"]
mod service;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "what the tests need, and more than is needed here")]
mod support;

use calls::{Calls, Login, Scheme};
use clap::Parser;
use processors::Processes;
use report::Report;
use std::net::SocketAddr;
use std::time::Duration;

/// Measure rmsc beside HAProxy and nginx.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often each cell is measured; the least processor time counts.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// How long, each time.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections that are kept and used all the time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Connections that are open and idle for the figure of memory. HAProxy wants two open files for each, and 20,000
    /// are what many a machine allows.
    #[arg(long, default_value_t = 9_500)]
    idle: usize,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What stands before the service.
pub struct Contestant {
    /// Its name in the report.
    pub name: &'static str,
    /// Whether two of three requests go to another process of its own first.
    pub hop: bool,
    /// Where it takes requests in the clear.
    pub clear: SocketAddr,
    /// And over TLS.
    pub tls: SocketAddr,
    /// How callers prove themselves to it.
    pub login: Option<Login>,
    /// Its processes.
    pub processes: Processes,
}

/// The sizes of a request and its answer.
const BODIES: [usize; 2] = [4_096, 65_536];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // The callers and the service; what is started from here on takes it over, until it is put elsewhere.
    processors::pin_own(processors::CALLERS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let service = service::start().await?;
    let folder = support::cluster::NewDir::made();
    let labs = rmsc_lab::Labs::start(service)?;
    let certificates = certificates::make(folder.path(), labs.certificate())?;
    let mut contestants = labs.contestants()?;
    contestants.push(haproxy::start(folder.path(), &certificates, service, false)?);
    contestants.push(haproxy::start(folder.path(), &certificates, service, true)?);
    contestants.push(nginx::start(folder.path(), &certificates, service)?);
    let mut report = Report::default();
    for contestant in &contestants {
        contestant.processes.pin(processors::CONTESTANTS)?;
        report.idle(contestant.name, contestant.processes.resident_bytes()?);
    }
    let span = Duration::from_secs(arguments.seconds);
    for round in 1..=arguments.rounds {
        report::progress(&format!("round {round} of {}", arguments.rounds));
        for scheme in [Scheme::Http, Scheme::Https] {
            for bytes in BODIES {
                for contestant in &contestants {
                    let calls = Calls::new(contestant, scheme, bytes, &certificates)?;
                    calls.warm_up(arguments.connections).await?;
                    let before = contestant.processes.processor_time()?;
                    let made = calls.for_so_long(arguments.connections, span).await?;
                    let used = contestant.processes.processor_time()? - before;
                    report.cell(contestant, (scheme, bytes), &made, used);
                }
            }
        }
        for contestant in contestants.iter().filter(|contestant| !contestant.hop) {
            let calls = Calls::new(contestant, Scheme::Https, BODIES[0], &certificates)?;
            let before = contestant.processes.processor_time()?;
            let handshakes = calls.new_connections(span).await?;
            let used = contestant.processes.processor_time()? - before;
            report.handshakes(contestant.name, handshakes, used);
            if contestant.login.is_some() {
                let before = contestant.processes.processor_time()?;
                let legs = calls.first_legs(arguments.connections, span).await?;
                report.first_legs(contestant.name, &legs, contestant.processes.processor_time()? - before);
            }
        }
        for contestant in &contestants {
            let calls = Calls::new(contestant, Scheme::Http, BODIES[0], &certificates)?;
            report.latency(contestant.name, &calls.for_so_long(1, span).await?);
        }
        report.latency(report::SERVICE, &Calls::direct(service, BODIES[0]).for_so_long(1, span).await?);
    }
    for contestant in &contestants {
        report::progress(&format!("memory of {}", contestant.name));
        let calls = Calls::new(contestant, Scheme::Https, BODIES[1], &certificates)?;
        calls.for_so_long(256, span).await?;
        report.busy(contestant.name, contestant.processes.resident_bytes()?);
        let idle = calls.idle_connections(arguments.idle).await?;
        report.many(contestant.name, idle.len(), contestant.processes.resident_bytes()?);
    }
    report.print();
    Ok(())
}
