//! Where requests come in: authenticate the caller, pick the node whose turn it is, hand over, answer.

mod answer;
mod attempts;
mod audit;
mod authenticate;
mod balance;
mod budget;
mod channels;
mod failures;
mod listener;
mod logins;
mod metrics;
mod patience;
mod payload;
mod peers;
mod report;
mod route;
mod upload;

pub use authenticate::{Authenticator, Connection};
pub use failures::LoginLimits;
pub use listener::{Config, Listener};
pub use logins::Logins;
pub use metrics::Metrics;
pub use peers::{Peer, Peers};

use crate::principal::{Caller, Channel};
use crate::relay::{self, Course, Deadline, Failure, Head, Mark, REQUEST_BYTES_MAX, Via};
use crate::rms::agreement::content_type;
use crate::rms::content::Content;
use crate::rms::{Endpoint, EndpointKind, Operation, SoapVersion};
use crate::state::State;
use crate::upstream::Body;
use answer::Outcome;
use authenticate::Authenticated;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use peers::Payload;
use route::Route;
use std::sync::Arc;
use std::time::{Duration, Instant};
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
    /// What is counted.
    pub metrics: Metrics,
}

/// What a request is known by while it is handled.
struct Handled {
    outcome: Outcome,
    soap: SoapVersion,
    token: Option<String>,
    served_by: Option<String>,
    close: bool,
    /// For the audit record of a SOAP request.
    told: Option<Box<audit::Told>>,
}

impl Front {
    /// Puts a front together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Front {
            attempts: attempts::Attempts::new(parts.peers, parts.metrics.clone()),
            reports: report::Reports::new(parts.state),
            node: parts.node,
            version: parts.version,
            service_name: parts.service_name,
            mark: parts.mark,
            authenticator: parts.authenticator,
            tenant_url: parts.tenant_url,
            metrics: parts.metrics,
        }
    }

    /// The life of one request.
    pub async fn handle(&self, connection: &Connection, request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let request_id = format!("{:032x}", rand::random::<u128>());
        let origin = audit::Origin {
            request_id: request_id.clone(),
            front_node: self.node.clone(),
            begun,
            metrics: self.metrics.clone(),
        };
        let mut handled = self.outcome(connection, request, origin).await;
        self.metrics.ended(label(&handled.outcome), begun.elapsed());
        let (told, served_by) = (handled.told.take(), handled.served_by.clone());
        let response = finish(handled, &request_id);
        match told {
            Some(told) => told.follow(response, served_by),
            None => response,
        }
    }

    async fn outcome(
        &self,
        connection: &Connection,
        request: Request<Body>,
        origin: audit::Origin,
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
            Authenticated::Challenge(challenges) => {
                return turned_away(Outcome::Unauthenticated(challenges), &parts.headers, body).await;
            }
            Authenticated::Overloaded => {
                return turned_away(Outcome::Overloaded, &parts.headers, body).await;
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
        let head = self.head(endpoint, &parts.headers, &caller, &origin.request_id);
        let claimed = claimed(endpoint, &head.soap_action);
        let mut told = Box::new(audit::Told::new(origin, caller, endpoint, claimed, head.course.clone()));
        let handled = self.soap(&parts.headers, head, body, &mut told).await;
        self.reports.ended(&told.caller, &handled.outcome);
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
        let (payload, beginning) = match payload::read(body, BODY_TIMEOUT).await {
            Ok(read) => read,
            Err(failure) => return Handled { close: true, ..failed(failure) },
        };
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

    fn head(&self, endpoint: Endpoint, headers: &HeaderMap, caller: &Arc<Caller>, request_id: &str) -> Head {
        let text = |name: HeaderName| text(headers, name).to_owned();
        Head {
            request_id: request_id.to_owned(),
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

/// A header's text; empty if there is none.
fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Before a challenge the body is read and thrown away, or the connection could not go on, and NTLM
/// needs it to. A client that waits for 100 Continue must not get it, and closes by itself.
async fn turned_away(outcome: Outcome, headers: &HeaderMap, body: Body) -> Handled {
    let waits = headers.contains_key(header::EXPECT);
    let close = !waits && !payload::discard(body, BODY_TIMEOUT).await;
    Handled { close, ..plain(outcome) }
}

/// The operation that the SOAPAction names, if the endpoint has it.
fn claimed(endpoint: Endpoint, soap_action: &str) -> Option<Operation> {
    let name = soap_action.trim_matches('"').rsplit('/').next()?;
    endpoint.operations().find(|operation| operation.name() == name)
}

/// What is said twice could be read in two ways, and a body that is packed cannot be inspected.
fn check_headers(headers: &HeaderMap) -> Result<(), Failure> {
    for name in ["content-type", "soapaction", "host"] {
        if headers.get_all(name).iter().count() > 1 {
            return Err(Failure::Malformed(format!("there is more than one {name} header")));
        }
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Failure::UnsupportedMedia("a request must not have a content encoding".into()));
    }
    Ok(())
}

/// The authority that the client used, if it said one and only one.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let authority: Authority = host.parse().ok()?;
    (hosts.next().is_none() && authority.as_str() == host && !host.contains('@')).then_some(host)
}

fn plain(outcome: Outcome) -> Handled {
    Handled { outcome, soap: SoapVersion::V1_1, token: None, served_by: None, close: false, told: None }
}

fn finish(handled: Handled, request_id: &str) -> Response<Body> {
    let mut response = answer::response(handled.outcome, handled.soap);
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put("x-rmsc-request-id", request_id);
    // Every answer is for one caller, and names the host by which it came.
    put("cache-control", "no-store");
    put("vary", "Authorization, Host");
    if let Some(node) = handled.served_by {
        put("x-rmsc-served-by", &node);
    }
    if let Some(token) = handled.token {
        put("www-authenticate", &token);
    }
    if handled.close {
        put("connection", "close");
    }
    response
}

fn label(outcome: &Outcome) -> metrics::Outcome {
    match outcome {
        Outcome::Answered(_) => metrics::Outcome::Answered,
        Outcome::Unauthenticated(_) => metrics::Outcome::Challenged,
        Outcome::Failed(Failure::NotAuthorized(_) | Failure::RoleRefused(_) | Failure::NtlmRefused(_)) => {
            metrics::Outcome::Refused
        }
        Outcome::NotFound
        | Outcome::MethodNotAllowed(_)
        | Outcome::Failed(
            Failure::Malformed(_)
            | Failure::UnsupportedMedia(_)
            | Failure::TooLarge { .. }
            | Failure::OverLimit(_)
            | Failure::BrokenOff,
        ) => metrics::Outcome::Malformed,
        Outcome::NoNode
        | Outcome::Loop
        | Outcome::Overloaded
        | Outcome::Failed(
            Failure::Upstream { .. }
            | Failure::Unsent { .. }
            | Failure::Lasting { .. }
            | Failure::Throttled { .. }
            | Failure::Overdue
            | Failure::NotReady(_),
        ) => metrics::Outcome::Failed,
    }
}

/// For how long a client may let its bytes be waited for, in all; a LAN brings 16 MiB in far less.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Of what cannot be read here: it is begun nowhere, and a node that dies with it is no reason to refuse it.
const ATTEMPTS_MAX_UNREAD: u32 = 2;
