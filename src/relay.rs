//! What a node does for a request that a front has authenticated: authorize the caller from the
//! newest table, answer what needs no cloud, send the rest upstream with the permit.

mod again;
mod answer;
mod authorize;
mod body;
mod course;
mod deadline;
mod gate;
mod inspect;
mod kept;
mod local;
mod message;
mod metrics;
mod ntlm;
mod readiness;
mod send;
mod serve;
mod settings;
mod streak;
#[cfg(test)]
mod tests;
mod traced;
mod trouble;
mod via;
mod wire;

pub use authorize::{Permit, Refusal, authorize};
pub use body::{Prefixed, Watched};
pub use course::{Course, Facts};
pub use deadline::Deadline;
pub use kept::KeptConfig;
pub use local::{ServiceLocations, page, tenant_url_page, wsdl};
pub use metrics::Metrics;
pub use ntlm::{NtlmRule, NtlmRules};
pub use readiness::{Hamper, Hampered, Readiness, Serving};
pub use serve::Server;
pub use settings::Settings;
pub use via::{Mark, Via};
pub use wire::{FrameError, Frames, HANDLE_PATH, KEPT_PATH, READY_PATH, Read, encode_head, read_readiness};

use crate::event::{Event, Seen, Who};
use crate::principal::{Caller, Sid};
use crate::rms::Endpoint;
use crate::rms::passing::Passing;
use crate::state::State;
use crate::trace::{Spans, TraceContext};
use crate::upstream::{Body, Upstream};
use body::Keeping;
use gate::Gate;
use http_body::Body as _;
use http_body_util::BodyExt;
use inspect::{broken_body, check_length, inspect, unfit};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use traced::Traced;

/// A request as a front hands it over, without its bytes.
#[derive(Clone, Debug)]
pub struct Head {
    /// 32 hexadecimal digits, made by the front.
    pub request_id: String,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// What is called.
    pub endpoint: Endpoint,
    /// The client's content type.
    pub content_type: String,
    /// The client's SOAPAction, as it came.
    pub soap_action: String,
    /// The client's User-Agent.
    pub user_agent: String,
    /// The client's Accept-Encoding.
    pub accept_encoding: String,
    /// `scheme://authority` that the client used.
    pub base: String,
    /// The name of the front's node.
    pub front_node: String,
    /// 1, or 2 for the retry.
    pub attempt: u32,
    /// Only an answer that is kept is wanted: the service is not to be asked.
    pub kept_only: bool,
    /// The clusters that the request has come through.
    pub via: Via,
    /// The length of the body, if the client said it.
    pub body_bytes: Option<u64>,
    /// What becomes known about the request on its way.
    pub course: Course,
    /// Which request it is for who follows it across nodes, and the part of its way that led here.
    pub trace: TraceContext,
}

/// An answer to hand back.
pub struct Answered {
    /// Its status.
    pub status: http::StatusCode,
    /// Its content type.
    pub content_type: String,
    /// Its content encoding; empty for none.
    pub content_encoding: String,
    /// Its bytes.
    pub body: Body,
}

/// Why there is no answer. A front words it for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The table has no entry for the caller.
    #[error("not authorized: {0}")]
    NotAuthorized(String),
    /// The entry's role does not allow the operation.
    #[error("not authorized: {0}")]
    RoleRefused(String),
    /// The entry's role does not take NTLM as the caller came by it.
    #[error("not authorized: {0}")]
    NtlmRefused(String),
    /// The request is not a message of the protocol.
    #[error("{0}")]
    Malformed(String),
    /// The content type is not one of SOAP.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The body is over the limit.
    #[error("the request is longer than {bytes_max} bytes")]
    TooLarge {
        /// How long it may be.
        bytes_max: usize,
    },
    /// A part of the request is over its limit.
    #[error("{0}")]
    OverLimit(String),
    /// The service did not answer; another node may fare better.
    #[error("{reason}")]
    Upstream {
        /// Why, with the causes.
        reason: String,
    },
    /// Nothing was sent to the service, for what this node alone may lack: another node may have it.
    #[error("{reason}")]
    Unsent {
        /// Why, with the causes.
        reason: String,
    },
    /// The service did not answer well, and no other node would fare better.
    #[error("{reason}")]
    Lasting {
        /// Why, with the causes.
        reason: String,
    },
    /// The service asks for fewer requests.
    #[error("the service has too much to do")]
    Throttled {
        /// When to come again, in seconds.
        retry_after: String,
    },
    /// The time was over before the request was sent to the service.
    #[error("the time to answer was over before the request was sent on")]
    Overdue,
    /// The client's connection broke before the request was whole.
    #[error("the request broke off")]
    BrokenOff,
    /// This node takes no requests now.
    #[error("the node takes no requests: {0}")]
    NotReady(String),
}

