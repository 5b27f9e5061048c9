//! The longest time without an answer, and the longest single request: what CockroachDB's failover benchmarks call the
//! longest unavailability, since an average hides it. Latencies count from the moment when a request should have been sent.

use super::{Budget, Invariant};
use crate::record::{Record, Span};
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "gaps", check, plant };

struct Seen {
    gap: Duration,
    gap_at: Duration,
    /// How much of it the machine stood still.
    still: Duration,
    slowest: Duration,
    slowest_at: Duration,
    /// Which one it was.
    by: String,
    p99: Duration,
}

fn check(record: &Record, budget: &Budget) -> Result<String, String> {
    let troubled = record.troubled().unwrap_or(Span::new(record.ended, record.ended));
    let before =
        seen(record, Span::new(Duration::ZERO, troubled.from)).ok_or("nothing was answered before")?;
    let said = |name: &str, seen: &Seen| {
        format!(
            "{name}: longest gap {:.1?} (at {:.1?}; the machine stood still for {:.1?} of it), slowest {} ms (at {:.1?}: {}), p99 {} ms",
            seen.gap,
            seen.gap_at,
            seen.still,
            seen.slowest.as_millis(),
            seen.slowest_at,
            seen.by,
            seen.p99.as_millis()
        )
    };
    let Some(during) = seen(record, troubled) else { return Ok(said("no fault", &before)) };
    let both = format!("{}; {}", said("before", &before), said("with the fault", &during));
    if during.gap > budget.gap {
        return Err(format!("a gap of more than {:.0?}: {both}", budget.gap));
    }
    if during.slowest > budget.single {
        return Err(format!("a request took more than {} ms: {both}", budget.single.as_millis()));
    }
    Ok(both)
}

/// What was seen in a span; requests through a front that is down, or with a service that is broken, are not asked about.
fn seen(record: &Record, span: Span) -> Option<Seen> {
    let requests = record.counted().filter(|request| !record.service_was_broken(request));
    let mut counted: Vec<_> = requests.filter(|request| span.has(request.ended)).collect();
    counted.sort_by_key(|request| request.ended);
    let pairs = counted.iter().zip(counted.iter().skip(1));
    // While the service is broken nothing is counted, so that is no gap.
    let gaps = pairs.filter(|(one, next)| {
        !record.broken_service.iter().any(|broken| broken.meets(one.ended, next.ended))
    });
    let gaps = gaps.map(|(one, next)| (next.ended - one.ended, one.ended));
    let (gap, gap_at) = gaps.max().unwrap_or_default();
    let longest = Span::new(gap_at, gap_at + gap);
    let still = record.late.iter().map(|late| late.shared(&longest)).sum();
    let slowest = counted.iter().max_by_key(|request| request.latency())?;
    let mut latencies: Vec<Duration> = counted.iter().map(|request| request.latency()).collect();
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    let by = format!("{} {} by {}", slowest.id, slowest.front, slowest.served_by);
    Some(Seen { gap, gap_at, still, slowest: slowest.latency(), slowest_at: slowest.intended, by, p99 })
}

fn plant(record: &mut Record) {
    record.requests.retain(|request| !(5_100..5_300).contains(&request.intended.as_millis()));
}
