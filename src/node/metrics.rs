//! What is measured about the certificates that have no part of their own.

use crate::metrics::Enter;
use crate::telemetry::Registry;
use crate::tls::AboutCertificate;
use prometheus_client::metrics::gauge::Gauge;

/// The handles. Clones are the same.
#[derive(Clone)]
pub(super) struct CertificateMetrics {
    front: Gauge,
    authority: Gauge,
}

impl CertificateMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let front = registry.enter(
            "rmsc_front_certificate_expires_seconds",
            "When the certificate that calling servers see ends, in seconds since 1970-01-01T00:00:00Z; 0: there is none",
        );
        let authority = registry.enter(
            "rmsc_authority_certificate_expires_seconds",
            "When the cluster's own authority ends, in seconds since 1970-01-01T00:00:00Z",
        );
        CertificateMetrics { front, authority }
    }

    pub(super) fn note(&self, front: Option<&AboutCertificate>, authority: Option<&AboutCertificate>) {
        let ends = |about: Option<&AboutCertificate>| about.map_or(0, |it| it.until.unix_timestamp());
        self.front.set(ends(front));
        self.authority.set(ends(authority));
    }
}
