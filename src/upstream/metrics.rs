//! What is counted about the way to the service.

use super::Trouble;
use crate::metrics::{Enter, seconds};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    response_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    failures: Family<Failed, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    trouble: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Answered,
    Failed,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        Metrics {
            response_seconds: registry.enter_as(
                "rmsc_upstream_response_seconds",
                "Service Response Time: from sending a request until the service's answer begins",
                Family::new_with_constructor(seconds),
            ),
            failures: registry.enter(
                "rmsc_upstream_failures",
                "Requests that the service gave no answer to, by what went wrong on the way",
            ),
        }
    }

    pub(super) fn answered(&self, elapsed: Duration, answered: bool) {
        let outcome = if answered { Outcome::Answered } else { Outcome::Failed };
        self.response_seconds.get_or_create(&Labels { outcome }).observe(elapsed.as_secs_f64());
    }

    pub(super) fn failed(&self, trouble: &Trouble) {
        self.failures.get_or_create(&Failed { trouble: trouble.word() }).inc();
    }
}
