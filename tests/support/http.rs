//! HTTP/1.1 byte by byte, with or without TLS, so that a test can send what no client would; and NTLM on top of it.

use super::lab::Account;
use super::soap::Message;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmsc::identity::ChannelBinding;
use rmsc::identity::ntlm_client::{Credentials, Nonces, NtlmClient, Server};
use rmsc::secret::Secret;
use rmsc::tls::{Roots, service_client};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }

    /// A field of a JSON object; null where it is none or has no such field.
    pub fn field(&self, name: &str) -> serde_json::Value {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json.get(name).cloned().unwrap_or_default()
    }

    #[track_caller]
    pub fn check(&self, status: u16, words: &[&str]) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        for words in words {
            assert!(text.contains(words), "no {words:?} in {text}");
        }
    }
}

/// A connection.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    socket: TcpStream,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// What a client with TLS trusts, and by which name it calls. It remembers sessions, as Windows does.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// Trusts the authority in this file alone.
    #[track_caller]
    pub fn new(authority: &Path, name: &str) -> Self {
        let config = service_client(Roots::File(authority)).expect("the authority was made for this");
        let name = ServerName::try_from(name.to_owned()).expect("it is a name");
        Trust { config: Arc::new(config), name }
    }
}

impl Connection {
    /// # Errors
    /// Nobody listens.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = connect(address)?;
        Ok(Connection { stream: BufReader::new(Box::new(socket.try_clone()?)), socket })
    }

    /// One with TLS, after the handshake; gives the binding to the server's certificate.
    fn open_tls(address: SocketAddr, trust: &Trust) -> io::Result<(Self, ChannelBinding)> {
        let mut stream = connect(address)?;
        let socket = stream.try_clone()?;
        let tls = ClientConnection::new(trust.config.clone(), trust.name.clone());
        let mut tls = tls.map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        let leaf = tls.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no certificate"))?;
        let binding = ChannelBinding::of_certificate(leaf).map_err(io::Error::other)?;
        let stream: Box<dyn Stream> = Box::new(StreamOwned::new(tls, stream));
        Ok((Connection { stream: BufReader::new(stream), socket }, binding))
    }

    /// Whether it can be used for one more request: the server has not said anything since the last answer.
    pub fn is_idle(&self) -> bool {
        let quiet = |error: &io::Error| error.kind() == ErrorKind::WouldBlock;
        self.socket.set_nonblocking(true).is_ok()
            && self.socket.peek(&mut [0; 1]).is_err_and(|error| quiet(&error))
            && self.socket.set_nonblocking(false).is_ok()
    }

    /// # Errors
    /// The connection ended.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends a body in chunks, until all is sent or nobody takes any more.
    pub fn send_chunked(&mut self, body: &[u8]) {
        for chunk in body.chunks(1 << 20) {
            let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            if self.send(&bytes).is_err() {
                return;
            }
        }
        // A refusal may have come before.
        let _ = self.send(b"0\r\n\r\n");
    }

    /// Reads an answer whole; one to HEAD has no body, whatever its length says.
    ///
    /// # Errors
    /// The connection ended, or what came is no HTTP.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let mut answer = self.answer_head()?;
        if !to_head {
            let mut body = Vec::new();
            self.pieces(&answer, |piece| body.extend_from_slice(piece))?;
            answer.body = body;
        }
        Ok(answer)
    }

    /// Reads an answer up to its body.
    ///
    /// # Errors
    /// The connection ended, or what came is no HTTP.
    pub fn answer_head(&mut self) -> io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Answer { status, headers, body: Vec::new() });
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| io::Error::new(ErrorKind::InvalidData, line.clone()))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Whether the other end has closed and nothing more came.
    pub fn is_at_end(&mut self) -> bool {
        self.stream.read(&mut [0; 1]).is_ok_and(|read| read == 0)
    }

    /// Reads the body of the answer that has this head, a piece at a time.
    ///
    /// # Errors
    /// It is not whole.
    pub fn pieces(&mut self, head: &Answer, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        if let Some(length) = head.header("content-length").and_then(|length| length.parse().ok()) {
            return self.exactly(length, &mut take);
        }
        if head.header("transfer-encoding").is_none() {
            let mut rest = Vec::new();
            self.stream.read_to_end(&mut rest)?;
            take(&rest);
            return Ok(());
        }
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.trim(), 16)
                .map_err(|_| io::Error::new(ErrorKind::InvalidData, line))?;
            self.exactly(length, &mut take)?;
            self.line()?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn exactly(&mut self, length: usize, take: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; length.min(PIECE_BYTES)];
        let mut left = length;
        while left > 0 {
            let piece = buffer.get_mut(..left.min(PIECE_BYTES)).unwrap_or_default();
            self.stream.read_exact(piece)?;
            take(piece);
            left -= piece.len();
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A request, as a client means it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Request { method: "GET", path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Self {
        Request { method: "POST", path: path.into(), headers: Vec::new(), body: body.into() }
    }

    /// One of the messages of the tests.
    pub fn soap(message: &Message) -> Self {
        Request::post(message.path, message.body())
            .with("Content-Type", message.content_type)
            .with("SOAPAction", &message.action())
    }

    /// The headers of a message with another body.
    pub fn soap_with_body(message: &Message, body: impl Into<Vec<u8>>) -> Self {
        Request { body: body.into(), ..Request::soap(message) }
    }

    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The request line and headers, without the empty line at their end.
    pub fn head(&self, host: &str, authorization: Option<&str>) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(authorization) = authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        head
    }

    fn bytes(&self, host: &str, authorization: Option<&str>, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.head(host, authorization).into_bytes();
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Sends one request without credentials.
#[track_caller]
pub fn exchange(address: SocketAddr, request: &Request) -> Answer {
    try_exchange(address, request).unwrap_or_else(|error| panic!("no answer from {address}: {error}"))
}

/// Sends one request without credentials.
///
/// # Errors
/// Nobody listens, or there is no answer.
pub fn try_exchange(address: SocketAddr, request: &Request) -> io::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.send(&request.bytes(&address.to_string(), None, &request.body))?;
    connection.answer(request.method == "HEAD")
}

/// A client that authenticates with NTLM on its connection.
pub struct Session {
    connection: Connection,
    account: Account,
    host: String,
    /// To the certificate that it has seen.
    pub binding: Option<ChannelBinding>,
}

impl Session {
    /// # Errors
    /// Nobody listens.
    pub fn open(address: SocketAddr, account: &Account) -> io::Result<Self> {
        let connection = Connection::open(address)?;
        Ok(Session { connection, account: account.clone(), host: address.to_string(), binding: None })
    }

    /// One with TLS, whose proofs are bound to it.
    ///
    /// # Errors
    /// Nobody listens, or it is somebody else.
    pub fn open_tls(address: SocketAddr, trust: &Trust, account: &Account) -> io::Result<Self> {
        let (connection, binding) = Connection::open_tls(address, trust)?;
        let host = trust.name.to_str().into_owned();
        Ok(Session { connection, account: account.clone(), host, binding: Some(binding) })
    }

    /// Sends what follows as another account: each request brings its own proof.
    pub fn log_on(&mut self, account: &Account) {
        self.account = account.clone();
    }

    /// Its connection, to read what was not read yet.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends a request, after a handshake: nobody is remembered on a connection without TLS.
    ///
    /// # Errors
    /// The connection ended.
    pub fn call(&mut self, request: &Request) -> io::Result<Answer> {
        let authorization = self
            .handshake(request)
            .map_err(|error| io::Error::new(error.kind(), format!("before the challenge: {error}")))?;
        self.proven(request, &authorization)
    }

    /// Sends a request with its proof.
    ///
    /// # Errors
    /// The connection ended.
    pub fn proven(&mut self, request: &Request, authorization: &str) -> io::Result<Answer> {
        let bytes = request.bytes(&self.host, Some(authorization), &request.body);
        // A refusal may come before all is sent.
        let sent = self.connection.send(&bytes);
        self.connection.answer(request.method == "HEAD").map_err(|error| sent.err().unwrap_or(error))
    }

    /// The same, and how long the answer took to come after the last leg of the handshake was sent.
    ///
    /// # Errors
    /// The connection ended.
    pub fn timed(&mut self, request: &Request) -> io::Result<(Answer, Duration)> {
        let authorization = self.handshake(request)?;
        let bytes = request.bytes(&self.host, Some(&authorization), &request.body);
        let begun = Instant::now();
        self.connection.send(&bytes)?;
        let answer = self.connection.answer(request.method == "HEAD")?;
        Ok((answer, begun.elapsed()))
    }

    /// Sends a request on the same connection, without a word about who sends it.
    ///
    /// # Errors
    /// The connection ended.
    pub fn call_silently(&mut self, request: &Request) -> io::Result<Answer> {
        self.connection.send(&request.bytes(&self.host, None, &request.body))?;
        self.connection.answer(request.method == "HEAD")
    }

    /// Sends the head of a request, authenticated, and leaves the rest to the caller.
    ///
    /// # Errors
    /// The connection ended.
    pub fn begin(&mut self, request: &Request, last_header: &str) -> io::Result<&mut Connection> {
        let authorization = self.handshake(request)?;
        let head = request.head(&self.host, Some(&authorization));
        self.connection.send(format!("{head}{last_header}\r\n\r\n").as_bytes())?;
        Ok(&mut self.connection)
    }

    /// Sends a request that has its whole body in each leg of its handshake, and each time only when it is told to.
    ///
    /// # Errors
    /// It is not told to, or the connection ended.
    pub fn call_when_told(&mut self, request: &Request) -> io::Result<Answer> {
        let client = self.client();
        let negotiate = format!("NTLM {}", STANDARD.encode(client.negotiate()));
        let challenged = self.leg_when_told(request, &negotiate)?;
        let proof = self.proof(&client, &challenged)?;
        self.leg_when_told(request, &proof)
    }

    fn leg_when_told(&mut self, request: &Request, authorization: &str) -> io::Result<Answer> {
        let head = request.head(&self.host, Some(authorization));
        let rest = format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", request.body.len());
        self.connection.send(format!("{head}{rest}").as_bytes())?;
        let interim = self.connection.answer(true)?;
        if interim.status != 100 {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("not told to: {interim:?}")));
        }
        self.connection.send(&request.body)?;
        self.connection.answer(false)
    }

    /// The first two legs: gives the third one's header.
    fn handshake(&mut self, request: &Request) -> io::Result<String> {
        let client = self.client();
        let negotiate = format!("NTLM {}", STANDARD.encode(client.negotiate()));
        self.connection.send(&request.bytes(&self.host, Some(&negotiate), &[]))?;
        let answer = self.connection.answer(request.method == "HEAD")?;
        self.proof(&client, &answer)
    }

    fn client(&self) -> NtlmClient {
        let (domain, user) = self.account.parts();
        NtlmClient::new(Credentials {
            domain: domain.into(),
            user: user.into(),
            nt_hash: rmsc::identity::nt_hash(&self.account.password),
            workstation: String::new(),
        })
    }

    fn proof(&self, client: &NtlmClient, answer: &Answer) -> io::Result<String> {
        let challenge = answer
            .header("www-authenticate")
            .and_then(|value| value.strip_prefix("NTLM "))
            .and_then(|token| STANDARD.decode(token).ok())
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no challenge: {answer:?}")))?;
        let nonces = Nonces { client_challenge: rand::random(), session_key: Secret::new(rand::random()) };
        let token = client
            .authenticate(&challenge, &nonces, Server { target: "", binding: self.binding.as_ref() })
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        Ok(format!("NTLM {}", STANDARD.encode(token)))
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

const PIECE_BYTES: usize = 1 << 16;
/// Longer than the connector's own deadline.
const TIMEOUT: Duration = Duration::from_secs(35);
