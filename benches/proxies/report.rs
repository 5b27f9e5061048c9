//! The figures of all rounds, as a table: the least processor time, and how far the rounds lie apart.

use super::Contestant;
use super::calls::{Made, Scheme, percentile};
use super::load::Steady;
use super::reconnects::{Reconnected, Session, Version};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The name of the service itself among the contestants.
pub const SERVICE: &str = "the service itself";

/// Says how far it is, beside the report.
pub fn progress(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What was measured.
#[derive(Default)]
pub struct Report {
    cells: BTreeMap<(Scheme, usize, &'static str), Vec<Cell>>,
    connections: BTreeMap<(Version, Session, &'static str), Vec<Connections>>,
    first_legs: BTreeMap<&'static str, Vec<f64>>,
    latencies: BTreeMap<&'static str, Vec<[f64; 2]>>,
    loads: BTreeMap<&'static str, Vec<Load>>,
    memory: BTreeMap<&'static str, Vec<(&'static str, f64)>>,
}

/// One round of a cell.
struct Cell {
    microseconds: f64,
    requests_a_second: f64,
}

/// One round of new connections.
struct Connections {
    fronts: usize,
    microseconds: f64,
    resumed: f64,
}

/// One round of a steady rate.
struct Load {
    rate: f64,
    /// Milliseconds: median and 99th percentile, and by how much 1 % of the requests were sent too late at least.
    median: f64,
    high: f64,
    callers_late: f64,
}

impl Report {
    pub fn cell(
        &mut self,
        name: &'static str,
        (scheme, bytes): (Scheme, usize),
        made: &Made,
        used: Duration,
    ) {
        let cell = Cell {
            microseconds: each(used, made.requests),
            requests_a_second: made.requests as f64 / made.span.as_secs_f64(),
        };
        self.cells.entry((scheme, bytes, name)).or_default().push(cell);
    }

    pub fn connections(
        &mut self,
        contestant: &Contestant,
        (version, session): (Version, Session),
        made: &Reconnected,
        used: Duration,
    ) {
        let connections = Connections {
            fronts: contestant.tls.len(),
            microseconds: each(used, made.connections),
            resumed: 100.0 * made.resumed as f64 / made.connections.max(1) as f64,
        };
        self.connections.entry((version, session, contestant.name)).or_default().push(connections);
    }

    pub fn first_legs(&mut self, name: &'static str, made: &Made, used: Duration) {
        self.first_legs.entry(name).or_default().push(each(used, made.requests));
    }

    pub fn latency(&mut self, name: &'static str, made: &Made) {
        let figures = [50, 99].map(|percent| milliseconds(percentile(&made.latencies, percent)));
        self.latencies.entry(name).or_default().push(figures);
    }

    /// What this one did at its best.
    pub fn most_a_second(&self, name: &'static str, (scheme, bytes): (Scheme, usize)) -> f64 {
        self.cells.get(&(scheme, bytes, name)).map_or(0.0, |cells| most_a_second(cells))
    }

    pub fn load(&mut self, name: &'static str, steady: &Steady) {
        let at = |ordered, percent| milliseconds(percentile(ordered, percent));
        let load = Load {
            rate: steady.rate,
            median: at(&steady.latencies, 50),
            high: at(&steady.latencies, 99),
            callers_late: at(&steady.callers_late, 99),
        };
        self.loads.entry(name).or_default().push(load);
    }

    pub fn idle(&mut self, name: &'static str, bytes: u64) {
        self.remember(name, "idle", bytes);
    }

    pub fn busy(&mut self, name: &'static str, bytes: u64) {
        self.remember(name, "after 256 connections with 64 KB", bytes);
    }

    pub fn many(&mut self, name: &'static str, connections: usize, bytes: u64) {
        assert!(connections > 0);
        self.remember(name, "with idle connections", bytes);
    }

    fn remember(&mut self, name: &'static str, when: &'static str, bytes: u64) {
        self.memory.entry(name).or_default().push((when, bytes as f64 / 1e6));
    }

    pub fn print(&self) {
        let mut out = std::io::stdout().lock();
        // A table that nobody reads to its end is fine.
        let _ = self.write(&mut out);
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.write_cells(out)?;
        if !self.first_legs.is_empty() {
            writeln!(out, "\nthe first leg of a login, which is part of it, microseconds")?;
        }
        for (name, times) in &self.first_legs {
            writeln!(out, "  {name:<20} {}", spread(times))?;
        }
        self.write_connections(out)?;
        self.write_latencies(out)?;
        self.write_loads(out)?;
        if !self.memory.is_empty() {
            writeln!(out, "\nmemory, MB")?;
        }
        for (name, figures) in &self.memory {
            for (when, megabytes) in figures {
                writeln!(out, "  {name:<20} {when:<34} {megabytes:>8.1}")?;
            }
        }
        out.flush()
    }

    fn write_cells(&self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.cells.is_empty() {
            writeln!(
                out,
                "processor time of a relayed request, microseconds: least [least..most of the rounds]"
            )?;
        }
        for ((scheme, bytes, name), cells) in &self.cells {
            let times = |cells: &Vec<Cell>| cells.iter().map(|cell| cell.microseconds).collect::<Vec<_>>();
            let (own, other) = (times(cells), beside(name));
            let others = self.cells.get(&(*scheme, *bytes, other)).map(times).unwrap_or_default();
            writeln!(
                out,
                "{:<6} {:>6} bytes  {name:<14} {}  {:>8.0} requests/s  {:.2} x {other}",
                format!("{scheme:?}").to_lowercase(),
                bytes,
                spread(&own),
                most_a_second(cells),
                least(&own) / least(&others),
            )?;
        }
        Ok(())
    }

    fn write_connections(&self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.connections.is_empty() {
            writeln!(
                out,
                "\nprocessor time of a new TLS connection with one short answer, microseconds: least [least..most]"
            )?;
        }
        for ((version, session, name), rounds) in &self.connections {
            let times =
                |rounds: &Vec<Connections>| rounds.iter().map(|it| it.microseconds).collect::<Vec<_>>();
            let (own, other) = (times(rounds), beside(name));
            let of = |session, name| {
                let rounds = self.connections.get(&(*version, session, name));
                least(&own) / least(&rounds.map(times).unwrap_or_default())
            };
            write!(out, "{version} {name:<14} {} ", spread(&own))?;
            if *session == Session::Forgotten {
                writeln!(out, " full handshake  {:.2} x {other}", of(*session, other))?;
                continue;
            }
            let shares: Vec<f64> = rounds.iter().map(|round| round.resumed).collect();
            let fronts = rounds.first().map_or(0, |round| round.fronts);
            writeln!(
                out,
                " comes back to {}: {:.1} % resumed [{:.1}..{:.1}]  {:.2} x {other}, {:.2} x a full one",
                if fronts == 1 { "the same".to_owned() } else { format!("{fronts} in turn") },
                median(&shares),
                least(&shares),
                most(&shares),
                of(*session, other),
                of(Session::Forgotten, name.trim_end_matches(", hop")),
            )?;
        }
        Ok(())
    }

    fn write_latencies(&self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.latencies.is_empty() {
            writeln!(
                out,
                "\none connection, 4 KB, milliseconds: median and 99th percentile, least of the rounds"
            )?;
        }
        for (name, times) in &self.latencies {
            let [median, high] = [|pair: &[f64; 2]| pair[0], |pair: &[f64; 2]| pair[1]]
                .map(|of| times.iter().map(of).fold(f64::INFINITY, f64::min));
            writeln!(out, "  {name:<20} {median:.3} {high:.3}")?;
        }
        Ok(())
    }

    fn write_loads(&self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.loads.is_empty() {
            writeln!(
                out,
                "\nhttps, 4 KB, 30 % of its most requests a second, milliseconds since a request was due: median of the \
                 rounds [least..most]"
            )?;
        }
        for (name, rounds) in &self.loads {
            let of = |figure: fn(&Load) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
            let (high, late, other) = (of(|it| it.high), of(|it| it.callers_late), beside(name));
            let others =
                self.loads.get(other).map(|rounds| rounds.iter().map(|it| it.high).collect::<Vec<_>>());
            writeln!(
                out,
                "  {name:<14} {:>7.0}/s  median {:.3}  99th percentile {:.3} [{:.3}..{:.3}]  {:.2} x {other}; callers late: \
                 {:.3}",
                rounds.first().map_or(0.0, |round| round.rate),
                median(&of(|it| it.median)),
                median(&high),
                least(&high),
                most(&high),
                median(&high) / median(&others.unwrap_or_default()),
                median(&late),
            )?;
        }
        Ok(())
    }
}

/// Whose figures those of this one are compared with.
fn beside(name: &str) -> &'static str {
    if name.ends_with("hop") { "haproxy, hop" } else { "haproxy" }
}

fn most_a_second(cells: &[Cell]) -> f64 {
    cells.iter().map(|cell| cell.requests_a_second).fold(0.0, f64::max)
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn each(used: Duration, requests: u64) -> f64 {
    used.as_secs_f64() * 1e6 / requests.max(1) as f64
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}

/// Of an even number the upper one of the two in the middle; of none, no number.
fn median(times: &[f64]) -> f64 {
    let mut ordered = times.to_vec();
    ordered.sort_by(f64::total_cmp);
    ordered.get(ordered.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spread(times: &[f64]) -> String {
    format!("{:>7.1} [{:.1}..{:.1}]", least(times), least(times), most(times))
}
