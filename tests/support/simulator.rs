//! The simulated service as a process of its own, which a test can end, freeze, or let go wrong.

use super::cluster::{NewDir, TestCluster};
use super::http::{self, Answer, Request};
use super::lab::address;
use super::program::{rmsc, started};
use super::{processes, wait};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};

/// It runs until it is dropped.
pub struct Simulator {
    process: Child,
    url: String,
    control: String,
    folder: Option<NewDir>,
}

impl Simulator {
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0", &[], None)
    }

    /// One with TLS, and an authority of its own.
    pub fn with_tls() -> Self {
        Self::listen("127.0.0.1:0", &[], Some(NewDir::made()))
    }

    /// One with these arguments more.
    pub fn with(arguments: &[&str]) -> Self {
        Self::listen("127.0.0.1:0", arguments, None)
    }

    /// Another one at the same address, after this one has ended.
    pub fn again(&self) -> Self {
        Self::listen(self.url.trim_start_matches("http://"), &[], None)
    }

    fn listen(address: &str, arguments: &[&str], folder: Option<NewDir>) -> Self {
        let mut command = rmsc();
        command.args(["simulate", "cloud", "--listen", address, "--control", "127.0.0.1:0"]).args(arguments);
        if let Some(folder) = &folder {
            command.arg("--tls").arg(folder.path());
        }
        let mut simulator = Self::by(&mut command);
        simulator.folder = folder;
        simulator
    }

    /// One that this command starts, which says where it listens and where its control is.
    pub fn by(command: &mut Command) -> Self {
        let (process, [control, url]) = started(command);
        Simulator { process, url, control, folder: None }
    }

    /// Makes a node send its requests here: its file is changed and it is started again.
    #[track_caller]
    pub fn serve(&self, cluster: &TestCluster, name: &str) {
        let authority =
            self.folder.is_some().then(|| format!("\"\nauthority = \"{}", self.authority().display()));
        self.serve_by(cluster, name, &format!("{}{}", self.url, authority.unwrap_or_default()));
    }

    /// The same, with these words in the place of the URL in its file.
    #[track_caller]
    pub fn serve_by(&self, cluster: &TestCluster, name: &str, url: &str) {
        let node = cluster.node(name);
        let text = fs::read_to_string(&node.config).expect("a node of the lab has a file");
        let changed = text.replace(&cluster.lab().simulator, url);
        assert_ne!(text, changed);
        fs::write(&node.config, changed).expect("the lab's folder can be written");
        cluster.kill(name);
        cluster.restart(name);
        cluster.await_rotation();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.url.rsplit('/').next().and_then(|it| it.parse().ok()).expect("it says its address in numbers")
    }

    /// The certificate to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.as_ref().expect("it was started with TLS").path().join("authority.pem")
    }

    /// Asks its control, which is there whatever goes wrong.
    #[track_caller]
    pub fn control(&self, method: &'static str, path: &str, body: &str) -> Answer {
        http::exchange(address(&self.control), &Request::post(path, body).method(method))
    }

    /// Switches on this fault, one a line, and no other.
    #[track_caller]
    pub fn fail(&self, faults: &str) {
        self.control("PUT", "/simulator/faults", faults).check(200, &[]);
    }

    /// What it has counted.
    #[track_caller]
    pub fn counts(&self) -> Value {
        self.control("GET", "/simulator/requests", "").json()
    }

    /// How often a fault has acted.
    #[track_caller]
    pub fn faulted(&self, name: &str) -> u64 {
        self.counts().pointer(&format!("/by_fault/{name}")).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Ends it without notice.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        processes::check_gone(&[self.pid()], wait::PATIENCE);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
