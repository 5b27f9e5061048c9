//! What monitors read about the cluster as such.

use super::survival::Survivals;
use crate::metrics::Enter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The handles. Clones show the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    relay: Gauge,
    changes: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics {
            relay: registry.enter(
                "rmsc_cluster_relay_survives",
                "How many more nodes may fail before requests fail; -1: they fail now",
            ),
            changes: registry.enter(
                "rmsc_cluster_changes_survive",
                "How many more voters may fail before changes are refused; -1: they are refused now",
            ),
        };
        // Until the first survey nothing is known to survive anything.
        metrics.show(Survivals { relay: -1, changes: -1 });
        metrics
    }

    pub(super) fn show(&self, survivals: Survivals) {
        self.relay.set(survivals.relay.into());
        self.changes.set(survivals.changes.into());
    }
}
