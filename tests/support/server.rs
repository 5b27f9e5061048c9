//! One node as a process of the test itself, beside a lab or in the place of one of its nodes.

use super::http::{self, Request};
use super::program::rmsc;
use super::{processes, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// Stopped when it is dropped.
pub struct Server {
    process: Child,
    log: PathBuf,
}

impl Server {
    #[track_caller]
    pub fn start(config: &Path, log: &Path) -> Self {
        let output = fs::File::create(log).expect("the temporary folder can be written");
        let process = rmsc()
            .args(["server", "--stop-with-stdin", "--config"])
            .arg(config)
            // Should this process be killed, the node ends by itself.
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .expect("the program was built with the tests");
        Server { process, log: log.into() }
    }

    /// Waits until it takes requests.
    #[track_caller]
    pub fn await_ready(&self, monitor: SocketAddr) {
        wait::until_true(&format!("{} is ready", self.log.display()), wait::PATIENCE, || {
            http::try_exchange(monitor, &Request::get("/readyz")).is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Waits until it has logged an event.
    #[track_caller]
    pub fn await_event(&self, number: u16) -> Value {
        wait::until(&format!("event {number} in {}", self.log.display()), wait::PATIENCE, || {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["event"] == number)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        processes::signal(self.process.id(), Signal::TERM);
        wait::happens(wait::PATIENCE, || !matches!(self.process.try_wait(), Ok(None)));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
