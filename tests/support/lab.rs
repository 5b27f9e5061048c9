//! What `lab.json` says.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A lab.
#[derive(Clone, Debug, Deserialize)]
pub struct Lab {
    pub nodes: Vec<Node>,
    pub accounts: Vec<Account>,
    pub simulator: String,
    pub ca: PathBuf,
    pub service_name: String,
}

/// A node of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    pub name: String,
    pub pid: Option<u32>,
    pub http: String,
    pub https: String,
    pub admin: SocketAddr,
    pub ops: String,
    pub peer: SocketAddr,
    pub data_dir: PathBuf,
    pub config: PathBuf,
    pub log: PathBuf,
}

/// An account of its directory.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    pub name: String,
    pub password: String,
}

impl Account {
    /// As curl takes it.
    pub fn with_password(&self) -> String {
        format!("{}:{}", self.name, self.password)
    }

    /// Domain and short name.
    pub fn parts(&self) -> (&str, &str) {
        self.name.split_once('\\').expect("the lab writes DOMAIN\\name")
    }
}

impl Node {
    /// Where it takes HTTP.
    pub fn front(&self) -> SocketAddr {
        address(&self.http)
    }

    /// Where it is monitored.
    pub fn monitor(&self) -> SocketAddr {
        address(&self.ops)
    }

    /// The HTTPS address by the name that its certificate has.
    pub fn https_localhost(&self) -> String {
        self.https.replace("127.0.0.1", "localhost")
    }

    /// Its process, which must run.
    pub fn running_pid(&self) -> u32 {
        self.pid.unwrap_or_else(|| panic!("{} does not run", self.name))
    }
}

/// The address in a URL without a path.
pub fn address(url: &str) -> SocketAddr {
    let (_, address) = url.split_once("://").expect("a URL has a scheme");
    address.parse().expect("the lab writes addresses as numbers")
}
