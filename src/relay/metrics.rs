//! What is counted about relayed requests.

use super::streak::Streak;
use super::{Answered, Failure};
use crate::metrics::Enter;
use crate::rms::{Operation, Pipeline};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::Instant;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Labels, Counter>,
    answered: Counter,
    in_flight: Gauge,
    bad_answers: Family<TroubleLabels, Counter>,
    kept_answers: Family<OperationLabels, Counter>,
    exchange_ntlm_unbound: Gauge,
    service: Streak,
}

/// A request that is being relayed, until this is dropped.
pub(super) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    pipeline: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TroubleLabels {
    trouble: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Answered,
    Refused,
    Malformed,
    Failed,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        Metrics {
            requests: registry.enter(
                "rmsc_relay_requests",
                "Requests this node has relayed or refused, for any node's front",
            ),
            answered: Counter::default(),
            in_flight: registry.enter(
                "rmsc_relay_in_flight",
                "Requests that this node is relaying now, until the last byte of the answer",
            ),
            bad_answers: registry.enter(
                "rmsc_relay_bad_answers",
                "Answers of the service that no calling server got, by what was wrong with them",
            ),
            kept_answers: registry.enter(
                "rmsc_relay_kept_answers",
                "Answers from before that were given while the service could not be reached",
            ),
            exchange_ntlm_unbound: registry.enter(
                "rmsc_relay_exchange_ntlm_unbound",
                "1: this node lets Exchange servers in by NTLM that is not bound to TLS, which can be passed on",
            ),
            service: Streak::default(),
        }
    }

    /// Says how this node is set.
    pub(super) fn exchange_ntlm_unbound(&self, unbound: bool) {
        self.exchange_ntlm_unbound.set(i64::from(unbound));
    }

    /// The service gave an answer.
    pub(super) fn service_answered(&self) {
        self.service.answered();
    }

    /// There was none, or none that a calling server can have.
    pub(super) fn service_failed(&self, reason: &str) {
        self.service.failed(reason, Instant::now());
    }

    /// That the service does nothing but fail, in words; empty: it does not.
    #[must_use]
    pub fn service_failing(&self) -> String {
        self.service.in_words(Instant::now())
    }

    pub(super) fn bad_answer(&self, trouble: &'static str) {
        self.bad_answers.get_or_create(&TroubleLabels { trouble }).inc();
    }

    pub(super) fn kept_answer(&self, operation: Operation) {
        self.kept_answers.get_or_create(&OperationLabels { operation: operation.word() }).inc();
    }

    /// Requests that got an answer from this node since it started.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Requests that this node is relaying now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.get()).unwrap_or(0)
    }

    pub(super) fn begun(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(super) fn handled(&self, pipeline: Pipeline, result: &Result<Answered, Failure>) {
        let outcome = match result {
            Ok(_) => Outcome::Answered,
            Err(Failure::NotAuthorized(_) | Failure::RoleRefused(_) | Failure::NtlmRefused(_)) => {
                Outcome::Refused
            }
            Err(
                Failure::Malformed(_)
                | Failure::UnsupportedMedia(_)
                | Failure::TooLarge { .. }
                | Failure::OverLimit(_),
            ) => Outcome::Malformed,
            Err(
                Failure::Upstream { .. }
                | Failure::Unsent { .. }
                | Failure::Lasting { .. }
                | Failure::Throttled { .. }
                | Failure::Overdue
                | Failure::BrokenOff
                | Failure::NotReady(_),
            ) => Outcome::Failed,
        };
        if outcome == Outcome::Answered {
            self.answered.inc();
        }
        self.requests.get_or_create(&Labels { pipeline: pipeline.word(), outcome }).inc();
    }
}
