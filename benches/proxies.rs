//! Measures rmsc beside HAProxy and nginx in the same run on the same machine: all of them stand before the same service
//! and take turns, cell by cell, on one processor, with the service and the callers on the other.
//! `benches/run-proxies` starts it.

#[path = "proxies/calls.rs"]
mod calls;
#[path = "proxies/certificates.rs"]
mod certificates;
#[path = "proxies/haproxy.rs"]
mod haproxy;
#[path = "proxies/load.rs"]
mod load;
#[path = "proxies/nginx.rs"]
mod nginx;
#[path = "proxies/parts.rs"]
mod parts;
#[path = "proxies/processors.rs"]
mod processors;
#[path = "proxies/reconnects.rs"]
mod reconnects;
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
use certificates::Certificates;
use clap::Parser;
use parts::{LARGE, Part, Parts, SMALL};
use processors::Processes;
use reconnects::{Returning, Session, Version};
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
    /// Measure these parts alone, and what they are compared with.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Connections that are kept and used all the time, and callers that come back.
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
    /// And over TLS. Requests go to the first; callers that come back, to one after the other.
    pub tls: Vec<SocketAddr>,
    /// How callers prove themselves to it.
    pub login: Option<Login>,
    /// Its processes.
    pub processes: Processes,
}

/// The contestants, what was measured of them so far, and how.
struct Run {
    contestants: Vec<Contestant>,
    service: SocketAddr,
    certificates: Certificates,
    connections: usize,
    span: Duration,
    report: Report,
}

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
    for contestant in &contestants {
        contestant.processes.pin(processors::CONTESTANTS)?;
    }
    let span = Duration::from_secs(arguments.seconds);
    let (connections, report) = (arguments.connections, Report::default());
    let mut run = Run { contestants, service, certificates, connections, span, report };
    let parts = Parts::of(&arguments.only);
    if parts.has(Part::Memory) {
        run.idle()?;
    }
    for round in 1..=arguments.rounds {
        report::progress(&format!("round {round} of {}", arguments.rounds));
        run.round(&parts).await?;
    }
    if parts.has(Part::Load) {
        for round in 1..=arguments.rounds {
            report::progress(&format!("load, round {round} of {}", arguments.rounds));
            run.load().await?;
        }
    }
    if parts.has(Part::Memory) {
        run.memory(arguments.idle).await?;
    }
    run.report.print();
    Ok(())
}

impl Run {
    fn idle(&mut self) -> anyhow::Result<()> {
        for contestant in &self.contestants {
            self.report.idle(contestant.name, contestant.processes.resident_bytes()?);
        }
        Ok(())
    }

    async fn round(&mut self, parts: &Parts) -> anyhow::Result<()> {
        for cell in parts.requests() {
            self.requests(cell).await?;
        }
        for version in Version::ALL {
            if parts.has(Part::Handshakes) {
                self.connect((version, Session::Forgotten)).await?;
            }
            if parts.has(Part::Reconnects) {
                self.connect((version, Session::Shown)).await?;
            }
        }
        if parts.has(Part::FirstLeg) {
            self.first_legs().await?;
        }
        if parts.has(Part::Latency) {
            self.latency().await?;
        }
        Ok(())
    }

    async fn requests(&mut self, cell: (Scheme, usize)) -> anyhow::Result<()> {
        for contestant in &self.contestants {
            let calls = Calls::new(contestant, cell, &self.certificates)?;
            calls.warm_up(self.connections).await?;
            let before = contestant.processes.processor_time()?;
            let made = calls.for_so_long(self.connections, self.span).await?;
            let used = contestant.processes.processor_time()? - before;
            self.report.cell(contestant.name, cell, &made, used);
        }
        Ok(())
    }

    async fn connect(&mut self, how: (Version, Session)) -> anyhow::Result<()> {
        for contestant in &self.contestants {
            // Three fronts are for tickets that come to another one; a full handshake costs the same at each.
            if contestant.hop && how.1 == Session::Forgotten {
                continue;
            }
            let mut callers = Returning::start(contestant, how, self.connections, &self.certificates).await?;
            let before = contestant.processes.processor_time()?;
            let made = callers.for_so_long(self.span).await?;
            let used = contestant.processes.processor_time()? - before;
            self.report.connections(contestant, how, &made, used);
        }
        Ok(())
    }

    async fn first_legs(&mut self) -> anyhow::Result<()> {
        for contestant in self.contestants.iter().filter(|it| !it.hop && it.login.is_some()) {
            let calls = Calls::new(contestant, (Scheme::Https, SMALL), &self.certificates)?;
            let before = contestant.processes.processor_time()?;
            let legs = calls.first_legs(self.connections, self.span).await?;
            let used = contestant.processes.processor_time()? - before;
            self.report.first_legs(contestant.name, &legs, used);
        }
        Ok(())
    }

    async fn latency(&mut self) -> anyhow::Result<()> {
        for contestant in &self.contestants {
            let calls = Calls::new(contestant, (Scheme::Http, SMALL), &self.certificates)?;
            self.report.latency(contestant.name, &calls.for_so_long(1, self.span).await?);
        }
        let direct = Calls::direct(self.service, SMALL).for_so_long(1, self.span).await?;
        self.report.latency(report::SERVICE, &direct);
        Ok(())
    }

    /// After all rounds: only then it is known what each can do.
    async fn load(&mut self) -> anyhow::Result<()> {
        let cell = (Scheme::Https, SMALL);
        for contestant in &self.contestants {
            let rate = self.report.most_a_second(contestant.name, cell) * LOAD;
            let calls = Calls::new(contestant, cell, &self.certificates)?;
            calls.warm_up(self.connections).await?;
            // The slowest have few requests at such a rate, and one in a hundred is what is looked for.
            let steady = calls.at_rate(rate, self.connections, self.span * 2).await?;
            self.report.load(contestant.name, &steady);
        }
        Ok(())
    }

    async fn memory(&mut self, idle: usize) -> anyhow::Result<()> {
        for contestant in &self.contestants {
            report::progress(&format!("memory of {}", contestant.name));
            let calls = Calls::new(contestant, (Scheme::Https, LARGE), &self.certificates)?;
            calls.for_so_long(256, self.span).await?;
            self.report.busy(contestant.name, contestant.processes.resident_bytes()?);
            let idle = calls.idle_connections(idle).await?;
            self.report.many(contestant.name, idle.len(), contestant.processes.resident_bytes()?);
        }
        Ok(())
    }
}

/// The part of the most requests a second at which latency is measured.
const LOAD: f64 = 0.3;
