//! The parts of a run, by the names that `--only` takes.

use super::calls::Scheme;
use clap::ValueEnum;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Requests of 4 KB in the clear: processor time, and the most requests a second.
    #[value(name = "http-4kb")]
    HttpSmall,
    /// The same with 64 KB.
    #[value(name = "http-64kb")]
    HttpLarge,
    /// Requests of 4 KB over TLS.
    #[value(name = "https-4kb")]
    HttpsSmall,
    /// The same with 64 KB.
    #[value(name = "https-64kb")]
    HttpsLarge,
    /// The first leg of a login.
    FirstLeg,
    /// New TLS connections with a full handshake.
    Handshakes,
    /// TLS connections of callers that come back with what they were given; brings handshakes with it.
    Reconnects,
    /// How long one request takes when there is no other.
    Latency,
    /// How long requests take at 30 % of the most requests a second; brings https-4kb with it.
    Load,
    /// Memory: idle, after many connections, with many that are idle.
    Memory,
}

/// Which of them this run has.
pub struct Parts(Vec<Part>);

impl Parts {
    /// These, or all of them; and what they need.
    pub fn of(only: &[Part]) -> Self {
        let mut parts = if only.is_empty() { Part::value_variants().to_vec() } else { only.to_vec() };
        if parts.contains(&Part::Load) {
            parts.push(Part::HttpsSmall);
        }
        if parts.contains(&Part::Reconnects) {
            parts.push(Part::Handshakes);
        }
        Parts(parts)
    }

    pub fn has(&self, part: Part) -> bool {
        self.0.contains(&part)
    }

    /// The sizes and schemes of requests.
    pub fn requests(&self) -> impl Iterator<Item = (Scheme, usize)> {
        let cells = [
            (Part::HttpSmall, Scheme::Http, SMALL),
            (Part::HttpLarge, Scheme::Http, LARGE),
            (Part::HttpsSmall, Scheme::Https, SMALL),
            (Part::HttpsLarge, Scheme::Https, LARGE),
        ];
        cells.into_iter().filter(|(part, ..)| self.has(*part)).map(|(_, scheme, bytes)| (scheme, bytes))
    }
}

/// The sizes of a request and its answer.
pub const SMALL: usize = 4_096;
pub const LARGE: usize = 65_536;
