//! What is counted at a front.

use super::admission::Limit;
use super::strict::Kind;
use crate::metrics::{Enter, seconds};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The handles. Clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    response_seconds: Histogram,
    connector_seconds: Times,
    service_seconds: Times,
    soap_seconds: Times,
    retries: Counter,
    handed: Family<NodeLabels, Counter>,
    lost: Family<NodeLabels, Counter>,
    unproven: Family<UnprovenLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    shed: Family<ShedLabels, Counter>,
    /// Open connections.
    pub connections: Gauge,
    in_flight: Gauge,
    buffered_bytes: Gauge,
}

type Times = Family<SoapLabels, Histogram, fn() -> Histogram>;

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
    /// At once, because there was no room.
    Shed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SoapLabels {
    pipeline: &'static str,
    operation: &'static str,
    outcome: SoapOutcome,
    batch: Batch,
}

/// How a SOAP request of a proven caller ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum SoapOutcome {
    /// With the answer that was asked for.
    Successful,
    /// With a fault of the service.
    Fault,
    /// With a refusal of the caller.
    Refused,
    /// With an error of the caller's.
    Malformed,
    /// With an error of ours or of the service's.
    Failed,
    /// The client left before its answer was whole.
    Gone,
}

/// Whether one license was asked for or more, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Batch {
    /// One.
    Single,
    /// More.
    Batched,
}

/// A SOAP request of a proven caller that has ended, and the times that it took.
#[derive(Clone, Copy, Debug)]
pub struct Soap {
    /// The pipeline.
    pub pipeline: &'static str,
    /// The operation; `none` if it was not read.
    pub operation: &'static str,
    /// How it ended.
    pub outcome: SoapOutcome,
    /// Whether it was one of many.
    pub batch: Batch,
    /// In the connector.
    pub connector: Duration,
    /// In the service, if it was asked.
    pub service: Option<Duration>,
    /// Both.
    pub total: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabels {
    node: String,
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
        let times = || Times::new_with_constructor(seconds);
        Metrics {
            requests: registry.enter("rmsc_front_requests", "Requests taken by this front"),
            response_seconds: registry.enter_as(
                "rmsc_front_response_seconds",
                "From a request's headers until its answer begins, of all requests",
                seconds(),
            ),
            connector_seconds: registry.enter_as(
                "rmsc_front_connector_processing_seconds",
                "Connector Processing Time: of a SOAP request, in the connector and not in the service",
                times(),
            ),
            service_seconds: registry.enter_as(
                "rmsc_front_service_response_seconds",
                "Service Response Time: of a SOAP request, from sending it on until the answer began",
                times(),
            ),
            soap_seconds: registry.enter_as(
                "rmsc_front_connector_response_seconds",
                "Connector Response Time: of a SOAP request, from its headers until its answer began",
                times(),
            ),
            retries: registry.enter(
                "rmsc_front_retries",
                "Requests handed to a second node, because the first gave no answer",
            ),
            handed: registry.enter(
                "rmsc_front_handed",
                "Requests that this front has handed to a node, by the node's name",
            ),
            lost: registry.enter(
                "rmsc_front_lost",
                "Requests that a node did not take from this front, or was lost with, by the node's name",
            ),
            unproven: registry.enter(
                "rmsc_front_failed_logins",
                "NTLM logins that failed, or were refused at a limit without asking the directory",
            ),
            refused: registry.enter(
                "rmsc_front_refused_requests",
                "Requests that are no good HTTP: their connection was closed",
            ),
            shed: registry.enter(
                "rmsc_front_shed",
                "Connections and requests that were refused because so many were there",
            ),
            in_flight: registry.enter("rmsc_front_in_flight", "Requests of clients in flight"),
            buffered_bytes: registry.enter(
                "rmsc_front_buffered_bytes",
                "Bytes of requests that are kept for another attempt, or for which there is room",
            ),
            connections: registry.enter("rmsc_front_connections", "Open connections of clients"),
        }
    }

    pub(super) fn ended(&self, outcome: Outcome, elapsed: Duration) {
        self.requests.get_or_create(&RequestLabels { outcome }).inc();
        self.response_seconds.observe(elapsed.as_secs_f64());
    }

    pub(super) fn soap(&self, soap: &Soap) {
        let Soap { pipeline, operation, outcome, batch, .. } = *soap;
        let labels = SoapLabels { pipeline, operation, outcome, batch };
        let observe =
            |times: &Times, time: Duration| times.get_or_create(&labels).observe(time.as_secs_f64());
        observe(&self.connector_seconds, soap.connector);
        observe(&self.soap_seconds, soap.total);
        if let Some(service) = soap.service {
            observe(&self.service_seconds, service);
        }
    }

    pub(super) fn unproven(&self, reason: Unproven) {
        self.unproven.get_or_create(&UnprovenLabels { reason }).inc();
    }

    pub(super) fn handed(&self, node: &str, lost: bool) {
        let labels = NodeLabels { node: node.to_owned() };
        self.handed.get_or_create(&labels).inc();
        // There from the beginning, so that monitors see it grow.
        self.lost.get_or_create(&labels).inc_by(lost.into());
    }

    pub(super) fn refused(&self, kind: Kind) {
        self.refused.get_or_create(&RefusedLabels { kind: kind.word() }).inc();
    }

    pub(super) fn taken(&self, requests: usize, bytes: usize) {
        self.in_flight.set(i64::try_from(requests).unwrap_or(i64::MAX));
        self.buffered_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn shed(&self, limit: Limit) {
        self.shed.get_or_create(&ShedLabels { limit: limit.word() }).inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }
}
