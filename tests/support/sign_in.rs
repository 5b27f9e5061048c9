//! The simulated sign-in service as a process of its own, before a lab's simulated service.

use super::cluster::{NewDir, TestCluster};
use super::http::{self, Request};
use super::program::{Ran, rmsc, started};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Child;

/// It runs until it is dropped.
pub struct SignIn {
    process: Child,
    url: String,
    control: String,
    folder: Option<NewDir>,
}

impl SignIn {
    /// One whose tokens live so long.
    #[track_caller]
    pub fn start(cluster: &TestCluster, token_life: &str) -> Self {
        Self::with(cluster, &["--token-life", token_life, "--path-prefix", PREFIX], None)
    }

    /// One with TLS, an authority of its own, and these arguments.
    #[track_caller]
    pub fn with_tls(cluster: &TestCluster, arguments: &[&str]) -> Self {
        Self::with(cluster, arguments, Some(NewDir::made()))
    }

    #[track_caller]
    fn with(cluster: &TestCluster, arguments: &[&str], folder: Option<NewDir>) -> Self {
        let mut command = rmsc();
        command
            .args(["simulate", "sign-in", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(["--service", &cluster.lab().simulator])
            .args(arguments);
        if let Some(folder) = &folder {
            command.arg("--tls").arg(folder.path());
        }
        let (process, [control, url]) = started(&mut command);
        SignIn { process, url, control, folder }
    }

    /// Makes all nodes of a cluster sign in here.
    #[track_caller]
    pub fn serve(&self, cluster: &TestCluster) {
        self.serve_by(cluster, "", &usual(&self.url));
    }

    /// The same, and the sign-in has another name than the service.
    #[track_caller]
    pub fn serve_by_name(&self, cluster: &TestCluster) {
        let sign_in = self.url.replace("127.0.0.1", "localhost");
        self.serve_hosts(cluster, "[\"127.0.0.1\", \"localhost\"]", "", &usual(&sign_in));
    }

    /// Makes all nodes sign in here, with these lines in the sections of the service and of signing in.
    #[track_caller]
    pub fn serve_by(&self, cluster: &TestCluster, upstream: &str, oauth: &str) {
        self.serve_hosts(cluster, "[\"127.0.0.1\"]", upstream, oauth);
    }

    #[track_caller]
    fn serve_hosts(&self, cluster: &TestCluster, hosts: &str, upstream: &str, oauth: &str) {
        let before = format!("kind = \"simulated\"\nurl = \"{}\"\n", cluster.lab().simulator);
        let after = format!(
            "kind = \"oauth\"\nurl = {:?}\nhosts = {hosts}\n{upstream}\n[upstream.oauth]\n\
             environment = \"AzureCloud\"\ntenant = \"contoso.com\"\nclient_id = \"connector\"\n{oauth}",
            self.url
        );
        for node in cluster.nodes() {
            cluster.reconfigure(&node.name, &before, &after);
        }
        cluster.await_rotation();
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.as_ref().expect("it was started with TLS").path().join("authority.pem")
    }

    /// An order, and what was counted.
    #[track_caller]
    pub fn order(&self, order: &str) -> Value {
        let request = Request::post(&format!("/simulator/{order}"), "");
        http::exchange(super::lab::address(&self.control), &request).json()
    }

    /// What was counted.
    #[track_caller]
    pub fn counted(&self) -> Value {
        http::exchange(super::lab::address(&self.control), &Request::get("/simulator/sign-in")).json()
    }

    /// How many tokens were granted.
    #[track_caller]
    pub fn granted(&self) -> u64 {
        self.counted().get("granted").and_then(Value::as_u64).expect("a number")
    }
}

/// Signs in with a secret.
pub fn login(cluster: &TestCluster, secret: &Path, more: &[&str]) -> Ran {
    let file = secret.to_str().expect("a path of the test is a text");
    cluster.rmsc(&[&["cloud", "login", "--client-secret-file", file], more].concat())
}

/// Which token requests carry.
#[track_caller]
pub fn token(cluster: &TestCluster) -> String {
    let tokens = cluster.rmsc(&["cloud", "tokens", "-o", "json"]).field("tokens");
    tokens.pointer("/0/id").and_then(Value::as_str).unwrap_or_else(|| panic!("no token: {tokens}")).to_owned()
}

impl Drop for SignIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where to sign in, and settings that are not those that a node has by itself.
fn usual(sign_in: &str) -> String {
    format!("sign_in = {sign_in:?}\npath_prefix = {PREFIX:?}\nentry_header = \"x-entry\"\n")
}

/// Not the one that a node has by itself.
const PREFIX: &str = "/_wmcs/oauth2";
