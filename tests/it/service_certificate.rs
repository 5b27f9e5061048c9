//! The certificate that calling servers see: imported once for all nodes, changed while they call, and refused where
//! servers would refuse it.

mod expiry;
mod refusals;
mod removal;
mod requests;
mod tickets;
mod trouble;

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::host::{Host, token};
use crate::support::lab::Node;
use crate::support::log::{await_event, events, field};
use crate::support::program::{Ran, interpreter, manifest_dir, run};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use rmsc::tls::{AboutCertificate, Authority, ServiceClient};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use time::OffsetDateTime;

const SERVICE: &str = "rmsconnector.lab.test";

/// An administrator's folder with an authority, and what it issued.
struct Folder {
    dir: NewDir,
    authority: Authority,
}

impl Folder {
    fn new() -> Self {
        let authority = Authority::new("contoso CA", OffsetDateTime::now_utc()).expect("a good name");
        let folder = Folder { dir: NewDir::made(), authority };
        folder.write("ca.pem", folder.authority.certificate_pem());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the temporary folder can be written");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).expect("it was just made");
    }

    /// A new certificate as `NAME.pem` and `NAME.key`; gives its SHA-256.
    fn issue(&self, name: &str, names: &[&str]) -> String {
        self.issue_at(name, names, OffsetDateTime::now_utc())
    }

    /// One that is good for 90 days from then on.
    fn issue_at(&self, name: &str, names: &[&str], at: OffsetDateTime) -> String {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let issued = self.authority.issue_server(&names, at).expect("good names");
        self.write(&format!("{name}.pem"), &issued.certificate_pem);
        self.write(&format!("{name}.key"), issued.key_pem.expose());
        hex(&AboutCertificate::of_pem(&issued.certificate_pem).expect("a certificate").fingerprint)
    }

    /// `NAME.pfx` out of a certificate, its key and the authority's.
    #[track_caller]
    fn export(&self, name: &str, more: &[&str]) {
        let [pem, key, pfx] = ["pem", "key", "pfx"].map(|kind| format!("{name}.{kind}"));
        let export = ["pkcs12", "-export", "-in", &pem, "-inkey", &key, "-certfile", "ca.pem", "-out", &pfx];
        self.openssl(&[&export[..], &["-macalg", "sha256"], more].concat());
    }

