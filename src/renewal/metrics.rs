//! What is counted about the tokens for the cloud.

use crate::enrolment::Cloud;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The handles. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    token_expires: Gauge,
    credential_expires: Gauge,
    renewals: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Outcome {
    Renewed,
    Failed,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        registry.register(
            "rmsc_cloud_token_expires_timestamp_seconds",
            "Until when the token for the cloud can be used; 0: there is none",
            metrics.token_expires.clone(),
        );
        registry.register(
            "rmsc_cloud_credential_expires_timestamp_seconds",
            "Until when what the connector signs in with can be used; 0: not known",
            metrics.credential_expires.clone(),
        );
        registry.register(
            "rmsc_cloud_renewals",
            "Attempts of this node to get a token for the cloud",
            metrics.renewals.clone(),
        );
        metrics
    }

    /// Shows what there is.
    pub fn show(&self, cloud: &Cloud) {
        let token = cloud.token.as_ref().map_or(0, |token| token.expires_at.0);
        let credential = cloud.enrolment.as_ref().and_then(|enrolment| enrolment.expires_at);
        self.token_expires.set(token / 1_000);
        self.credential_expires.set(credential.map_or(0, |at| at.0) / 1_000);
    }

    pub(super) fn renewed(&self, renewed: bool) {
        let outcome = if renewed { Outcome::Renewed } else { Outcome::Failed };
        self.renewals.get_or_create(&Labels { outcome }).inc();
    }
}
