//! The connector's own account at a service that counts how often it is shown a proof.

use super::*;
use crate::upstream::{AccountConfig, Proof, Protocol};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A service that takes NTLM, or says that it does.
#[derive(Default)]
struct Service {
    proofs: AtomicUsize,
    takes: AtomicBool,
    /// The answer to an offer, if it is no challenge.
    instead: Option<&'static str>,
}

impl Service {
    async fn start(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, service) = (listener.local_addr().unwrap(), self.clone());
        drop(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                drop(tokio::spawn(async move { service.serve(stream).await }));
            }
        }));
        format!("http://{address}")
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Ok(read) = stream.read_buf(&mut bytes).await {
            if read == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
                continue;
            }
            // The type of an NTLM message is its ninth byte; base64 in small letters does for the first ones.
            let is_offer = head.contains("authorization: ntlm tlrmtvntuaabaaaa");
            stream.write_all(self.answer(is_offer).as_bytes()).await.unwrap();
            bytes.clear();
        }
    }

    fn answer(&self, is_offer: bool) -> String {
        let challenge = format!("WWW-Authenticate: NTLM {}\r\n", STANDARD.encode(challenge()));
        let answer =
            |status: &str, header: &str| format!("HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\n\r\n");
        if is_offer {
            return answer(self.instead.unwrap_or("401 Unauthorized"), &challenge);
        }
        self.proofs.fetch_add(1, Ordering::SeqCst);
        let takes = self.takes.load(Ordering::SeqCst);
        let status = if takes { "200 OK" } else { "401 Unauthorized" };
        answer(status, "WWW-Authenticate: NTLM\r\n")
    }
}

/// [MS-NLMP] 2.2.1.2, with a time and nothing else.
fn challenge() -> Vec<u8> {
    let info = [&[7, 0, 8, 0][..], &[1; 8], &[0; 4]].concat();
    let flags = 0xe208_8237_u32.to_le_bytes();
    let field = |bytes: u8| [bytes, 0, bytes, 0, 56, 0, 0, 0];
    let start = [b"NTLMSSP\0", &[2, 0, 0, 0][..], &field(0), &flags, b"8 bytes!", &[0; 8]].concat();
    [&start[..], &field(16), &[0; 8], &info].concat()
}

fn upstream(base: &str, password: PathBuf, protocol: Protocol, kdcs: Vec<String>) -> Upstream {
    let account = AccountConfig {
        name: "CONTOSO\\svc-rmsc".into(),
        proof: Proof::Password(password),
        protocol,
        realm: Some("CONTOSO.TEST".into()),
        kdcs,
        service: "HTTP/127.0.0.1".into(),
        roles: vec!["exchange"],
        connections_max: 8,
    };
    let config = Config { kind: Kind::AdRms(account), ..config(base) };
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    Upstream::new(config, Tokens::new().0, metrics, Tasks::new()).unwrap()
}

async fn at_once(upstream: &Upstream, requests: usize) -> Vec<Result<StatusCode, Trouble>> {
    let send = |_| async {
        let sent = upstream.send(outgoing(Duration::from_secs(10))).await;
        sent.map(|answer| answer.status).map_err(|error| error.trouble)
    };
    futures::future::join_all((0..requests).map(send)).await
}

