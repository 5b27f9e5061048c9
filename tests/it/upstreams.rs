//! Ways to a real service: through a web proxy, and with the connector's own account at one that takes Windows
//! authentication. That service is another connector here: nodes and an acceptor of their own.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::domain::{Domain, PASSWORD};
use crate::support::files::private;
use crate::support::http::Request;
use crate::support::load::Load;
use crate::support::log::{await_event, events, field};
use crate::support::sign_in::SignIn;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE};
use crate::support::wait;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Has the one node of a cluster call another service.
#[track_caller]
fn call(cluster: &TestCluster, kind: &str, url: &str, more: &str) {
    let simulator = cluster.lab().simulator;
    let before = format!("kind = \"simulated\"\nurl = \"{simulator}\"\n");
    cluster.reconfigure("node-1", &before, &format!("kind = {kind:?}\nurl = {url:?}\n{more}\n"));
    cluster.await_rotation();
}

/// Checks that requests come through to the service behind the other connector.
#[track_caller]
fn check_relayed(from: &TestCluster, through: &TestCluster) {
    through.reset_counts();
    let node = from.any_node();
    for message in [&ACQUIRE_LICENSE, &ACQUIRE_PRE_LICENSE, &ACQUIRE_LICENSE] {
        let answer = from.call(&node, &from.exchange(), &Request::soap(message));
        answer.check(200, &[]);
        assert!(String::from_utf8_lossy(&answer.body).contains(&message.response_element()));
    }
    let counts = through.counts();
    assert_eq!((counts.total, counts.by_caller.len()), (3, 1), "{counts:?}");
}

fn account_section(name: &str, password: &Path, more: &str) -> String {
    format!(
        "\n[upstream.account]\nname = '{name}'\npassword_file = {:?}\nroles = [\"exchange\"]\n{more}",
        password.display().to_string()
    )
}

#[test]
fn relays_to_another_connector_with_ntlm_over_http_and_https() {
    let (own, other, folder) = (TestCluster::start(1), TestCluster::start(1), NewDir::made());
    let account = other.exchange();
    let password = private(folder.path(), "password", &format!("{}\n", account.password));
    let section = account_section(&account.name, &password, "protocol = \"ntlm\"\nconnections_max = 3\n");
    let authority = format!("authority = {:?}\n", other.lab().ca.display().to_string());
    let node = other.any_node();
    // An address that may be a network's, as far as a node knows.
    let clear = node.http.replace("127.0.0.1", "0.0.0.0");
    other.reconfigure("node-1", "target_names = [", "target_names = [\"0.0.0.0\", ");
    other.await_rotation();
    call(&own, "chained", &clear, &format!("clear_text = \"allow\"\n{section}"));
    check_relayed(&own, &other);
    let event = await_event(&own.any_node(), 4084, |_| true);
    assert!(field(&event, "url").starts_with(&clear), "{event}");
    own.reconfigure(
        "node-1",
        &format!("url = {clear:?}\n"),
        &format!("url = {:?}\n{authority}", node.https_localhost()),
    );
    own.await_rotation();
    check_relayed(&own, &other);
    // With TLS there is nothing to say.
    assert_eq!(events(&own.any_node(), 4084).len(), 1);
    // More callers than connections: each waits for one of its own, and no proof meets another's.
    let load = Load::start(&own.nodes(), &own.exchange(), &ACQUIRE_LICENSE, 8);
    load.await_more(100);
    load.stop().check_nothing_failed();
    // The same inside a tunnel of a web proxy.
    let proxy = WebProxy::start(folder.path(), "Allow 127.0.0.1");
    let tunnel = format!("\n[upstream.proxy]\nurl = \"http://{}\"\n\n[drain]", proxy.address);
    own.reconfigure("node-1", "[drain]", &tunnel);
    own.await_rotation();
    check_relayed(&own, &other);
    // There is no other way while it is to go there.
    drop(proxy);
    check_fails(&own, 4074);
    assert_eq!(other.counts().total, 3);
    own.reconfigure("node-1", &tunnel, "[drain]");
    own.await_rotation();
    // The other kind of service; and no KDC answers there, so that NTLM is what is left by default.
    let kdcs = "realm = \"CONTOSO.TEST\"\nkdcs = [\"127.0.0.1:9\"]\n";
    own.kill("node-1");
    own.edit("node-1", "kind = \"chained\"", "kind = \"ad-rms\"");
    own.edit("node-1", "protocol = \"ntlm\"\n", kdcs);
    own.restart("node-1");
    own.await_rotation();
    check_relayed(&own, &other);
    own.reconfigure("node-1", kdcs, "protocol = \"ntlm\"\n");
    own.await_rotation();
    // An account that is for Exchange is for nobody else: nothing is sent.
    other.reset_counts();
    own.call(&own.any_node(), &own.account("svc-sharepoint"), &Request::soap(&ACQUIRE_LICENSE))
        .check(500, &["System.UnauthorizedAccessException"]);
    assert_eq!(other.counts().total, 0);
    // Another password is one proof too many, then the event.
    private(folder.path(), "password", "wrong\n");
    own.call(&own.any_node(), &own.exchange(), &Request::soap(&ACQUIRE_LICENSE))
        .check(500, &["cannot be reached"]);
    let event = await_event(&own.any_node(), 4079, |_| true);
    assert!(field(&event, "reason").contains("401 to a whole proof"), "{event}");
    private(folder.path(), "password", &account.password);
    check_relayed(&own, &other);
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).expect("it is ours");
    own.call(&own.any_node(), &own.exchange(), &Request::soap(&ACQUIRE_LICENSE))
        .check(500, &["cannot be reached"]);
    let event = await_event(&own.any_node(), 4078, |_| true);
    assert!(field(&event, "reason").contains("chmod 0600"), "{event}");
}

