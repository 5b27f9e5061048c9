//! Requests that prove the connector's own account, with Kerberos or NTLM. Each request has a proof of its own; NTLM
//! takes three messages on one connection, which nobody else has meanwhile.

use super::account::{Account, AccountConfig, AccountError, Login, LoginProof, Then};
use super::connect::{DialError, Dialer};
use super::kept::Kept;
use super::slots::{Busy, Slot, Slots};
use super::trouble::Trouble;
use super::{Body, BodyError, Gate};
use crate::identity::ChannelBinding;
use crate::identity::kerberos_client::Moment;
use crate::identity::ntlm_client::{ClientError, Nonces, NtlmClient, Server};
use crate::secret::Secret;
use crate::tasks::Tasks;
use crate::tls::{ServerFault, ServiceClient};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncWrite};

/// The connections of one account. Clones share them.
#[derive(Clone)]
pub(super) struct Authenticated {
    shared: Arc<Shared>,
}

struct Shared {
    dialer: Dialer,
    tls: ServiceClient,
    account: Account,
    idle: Mutex<Vec<Connection>>,
    slots: Slots,
    tasks: Tasks,
}

/// A connection that nobody uses now, or one request alone.
struct Connection {
    sender: SendRequest<Body>,
    binding: Option<ChannelBinding>,
    used_at: Instant,
    /// How many lines had been given up when it was opened.
    given_up: u64,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("no connection")]
    Dial(#[source] DialError),
    #[error("the connection broke")]
    Sent(#[from] hyper::Error),
    #[error("the request's own bytes broke off")]
    Body(#[source] BodyError),
    #[error("the account has nothing to prove itself with")]
    Account(#[from] AccountError),
    #[error("the service's challenge is of no use")]
    Challenge(#[from] ClientError),
    #[error("the service does not take the account: {0}")]
    Refused(&'static str),
    #[error("all {connections} connections that the request may have are in use")]
    Busy { connections: usize },
    #[error("the service's certificate cannot be bound to")]
    Certificate(#[source] BodyError),
}

/// A request without its bytes.
pub(super) struct Head {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) waiting: Waiting,
}

/// As who a request waits for a connection, and for how long.
pub(super) struct Waiting {
    /// The SID of the entry.
    pub(super) entry: String,
    pub(super) patience: Duration,
    /// With the second attempt it gets a new one.
    pub(super) attempt: u32,
}

/// What came of one proof.
enum Attempt {
    /// An answer to the whole request.
    Answered(Response<Incoming>, Connection),
    /// An answer that did not wait for the proof: the service is in no state to ask for one.
    Unasked(Response<Incoming>, Connection),
    /// The bytes were sent before, and are gone.
    Spent,
}

impl Authenticated {
    pub(super) fn new(account: AccountConfig, dialer: Dialer, tls: ServiceClient, tasks: Tasks) -> Self {
        let slots = Slots::new(account.connections_max);
        let account = Account::new(account, &tasks);
        Authenticated {
            shared: Arc::new(Shared { dialer, tls, account, idle: Mutex::default(), slots, tasks }),
        }
    }

    /// Sends a request with a proof. A ticket that is not taken is followed by one new ticket.
    pub(super) async fn send(&self, head: &Head, body: Body, gate: Gate) -> Result<Response<Body>, Failed> {
        let mut body = Kept::of(body, gate).await.map_err(Failed::Body)?;
        for number in 1..=PROOFS_MAX {
            let login = self.shared.account.login().await?;
            let Waiting { entry, patience, attempt } = &head.waiting;
            let slot = self.shared.slots.take(entry, *patience).await?;
            let connection = self.connection(&head.uri, *attempt).await?;
            match self.attempt(connection, head, &mut body, &login).await? {
                Attempt::Answered(response, connection) if response.status() != StatusCode::UNAUTHORIZED => {
                    self.shared.account.taken(&login);
                    return Ok(response.map(|body| self.lent(body, connection, slot)));
                }
                Attempt::Answered(..) => match self.shared.account.refused(&login, number) {
                    Then::Again => {}
                    Then::Never => break,
                },
                Attempt::Unasked(response, connection) => {
                    return Ok(response.map(|body| self.lent(body, connection, slot)));
                }
                Attempt::Spent => return Err(Failed::Refused("the request is too long to be sent again")),
            }
        }
        Err(Failed::Refused("401 to a whole proof"))
    }

    /// As if as many answers were being read as there may be connections.
    #[cfg(test)]
    pub(super) async fn hold_all(&self) -> tokio::sync::OwnedSemaphorePermit {
        self.shared.slots.take_all().await
    }

    async fn attempt(
        &self,
        mut connection: Connection,
        head: &Head,
        body: &mut Kept,
        login: &Login,
    ) -> Result<Attempt, Failed> {
        let binding = connection.binding.as_ref();
        let authorization = match &login.proof {
            LoginProof::Kerberos(ticket) => {
                let moment = Moment { confounder: rand::random(), now: OffsetDateTime::now_utc() };
                authorization("Negotiate", &ticket.negotiate_token(binding, moment))
            }
            LoginProof::Ntlm(credentials) => {
                let client = NtlmClient::new(credentials.clone());
                let offer = authorization("NTLM", client.negotiate());
                let response = match send(&mut connection, head, offer.clone(), empty()).await {
                    // The service may have closed what was idle; nothing but an offer was sent.
                    Err(_) => {
                        connection = self.open(&head.uri).await?;
                        send(&mut connection, head, offer, empty()).await?
                    }
                    Ok(response) => response,
                };
                if response.status() != StatusCode::UNAUTHORIZED {
                    check_unasked(&response)?;
                    return Ok(Attempt::Unasked(response, connection));
                }
                let challenge = challenge(response.headers()).ok_or(Failed::Refused("it offers no NTLM"))?;
                // The connection is of use only when nothing is left of the answer.
                let rest = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await;
                rest.map_err(|_| Failed::Refused("its answer does not end"))?;
                let nonces =
                    Nonces { client_challenge: rand::random(), session_key: Secret::new(rand::random()) };
                let target = &self.shared.account.config().service;
                let server = Server { target, binding: connection.binding.as_ref() };
                authorization("NTLM", &client.authenticate(&challenge, &nonces, server)?)
            }
        };
        let Some(bytes) = body.take() else { return Ok(Attempt::Spent) };
        let response = send(&mut connection, head, authorization, bytes).await?;
        Ok(Attempt::Answered(response, connection))
    }

    /// One that is idle, or a new one.
    async fn connection(&self, uri: &Uri, attempt: u32) -> Result<Connection, Failed> {
        // What was lost may have been lost on one that was idle.
        let idle = if attempt == 1 { self.idle().await } else { None };
        match idle {
            Some(connection) => Ok(connection),
            None => self.open(uri).await,
        }
    }

    async fn idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let fresh = connection.used_at.elapsed() < IDLE_MAX
                && connection.given_up == self.shared.dialer.given_up();
            if fresh && !connection.sender.is_closed() && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    async fn open(&self, uri: &Uri) -> Result<Connection, Failed> {
        let given_up = self.shared.dialer.given_up();
        let tcp = self.shared.dialer.dial(uri).await.map_err(Failed::Dial)?;
        let (stream, binding): (Box<dyn Stream>, _) = if uri.scheme_str() == Some("https") {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let (stream, leaf) =
                self.shared.tls.over(tcp, host).await.map_err(|error| Failed::Dial(error.into()))?;
            (
                Box::new(stream),
                Some(
                    ChannelBinding::of_certificate(&leaf)
                        .map_err(|error| Failed::Certificate(error.into()))?,
                ),
            )
        } else {
            (Box::new(tcp), None)
        };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let tasks = self.shared.tasks.clone();
        self.shared.tasks.spawn("upstream connection", async move {
            // Whoever waits for an answer is told why there is none. Idle ones end with the node.
            tokio::select! {
                _ = connection => {}
                () = tasks.draining() => {}
            }
        });
        Ok(Connection { sender, binding, used_at: Instant::now(), given_up })
    }

    fn lent(&self, body: Incoming, connection: Connection, slot: Slot) -> Body {
        let lease = Lease { shared: self.shared.clone(), connection, _slot: slot };
        let mut lent = Lent { body, lease: Some(lease) };
        if lent.body.is_end_stream() {
            lent.give_back();
        }
        lent.boxed_unsync()
    }
}

impl From<Busy> for Failed {
    fn from(busy: Busy) -> Self {
        Failed::Busy { connections: busy.connections }
    }
}

impl Failed {
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Failed::Dial(error) => Trouble::of(&**error, super::trouble::When::Connecting),
            Failed::Sent(_) | Failed::Body(_) => Trouble::Lost,
            Failed::Account(error) if error.is_refusal() => Trouble::LoginRefused,
            Failed::Account(_) => Trouble::NoLogin,
            Failed::Challenge(_) | Failed::Refused(_) => Trouble::LoginRefused,
            Failed::Busy { connections } => Trouble::Busy { connections: *connections },
            Failed::Certificate(_) => Trouble::Tls(ServerFault::Handshake),
        }
    }
}

async fn send(
    connection: &mut Connection,
    head: &Head,
    authorization: HeaderValue,
    body: Body,
) -> Result<Response<Incoming>, hyper::Error> {
    connection.sender.ready().await?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap_or_default();
    request.headers_mut().clone_from(&head.headers);
    let host = head.uri.authority().map_or("", |authority| authority.as_str());
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(header::HOST, host);
    }
    request.headers_mut().insert(header::AUTHORIZATION, authorization);
    connection.sender.send_request(request).await
}

fn authorization(word: &str, token: &[u8]) -> HeaderValue {
    let text = format!("{word} {}", STANDARD.encode(token));
    let mut value = HeaderValue::from_str(&text).expect("base64 has nothing that a header cannot have");
    value.set_sensitive(true);
    value
}

/// What a service says to a mere offer, other than 401, is its answer if it tells of trouble or leads elsewhere. It was
/// not shown the request, so anything else would be an answer to nothing.
fn check_unasked(response: &Response<Incoming>) -> Result<(), Failed> {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_xml = content_type.is_some_and(|text| text.to_ascii_lowercase().contains("xml"));
    match response.status() {
        status if status.is_success() => Err(Failed::Refused("it answers without a proof")),
        StatusCode::INTERNAL_SERVER_ERROR if is_xml => Err(Failed::Refused("it answers without a proof")),
        _ => Ok(()),
    }
}

/// NTLM's challenge, wherever it stands among others (RFC 9110 11.6.1).
fn challenge(headers: &HeaderMap) -> Option<Vec<u8>> {
    let offered = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    offered
        .flat_map(|value| value.split(','))
        .filter_map(|one| one.trim().split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("NTLM"))
        .find_map(|(_, token)| STANDARD.decode(token.trim()).ok())
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Either kind of connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection whose answer is still being read.
struct Lease {
    shared: Arc<Shared>,
    connection: Connection,
    _slot: Slot,
}

/// An answer that gives its connection back with its last byte.
struct Lent {
    body: Incoming,
    lease: Option<Lease>,
}

impl Lent {
    fn give_back(&mut self) {
        if let Some(Lease { shared, mut connection, .. }) = self.lease.take() {
            connection.used_at = Instant::now();
            shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        // Whoever reads it may stop at the last byte that it expects.
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.give_back();
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A ticket, and a new one if that is not taken.
const PROOFS_MAX: usize = 2;
/// Below the idle time-outs of common servers.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// IIS' own page for 401 has some kilobytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_challenge_among_others() {
        let find = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
            }
            challenge(&headers)
        };
        let found = Some(b"abc".to_vec());
        assert_eq!(find(&["NTLM YWJj"]), found);
        assert_eq!(find(&["ntlm YWJj"]), found);
        assert_eq!(find(&["Negotiate, NTLM YWJj, Basic realm=\"a\""]), found);
        assert_eq!(find(&["Negotiate YWJk", "Ntlm  YWJj "]), found);
        for none in ["NTLM", "Negotiate YWJj", "NTLM !", "NTLMX YWJj"] {
            assert_eq!(find(&[none]), None, "{none}");
        }
    }
}
