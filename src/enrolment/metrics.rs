//! What is measured about a node's certificate.

use crate::metrics::Enter;
use crate::tls::Validity;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The handles. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    expires: Gauge,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let expires = registry.enter(
            "rmsc_node_certificate_expires_seconds",
            "When this node's certificate ends, in seconds since 1970-01-01T00:00:00Z",
        );
        Metrics { expires }
    }

    pub(super) fn note(&self, validity: Validity) {
        self.expires.set(validity.until.unix_timestamp());
    }
}
