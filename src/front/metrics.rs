//! What is counted at a front.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    response_seconds: Histogram,
    retries: Counter,
    unproven: Family<UnprovenLabels, Counter>,
    /// Open connections.
    pub connections: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    outcome: Outcome,
}

/// How a request ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With a challenge: a leg of a handshake, or a failed one.
    Challenged,
    /// With a refusal of an authenticated caller.
    Refused,
    /// With an error of the caller's.
    Malformed,
    /// With an error of ours or of the service's.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnprovenLabels {
    reason: Unproven,
}

/// Why an NTLM login failed, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Unproven {
    /// The directory says no.
    Wrong,
    /// The account was at its limit, and the directory was not asked.
    AccountLimit,
    /// The same with the address.
    SourceLimit,
    /// The same with all accounts together.
    Room,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            requests: Family::default(),
            response_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            retries: Counter::default(),
            unproven: Family::default(),
            connections: Gauge::default(),
        };
        registry.register("rmsc_front_requests", "Requests taken by this front", metrics.requests.clone());
        registry.register(
            "rmsc_front_response_seconds",
            "Connector Response Time: from a request's headers until its answer begins",
            metrics.response_seconds.clone(),
        );
        registry.register(
            "rmsc_front_retries",
            "Requests handed to a second node, because the first gave no answer",
            metrics.retries.clone(),
        );
        registry.register(
            "rmsc_front_failed_logins",
            "NTLM logins that failed, or were refused at a limit without asking the directory",
            metrics.unproven.clone(),
        );
        registry.register(
            "rmsc_front_connections",
            "Open connections of clients",
            metrics.connections.clone(),
        );
        metrics
    }

    pub(super) fn ended(&self, outcome: Outcome, elapsed: Duration) {
        self.requests.get_or_create(&RequestLabels { outcome }).inc();
        self.response_seconds.observe(elapsed.as_secs_f64());
    }

    pub(super) fn unproven(&self, reason: Unproven) {
        self.unproven.get_or_create(&UnprovenLabels { reason }).inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }
}