    #[track_caller]
    fn openssl(&self, arguments: &[&str]) {
        run(Command::new("openssl").args(arguments).current_dir(self.dir.path())).check_code(0);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A lab whose nodes show the cluster's certificate.
fn without_files(nodes: usize) -> TestCluster {
    let cluster = TestCluster::start(nodes);
    take_files_away(&cluster);
    cluster
}

#[track_caller]
fn take_files_away(cluster: &TestCluster) {
    for node in cluster.nodes() {
        cluster.kill(&node.name);
        cluster.edit(&node.name, &lines_of_files(&node), "");
        cluster.edit(&node.name, "target_names", "channel_binding = \"require\"\ntarget_names");
        cluster.restart(&node.name);
    }
    cluster.await_rotation();
}

/// Those that name a certificate in the file of a lab's node.
fn lines_of_files(node: &Node) -> String {
    let folder = node.config.parent().expect("a folder");
    let [certificate, key] = ["front.pem", "front.key"].map(|name| folder.join(name).display().to_string());
    format!("certificate = {certificate:?}\nkey = {key:?}\n")
}

/// The hash of the certificate that a node shows to somebody who trusts this authority.
async fn shown(node: &Node, folder: &Folder) -> std::io::Result<String> {
    let client = ServiceClient::new(&folder.path("ca.pem")).expect("the file was written");
    let address = node.https.trim_start_matches("https://");
    let (_, leaf) = client.connect(address, SERVICE).await?;
    Ok(hex(&AboutCertificate::of(&leaf).expect("a certificate").fingerprint))
}

#[track_caller]
fn await_shown(nodes: &[Node], folder: &Folder, fingerprint: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for node in nodes {
        wait::until_true("the node shows the certificate", PATIENCE, || {
            runtime.block_on(shown(node, folder)).is_ok_and(|shown| shown == fingerprint)
        });
    }
}

fn import(cluster: &TestCluster, arguments: &[&str]) -> Ran {
    cluster.rmsc(&[&["cert", "import"], arguments].concat())
}

/// Imports `NAME.pem` with its key, and gives what came of it.
fn import_issued(cluster: &TestCluster, folder: &Folder, name: &str) -> Ran {
    let [pem, key] = ["pem", "key"].map(|kind| folder.text(&format!("{name}.{kind}")));
    import(cluster, &[&pem, "--key", &key, "--chain", &folder.text("ca.pem")])
}

fn show(cluster: &TestCluster) -> Value {
    cluster.rmsc(&["cert", "show", "-o", "json"]).json()
}

/// A part of a JSON text; null if it is not there.
fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

/// A Python client that goes on until its input ends.
struct Talking {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Talking {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(interpreter())
            .arg(manifest_dir().join("tests/clients").join(script))
            .args(arguments)
            .env("no_proxy", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python is there with the tests");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Talking { child, input, output: BufReader::new(output) }
    }

    #[track_caller]
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the client lives");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn go_on(&mut self) {
        self.say("");
    }

    fn say(&mut self, words: &str) {
        let line = format!("{words}\n");
        self.input.as_mut().expect("it is open").write_all(line.as_bytes()).expect("the client lives");
    }

    fn end(&mut self) {
        self.input = None;
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_imported_once_for_all_nodes_and_changed_while_servers_call() {
    let cluster = without_files(2);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    check_none(&cluster);
    let first = check_import_of_pfx(&cluster, &folder);
    let second = check_swap(&cluster, &folder, &first);
    for node in &nodes {
        await_event(node, 4110, |event| field(event, "reason").contains("imported by lab"));
    }
    check_secrets_are_nowhere(&cluster, &folder);
    check_newcomer(&cluster, &folder, &second);
}

#[track_caller]
fn check_none(cluster: &TestCluster) {
    let event = await_event(&cluster.node("node-1"), 4114, |_| true);
    assert!(field(&event, "reason").contains("rmsc cert import"), "{event}");
    let none = cluster.rmsc(&["cert", "show"]);
    none.check_code(3);
    assert!(none.stdout.contains("the cluster has none"), "{none:?}");
    let warnings = cluster.rmsc(&["status"]).stdout;
    assert!(warnings.contains("node-2: there is no certificate for calling servers"), "{warnings}");
}

/// With the key and the authority, as Windows exports it.
#[track_caller]
fn check_import_of_pfx(cluster: &TestCluster, folder: &Folder) -> String {
    let first = folder.issue("first", &[SERVICE, "localhost"]);
    folder.write("password", "Passw0rd.1\n");
    folder
        .export("first", &["-passout", "file:password", "-keypbe", "AES-256-CBC", "-certpbe", "AES-256-CBC"]);
    import(cluster, &[&folder.text("first.pfx")]).check_code(1).check_says(&["--password-file FILE"]);
    let password = folder.text("password");
    let imported = import(cluster, &[&folder.text("first.pfx"), "--password-file", &password, "-o", "json"]);
    imported.check_code(0);
    assert_eq!((imported.field("in_effect"), imported.field("key_from")), (2.into(), "file".into()));
    await_shown(&cluster.nodes(), folder, &first);
    let said = show(cluster);
    assert_eq!(at(&said, "/problems"), serde_json::json!([]), "{said}");
    assert_eq!(
        (at(&said, "/chain/0/fingerprint"), at(&said, "/imported_by")),
        (first.clone().into(), "lab".into())
    );
    for node in at(&said, "/nodes").as_array().expect("nodes") {
        assert_eq!(
            (at(node, "/source"), at(node, "/fingerprint")),
            ("cluster".into(), first.clone().into()),
            "{said}"
        );
        assert!(at(node, "/days_left").as_i64() >= Some(89), "{said}");
    }
    let again = import(cluster, &[&folder.text("first.pfx"), "--password-file", &password, "-o", "json"]);
    assert_eq!(again.check_code(0).field("changed"), false);
    first
}

/// Servers call with proofs that are bound to what they see, on open and on new connections; others come back with
/// their sessions.
#[track_caller]
fn check_swap(cluster: &TestCluster, folder: &Folder, first: &str) -> String {
    let nodes = cluster.nodes();
    let (file, action) = (ACQUIRE_LICENSE.file().display().to_string(), ACQUIRE_LICENSE.action());
    let (account, ca) = (cluster.exchange(), folder.text("ca.pem"));
    let mut callers: Vec<Talking> = nodes
        .iter()
        .map(|node| {
            let url = format!("{}{}", node.https_localhost(), ACQUIRE_LICENSE.path);
            Talking::start("swap_calls.py", &[&url, &account.name, &account.password, &file, &action, &ca])
        })
        .collect();
    for caller in &mut callers {
        assert_eq!(at(&caller.line(), "/seen"), first);
    }
    let address = cluster.node("node-1").https.trim_start_matches("https://").to_owned();
    let (host, port) = address.split_once(':').expect("an address with a port");
    let mut returning = ["TLSv1_3", "TLSv1_2"]
        .map(|version| Talking::start("resumed.py", &[host, port, SERVICE, &ca, version, "20"]));
    for client in &mut returning {
        let said = client.line();
        assert!(at(&said, "/resumed").as_u64() >= Some(16), "at least four of five come back: {said}");
    }
    let second = folder.issue("second", &[SERVICE, "localhost"]);
    let arguments = [folder.text("second.pem"), folder.text("second.key"), folder.text("ca.pem")];
    let [pem, key, chain] = &arguments;
    import(cluster, &[pem, "--key", key, "--chain", chain]).check_code(0);
    for caller in &mut callers {
        assert_eq!(at(&caller.line(), "/seen"), second);
    }
    // A ticket of the old one lets nobody claim the new one.
    for client in &mut returning {
        client.go_on();
        let said = client.line();
        assert_eq!(
            (at(&said, "/resumed"), at(&said, "/seen")),
            (false.into(), second.clone().into()),
            "{said}"
        );
    }
    for caller in &mut callers {
        caller.end();
        let report = caller.line();
        assert_eq!(at(&report, "/failures"), serde_json::json!([]), "{report}");
        assert!(
            at(&report, "/kept").as_u64() >= Some(2) && at(&report, "/new").as_u64() >= Some(2),
            "{report}"
        );
        assert_eq!(at(&report, "/certificates"), serde_json::json!([first, second]));
    }
    second
}

/// A node that joins later has it, too.
#[track_caller]
fn check_newcomer(cluster: &TestCluster, folder: &Folder, fingerprint: &str) {
    let mut host = Host::new(cluster, "late");
    host.join(&cluster.any_node(), &token(cluster, &[])).check_code(0);
    host.start();
    await_shown(std::slice::from_ref(&host.node), folder, fingerprint);
}

/// Neither the key nor the password lies on a disk or in a log.
#[track_caller]
fn check_secrets_are_nowhere(cluster: &TestCluster, folder: &Folder) {
    let key = fs::read_to_string(folder.path("second.key")).expect("it was written");
    let line = key.lines().nth(1).expect("base64").as_bytes();
    let (_, der) = base64_lines(&key);
    // The octets of an ECDSA key in PKCS #8.
    let begins = der.windows(2).position(|it| it == [0x04, 0x20]).expect("a P-256 key") + 2;
    let secret = der.get(begins..begins + 32).expect("32 bytes");
    let mut files = vec![cluster.dir().to_path_buf()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap_or_default();
        for secret in [line, secret, b"Passw0rd.1"] {
            assert!(!bytes.windows(secret.len()).any(|it| it == secret), "{}", path.display());
        }
    }
}

fn base64_lines(pem: &str) -> (usize, Vec<u8>) {
    use base64::Engine as _;
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    (text.len(), base64::engine::general_purpose::STANDARD.decode(text).expect("PEM"))
}

#[test]
fn a_file_that_changes_is_shown_and_a_broken_one_is_not() {
    let cluster = TestCluster::start(1);
    let (folder, node) = (Folder::new(), cluster.any_node());
    let place = node.config.parent().expect("a folder").to_path_buf();
    // Half of what is to come.
    fs::write(place.join("front.pem"), "-----BEGIN CERTIFICATE-----\n")
        .expect("the lab's folder can be written");
    let event = await_event(&node, 4115, |_| true);
    assert!(!field(&event, "reason").is_empty() && !field(&event, "remedy").is_empty(), "{event}");
    let fingerprint = folder.issue("next", &["other.test", SERVICE]);
    fs::copy(folder.path("next.key"), place.join("front.key")).expect("the lab's folder can be written");
    fs::copy(folder.path("next.pem"), place.join("front.pem")).expect("the lab's folder can be written");
    await_shown(std::slice::from_ref(&node), &folder, &fingerprint);
    await_event(&node, 4110, |event| field(event, "reason").contains("front.pem"));
    // The leaf alone: whoever does not have its authority cannot check it.
    let event = await_event(&node, 4113, |_| true);
    assert!(field(&event, "reason").contains("the certificate of CN=contoso CA is missing"), "{event}");
    assert_eq!(events(&node, 4113).len(), 1);
}
