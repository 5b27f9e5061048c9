//! The simulated service as a process of its own, which a test can end or freeze.

use super::cluster::TestCluster;
use super::program::rmsc;
use super::{processes, wait};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// It runs until it is dropped.
pub struct Simulator {
    process: Child,
    url: String,
}

impl Simulator {
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0")
    }

    /// Another one at the same address, after this one has ended.
    pub fn again(&self) -> Self {
        Self::listen(self.url.trim_start_matches("http://"))
    }

    fn listen(address: &str) -> Self {
        let mut process = rmsc()
            .args(["simulate", "cloud", "--listen", address])
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
        Simulator { process, url }
    }

    /// Makes a node send its requests here: its file is changed and it is started again.
    #[track_caller]
    pub fn serve(&self, cluster: &TestCluster, name: &str) {
        let node = cluster.node(name);
        let text = fs::read_to_string(&node.config).expect("a node of the lab has a file");
        let changed = text.replace(&cluster.lab().simulator, &self.url);
        assert_ne!(text, changed);
        fs::write(&node.config, changed).expect("the lab's folder can be written");
        cluster.kill(name);
        cluster.restart(name);
        cluster.await_rotation();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
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
