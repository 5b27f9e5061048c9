//! Callers that keep so many connections busy, one request after the other on each, and count.
//! Those who come at a steady rate instead are in `load.rs`, those who connect anew each time in `reconnects.rs`.

use super::Contestant;
use super::certificates::Certificates;
use super::report::SERVICE;
use super::support::soap::ACQUIRE_LICENSE;
use super::support::uploads::padded;
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmsc::identity::nt_hash;
use rmsc::identity::ntlm_client::{Credentials, Nonces, NtlmClient, Server};
use rmsc::secret::Secret;
use rmsc::tls::{Roots, ServiceClient};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
}

/// An account that proves itself by NTLM, request by request.
#[derive(Clone)]
pub struct Login {
    pub domain: String,
    pub user: String,
    pub password: String,
}

/// What was done.
pub struct Made {
    pub requests: u64,
    pub span: Duration,
    /// How long each answer took, in order.
    pub latencies: Vec<Duration>,
}

/// What so many of a hundred, in order, do not exceed.
pub fn percentile(ordered: &[Duration], percent: usize) -> Duration {
    ordered.get(ordered.len() * percent / 100).copied().unwrap_or_default()
}

/// How to call one contestant.
#[derive(Clone)]
pub struct Calls {
    name: &'static str,
    address: SocketAddr,
    tls: Option<ServiceClient>,
    login: Option<Login>,
    body: Vec<u8>,
}

/// A connection that is kept.
pub struct Caller<'a> {
    stream: Box<dyn Stream>,
    calls: &'a Calls,
    read: Vec<u8>,
    reopened: u32,
}

#[derive(Clone, Copy)]
enum Request {
    Whole,
    FirstLeg,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Calls {
    pub fn new(
        contestant: &Contestant,
        (scheme, bytes): (Scheme, usize),
        certificates: &Certificates,
    ) -> anyhow::Result<Self> {
        let (address, tls) = match scheme {
            Scheme::Http => (contestant.clear, None),
            Scheme::Https => {
                let client = ServiceClient::trusting(Roots::of(Some(&certificates.authority)))?;
                (*contestant.tls.first().context("there is no front")?, Some(client))
            }
        };
        Ok(Calls { name: contestant.name, address, tls, login: contestant.login.clone(), body: body(bytes) })
    }

    /// At the service itself.
    pub fn direct(service: SocketAddr, bytes: usize) -> Self {
        Calls { name: SERVICE, address: service, tls: None, login: None, body: body(bytes) }
    }

    /// So that no cell pays for what is made once.
    pub async fn warm_up(&self, connections: usize) -> anyhow::Result<()> {
        self.for_so_long(connections, Duration::from_millis(100)).await.map(drop)
    }

    /// Calls on so many connections until the time is over.
    pub async fn for_so_long(&self, connections: usize, span: Duration) -> anyhow::Result<Made> {
        self.repeat(connections, span, Request::Whole).await
    }

    /// The first leg of the login alone, which costs an answer of its own.
    pub async fn first_legs(&self, connections: usize, span: Duration) -> anyhow::Result<Made> {
        self.repeat(connections, span, Request::FirstLeg).await
    }

    async fn repeat(&self, connections: usize, span: Duration, what: Request) -> anyhow::Result<Made> {
        let callers = self.callers(connections).await?;
        let begun = Instant::now();
        let callers = callers.into_iter().map(|caller| caller.until(begun + span, what));
        let mut latencies = Vec::new();
        for done in futures::future::join_all(callers).await {
            latencies.extend(done.with_context(|| self.whom())?);
        }
        latencies.sort_unstable();
        Ok(Made { requests: latencies.len() as u64, span: begun.elapsed(), latencies })
    }

    /// So many connections that are kept.
    pub async fn callers(&self, connections: usize) -> anyhow::Result<Vec<Caller<'_>>> {
        let mut callers = Vec::new();
        for _ in 0..connections {
            let stream = self.connect().await?;
            callers.push(Caller { stream, calls: self, read: Vec::new(), reopened: 0 });
        }
        Ok(callers)
    }

    /// Who is called, for errors.
    pub fn whom(&self) -> String {
        format!("{} at {}", self.name, self.address)
    }

    /// So many connections on which nothing is said.
    pub async fn idle_connections(&self, count: usize) -> anyhow::Result<Vec<Box<dyn Send>>> {
        let mut held: Vec<Box<dyn Send>> = Vec::new();
        for number in 0..count {
            let stream = connect_as(number, self.address).await?;
            held.push(match &self.tls {
                Some(tls) => Box::new(tls.over(stream, NAME).await?.0),
                None => Box::new(stream),
            });
        }
        Ok(held)
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.over(stream, NAME).await?.0),
            None => Box::new(stream),
        })
    }
}