#[tokio::test]
async fn a_wrong_password_is_shown_once_however_many_requests_there_are() {
    let (folder, service) = (tempdir("lockout"), Arc::new(Service::default()));
    let file = proxy::password(&folder, "wrong");
    let upstream = upstream(&service.start().await, file.clone(), Protocol::Ntlm, Vec::new());
    for _ in 0..2 {
        let refused = at_once(&upstream, 25).await;
        assert!(refused.iter().all(|result| *result == Err(Trouble::LoginRefused)), "{refused:?}");
    }
    assert_eq!(service.proofs.load(Ordering::SeqCst), 1);
    // Whoever writes the file has another password.
    service.takes.store(true, Ordering::SeqCst);
    std::fs::write(&file, "a right one\n").unwrap();
    let taken = at_once(&upstream, 25).await;
    assert!(taken.iter().all(|result| *result == Ok(StatusCode::OK)), "{taken:?}");
    assert_eq!(service.proofs.load(Ordering::SeqCst), 26);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_kdc_that_is_away_holds_nobody_who_has_a_password() {
    let folder = tempdir("no-kdc");
    let service = Arc::new(Service { takes: AtomicBool::new(true), ..Service::default() });
    // Takes connections, and says nothing.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kdc = hole.local_addr().unwrap().to_string();
    let file = proxy::password(&folder, "right");
    let upstream = upstream(&service.start().await, file, Protocol::Negotiate, vec![kdc]);
    let begun = Instant::now();
    let sent = at_once(&upstream, 20).await;
    assert!(sent.iter().all(|result| *result == Ok(StatusCode::OK)), "{sent:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_the_service_says_to_a_mere_offer_is_its_answer_unless_it_looks_like_one_to_the_request() {
    let folder = tempdir("offer");
    for (instead, wanted) in [
        ("503 Service Unavailable", Ok(StatusCode::SERVICE_UNAVAILABLE)),
        ("429 Too Many Requests", Ok(StatusCode::TOO_MANY_REQUESTS)),
        ("302 Found", Ok(StatusCode::FOUND)),
        ("500 Error\r\nContent-Type: text/html", Ok(StatusCode::INTERNAL_SERVER_ERROR)),
        ("500 Error\r\nContent-Type: text/xml", Err(Trouble::LoginRefused)),
        ("200 OK", Err(Trouble::LoginRefused)),
    ] {
        let service = Arc::new(Service { instead: Some(instead), ..Service::default() });
        let file = proxy::password(&folder, "right");
        let upstream = upstream(&service.start().await, file, Protocol::Ntlm, Vec::new());
        assert_eq!(at_once(&upstream, 1).await, [wanted], "{instead}");
        assert_eq!(service.proofs.load(Ordering::SeqCst), 0, "{instead}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn tells_that_all_connections_are_in_use() {
    let folder = tempdir("busy");
    let service = Arc::new(Service { takes: AtomicBool::new(true), ..Service::default() });
    let file = proxy::password(&folder, "right");
    let upstream = upstream(&service.start().await, file, Protocol::Ntlm, Vec::new());
    // Answers that nobody reads to their end hold their connections; these have none to read.
    let Transport::Authenticated(account) = &upstream.transport else { panic!("another transport") };
    let held = account.hold_all().await;
    let error = upstream.send(outgoing(Duration::from_millis(200))).await.err().unwrap();
    assert_eq!(error.trouble, Trouble::Busy { connections: 8 });
    drop(held);
    assert_eq!(at_once(&upstream, 1).await, [Ok(StatusCode::OK)]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn who_may_not_any_more_when_there_is_a_connection_sends_nothing() {
    let folder = tempdir("gate");
    let service = Arc::new(Service { takes: AtomicBool::new(true), ..Service::default() });
    let file = proxy::password(&folder, "right");
    let upstream = upstream(&service.start().await, file, Protocol::Ntlm, Vec::new());
    let Transport::Authenticated(account) = &upstream.transport else { panic!("another transport") };
    let held = account.hold_all().await;
    let may = Arc::new(AtomicBool::new(true));
    let asked = may.clone();
    let gate: Gate = Arc::new(move || if asked.load(Ordering::SeqCst) { Ok(()) } else { Err("no".into()) });
    let outgoing = Outgoing { gate, ..outgoing(Duration::from_secs(10)) };
    let (sent, ()) = tokio::join!(upstream.send(outgoing), async {
        tokio::task::yield_now().await;
        may.store(false, Ordering::SeqCst);
        drop(held);
    });
    assert_eq!(sent.err().unwrap().trouble, Trouble::Lost);
    assert_eq!(service.proofs.load(Ordering::SeqCst), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_407_of_the_service_itself_is_no_proxys() {
    let service = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let answer = send(config(&service), Duration::from_secs(10)).await.unwrap();
    assert_eq!(answer.status, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
}
