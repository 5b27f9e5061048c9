//! One record for every SOAP request of a caller who has proven itself, also of those that were refused: who asked
//! for what by which entry, what came of it, how long it took, and where. With the target `audit`.
//!
//! There are no secrets in it: no tokens, no passwords, no certificates, and of licenses only their ids.

use super::answer::Outcome;
use super::metrics::{self, Batch, Soap};
use crate::principal::{Caller, Mechanism};
use crate::relay::{Course, Facts, Failure};
use crate::rms::{Endpoint, Operation, content::Content};
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// What a record is made of, as far as the request came.
pub struct Told {
    /// Who asked.
    pub caller: Arc<Caller>,
    /// What was called.
    pub endpoint: Endpoint,
    /// What the SOAPAction names, if it is an operation of that endpoint.
    pub claimed: Option<Operation>,
    /// What the envelope shows.
    pub content: Content,
    /// What became known on the way.
    pub course: Course,
    /// What came of it, in a word.
    pub result: &'static str,
}

/// How it ended.
pub struct Ended<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The status that the caller got.
    pub status: StatusCode,
    /// From its headers until the answer began.
    pub total: Duration,
    /// The node whose front took it.
    pub front_node: &'a str,
    /// The node that relayed it; empty: none did.
    pub relay_node: &'a str,
}

/// Writes the record, and says what to count.
pub fn record(told: &Told, ended: &Ended<'_>) -> Soap {
    let Facts { operation, entry, role, service_time, trouble, kept_for, .. } = told.course.facts();
    let (caller, content) = (&told.caller, &told.content);
    let service = service_time.unwrap_or_default();
    let connector = ended.total.saturating_sub(service);
    let result = if kept_for.is_some() { "kept" } else { told.result };
    // A caller who may not is refused before its envelope is read.
    let named = operation.or(told.claimed);
    tracing::info!(
        target: "audit",
        record = "audit",
        request_id = ended.request_id,
        sid = %caller.account.sid,
        account = %caller.account.name,
        computer = caller.computer,
        mechanism = match caller.mechanism {
            Mechanism::Kerberos => "kerberos",
            Mechanism::Ntlm => "ntlm",
        },
        entry,
        role,
        path = told.endpoint.path(),
        operation = named.map(Operation::name).unwrap_or_default(),
        content_id = content.content_id.as_deref().unwrap_or_default(),
        account_certificate_id = content.account_certificate_id.as_deref().unwrap_or_default(),
        batched = content.is_batched,
        result,
        trouble,
        kept_seconds = kept_for.map(|age| age.as_secs()),
        status = ended.status.as_u16(),
        connector_ms = milliseconds(connector),
        service_ms = milliseconds(service),
        total_ms = milliseconds(ended.total),
        front_node = ended.front_node,
        relay_node = ended.relay_node,
        "request"
    );
    Soap {
        pipeline: told.endpoint.pipeline().word(),
        operation: operation.map_or("none", Operation::word),
        outcome: outcome(result),
        batch: if content.is_batched { Batch::Batched } else { Batch::Single },
        connector,
        service: service_time,
        total: ended.total,
    }
}

/// What came of a request, in a word.
pub fn result(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(answered) if answered.status == StatusCode::OK => ANSWERED,
        // The service's own, passed through.
        Outcome::Answered(_) => FAULT,
        Outcome::Unauthenticated(_) => "unauthenticated",
        Outcome::Overloaded => "overloaded",
        Outcome::NotFound => "not-found",
        Outcome::MethodNotAllowed(_) => "method-not-allowed",
        Outcome::NoNode => "no-node",
        Outcome::Failed(failure) => match failure {
            Failure::NotAuthorized(_) => "not-authorized",
            Failure::RoleRefused(_) => "role-refused",
            Failure::NtlmRefused(_) => "ntlm-refused",
            Failure::Malformed(_) => "malformed",
            Failure::UnsupportedMedia(_) => "unsupported-media",
            Failure::TooLarge { .. } => "too-large",
            Failure::BrokenOff => "broken-off",
            Failure::Upstream { .. } | Failure::Lasting { .. } => "service-failed",
            Failure::Throttled { .. } => "throttled",
            Failure::Overdue => "overdue",
            Failure::NotReady(_) => "not-ready",
        },
    }
}

fn outcome(result: &str) -> metrics::SoapOutcome {
    match result {
        ANSWERED | "kept" => metrics::SoapOutcome::Successful,
        FAULT => metrics::SoapOutcome::Fault,
        "not-authorized" | "role-refused" | "ntlm-refused" => metrics::SoapOutcome::Refused,
        "malformed" | "unsupported-media" | "too-large" | "broken-off" => metrics::SoapOutcome::Malformed,
        _ => metrics::SoapOutcome::Failed,
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are as fine as anybody needs.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

const ANSWERED: &str = "answered";
const FAULT: &str = "fault";