#[test]
fn a_start_says_that_proofs_go_in_the_clear() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let password = private(folder.path(), "password", "a password");
    let section = account_section(r"CONTOSO\svc-rmsc", &password, "protocol = \"ntlm\"\n");
    let url = "http://rms.contoso.test";
    call(&cluster, "ad-rms", url, &format!("clear_text = \"allow\"\n{section}"));
    let event = await_event(&cluster.any_node(), 4084, |_| true);
    assert!(field(&event, "url").starts_with(url), "{event}");
    // Each start, and none with TLS.
    cluster.kill("node-1");
    cluster.restart("node-1");
    wait::until_true("the event", wait::PATIENCE, || events(&cluster.any_node(), 4084).len() == 2);
    let authority = format!("authority = {:?}\n", cluster.lab().ca.display().to_string());
    cluster.reconfigure(
        "node-1",
        &format!("url = {url:?}\nclear_text = \"allow\"\n"),
        &format!("url = \"https://rms.contoso.test\"\n{authority}"),
    );
    cluster.await_rotation();
    assert_eq!(events(&cluster.any_node(), 4084).len(), 2);
}

#[test]
fn relays_to_a_cluster_of_the_domain_with_kerberos() {
    let (own, other, folder) = (TestCluster::start(1), TestCluster::start(1), NewDir::made());
    let domain = Domain::shared();
    super::kerberos::take_kerberos(&other, "node-1", "require", &domain.keytab());
    // Bound to the TLS connection, and without it nobody is let in.
    other.edit("node-1", "target_names = [", "target_names = [\"rms.contoso.test\", ");
    other.kill("node-1");
    other.restart("node-1");
    other.await_rotation();
    let (group, sid) = ("CONTOSO\\RMS Everything", domain.sid("RMS Everything"));
    let arguments = ["authz", "add", "--yes", "--role", "exchange", "--group", group, "--sid", &sid];
    other.rmsc(&arguments).check_code(0);
    let password = private(folder.path(), "password", PASSWORD);
    let address = domain.controller()[0].trim_start_matches("ldaps://").to_owned();
    // By default it is Kerberos, where a KDC answers. The other cluster knows nobody of this domain by NTLM.
    let kerberos =
        format!("realm = \"CONTOSO.TEST\"\nkdcs = [{address:?}]\nservice = \"HTTP/rms.contoso.test\"\n");
    let authority = format!("authority = {:?}\n", other.lab().ca.display().to_string());
    let section = account_section(r"CONTOSO\EXCH01$", &password, &kerberos);
    call(&own, "ad-rms", &other.any_node().https_localhost(), &format!("{authority}{section}"));
    check_relayed(&own, &other);
    assert!(other.counts().by_caller.contains_key(&domain.sid("EXCH01$")), "{:?}", other.counts());
    check_keytab(&own, &other, &domain, &password);
    // A ticket for nobody.
    own.reconfigure("node-1", "HTTP/rms.contoso.test", "HTTP/nobody.contoso.test");
    own.await_rotation();
    own.call(&own.any_node(), &own.exchange(), &Request::soap(&ACQUIRE_LICENSE))
        .check(500, &["cannot be reached"]);
    await_event(&own.any_node(), 4078, |event| {
        field(event, "reason").contains("not found in Kerberos database")
    });
}

/// Keys in the place of the password, at the other kind of service, and of Kerberos alone.
#[track_caller]
fn check_keytab(own: &TestCluster, other: &TestCluster, domain: &Domain, password: &Path) {
    let account = "svc-sharepoint";
    let (name, sid) = (format!(r"CONTOSO\{account}"), domain.sid(account));
    other
        .rmsc(&["authz", "add", "--yes", "--role", "exchange", "--account", &name, "--sid", &sid])
        .check_code(0);
    let keytab = domain.keytab_of(account, account, PASSWORD, 2);
    own.kill("node-1");
    let file = |key: &str, path: &Path| format!("{key} = {:?}\n", path.display().to_string());
    own.edit("node-1", &file("password_file", password), &file("keytab", &keytab));
    own.edit("node-1", "EXCH01$'\nkeytab", "svc-sharepoint'\nprotocol = \"kerberos\"\nkeytab");
    own.edit("node-1", "kind = \"ad-rms\"", "kind = \"chained\"");
    let mode = |mode| fs::set_permissions(&keytab, fs::Permissions::from_mode(mode)).expect("it is ours");
    // Whoever reads them is the account.
    mode(0o644);
    own.restart("node-1");
    own.await_rotation();
    other.reset_counts();
    own.call(&own.any_node(), &own.exchange(), &Request::soap(&ACQUIRE_LICENSE))
        .check(500, &["cannot be reached"]);
    assert_eq!(other.counts().total, 0);
    await_event(&own.any_node(), 4078, |event| field(event, "reason").contains("run `chmod 0600"));
    mode(0o600);
    own.kill("node-1");
    own.restart("node-1");
    own.await_rotation();
    check_relayed(own, other);
    assert!(other.counts().by_caller.contains_key(&sid), "{:?}", other.counts());
}

