//! One record for every SOAP request of a caller who has proven itself, also of those that were refused: who asked
//! for what by which entry, what came of it, how long it took, and where. With the target `audit`. It is written with
//! the last byte of the answer, or when the client leaves.
//!
//! There are no secrets in it: no tokens, no passwords, no certificates, and of licenses only their ids.

use super::answer::Outcome;
use super::metrics::{self, Batch, Metrics, Soap};
use crate::principal::{Caller, Mechanism};
use crate::relay::{Course, Facts, Failure};
use crate::rms::{Endpoint, Operation, content::Content};
use crate::trace::TraceContext;
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What a record is made of, as far as the request came. It is written when this is dropped: whoever leaves early,
/// and whatever goes wrong, there is one.
pub struct Told {
    /// Who asked.
    pub caller: Arc<Caller>,
    /// What was called.
    pub endpoint: Endpoint,
    /// What the action or the body names, if it is an operation of that endpoint.
    pub claimed: Option<Operation>,
    /// What the envelope shows.
    pub content: Content,
    /// What became known on the way.
    pub course: Course,
    /// What came of it, in a word.
    pub result: &'static str,
    origin: Origin,
    ended: Option<Ended>,
}

/// Where and when a request came in.
pub struct Origin {
    /// The request's id.
    pub request_id: String,
    /// The same for who follows it across nodes.
    pub trace: TraceContext,
    /// The node whose front took it.
    pub front_node: String,
    /// When its headers were there.
    pub begun: Instant,
    /// What is counted.
    pub metrics: Metrics,
}

/// How it was answered.
struct Ended {
    status: u16,
    total: Duration,
    relay_node: String,
}

impl Told {
    /// A request of a caller who has proven itself. Until something else comes of it, its client has left.
    pub fn new(
        origin: Origin,
        caller: Arc<Caller>,
        endpoint: Endpoint,
        claimed: Option<Operation>,
        course: Course,
    ) -> Self {
        let content = Content::default();
        Told { caller, endpoint, claimed, content, course, result: CLIENT_GONE, origin, ended: None }
    }

    /// The answer begins; the record is written with its last byte.
    pub fn follow(mut self, response: Response<Body>, relay_node: Option<String>) -> Response<Body> {
        let (status, total) = (response.status().as_u16(), self.origin.begun.elapsed());
        self.ended = Some(Ended { status, total, relay_node: relay_node.unwrap_or_default() });
        response.map(|body| Followed { body, is_over: false, told: self }.boxed_unsync())
    }

    /// What the request is known by.
    pub fn names(&self) -> (TraceContext, &str) {
        (self.origin.trace, &self.origin.request_id)
    }

    /// The answer broke in the middle.
    fn broke(&mut self) {
        self.result = "answer-broken";
        self.course.note(|facts| {
            if facts.trouble.is_empty() {
                facts.trouble = "broken-off".to_owned();
            }
        });
    }

    fn record(&self) {
        let Facts { operation, entry, role, service_time, trouble, kept_for, .. } = self.course.facts();
        let (caller, content, origin) = (&self.caller, &self.content, &self.origin);
        let (status, relay_node) =
            self.ended.as_ref().map_or((0, ""), |ended| (ended.status, ended.relay_node.as_str()));
        let total = self.ended.as_ref().map_or_else(|| origin.begun.elapsed(), |ended| ended.total);
        let service = service_time.unwrap_or_default();
        let connector = total.saturating_sub(service);
        let result = if kept_for.is_some() && self.result == ANSWERED { KEPT } else { self.result };
        // A caller who may not is refused before its envelope is read.
        let named = operation.or(self.claimed);
        origin.metrics.soap(&Soap {
            pipeline: self.endpoint.pipeline().word(),
            operation: named.map_or("none", Operation::word),
            outcome: outcome(result),
            batch: if content.is_batched { Batch::Batched } else { Batch::Single },
            connector,
            service: service_time,
            total,
        });
        tracing::info!(
            target: "audit",
            record = "audit",
            request_id = origin.request_id,
            trace_id = origin.trace.trace_id(),
            span_id = origin.trace.span_id(),
            sid = %caller.account.sid,
            account = %caller.account.name,
            computer = caller.computer,
            mechanism = match caller.mechanism {
                Mechanism::Kerberos => "kerberos",
                Mechanism::Ntlm => "ntlm",
            },
            entry,
            role,
            path = self.endpoint.path(),
            operation = named.map(Operation::name).unwrap_or_default(),
            content_id = content.content_id.as_deref().unwrap_or_default(),
            account_certificate_id = content.account_certificate_id.as_deref().unwrap_or_default(),
            batched = content.is_batched,
            result,
            trouble,
            kept_seconds = kept_for.map(|age| age.as_secs()),
            status,
            connector_ms = milliseconds(connector),
            service_ms = milliseconds(service),
            total_ms = milliseconds(total),
            front_node = origin.front_node,
            relay_node,
            "request"
        );
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.result = "panicked";
        }
        self.record();
    }
}

/// An answer on its way to the client.
struct Followed {
    body: Body,
    is_over: bool,
    told: Told,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &polled {
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                self.is_over = true;
                self.told.broke();
            }
            None => self.is_over = true,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if !self.is_over && !self.body.is_end_stream() {
            self.told.result = CLIENT_GONE;
        }
    }
}

/// What came of a request, in a word.
pub fn result(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Answered(answered) if answered.status == StatusCode::OK => ANSWERED,
        // The service's own, passed through.
        Outcome::Answered(_) => FAULT,
        Outcome::Unauthenticated(_) => "unauthenticated",
        Outcome::Overloaded | Outcome::Full => "overloaded",
        Outcome::NotHttp(_) => "malformed",
        Outcome::NotFound => "not-found",
        Outcome::MethodNotAllowed(_) => "method-not-allowed",
        Outcome::NoNode => "no-node",
        Outcome::Loop => "loop",
        Outcome::Failed(failure) => match failure {
            Failure::NotAuthorized(_) => "not-authorized",
            Failure::RoleRefused(_) => "role-refused",
            Failure::NtlmRefused(_) => "ntlm-refused",
            Failure::Malformed(_) => "malformed",
            Failure::UnsupportedMedia(_) => "unsupported-media",
            Failure::TooLarge { .. } => "too-large",
            Failure::OverLimit(_) => "over-limit",
            Failure::BrokenOff => "broken-off",
            Failure::Upstream { .. } | Failure::Unsent { .. } | Failure::Lasting { .. } => "service-failed",
            Failure::Throttled { .. } => "throttled",
            Failure::Overdue => "overdue",
            Failure::NotReady(_) => "not-ready",
        },
    }
}

fn outcome(result: &str) -> metrics::SoapOutcome {
    match result {
        ANSWERED | KEPT => metrics::SoapOutcome::Successful,
        FAULT => metrics::SoapOutcome::Fault,
        CLIENT_GONE => metrics::SoapOutcome::Gone,
        "not-authorized" | "role-refused" | "ntlm-refused" => metrics::SoapOutcome::Refused,
        "malformed" | "unsupported-media" | "too-large" | "over-limit" | "broken-off" => {
            metrics::SoapOutcome::Malformed
        }
        _ => metrics::SoapOutcome::Failed,
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Microseconds are as fine as anybody needs.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

const ANSWERED: &str = "answered";
const FAULT: &str = "fault";
const KEPT: &str = "kept";
const CLIENT_GONE: &str = "client-gone";
