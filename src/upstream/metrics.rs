//! What is counted about the way to the service.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    response_seconds: Family<Labels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Answered,
    Failed,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let response_seconds = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.001, 2.0, 16))
        });
        registry.register(
            "rmsc_upstream_response_seconds",
            "Service Response Time: from sending a request until the service's answer begins",
            response_seconds.clone(),
        );
        Metrics { response_seconds }
    }

    pub(super) fn answered(&self, elapsed: Duration, answered: bool) {
        let outcome = if answered { Outcome::Answered } else { Outcome::Failed };
        self.response_seconds.get_or_create(&Labels { outcome }).observe(elapsed.as_secs_f64());
    }
}
