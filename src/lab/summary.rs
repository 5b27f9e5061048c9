//! How a lab fares: a line while it runs, a summary at its end.

use super::traffic::Counts;
use crate::simulator::Snapshot;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What `--for` ends with.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Requests sent.
    pub requests: u64,
    /// Requests without a good answer.
    pub failed: u64,
    /// Requests that the client repeated at another front, because its own went away.
    pub moved: u64,
    /// Requests that the service saw more than once.
    pub duplicates: u64,
    /// The 95th percentile of the newest answers, in milliseconds.
    pub p95_ms: f64,
    /// Each node's share of the requests that the service got.
    pub shares: BTreeMap<String, f64>,
    /// Whether nothing failed and every share is within 1 % of 1/N.
    pub passed: bool,
    /// Why it passed, or why not.
    pub verdict: String,
    /// The newest failures.
    pub failures: Vec<String>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Progress {
    elapsed: Duration,
    requests: u64,
    failed: u64,
    p95_ms: f64,
    /// Of the last seconds, so that a node that dies or comes back is seen.
    shares: BTreeMap<String, f64>,
    states: BTreeMap<String, Option<u32>>,
}

impl Summary {
    pub(super) fn new(nodes: &[String], counts: &Counts, before: &Snapshot, after: &Snapshot) -> Self {
        let shares = shares(nodes, before, after);
        let equal = counts.requests == 0 || shares.values().all(|share| is_equal(*share, nodes.len()));
        let passed = counts.failed == 0 && equal;
        Summary {
            requests: counts.requests,
            failed: counts.failed,
            moved: counts.moved,
            duplicates: after.duplicate_requests.saturating_sub(before.duplicate_requests),
            p95_ms: (p95(&counts.latencies_ms) * 100.0).round() / 100.0,
            shares,
            passed,
            verdict: verdict(counts.requests, counts.failed, passed),
            failures: counts.failures.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests · {} failed · {} moved to another front · {} seen twice by the service · p95 {:.1} ms",
            self.requests, self.failed, self.moved, self.duplicates, self.p95_ms
        )?;
        write_shares(f, &self.shares)?;
        writeln!(f)?;
        self.failures.iter().try_for_each(|failure| writeln!(f, "failed: {failure}"))?;
        f.write_str(&self.verdict)
    }
}

fn verdict(requests: u64, failed: u64, passed: bool) -> String {
    match (requests, failed, passed) {
        (0, ..) => "No traffic was sent.".into(),
        (.., true) => "PASS: nothing failed, and every share is within 1 % of 1/N.".into(),
        (_, 0, false) => {
            "FAIL: nothing failed, but a share is not within 1 % of 1/N, as when a node was down.".into()
        }
        (_, failed, false) => format!("FAIL: {failed} requests failed."),
    }
}

impl Progress {
    pub(super) fn new(
        elapsed: Duration,
        counts: &Counts,
        recent: (&Snapshot, &Snapshot),
        states: &BTreeMap<String, Option<u32>>,
    ) -> Self {
        let nodes: Vec<String> = states.keys().cloned().collect();
        Progress {
            elapsed,
            requests: counts.requests,
            failed: counts.failed,
            p95_ms: p95(&counts.latencies_ms),
            shares: shares(&nodes, recent.0, recent.1),
            states: states.clone(),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>5} s  {:>7} requests · {} failed · p95 {:>5.1} ms · ",
            self.elapsed.as_secs(),
            self.requests,
            self.failed,
            self.p95_ms
        )?;
        write_shares(f, &self.shares)?;
        for (name, _) in self.states.iter().filter(|(_, pid)| pid.is_none()) {
            write!(f, " · {name} DOWN")?;
        }
        Ok(())
    }
}

fn write_shares(f: &mut fmt::Formatter<'_>, shares: &BTreeMap<String, f64>) -> fmt::Result {
    let words: Vec<String> =
        shares.iter().map(|(name, share)| format!("{name} {:.1} %", share * 100.0)).collect();
    write!(f, "{}", words.join("  "))
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn shares(nodes: &[String], before: &Snapshot, after: &Snapshot) -> BTreeMap<String, f64> {
    let count = |snapshot: &Snapshot, name: &String| snapshot.by_node.get(name).copied().unwrap_or(0);
    let counts: Vec<u64> = nodes.iter().map(|name| count(after, name) - count(before, name)).collect();
    let total: u64 = counts.iter().sum();
    let share = |count: &u64| if total == 0 { 0.0 } else { *count as f64 / total as f64 };
    nodes.iter().cloned().zip(counts.iter().map(share)).collect()
}

/// Within 1 % of 1/N.
#[expect(clippy::cast_precision_loss, reason = "a handful of nodes")]
fn is_equal(share: f64, nodes: usize) -> bool {
    let fair = 1.0 / nodes as f64;
    (share - fair).abs() <= fair * SHARE_DEVIATION_MAX
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into at most ten thousand values"
)]
fn p95(latencies_ms: &[f64]) -> f64 {
    let mut sorted = latencies_ms.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get((sorted.len() as f64 * 0.95) as usize).or(sorted.last()).copied().unwrap_or(0.0)
}

/// What equal means, relative to a fair share.
const SHARE_DEVIATION_MAX: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(counts: &[(&str, u64)]) -> Snapshot {
        let by_node = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Snapshot { by_node, ..Snapshot::default() }
    }

    fn check_summary(counts: [u64; 3], failed: u64) -> bool {
        let nodes = ["a".to_owned(), "b".into(), "c".into()];
        let after = snapshot(&[("a", counts[0]), ("b", counts[1]), ("c", counts[2])]);
        let counts = Counts { requests: 3_000, failed, ..Counts::default() };
        Summary::new(&nodes, &counts, &Snapshot::default(), &after).passed
    }

    #[test]
    fn passes_only_if_nothing_failed_and_shares_are_equal() {
        assert!(check_summary([1_000, 1_000, 1_000], 0));
        assert!(check_summary([1_005, 995, 1_000], 0));
        assert!(!check_summary([1_000, 1_000, 1_000], 1));
        assert!(!check_summary([1_020, 990, 990], 0));
        assert!(!check_summary([1_500, 1_500, 0], 0));
        assert_eq!(verdict(3, 2, false), "FAIL: 2 requests failed.");
        assert!(verdict(3, 0, false).starts_with("FAIL: nothing failed, but a share is not within 1 %"));
    }
}
