//! How each part registers its metrics: a handle is made, entered under its name with what it means, and kept.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use std::fmt;

/// What [`Registry`] can do for a part.
pub trait Enter {
    /// Enters a metric that begins with nothing.
    fn enter<M: Metric + Clone + Default>(&mut self, name: &'static str, help: &'static str) -> M {
        self.enter_as(name, help, M::default())
    }

    /// Enters a metric that was made.
    fn enter_as<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M;

    /// Enters a number of seconds that is asked for whenever somebody reads; nothing is shown without one.
    fn enter_age(
        &mut self,
        name: &'static str,
        help: &'static str,
        age: impl Fn() -> Option<f64> + Send + Sync + 'static,
    );
}

impl Enter for Registry {
    fn enter_as<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M {
        self.register(name, help, metric.clone());
        metric
    }

    fn enter_age(
        &mut self,
        name: &'static str,
        help: &'static str,
        age: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.register_collector(Box::new(Age { name, help, age }));
    }
}

/// A histogram of times from a millisecond to half a minute.
#[must_use]
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

struct Age<F> {
    name: &'static str,
    help: &'static str,
    age: F,
}

impl<F> fmt::Debug for Age<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Age({})", self.name)
    }
}

impl<F: Fn() -> Option<f64> + Send + Sync + 'static> Collector for Age<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(age) = (self.age)() else { return Ok(()) };
        let gauge = ConstGauge::new(age);
        gauge.encode(encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn what_is_entered_is_read() {
        let mut registry = Registry::default();
        let counter: Counter = registry.enter("rmsc_things", "Things");
        registry.enter_age("rmsc_age_seconds", "Its age", || Some(1.5));
        registry.enter_age("rmsc_none_seconds", "Not known", || None);
        counter.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("# HELP rmsc_things Things.\n"), "{text}");
        assert!(
            text.contains("rmsc_things_total 1\n") && text.contains("\nrmsc_age_seconds 1.5\n"),
            "{text}"
        );
        assert!(!text.contains("rmsc_none"), "{text}");
    }
}
