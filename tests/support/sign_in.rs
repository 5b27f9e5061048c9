//! The simulated sign-in service as a process of its own, before a lab's simulated service.

use super::cluster::TestCluster;
use super::http::{self, Request};
use super::program::{Ran, rmsc};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// It runs until it is dropped.
pub struct SignIn {
    process: Child,
    url: String,
}

impl SignIn {
    /// One whose tokens live so long.
    #[track_caller]
    pub fn start(cluster: &TestCluster, token_life: &str) -> Self {
        let mut process = rmsc()
            .args(["simulate", "sign-in", "--listen", "127.0.0.1:0", "--token-life", token_life, "--service"])
            .arg(cluster.lab().simulator)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built with the tests");
        let mut line = String::new();
        let stderr = process.stderr.take().expect("it was asked for");
        BufReader::new(stderr).read_line(&mut line).expect("it says where it is");
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://"), "{line}");
        SignIn { process, url }
    }

    /// Makes all nodes of a cluster sign in here.
    #[track_caller]
    pub fn serve(&self, cluster: &TestCluster) {
        self.serve_at(cluster, &self.url, "[\"127.0.0.1\"]");
    }

    /// The same, and the sign-in has another name than the service.
    #[track_caller]
    pub fn serve_by_name(&self, cluster: &TestCluster) {
        self.serve_at(cluster, &self.url.replace("127.0.0.1", "localhost"), "[\"127.0.0.1\", \"localhost\"]");
    }

    #[track_caller]
    fn serve_at(&self, cluster: &TestCluster, sign_in: &str, hosts: &str) {
        let before = format!("kind = \"simulated\"\nurl = \"{}\"\n", cluster.lab().simulator);
        let after = format!(
            "kind = \"oauth\"\nurl = {0:?}\nhosts = {hosts}\n\n[upstream.oauth]\nenvironment = \"AzureCloud\"\n\
             sign_in = {sign_in:?}\ntenant = \"contoso.com\"\nclient_id = \"connector\"\npath_prefix = \"/_wmcs/oauth2\"\n\
             entry_header = \"x-entry\"\n",
            self.url
        );
        for node in cluster.nodes() {
            cluster.reconfigure(&node.name, &before, &after);
        }
        cluster.await_rotation();
    }

    /// An order, and what was counted.
    #[track_caller]
    pub fn order(&self, order: &str) -> Value {
        let request = Request::post(&format!("/simulator/{order}"), "");
        http::exchange(super::lab::address(&self.url), &request).json()
    }

    /// What was counted.
    #[track_caller]
    pub fn counted(&self) -> Value {
        http::exchange(super::lab::address(&self.url), &Request::get("/simulator/sign-in")).json()
    }

    /// How many tokens were granted.
    #[track_caller]
    pub fn granted(&self) -> u64 {
        self.counted().get("granted").and_then(Value::as_u64).expect("a number")
    }
}

/// A file that its owner alone may read.
pub fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).expect("the temporary folder can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    file
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