impl Caller<'_> {
    async fn until(mut self, end: Instant, what: Request) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let begun = Instant::now();
            self.insist(what).await?;
            latencies.push(begun.elapsed());
        }
        Ok(latencies)
    }

    /// One request and its answer, with all that the login takes.
    pub async fn call(&mut self) -> anyhow::Result<()> {
        self.insist(Request::Whole).await
    }

    /// Any end may close a kept connection between two requests; a client opens another one.
    async fn insist(&mut self, what: Request) -> anyhow::Result<()> {
        loop {
            match self.request(what).await {
                Err(error) if error.is::<Ended>() && self.reopened < REOPENED_MAX => {
                    self.reopened += 1;
                    self.stream = self.calls.connect().await?;
                }
                done => return done,
            }
        }
    }

    async fn request(&mut self, what: Request) -> anyhow::Result<()> {
        match (&self.calls.login, what) {
            (None, _) => self.exchange(None, true, 200).await.map(drop),
            (Some(login), Request::FirstLeg) => {
                let negotiate = client(login).negotiate().to_vec();
                self.exchange(Some(&negotiate), false, 401).await.map(drop)
            }
            (Some(login), Request::Whole) => {
                let client = client(login);
                let challenge = self.exchange(Some(client.negotiate()), false, 401).await?;
                let nonces =
                    Nonces { client_challenge: [7; 8], session_key: Secret::new(rand::random::<[u8; 16]>()) };
                let target = Server { target: "HTTP/localhost", binding: None };
                let proof = client.authenticate(&challenge, &nonces, target)?;
                self.exchange(Some(&proof), true, 200).await.map(drop)
            }
        }
    }

    /// One request and its answer; gives the token in it, if there is one.
    async fn exchange(
        &mut self,
        token: Option<&[u8]>,
        with_body: bool,
        status: u16,
    ) -> anyhow::Result<Vec<u8>> {
        let body = if with_body { self.calls.body.as_slice() } else { &[] };
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nSOAPAction: {}\r\nContent-Length: {}\r\n",
            ACQUIRE_LICENSE.path,
            ACQUIRE_LICENSE.content_type,
            ACQUIRE_LICENSE.action(),
            body.len()
        );
        if let Some(token) = token {
            head += &format!("Authorization: NTLM {}\r\n", STANDARD.encode(token));
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await?;
        // TLS may have kept some of it: this task may write so often only, until others had their turn.
        self.stream.flush().await?;
        self.read.clear();
        let end = loop {
            let begin = self.read.len().saturating_sub(3);
            let read = self.stream.read_buf(&mut self.read).await?;
            if read == 0 && self.read.is_empty() {
                return Err(Ended.into());
            }
            ensure!(read > 0, "the connection has ended in the midst of an answer");
            if let Some(at) =
                self.read.get(begin..).unwrap_or_default().windows(4).position(|window| window == b"\r\n\r\n")
            {
                break begin + at + 4;
            }
        };
        let head = String::from_utf8_lossy(self.read.get(..end).unwrap_or_default()).into_owned();
        let length: usize = value(&head, "content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        if !head.starts_with(&format!("HTTP/1.1 {status}")) {
            bail!("{}: {head}", self.calls.address);
        }
        let mut left = (end + length).saturating_sub(self.read.len());
        let mut piece = [0; 16 << 10];
        while left > 0 {
            let read = (&mut self.stream).take(left as u64).read(&mut piece).await?;
            ensure!(read > 0, "the connection has ended");
            left -= read;
        }
        match value(&head, "www-authenticate").and_then(|value| value.strip_prefix("NTLM ")) {
            Some(token) => STANDARD.decode(token).context("the token is no base64"),
            None => Ok(Vec::new()),
        }
    }
}

/// A connection from one of a range of addresses: ports, and limits for one address, are not what is measured.
pub async fn connect_as(number: usize, address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    let last = u8::try_from(number % 200).unwrap_or(0) + 2;
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0)))?;
    Ok(socket.connect(address).await?)
}

fn client(login: &Login) -> NtlmClient {
    NtlmClient::new(Credentials {
        domain: login.domain.clone(),
        user: login.user.clone(),
        nt_hash: nt_hash(&login.password),
        workstation: String::new(),
    })
}

/// The value of the first header of this name that is an offer with a token, or of the first at all.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = || {
        head.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let with_token = values().find(|(_, value)| value.trim().contains(' '));
    with_token.or_else(|| values().next()).map(|(_, value)| value.trim())
}

/// A request of about so many bytes.
fn body(bytes: usize) -> Vec<u8> {
    let own = ACQUIRE_LICENSE.body().len();
    padded(&ACQUIRE_LICENSE, bytes.saturating_sub(own)).into_bytes()
}

/// A connection on which no answer began.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
struct Ended;

/// Of one caller, in one cell.
const REOPENED_MAX: u32 = 3;
/// What the certificates are for.
pub const NAME: &str = "localhost";
