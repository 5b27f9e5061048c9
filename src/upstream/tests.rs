//! What is wrong on the way to the service, over real sockets: each kind is told from the others.

mod account;
mod cloud;
mod proxy;

use super::*;
use crate::tls::{Authority, Files, FrontServer, ServerFault};
use http::Uri;
use http_body_util::{BodyExt, Full};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) fn config(base: &str) -> Config {
    let base: Uri = base.parse().unwrap();
    let hosts = Hosts::new(base.host());
    Config { kind: Kind::Simulated, base, authority: None, proxy: None, hosts, node: "node-1".into() }
}

pub(super) fn outgoing(timeout: Duration) -> Outgoing {
    Outgoing {
        request_id: "0".repeat(32),
        path: "/_wmcs/licensing/license.asmx",
        content_type: "text/xml".into(),
        soap_action: String::new(),
        user_agent: String::new(),
        accept_encoding: String::new(),
        via: String::new(),
        on_behalf_of: OnBehalfOf {
            caller: "S-1-5-21-1-2-3-4".into(),
            entry: "S-1-5-21-1-2-3-4".into(),
            role: "exchange",
            front_node: "node-1".into(),
        },
        body: Full::from("<x/>").map_err(|never| match never {}).boxed_unsync(),
        attempt: 1,
        gate: Arc::new(|| Ok(())),
        timeout,
    }
}

async fn send(config: Config, timeout: Duration) -> Result<Answer, SendError> {
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Metrics::register(&mut registry);
    let sent =
        Upstream::new(config, Tokens::new().0, metrics, Tasks::new()).unwrap().send(outgoing(timeout)).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    if let Err(SendError { trouble, .. }) = &sent {
        let counted = format!("rmsc_upstream_failures_total{{trouble=\"{}\"}} 1", trouble.word());
        assert!(text.contains(&counted), "{text}");
    }
    sent
}

/// Waits until something is so, and looks now and then.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut pause) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        pause.tick().await;
    }
}

async fn trouble(config: Config) -> Trouble {
    send(config, Duration::from_secs(10)).await.err().expect("there should be no answer").trouble
}

/// A server that does `with` to the one connection that it takes.
async fn server<F>(with: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { with(listener.accept().await.unwrap().0).await }));
    format!("http://{address}")
}

/// A TLS server whose certificate has a name and was made at a time, and whom a client trusts, or not.
async fn tls_server(folder: &Path, name: &str, at: OffsetDateTime, trusts: Trusts) -> Config {
    let authority = Authority::new("Inspecting Device", at).unwrap();
    let issued = authority.issue_server(&[name.to_owned()], at).unwrap();
    let other = Authority::new("Contoso Root", OffsetDateTime::now_utc()).unwrap();
    let trusted = match trusts {
        Trusts::It => &authority,
        Trusts::Another => &other,
    };
    let files = Files { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    std::fs::write(&files.certificate, &issued.certificate_pem).unwrap();
    std::fs::write(&files.key, issued.key_pem.expose()).unwrap();
    std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(folder.join("ca.pem"), trusted.certificate_pem()).unwrap();
    let tls = FrontServer::load(&files).unwrap();
    let base = server(move |stream| async move {
        let Ok((mut stream, _)) = tls.accept(stream).await else { return };
        let mut bytes = [0; 1024];
        let _ = stream.read(&mut bytes).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let _ = stream.shutdown().await;
    })
    .await;
    Config {
        authority: Some(folder.join("ca.pem")),
        ..config(&base.replace("http://127.0.0.1", "https://localhost"))
    }
}

enum Trusts {
    It,
    Another,
}

#[tokio::test]
async fn tells_what_is_wrong_with_a_connection() {
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(trouble(config(&format!("http://{refused}"))).await, Trouble::Refused);
    // RFC 2606: the name never has an address.
    let name = "service.invalid";
    assert_eq!(trouble(config(&format!("http://{name}"))).await, Trouble::NoName { name: name.into() });
    let closes = server(|stream| async move { drop(stream) }).await;
    assert_eq!(trouble(config(&closes)).await, Trouble::Lost);
    let resets = server(|stream| async move {
        let stream = stream.into_std().unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert_eq!(trouble(config(&resets)).await, Trouble::Lost);
    let half = server(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-").await.unwrap();
    })
    .await;
    assert_eq!(trouble(config(&half)).await, Trouble::Lost);
}

#[tokio::test]
async fn tells_that_an_answer_does_not_come() {
    let silent = server(|mut stream| async move {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
    })
    .await;
    let waited = Duration::from_millis(50);
    let error = send(config(&silent), waited).await.err().unwrap();
    assert_eq!(error.trouble, Trouble::TimedOut { waited });
}

#[tokio::test]
async fn tells_why_a_service_is_not_trusted() {
    let folder = tempdir("untrusted");
    let (now, past) = (OffsetDateTime::now_utc(), OffsetDateTime::UNIX_EPOCH + time::Duration::days(10_000));
    let good = tls_server(&folder, "localhost", now, Trusts::It).await;
    assert_eq!(send(good, Duration::from_secs(10)).await.unwrap().status, StatusCode::OK);
    let expired = tls_server(&folder, "localhost", past, Trusts::It).await;
    assert_eq!(trouble(expired).await, Trouble::Tls(ServerFault::Expired));
    let other_name = tls_server(&folder, "other.test", now, Trusts::It).await;
    let Trouble::Tls(ServerFault::WrongName { names }) = trouble(other_name).await else { panic!() };
    assert!(names.contains("other.test"), "{names}");
    let inspected = tls_server(&folder, "localhost", now, Trusts::Another).await;
    let Trouble::Tls(ServerFault::UnknownIssuer { issuer }) = trouble(inspected).await else { panic!() };
    assert!(issuer.contains("Inspecting Device"), "{issuer}");
    let plain =
        server(|mut stream| async move { stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap() })
            .await
            .replace("http:", "https:");
    let plain = Config { authority: Some(folder.join("ca.pem")), ..config(&plain) };
    assert_eq!(trouble(plain).await, Trouble::Tls(ServerFault::Handshake));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let redirects = server(|mut stream| async move {
        let mut bytes = [0; 1024];
        let _ = stream.read(&mut bytes).await;
        let answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let answer = send(config(&redirects), Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
}

fn tempdir(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rmsc-upstream-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
