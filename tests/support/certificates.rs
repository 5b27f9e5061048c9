//! Certificates as files: a node's own, and those that a test issues with the cluster's own authority.

use super::cluster::NewDir;
use super::lab::Node;
use rmsc::enrolment::{self, Identity};
use rmsc::seal;
use rmsc::tls::{Authority, Member, MemberKind};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

fn pem(key: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(key);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64")).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the temporary folder can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it was just made");
}
