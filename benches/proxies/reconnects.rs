//! Callers that connect anew each time, with a session of before or without: what a TLS connection costs, and how many
//! of those who come back are resumed.

use super::Contestant;
use super::calls::{NAME, connect_as};
use super::certificates::Certificates;
use anyhow::{Context as _, ensure};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

/// What a caller does with the ticket, or the session, that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Session {
    /// It comes as if for the first time.
    Forgotten,
    /// It shows it, each ticket of TLS 1.3 once (RFC 8446 C.4).
    Shown,
}

/// What was done.
pub struct Reconnected {
    pub connections: u64,
    pub resumed: u64,
}

/// Many callers, each with what it was given itself.
pub struct Returning {
    name: &'static str,
    callers: Vec<Caller>,
}

struct Caller {
    number: usize,
    connector: TlsConnector,
    /// It goes to one after the other.
    fronts: Vec<SocketAddr>,
    next: usize,
}

impl Returning {
    /// Has each connect once: none of these comes back.
    pub async fn start(
        contestant: &Contestant,
        (version, session): (Version, Session),
        callers: usize,
        certificates: &Certificates,
    ) -> anyhow::Result<Self> {
        let settings = settings(&certificates.authority, version)?;
        let callers = (0..callers).map(|number| {
            let mut own = settings.clone();
            own.resumption = match session {
                Session::Forgotten => Resumption::disabled(),
                Session::Shown => Resumption::in_memory_sessions(SERVERS_MAX),
            };
            let (connector, fronts) = (TlsConnector::from(Arc::new(own)), contestant.tls.clone());
            Caller { number, connector, fronts, next: number }
        });
        let mut returning = Returning { name: contestant.name, callers: callers.collect() };
        let first = returning.for_so_long(Duration::ZERO).await?;
        ensure!(first.resumed == 0, "{}: the first connection of a caller was resumed", contestant.name);
        Ok(returning)
    }

    /// All of them connect again until the time is over, each at least once.
    pub async fn for_so_long(&mut self, span: Duration) -> anyhow::Result<Reconnected> {
        let end = Instant::now() + span;
        let mut all = Reconnected { connections: 0, resumed: 0 };
        let callers = self.callers.iter_mut().map(|caller| caller.until(end));
        for done in futures::future::join_all(callers).await {
            let done = done.with_context(|| self.name)?;
            all.connections += done.connections;
            all.resumed += done.resumed;
        }
        Ok(all)
    }
}

impl Caller {
    async fn until(&mut self, end: Instant) -> anyhow::Result<Reconnected> {
        let mut made = Reconnected { connections: 0, resumed: 0 };
        loop {
            made.resumed += u64::from(self.connect().await? == HandshakeKind::Resumed);
            made.connections += 1;
            if Instant::now() >= end {
                return Ok(made);
            }
        }
    }

    async fn connect(&mut self) -> anyhow::Result<HandshakeKind> {
        let front = self.fronts.get(self.next % self.fronts.len()).context("there is no front")?;
        self.next += 1;
        let tcp = connect_as(self.number, *front).await?;
        tcp.set_nodelay(true)?;
        let mut stream = self.connector.connect(ServerName::try_from(NAME)?, tcp).await?;
        // With TLS 1.3 the other end is done, and has sent its tickets, only with what comes next.
        stream.write_all(b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        stream.flush().await?;
        let mut rest = Vec::new();
        // Some ends leave without a word.
        let _ = stream.read_to_end(&mut rest).await;
        let answered =
            [200, 404].iter().any(|status| rest.starts_with(format!("HTTP/1.1 {status}").as_bytes()));
        ensure!(answered, "{front} answers {:?}", String::from_utf8_lossy(&rest));
        stream.get_ref().1.handshake_kind().context("the handshake has not ended")
    }
}

fn settings(authority: &Path, version: Version) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version.of_rustls()])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Version {
    pub const ALL: [Version; 2] = [Version::Tls12, Version::Tls13];

    fn of_rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        })
    }
}

/// All fronts have one name.
const SERVERS_MAX: usize = 8;
