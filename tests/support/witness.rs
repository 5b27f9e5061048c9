//! A witness beside a lab: joined with a token and run as an administrator would.

use super::cluster::TestCluster;
use super::program::{Ran, rmsc, run};
use super::{processes, wait};
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A witness's process, which ends with this value.
pub struct Witness {
    process: Child,
    config: PathBuf,
    ops: SocketAddr,
}

impl Witness {
    /// Joins a lab, and waits until it votes.
    #[track_caller]
    pub fn join(cluster: &TestCluster, name: &str) -> Self {
        let folder = cluster.dir().join(name);
        fs::create_dir(&folder).expect("the lab's folder can be written");
        let [peer, admin, ops] = ports();
        let config = folder.join("rmsc.toml");
        fs::write(&config, file(&folder, name, [peer, admin, ops])).expect("the folder can be written");
        let token = cluster.rmsc(&["token", "create", "--witness", "-o", "json"]);
        let token = token.check_code(0).field("token").as_str().expect("a token is a text").to_owned();
        let address = cluster.any_node().peer.to_string();
        run(rmsc().args(["join", &address, "--token", &token, "--config"]).arg(&config)).check_code(0);
        let process = start(&config, &folder);
        let witness = Witness { process, config, ops };
        wait::until_true(&format!("{name} votes"), wait::PATIENCE, || {
            let shown = cluster.rmsc(&["cluster", "show", "-o", "json"]);
            shown.code == Some(0)
                && shown.field("voters").as_array().is_some_and(|voters| voters.contains(&name.into()))
        });
        witness
    }

    /// Where it is monitored.
    pub fn monitor(&self) -> SocketAddr {
        self.ops
    }

    /// Runs another command with its file, to its end.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Ran {
        run(rmsc().args(command).arg("--config").arg(&self.config))
    }

    /// Ends it without notice.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            processes::signal(self.process.id(), Signal::TERM);
            wait::happens(wait::PATIENCE, || !matches!(self.process.try_wait(), Ok(None)));
            self.kill();
        }
    }
}

fn start(config: &Path, folder: &Path) -> Child {
    let log = fs::File::create(folder.join("node.log")).expect("the folder can be written");
    let mut command: Command = rmsc();
    command.arg("witness").arg("--config").arg(config).arg("--stop-with-stdin");
    let process = command
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn();
    process.expect("the program was built with the tests")
}

fn file(folder: &Path, name: &str, [peer, admin, ops]: [SocketAddr; 3]) -> String {
    let text = |path: &str| format!("{:?}", folder.join(path).display().to_string());
    format!(
        "[node]\nname = \"{name}\"\ndata_dir = {}\n[listen]\npeer = \"{peer}\"\nadmin = \"{admin}\"\nops = \"{ops}\"\n\
         [cluster]\nservice_name = \"rmsconnector.lab.test\"\n[secrets]\nseal = \"file\"\nkey_file = {}\n\
         [drain]\ndeadline = \"5s\"\n[log]\ntarget = \"stdout-json\"\n",
        text("data"),
        text("seal.key"),
    )
}

/// All are held until the last one is found.
fn ports() -> [SocketAddr; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("there are free ports"));
    held.map(|listener| listener.local_addr().expect("a listener has an address"))
}
