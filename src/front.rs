//! Where requests come in: authenticate the caller, pick the node whose turn it is, hand over, answer.

mod admission;
mod answer;
mod attempts;
mod audit;
mod authenticate;
mod balance;
mod budget;
mod channels;
mod expect;
mod failures;
mod handled;
mod headers;
mod held;
mod listener;
mod logins;
mod metrics;
mod patience;
mod payload;
mod peers;
mod report;
mod route;
mod strict;
mod times;
mod upload;

pub use authenticate::{Authenticator, Connection};
pub use failures::LoginLimits;
pub use listener::{Config, Listener};
pub use logins::Logins;
pub use metrics::Metrics;
pub use peers::{Counts, Peer, Peers, Seen, Standing};

use crate::principal::{Caller, Channel};
use crate::relay::{self, Course, Deadline, Failure, Head, Mark, REQUEST_BYTES_MAX, Via};
use crate::rms::agreement::content_type;
use crate::rms::content::Content;
use crate::rms::{Endpoint, EndpointKind, Operation, SoapVersion};
use crate::state::State;
use crate::trace::{self, Spans, TraceContext};
use crate::upstream::Body;
use admission::{Admission, Held};
use answer::Outcome;
use authenticate::Authenticated;
use handled::{Handled, finish, full, plain, turned_away};
use headers::{check_headers, claimed, host, text};
use http::{HeaderMap, HeaderName, Request, Response, header};
use payload::Payload;
use route::Route;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strict::Kind;
use times::BODY_TIMEOUT;
use tokio::sync::watch;

/// The front of one node.
pub struct Front {
    node: String,
    version: &'static str,
    service_name: String,
    mark: Mark,
    authenticator: Authenticator,
    attempts: attempts::Attempts,
    reports: report::Reports,
    tenant_url: String,
    spans: Spans,
    admission: Arc<Admission>,
    metrics: Metrics,
}

/// What a front is made of.
pub struct Parts {
    /// The node's name.
    pub node: String,
    /// The program's version.
    pub version: &'static str,
    /// The name that clients call the connector by, for requests without a host.
    pub service_name: String,
    /// What the cluster knows its own requests by.
    pub mark: Mark,
    /// Who can prove to be whom.
    pub authenticator: Authenticator,
    /// The nodes that take requests.
    pub peers: Peers,
    /// The newest state, for events about accounts.
    pub state: watch::Receiver<Arc<State>>,
    /// The service's own URL.
    pub tenant_url: String,
    /// Who is told how long requests took.
    pub spans: Spans,
    /// How much it takes at once, and who is told when that is nearly reached.
    pub limits: (Config, Arc<watch::Sender<bool>>),
    /// What is counted.
    pub metrics: Metrics,
}