impl Failure {
    /// Whether the caller may not, as the newest table has it.
    #[must_use]
    pub fn is_of_the_caller(&self) -> bool {
        matches!(self, Failure::NotAuthorized(_) | Failure::RoleRefused(_) | Failure::NtlmRefused(_))
    }
}

/// The relay of one node. Clones are the same relay.
#[derive(Clone)]
pub struct Relay {
    state: watch::Receiver<Arc<State>>,
    serving: watch::Receiver<Serving>,
    upstream: Upstream,
    /// This node's front has too much to do.
    busy: Arc<watch::Sender<bool>>,
    ntlm: NtlmRules,
    kept: kept::Kept,
    service_locations: ServiceLocations,
    mark: Mark,
    spans: Spans,
    metrics: Metrics,
    bad_answers: Arc<Seen<&'static str>>,
    troubles: Arc<Seen<&'static str>>,
    ambiguous: Arc<Seen<(Sid, u64)>>,
}

impl Relay {
    /// Puts a relay together.
    #[must_use]
    pub fn new(
        state: watch::Receiver<Arc<State>>,
        serving: watch::Receiver<Serving>,
        upstream: Upstream,
        settings: Settings,
        metrics: Metrics,
    ) -> Self {
        let Settings { ntlm, kept, service_locations, mark, spans } = settings;
        metrics.exchange_ntlm_unbound(ntlm.lets_exchange_in_unbound());
        Relay {
            state,
            serving,
            upstream,
            busy: Arc::default(),
            ntlm,
            kept: kept::Kept::open(&kept),
            service_locations,
            mark,
            spans,
            metrics,
            bad_answers: Arc::new(Seen::new(TROUBLE_EVENT_EVERY)),
            troubles: Arc::new(Seen::new(TROUBLE_EVENT_EVERY)),
            ambiguous: Arc::new(Seen::new(Duration::MAX)),
        }
    }

    /// Tells when that may have changed.
    #[must_use]
    pub fn watch_serving(&self) -> watch::Receiver<Serving> {
        self.serving.clone()
    }

    /// Where the service is, for `GetRmsoUri.aspx`.
    #[must_use]
    pub fn tenant_url(&self) -> String {
        self.upstream.tenant_url()
    }

