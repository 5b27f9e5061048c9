//! Certificates as files: a node's own, and those that a test issues with the cluster's own authority.

use super::cluster::{NewDir, TestCluster};
use super::lab::Node;
use super::program::{Ran, run};
use hyper_util::rt::TokioIo;
use prost::Message;
use rmsc::enrolment::{self, Identity};
use rmsc::proto::peer::v1 as wire;
use rmsc::proto::state::v1 as stored;
use rmsc::seal;
use rmsc::secret::Secret;
use rmsc::tls::{Authority, Files, Member, MemberKind, Membership};
use sha2::{Digest, Sha256};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::{Duration, OffsetDateTime};
use tonic::transport::Endpoint;

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

/// What a node was before its identity was changed.
pub struct Before(PathBuf, Vec<u8>);

impl Before {
    /// It is that again.
    #[track_caller]
    pub fn put_back(self) {
        fs::write(self.0, self.1).expect("the lab's folder can be written");
    }
}

/// Gives a node that is stopped another data key, as one has that was restored with another key: nothing that the
/// cluster seals opens there.
#[track_caller]
pub fn other_data_key(node: &Node) -> Before {
    let path = node.data_dir.join("identity");
    let before = fs::read(&path).expect("the node was let in");
    let mut identity = stored::Identity::decode(before.as_slice()).expect("it is one");
    let (key, context) = (seal_key(node), context(&identity));
    let opened = key.open(&context, &identity.sealed).expect("it is this host's");
    let mut secrets = stored::IdentitySecrets::decode(opened.expose().as_slice()).expect("it is one");
    secrets.data_key = seal::Key::random().bytes().expose().clone();
    identity.sealed = key.seal(&context, &secrets.encode_to_vec());
    fs::write(&path, identity.encode_to_vec()).expect("the lab's folder can be written");
    Before(path, before)
}

/// What a node's identity is sealed for.
fn context(identity: &stored::Identity) -> String {
    let mut hash = Sha256::new();
    for bytes in [identity.authority.as_bytes(), identity.certificate.as_bytes(), &identity.incarnation] {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.update([u8::from(identity.witness)]);
    let hash = enrolment::hex(&hash.finalize());
    format!("{} node {} identity {hash}", identity.cluster_id, identity.node_id)
}

/// Keeps bytes as a secret of the cluster, as a defect of a node would: it asks the leader with its own certificate.
#[track_caller]
pub fn put_secret(cluster: &TestCluster, name: &str, sealed: &[u8]) {
    let secret = stored::PutSecret { name: name.into(), sealed: Some(sealed.into()) };
    let put = stored::PutSecrets { secrets: vec![secret], expected: Vec::new() };
    let change = stored::Change { change: Some(stored::change::Change::PutSecrets(put)) };
    let digest = Sha256::digest(change.encode_to_vec()).iter().copied().take(16).collect();
    let command = stored::Command {
        client: rand::random::<[u8; 16]>().into(),
        serial: 1,
        by: "a defect".into(),
        needs: 2,
        digest,
        change: Some(change),
        ..Default::default()
    };
    let leader = cluster.node(&cluster.leader());
    let own = Issued::of_node(&leader);
    let files = Files { certificate: own.certificate(), key: own.key() };
    let member = Membership::load(&files, &cluster.dir().join("cluster-ca.pem")).expect("the lab's are good");
    let (member, address) = (member.client(), leader.peer.to_string());
    let proposed = async move {
        let connector = tower::service_fn(move |_| {
            let (member, address) = (member.clone(), address.clone());
            async move { member.connect(&address).await.map(|(stream, _)| TokioIo::new(stream)) }
        });
        let channel = Endpoint::from_static("http://peer.test").connect_with_connector(connector).await;
        let mut node = wire::node_client::NodeClient::new(channel.expect("the peer port takes a node"));
        node.propose(wire::ProposeRequest { command: command.encode_to_vec() }).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(proposed).expect("the leader takes what a member asks for");
}