impl Front {
    /// Puts a front together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Front {
            attempts: attempts::Attempts::new(parts.peers, parts.spans.clone(), parts.metrics.clone()),
            reports: report::Reports::new(parts.state),
            node: parts.node,
            version: parts.version,
            service_name: parts.service_name,
            mark: parts.mark,
            authenticator: parts.authenticator,
            tenant_url: parts.tenant_url,
            spans: parts.spans,
            admission: Admission::new(parts.limits.0, parts.metrics.clone(), parts.limits.1),
            metrics: parts.metrics,
        }
    }

    /// The life of one request.
    pub async fn handle(&self, connection: &Connection, request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let number = rand::random::<u128>();
        let request_id = format!("{number:032x}");
        let parent = TraceContext::of(request.headers());
        // The client's word goes into the log and to the collector alone: the request's id is ours.
        let trace = parent.as_ref().map_or_else(|| TraceContext::begin(number), TraceContext::child);
        let mut span = self.spans.begin("request", trace::Kind::Server, trace, parent);
        span.note("rmsc.request_id", || request_id.clone());
        span.note("url.path", || request.uri().path().chars().take(PATH_CHARS_MAX).collect());
        let origin = audit::Origin {
            request_id: request_id.clone(),
            trace,
            front_node: self.node.clone(),
            begun,
            metrics: self.metrics.clone(),
        };
        let mut handled = match self.admission.request(connection.remote.ip()) {
            Ok(held) => self.outcome(connection, request, origin, held).await,
            Err(_) => {
                let (parts, body) = request.into_parts();
                full(&parts.headers, body).await
            }
        };
        self.metrics.ended(handled.outcome.label(), begun.elapsed());
        span.note("rmsc.outcome", || format!("{:?}", handled.outcome.label()).to_lowercase());
        let (told, served_by) = (handled.told.take(), handled.served_by.clone());
        let held = std::mem::take(&mut handled.held);
        let response = finish(handled, &request_id);
        let response = match told {
            Some(told) => told.follow(response, served_by),
            None => response,
        };
        response.map(|body| held::until_the_end(body, held))
    }

    /// The answer to a request that is no good HTTP, or that nobody could read; its connection ends.
    fn not_http(&self, connection: &Connection, kind: Kind) -> Response<Body> {
        if kind == Kind::NoRoom {
            return self.no_room();
        }
        self.metrics.refused(kind);
        self.reports.not_http(connection.remote.ip(), kind);
        self.last_answer(Outcome::NotHttp(kind))
    }

    /// The answer on a connection, or to a head, for which there is no room.
    fn no_room(&self) -> Response<Body> {
        self.last_answer(Outcome::Full)
    }

    fn last_answer(&self, outcome: Outcome) -> Response<Body> {
        self.metrics.ended(outcome.label(), Duration::ZERO);
        let request_id = format!("{:032x}", rand::random::<u128>());
        finish(Handled { close: true, ..plain(outcome) }, &request_id)
    }

    async fn outcome(
        &self,
        connection: &Connection,
        request: Request<Body>,
        origin: audit::Origin,
        mut held: Held,
    ) -> Handled {
        let (parts, body) = request.into_parts();
        let route = route::route(&parts.method, parts.uri.path(), parts.uri.query());
        let endpoint = match route {
            Route::NotFound => {
                self.reports.not_found(&parts.uri, text(&parts.headers, header::USER_AGENT));
                return plain(Outcome::NotFound);
            }
            Route::MethodNotAllowed(allowed) => return plain(Outcome::MethodNotAllowed(allowed)),
            Route::Soap(endpoint) | Route::Page(endpoint) | Route::Wsdl(endpoint) => endpoint,
        };
        let (caller, token) = match self.authenticator.authenticate(connection, &parts.headers).await {
            Authenticated::Caller { caller, token } => (caller, token),
            // While their bodies are read away they take no place of those that have proven something.
            Authenticated::Challenge(challenges) => {
                drop(held);
                let outcome = Outcome::Unauthenticated(challenges);
                return turned_away(outcome, connection, &parts.headers, body).await;
            }
            Authenticated::Overloaded => {
                drop(held);
                return turned_away(Outcome::Overloaded, connection, &parts.headers, body).await;
            }
            Authenticated::TooOften(challenges) => {
                return Handled { close: true, ..plain(Outcome::Unauthenticated(challenges)) };
            }
        };
        self.reports.connected(&caller);
        match route {
            Route::Page(_) => return Handled { token, ..plain(self.page(endpoint)) },
            Route::Wsdl(_) => {
                let address = format!("{}{}", self.base(&parts.headers, &caller), parts.uri.path());
                return Handled { token, ..plain(Outcome::Answered(relay::wsdl(endpoint, &address))) };
            }
            Route::Soap(_) | Route::NotFound | Route::MethodNotAllowed(_) => {}
        }
        let head = self.head(endpoint, &parts.headers, &caller, &origin);
        let claimed = claimed(endpoint, &head.soap_action);
        let mut told = Box::new(audit::Told::new(origin, caller, endpoint, claimed, head.course.clone()));
        let handled = match self.admission.account(&told.caller.account.sid, &mut held) {
            Ok(of_account) => {
                let mut handled = self.soap(&parts.headers, head, body, &mut told).await;
                handled.held.extend([held, of_account]);
                handled
            }
            Err(_) => full(&parts.headers, body).await,
        };
        let (trace, request_id) = told.names();
        match &handled.outcome {
            // Hardly ever news.
            Outcome::Answered(_) => self.reports.ended(&told.caller, &handled.outcome),
            outcome => trace.say(request_id, || self.reports.ended(&told.caller, outcome)),
        }
        told.result = audit::result(&handled.outcome);
        Handled { token, told: Some(told), ..handled }
    }

    async fn soap(&self, headers: &HeaderMap, mut head: Head, body: Body, told: &mut audit::Told) -> Handled {
        let refused_headers = check_headers(headers);
        let read = content_type(Some(&head.content_type));
        let soap = read.as_ref().map_or(SoapVersion::V1_1, |content_type| content_type.soap);
        let begun = Deadline::now();
        let failed = |failure| Handled { soap, ..plain(Outcome::Failed(failure)) };
        if let Err(failure) = refused_headers {
            return Handled { close: true, ..failed(failure) };
        }
        // Here, and not where it is relayed alone: a node of an earlier build hands it on as it came.
        if let Err(unsupported) = read {
            return Handled { close: true, ..failed(Failure::UnsupportedMedia(unsupported.to_string())) };
        }
        if head.via.is_too_long() {
            let reason = "x-rmsc-via names eight clusters: no connectors are chained so far";
            return Handled { close: true, ..failed(Failure::Malformed(reason.into())) };
        }
        if head.via.comes_back_to(&self.mark) {
            // The other end is a connector, which reads the answer when all is sent.
            let close = !payload::discard(body, BODY_TIMEOUT).await;
            return Handled { close, soap, ..plain(Outcome::Loop) };
        }
        if head.body_bytes.is_some_and(|bytes| bytes > REQUEST_BYTES_MAX as u64) {
            return Handled { close: true, ..failed(Failure::TooLarge { bytes_max: REQUEST_BYTES_MAX }) };
        }
        let expected = head.body_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let mut room = match self.admission.bytes(expected.min(payload::KEPT_BYTES_MAX)) {
            Ok(room) => room,
            Err(_) => return full(headers, body).await,
        };
        let (payload, beginning) = match payload::read(body, BODY_TIMEOUT).await {
            Ok(read) => read,
            Err(failure) => return Handled { close: true, ..failed(failure) },
        };
        room.shrink(beginning.len());
        let whole = matches!(payload, Payload::Kept(_));
        let asked = payload::operation(&head, &beginning, whole);
        let deadline = begun.later(payload::answer_within(asked, &beginning, whole));
        told.claimed =
            told.claimed.or(asked.filter(|asked| head.endpoint.operations().any(|has| has == *asked)));
        told.content = Content::of(told.claimed, &beginning);
        if whole {
            head.body_bytes = Some(beginning.len() as u64);
        }
        drop(beginning);
        let attempts_max = asked.map_or(ATTEMPTS_MAX_UNREAD, Operation::attempts_max);
        let (outcome, served_by) = self.attempts.run(head, payload, attempts_max, deadline).await;
        drop(room);
        Handled { soap, served_by, ..plain(outcome) }
    }

    fn page(&self, endpoint: Endpoint) -> Outcome {
        Outcome::Answered(match endpoint.kind() {
            EndpointKind::TenantUrl => relay::tenant_url_page(&self.tenant_url),
            EndpointKind::Service | EndpointKind::Directory => {
                relay::page(endpoint, &self.node, self.version)
            }
        })
    }

    fn head(
        &self,
        endpoint: Endpoint,
        headers: &HeaderMap,
        caller: &Arc<Caller>,
        origin: &audit::Origin,
    ) -> Head {
        let text = |name: HeaderName| text(headers, name).to_owned();
        Head {
            request_id: origin.request_id.clone(),
            caller: caller.clone(),
            endpoint,
            content_type: text(header::CONTENT_TYPE),
            soap_action: text(HeaderName::from_static("soapaction")),
            user_agent: text(header::USER_AGENT),
            accept_encoding: text(header::ACCEPT_ENCODING),
            base: self.base(headers, caller),
            front_node: self.node.clone(),
            attempt: 1,
            via: Via::of(headers),
            kept_only: false,
            body_bytes: text(header::CONTENT_LENGTH).parse().ok(),
            course: Course::default(),
            trace: origin.trace,
        }
    }

    /// `scheme://authority` as the client wrote it.
    fn base(&self, headers: &HeaderMap, caller: &Caller) -> String {
        let scheme = match caller.channel {
            Channel::Https => "https",
            Channel::Http => "http",
        };
        format!("{scheme}://{}", host(headers).unwrap_or(&self.service_name))
    }
}

/// Every path of the protocol is far shorter.
const PATH_CHARS_MAX: usize = 200;
/// Of what cannot be read here: it is begun nowhere, and a node that dies with it is no reason to refuse it.
const ATTEMPTS_MAX_UNREAD: u32 = 2;
