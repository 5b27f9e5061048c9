//! The way through a real web proxy (tinyproxy), with TLS: CONNECT.

use super::*;
use crate::upstream::proxy::ProxyConfig;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// tinyproxy, until it is dropped.
pub(super) struct WebProxy {
    process: Child,
    address: SocketAddr,
}

impl WebProxy {
    pub(super) async fn start(folder: &Path, more: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let file = folder.join("tinyproxy.conf");
        let text = format!("Port {}\nListen 127.0.0.1\nMaxClients 20\n{more}\n", address.port());
        std::fs::write(&file, text).unwrap();
        let process = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy is missing: run tests/run, or: apt-get install -y tinyproxy-bin");
        until("tinyproxy listens", async || TcpStream::connect(address).await.is_ok()).await;
        WebProxy { process, address }
    }

    pub(super) fn config(&self, login: Option<(&str, PathBuf)>, no_proxy: &[&str]) -> ProxyConfig {
        ProxyConfig {
            url: format!("http://{}", self.address).parse().unwrap(),
            login: login.map(|(user, file)| (user.into(), file)),
            no_proxy: no_proxy.iter().map(|&it| it.into()).collect(),
        }
    }
}

impl Drop for WebProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn password(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join(format!("{text}.password"));
    std::fs::write(&file, format!("{text}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

async fn through(folder: &Path, proxy: ProxyConfig) -> Result<StatusCode, Trouble> {
    let service = tls_server(folder, "localhost", OffsetDateTime::now_utc(), Trusts::It).await;
    let config = Config { proxy: Some(proxy), ..service };
    send(config, Duration::from_secs(10)).await.map(|answer| answer.status).map_err(|error| error.trouble)
}

#[tokio::test]
async fn goes_through_a_proxy_that_wants_no_login() {
    let folder = tempdir("proxy");
    let proxy = WebProxy::start(&folder, "Allow 127.0.0.1").await;
    assert_eq!(through(&folder, proxy.config(None, &[])).await, Ok(StatusCode::OK));
    // The proxy is what was asked: it lets nothing through to this port.
    let strict = WebProxy::start(&folder, "Allow 127.0.0.1\nConnectPort 443").await;
    assert_eq!(through(&folder, strict.config(None, &[])).await, Err(Trouble::ProxyRefused { status: 403 }));
    for without in ["localhost", ".localhost", "LOCALHOST"] {
        assert_eq!(through(&folder, strict.config(None, &[without])).await, Ok(StatusCode::OK), "{without}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn logs_in_at_a_proxy_and_tells_a_wrong_password() {
    let folder = tempdir("proxy-login");
    let proxy = WebProxy::start(&folder, "BasicAuth svc-rmsc Passw0rd").await;
    let right = password(&folder, "Passw0rd");
    let login = proxy.config(Some(("svc-rmsc", right.clone())), &[]);
    assert_eq!(through(&folder, login.clone()).await, Ok(StatusCode::OK));
    for other in [None, Some(("svc-rmsc", password(&folder, "wrong"))), Some(("other", right.clone()))] {
        assert_eq!(through(&folder, proxy.config(other, &[])).await, Err(Trouble::ProxyLogin));
    }
    std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(through(&folder, login).await, Err(Trouble::ProxyPassword));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn tells_that_a_proxy_is_down() {
    let folder = tempdir("proxy-down");
    let proxy = WebProxy::start(&folder, "Allow 127.0.0.1").await;
    let config = proxy.config(None, &[]);
    drop(proxy);
    assert_eq!(through(&folder, config.clone()).await, Err(Trouble::ProxyUnreachable));
    let nowhere = ProxyConfig { url: "http://nobody.invalid:8080".parse().unwrap(), ..config };
    assert_eq!(through(&folder, nowhere).await, Err(Trouble::ProxyUnreachable));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn calls_no_host_that_is_not_listed() {
    let service = server(|stream| async move { drop(stream) }).await;
    let config = Config { hosts: Hosts::new(["other.test"]), ..config(&service) };
    assert_eq!(trouble(config).await, Trouble::NotAllowed { host: "127.0.0.1".into() });
}
