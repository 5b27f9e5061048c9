//! What is counted about the directory.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    up: Gauge,
    age_seconds: Gauge,
    groups: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    source: Source,
}

/// Where the groups of a caller were taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Source {
    /// Asked for just now.
    Directory,
    /// Asked for a short while ago.
    Cache,
    /// What the directory said before it went away.
    LastGood,
    /// The ticket.
    Ticket,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "rmsc_directory_up",
            "Whether a domain controller answered when one was asked last",
            metrics.up.clone(),
        );
        registry.register(
            "rmsc_directory_age_seconds",
            "How long ago a domain controller answered last",
            metrics.age_seconds.clone(),
        );
        registry.register(
            "rmsc_directory_groups",
            "Callers with Kerberos, by where their groups were taken from",
            metrics.groups.clone(),
        );
        metrics
    }

    pub(super) fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }

    pub(super) fn age(&self, age: Option<Duration>) {
        if let Some(age) = age {
            self.age_seconds.set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn groups_from(&self, source: Source) {
        self.groups.get_or_create(&Labels { source }).inc();
    }
}
