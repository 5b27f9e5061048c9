//! Certificates as files: a node's own, and those that a test issues with the cluster's own authority.

use super::cluster::NewDir;
use super::lab::Node;
use super::program::{Ran, run};
use rmsc::enrolment::{self, Identity};
use rmsc::seal;
use rmsc::secret::Secret;
use rmsc::tls::{Authority, Member, MemberKind};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::{Duration, OffsetDateTime};

/// A certificate and its key in a folder of their own.
pub struct Issued(NewDir);

impl Issued {
    /// The node's own, out of its sealed identity.
    pub fn of_node(node: &Node) -> Self {
        let identity = identity(node);
        Issued::write(&identity.certificate, &pem(identity.node_key.expose()))
    }

    /// A new one of an authority.
    pub fn by(authority: &Authority, member: &Member, from: OffsetDateTime, life: Duration) -> Self {
        let issued = authority.issue_member(member, from, life).expect("the name is a good one");
        Issued::write(&issued.certificate_pem, issued.key_pem.expose())
    }

    /// One for a program that has nothing to do with us.
    pub fn foreign() -> Self {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::new("somebody else", now).expect("the name is a good one");
        let issued = authority.issue_server(&["a.example".into()], now).expect("the name is a good one");
        Issued::write(&issued.certificate_pem, issued.key_pem.expose())
    }

    /// What a request as this one gets.
    #[track_caller]
    pub fn call(&self, port: SocketAddr, method: &str) -> Result<u16, Ran> {
        call(port, method, Some((&self.certificate(), &self.key())))
    }

    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn write(certificate: &str, key: &str) -> Self {
        let issued = Issued(NewDir::made());
        write(&issued.certificate(), certificate);
        write(&issued.key(), key);
        issued
    }
}

/// A node's identity, opened with its host's key.
pub fn identity(node: &Node) -> Identity {
    let key = seal_key(node);
    enrolment::load(&node.data_dir, &key).expect("the node was let in")
}

/// The own key of a lab's node.
pub fn seal_key(node: &Node) -> seal::Key {
    let key_file = node.data_dir.with_file_name("seal.key");
    seal::find(&seal::Config { kind: seal::Kind::File, key_file }).expect("the lab makes one for each").key
}

pub fn node(cluster: &str, node_id: u64) -> Member {
    Member { cluster: cluster.into(), kind: MemberKind::Node(node_id) }
}

pub fn administrator(cluster: &str) -> Member {
    Member { cluster: cluster.into(), kind: MemberKind::Admin("alice".into()) }
}

/// Calls a method over HTTP/2 as whoever the certificate says; gives the HTTP status, if there is an answer.
/// The server's own certificate is not the subject here.
#[track_caller]
pub fn call(port: SocketAddr, method: &str, certificate: Option<(&Path, &Path)>) -> Result<u16, Ran> {
    let frame = NewDir::made();
    let empty_message = frame.path().join("frame");
    fs::write(&empty_message, [0; 5]).expect("the temporary folder can be written");
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--insecure",
            "--http2",
            "--max-time",
            "10",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{http_code}", "--header", "content-type: application/grpc"])
        .args(["--header", "te: trailers", "--data-binary"])
        .arg(format!("@{}", empty_message.display()))
        .arg(format!("https://{port}/{method}"));
    if let Some((certificate, key)) = certificate {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    let ran = run(&mut command);
    match (ran.code, ran.stdout.parse()) {
        (Some(0), Ok(status)) => Ok(status),
        _ => Err(ran),
    }
}

fn pem(key: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(key);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// The other way.
pub fn key_of(pem: &str) -> Secret<Vec<u8>> {
    use base64::Engine as _;
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Secret::new(base64::engine::general_purpose::STANDARD.decode(text).expect("base64"))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the temporary folder can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it was just made");
}