/// Checks that requests fail, and why.
#[track_caller]
fn check_fails(cluster: &TestCluster, event: u16) {
    // tinyproxy closes with its answer, and what it has not read takes the answer away at times.
    wait::until_true(&format!("event {event}"), wait::PATIENCE, || {
        cluster
            .call(&cluster.any_node(), &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE))
            .check(500, &["cannot be reached"]);
        !events(&cluster.any_node(), event).is_empty()
    });
}

/// tinyproxy, until it is dropped.
struct WebProxy {
    process: Child,
    address: SocketAddr,
}

impl WebProxy {
    #[track_caller]
    fn start(folder: &Path, more: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("there is a free port");
        let file = folder.join("tinyproxy.conf");
        let text = format!("Port {}\nListen 127.0.0.1\nMaxClients 20\n{more}\n", address.port());
        fs::write(&file, text).expect("the temporary folder can be written");
        let process = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy is missing: run tests/run, or: apt-get install -y tinyproxy-bin");
        wait::until_true("tinyproxy listens", wait::PATIENCE, || TcpStream::connect(address).is_ok());
        WebProxy { process, address }
    }
}

impl Drop for WebProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn relays_through_a_web_proxy_and_says_what_is_wrong_with_it() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let proxy = WebProxy::start(folder.path(), "BasicAuth svc-rmsc Passw0rd");
    let password = private(folder.path(), "password", "Passw0rd\n");
    let section = format!(
        "\n[upstream.proxy]\nurl = \"http://{}\"\nusername = \"svc-rmsc\"\npassword_file = {:?}\nno_proxy = []\n",
        proxy.address,
        password.display().to_string()
    );
    let simulator = cluster.lab().simulator;
    call(&cluster, "simulated", &simulator, &section);
    check_relayed(&cluster, &cluster);
    private(folder.path(), "password", "wrong");
    check_fails(&cluster, 4075);
    private(folder.path(), "password", "Passw0rd");
    drop(proxy);
    check_fails(&cluster, 4074);
    // The proxy is gone, so this goes without it.
    cluster.reconfigure("node-1", "no_proxy = []", "no_proxy = [\"127.0.0.0/8\"]");
    cluster.await_rotation();
    check_relayed(&cluster, &cluster);
}

#[test]
fn tokens_and_requests_go_through_the_tunnel_of_a_web_proxy_that_wants_a_login() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let sign_in = SignIn::with_tls(&cluster, &[]);
    let proxy = WebProxy::start(folder.path(), "BasicAuth svc-rmsc Passw0rd");
    let password = private(folder.path(), "password", "Passw0rd\n");
    let authority = sign_in.authority().display().to_string();
    let section = format!(
        "sign_in = {:?}\nsign_in_authority = {authority:?}\n\n[upstream.proxy]\nurl = \"http://{}\"\n\
         username = \"svc-rmsc\"\npassword_file = {:?}\nno_proxy = []\n",
        sign_in.url(),
        proxy.address,
        password.display().to_string()
    );
    sign_in.serve_by(&cluster, &format!("authority = {authority:?}\n"), &section);
    let file = private(folder.path(), "secret", "simulated-secret");
    let file = file.display().to_string();
    cluster.rmsc(&["cloud", "login", "--client-secret-file", &file]).check_code(0);
    check_relayed(&cluster, &cluster);
    // Another password opens no tunnel, and one that is open may be used on.
    private(folder.path(), "password", "wrong");
    cluster.kill("node-1");
    cluster.restart("node-1");
    cluster.await_rotation();
    check_fails(&cluster, 4075);
    let renewed = cluster.rmsc(&["cloud", "renew"]);
    assert_ne!(renewed.code, Some(0), "{renewed:?}");
    private(folder.path(), "password", "Passw0rd");
    cluster.rmsc(&["cloud", "renew"]).check_code(0);
    check_relayed(&cluster, &cluster);
    // One that lets through to other ports alone.
    let strict = WebProxy::start(folder.path(), "BasicAuth svc-rmsc Passw0rd\nConnectPort 443");
    cluster.reconfigure("node-1", &proxy.address.to_string(), &strict.address.to_string());
    cluster.await_rotation();
    check_fails(&cluster, 4076);
    drop(strict);
    check_fails(&cluster, 4074);
}
