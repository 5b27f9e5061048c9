//! The figures of all rounds, as a table: the least processor time, and how far the rounds lie apart.

use super::Contestant;
use super::calls::{Made, Scheme};
use std::collections::BTreeMap;
use std::io::Write as _;
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
    handshakes: BTreeMap<&'static str, Vec<f64>>,
    first_legs: BTreeMap<&'static str, Vec<f64>>,
    latencies: BTreeMap<&'static str, Vec<[f64; 2]>>,
    memory: BTreeMap<&'static str, Vec<(&'static str, f64)>>,
}

/// One round of a cell.
struct Cell {
    microseconds: f64,
    requests_a_second: f64,
}

impl Report {
    pub fn cell(
        &mut self,
        contestant: &Contestant,
        (scheme, bytes): (Scheme, usize),
        made: &Made,
        used: Duration,
    ) {
        let cell = Cell {
            microseconds: each(used, made.requests),
            requests_a_second: made.requests as f64 / made.span.as_secs_f64(),
        };
        self.cells.entry((scheme, bytes, contestant.name)).or_default().push(cell);
    }

    pub fn handshakes(&mut self, name: &'static str, made: u64, used: Duration) {
        self.handshakes.entry(name).or_default().push(each(used, made));
    }

    pub fn first_legs(&mut self, name: &'static str, made: &Made, used: Duration) {
        self.first_legs.entry(name).or_default().push(each(used, made.requests));
    }

    pub fn latency(&mut self, name: &'static str, made: &Made) {
        let at = |part: f64| {
            let index = (made.latencies.len() as f64 * part) as usize;
            made.latencies.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        self.latencies.entry(name).or_default().push([at(0.5), at(0.99)]);
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

    fn write(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        writeln!(
            out,
            "processor time of a relayed request, microseconds: least [least..most of the rounds]"
        )?;
        for ((scheme, bytes, name), cells) in &self.cells {
            let times: Vec<f64> = cells.iter().map(|cell| cell.microseconds).collect();
            let most = cells.iter().map(|cell| cell.requests_a_second).fold(0.0, f64::max);
            let other = if name.ends_with("hop") { "haproxy, hop" } else { "haproxy" };
            let of_other = self.cells.get(&(*scheme, *bytes, other)).map_or(f64::NAN, |cells| {
                cells.iter().map(|cell| cell.microseconds).fold(f64::INFINITY, f64::min)
            });
            writeln!(
                out,
                "{:<6} {:>6} bytes  {name:<14} {}  {:>8.0} requests/s  {:.2} x {other}",
                format!("{scheme:?}").to_lowercase(),
                bytes,
                spread(&times),
                most,
                least(&times) / of_other,
            )?;
        }
        writeln!(out, "\nthe first leg of a login, which is part of it, microseconds")?;
        for (name, times) in &self.first_legs {
            writeln!(out, "  {name:<20} {}", spread(times))?;
        }
        writeln!(out, "\nprocessor time of a new TLS connection with one short answer, microseconds")?;
        for (name, times) in &self.handshakes {
            writeln!(out, "  {name:<20} {}", spread(times))?;
        }
        writeln!(
            out,
            "\none connection, 4 KB, milliseconds: median and 99th percentile, least of the rounds"
        )?;
        for (name, times) in &self.latencies {
            let [median, high] = [|pair: &[f64; 2]| pair[0], |pair: &[f64; 2]| pair[1]]
                .map(|of| times.iter().map(of).fold(f64::INFINITY, f64::min));
            writeln!(out, "  {name:<20} {median:.3} {high:.3}")?;
        }
        writeln!(out, "\nmemory, MB")?;
        for (name, figures) in &self.memory {
            for (when, megabytes) in figures {
                writeln!(out, "  {name:<20} {when:<34} {megabytes:>8.1}")?;
            }
        }
        out.flush()
    }
}

fn each(used: Duration, requests: u64) -> f64 {
    used.as_secs_f64() * 1e6 / requests.max(1) as f64
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn spread(times: &[f64]) -> String {
    let most = times.iter().copied().fold(0.0, f64::max);
    format!("{:>7.1} [{:.1}..{:.1}]", least(times), least(times), most)
}
