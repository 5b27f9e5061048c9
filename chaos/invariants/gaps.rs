//! The longest time without an answer, and the longest single request: what CockroachDB's failover benchmarks call the
//! longest unavailability, since an average hides it. Latencies count from the moment when a request should have been sent.

use super::{Budget, Invariant};
use crate::record::{Record, Request, Span};
use std::time::Duration;

pub const INVARIANT: Invariant = Invariant { name: "gaps", check, plant };

struct Seen {
    gap: Duration,
    gap_at: Duration,
    /// For how much of it the machine stood still, and for how much of that the host had taken its processors.
    still: Duration,
    stolen: Duration,
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
            "{name}: longest gap {:.1?} (at {:.1?}; the machine stood still for {:.1?} of it, taken by its host for {:.1?}), slowest {} ms (at {:.1?}: {}), p99 {} ms",
            seen.gap,
            seen.gap_at,
            seen.still,
            seen.stolen,
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

/// What a play shows in which nothing else is wrong: why it decides nothing, if every gap over the budget is over it by no
/// more than the time for which the host had taken the processors. It is no good play, and may be played again.
pub fn undecided(record: &Record, budget: &Budget) -> Option<String> {
    let troubled = record.troubled()?;
    let counted = counted(record, troubled);
    let slowest = counted.iter().map(|request| request.latency()).max()?;
    let over: Vec<Span> =
        gaps(record, &counted).into_iter().filter(|gap| gap.length() > budget.gap).collect();
    let is_hosts = |gap: &Span| gap.length().saturating_sub(taken(&record.late.stolen, gap)) <= budget.gap;
    let longest = over.iter().max_by_key(|gap| gap.length())?;
    (slowest <= budget.single && over.iter().all(is_hosts)).then(|| {
        let (gap, stolen) = (longest.length(), taken(&record.late.stolen, longest));
        format!("a gap of {gap:.1?}, for {stolen:.1?} of which the host had taken the processors")
    })
}

/// What was seen in a span.
fn seen(record: &Record, span: Span) -> Option<Seen> {
    let counted = counted(record, span);
    let longest = gaps(record, &counted).into_iter().max_by_key(Span::length).unwrap_or_default();
    let (still, stolen) = (taken(&record.late.all, &longest), taken(&record.late.stolen, &longest));
    let slowest = counted.iter().max_by_key(|request| request.latency())?;
    let mut latencies: Vec<Duration> = counted.iter().map(|request| request.latency()).collect();
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    let by = format!("{} {} by {}", slowest.id, slowest.front, slowest.served_by);
    Some(Seen {
        gap: longest.length(),
        gap_at: longest.from,
        still,
        stolen,
        slowest: slowest.latency(),
        slowest_at: slowest.intended,
        by,
        p99,
    })
}

/// By when they ended; those through a front that is down, or with a service that is broken, are not asked about.
fn counted(record: &Record, span: Span) -> Vec<&Request> {
    let requests = record.counted().filter(|request| !record.service_was_broken(request));
    let mut counted: Vec<_> = requests.filter(|request| span.has(request.ended)).collect();
    counted.sort_by_key(|request| request.ended);
    counted
}

/// From each answer to the next. While the service is broken nothing is counted, so that is no gap.
fn gaps(record: &Record, counted: &[&Request]) -> Vec<Span> {
    let pairs = counted.iter().zip(counted.iter().skip(1));
    let gaps = pairs.map(|(one, next)| Span::new(one.ended, next.ended));
    gaps.filter(|gap| !record.broken_service.iter().any(|broken| broken.meets(gap.from, gap.to))).collect()
}

/// How much of a gap these take.
fn taken(parts: &[Span], gap: &Span) -> Duration {
    parts.iter().map(|part| part.shared(gap)).sum()
}

fn plant(record: &mut Record) {
    record.requests.retain(|request| !(5_100..5_300).contains(&request.intended.as_millis()));
}

/// A gap decides nothing where the host took enough of it, and only there; and it is never a good play.
pub fn self_test(budget: &Budget) -> Result<String, String> {
    let taken = |from: u64, to: u64| {
        let mut record = super::sample::record();
        plant(&mut record);
        record.late.stolen.push(Span::new(Duration::from_millis(from), Duration::from_millis(to)));
        let why = undecided(&record, budget);
        if check(&record, budget).is_ok() { Err("what the host took makes a long gap good") } else { Ok(why) }
    };
    match (taken(5_150, 5_290)?, taken(5_150, 5_200)?, taken(4_000, 4_500)?) {
        (Some(why), None, None) => Ok(format!("gaps, with a host that takes its part: {why}")),
        seen => Err(format!("gaps: which plays decide nothing is told wrong: {seen:?}")),
    }
}