    /// Handles one request. `started` is called when its first bytes are about to leave for the service: from
    /// then on it may have acted there. Of its body no more is waited for until then than tells the operation, if it
    /// says that it is longer than what a front keeps, or does not say how long it is.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn handle(
        &self,
        head: &Head,
        body: Body,
        deadline: Deadline,
        started: impl FnOnce() + Send + 'static,
    ) -> Result<Answered, Failure> {
        let in_flight = self.metrics.begun();
        let traced = Traced::begin(self, head);
        // Whatever it waits for, the client's bytes too: the front has no other deadline here.
        let relayed = tokio::time::timeout(deadline.left(), self.relay(head, body, deadline, started)).await;
        let result = relayed.unwrap_or(Err(Failure::Overdue));
        traced.ended(&result);
        if result.is_ok() || !head.kept_only {
            self.metrics.handled(head.endpoint.pipeline(), &result);
        }
        let mut answered = result?;
        // Whoever drains the node waits for the last byte.
        answered.body = Keeping::new(answered.body, in_flight).boxed_unsync();
        Ok(answered)
    }

    async fn relay(
        &self,
        head: &Head,
        mut body: Body,
        deadline: Deadline,
        started: impl FnOnce() + Send + 'static,
    ) -> Result<Answered, Failure> {
        let permit = self.authorize(head)?;
        let (inspected, prefix) = inspect(head, &mut body).await?;
        head.course.note(|facts| facts.operation = Some(inspected.operation));
        let permit = permit.for_operation(inspected.operation).map_err(|refusal| refused(&refusal))?;
        check_length(head, inspected.operation, &prefix)?;
        if self.service_locations.answers(inspected.operation) {
            return local::locations(head, &inspected, prefix, body).await;
        }
        let mut passing = Passing::default();
        passing.read(&prefix).map_err(|malformed| unfit(&malformed))?;
        if body.is_end_stream() {
            passing.finish().map_err(|malformed| unfit(&malformed))?;
        }
        // The beginning took its time: a revocation in between must still be seen, and so must a table that
        // has become too old to tell.
        let permit = if permit.revision() == self.state.borrow().table.revision {
            self.check_able()?;
            permit
        } else {
            self.authorize(head)?.for_operation(inspected.operation).map_err(|refusal| refused(&refusal))?
        };
        if deadline.is_over() {
            return Err(Failure::Overdue);
        }
        let gate = Gate::new(self, &head.caller, inspected.operation, &permit, started);
        let bytes_max = inspected.operation.body_bytes_max();
        let body = body::Inspected::new(prefix, body, passing, gate.clone())
            .of_length(head.body_bytes, bytes_max)?
            .boxed_unsync();
        let asking = send::Asking { permit: &permit, gate: &gate, head, inspected: &inspected, deadline };
        self.send(asking, body).await
    }

    /// A node whose table may be too old cannot tell who may.
    fn check_able(&self) -> Result<(), Failure> {
        self.serving.borrow().able().map_err(|reason| Failure::NotReady(reason.to_owned()))
    }

    fn authorize(&self, head: &Head) -> Result<Permit, Failure> {
        self.check_able()?;
        let state = self.state.borrow().clone();
        let permit = authorize(&state.table, &head.caller.account).map_err(|refusal| refused(&refusal))?;
        head.course.note(|facts| {
            facts.entry = permit.entry().sid.to_string();
            facts.role = permit.entry().role.word().to_owned();
        });
        let permit = self.fitting(permit, &head.caller)?;
        if !permit.also_matched().is_empty()
            && self.ambiguous.is_new((head.caller.account.sid.clone(), permit.revision()), Instant::now())
        {
            let also: Vec<_> = permit.also_matched().iter().map(|entry| &*entry.name).collect();
            let caller = &head.caller;
            let who =
                Who { sid: &caller.account.sid, account: &caller.account.name, computer: &caller.computer };
            let event = Event::Ambiguous { who, entry: &permit.entry().name, also: &also.join("; ") };
            head.trace.say(&head.request_id, || event.log());
        }
        Ok(permit)
    }

    /// What the newest table says of a caller.
    fn permit(&self, caller: &Caller) -> Result<Permit, Failure> {
        self.check_able()?;
        let state = self.state.borrow().clone();
        let permit = authorize(&state.table, &caller.account).map_err(|refusal| refused(&refusal))?;
        self.fitting(permit, caller)
    }

    /// What the caller's role takes, here and at the service.
    fn fitting(&self, permit: Permit, caller: &Caller) -> Result<Permit, Failure> {
        permit
            .for_proof(&self.ntlm, caller)
            .and_then(|permit| permit.for_service(self.upstream.kind()))
            .map_err(|refusal| refused(&refusal))
    }
}

fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::TableEmpty | Refusal::NotInTable { .. } => Failure::NotAuthorized(refusal.to_string()),
        Refusal::RoleTooLow { .. } | Refusal::NoAccountForRole { .. } => {
            Failure::RoleRefused(refusal.to_string())
        }
        Refusal::NtlmRefused { .. } => Failure::NtlmRefused(refusal.to_string()),
    }
}

/// Each kind of trouble is said anew after this.
const TROUBLE_EVENT_EVERY: Duration = Duration::from_secs(10);
/// The largest request ([MS-RMPR] notes 41 to 43 bound its parts: an 8 MiB license and certificates).
pub const REQUEST_BYTES_MAX: usize = 16 << 20;
/// The largest answer: a hundred pre-licenses of 6 KB are far below it.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
