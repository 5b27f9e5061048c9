//! A host of its own: a node file, and the commands that make it a node.

use super::certificates;
use super::cluster::{NewDir, TestCluster};
use super::lab::Node;
use super::program::{Ran, rmsc, run};
use super::{processes, wait};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A host beside those of a lab, with a node file like theirs.
pub struct Host {
    dir: NewDir,
    pub node: Node,
    process: Option<Child>,
}

impl Host {
    /// A host that would join this lab.
    pub fn new(cluster: &TestCluster, name: &str) -> Self {
        let dir = NewDir::made();
        let like = cluster.any_node();
        let [http, https, peer, admin, ops] = ports();
        let text = fs::read_to_string(&like.config).expect("a node of the lab has a file");
        let (folder, own) = (like.config.parent().expect("a folder"), dir.path());
        let swaps = [
            (format!("name = \"{}\"", like.name), format!("name = \"{name}\"")),
            (like.http.replace("http://", ""), http.to_string()),
            (like.https.replace("https://", ""), https.to_string()),
            (like.peer.to_string(), peer.to_string()),
            (like.admin.to_string(), admin.to_string()),
            (like.monitor().to_string(), ops.to_string()),
            (folder.join("data").display().to_string(), own.join("data").display().to_string()),
            (folder.join("seal.key").display().to_string(), own.join("seal.key").display().to_string()),
        ];
        let text = swaps.iter().fold(text, |text, (from, to)| text.replace(from, to));
        let config = own.join("rmsc.toml");
        fs::write(&config, text).expect("the temporary folder can be written");
        let node = Node {
            name: name.into(),
            pid: None,
            http: format!("http://{http}"),
            https: format!("https://{https}"),
            admin,
            ops: format!("http://{ops}"),
            peer,
            data_dir: own.join("data"),
            config,
            log: own.join("node.log"),
        };
        Host { dir, node, process: None }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Changes the node file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.node.config).expect("it was written");
        let changed = text.replace(from, to);
        assert_ne!(text, changed);
        fs::write(&self.node.config, changed).expect("the temporary folder can be written");
    }

    /// One of our commands with this host's node file.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rmsc();
        command.args(arguments).arg("--config").arg(&self.node.config);
        command
    }

    pub fn rmsc(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// `rmsc join` through a node of the lab.
    pub fn join(&self, through: &Node, token: &str) -> Ran {
        self.rmsc(&["join", &through.peer.to_string(), "--token", token])
    }

    /// Starts its server.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(&self.node.log);
        let log = log.expect("the temporary folder can be written");
        let process = self
            .command(&["server", "--stop-with-stdin"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the program was built with the tests");
        self.node.pid = Some(process.id());
        self.process = Some(process);
    }

    /// Waits until its server has ended, and gives its exit code.
    #[track_caller]
    pub fn await_end(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it was started");
        let status = wait::until("the server ends", wait::PATIENCE, || {
            process.try_wait().expect("a child can be asked")
        });
        self.node.pid = None;
        status.code()
    }

    /// Ends its server without notice.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
            processes::check_gone(&[process.id()], wait::PATIENCE);
        }
        self.node.pid = None;
    }

    /// Who it is, for everybody to read.
    pub fn node_id(&self) -> u64 {
        rmsc::enrolment::card(&self.node.data_dir)
            .expect("an identity can be read")
            .expect("the host is a node")
            .node_id
    }

    /// The files of its certificate.
    pub fn certificate(&self) -> certificates::Issued {
        certificates::Issued::of_node(&self.node)
    }

    pub fn identity_file(&self) -> PathBuf {
        self.node.data_dir.join("identity")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A token of the lab's administrator.
#[track_caller]
pub fn token(cluster: &TestCluster, more: &[&str]) -> String {
    let ran = cluster.rmsc(&[&["token", "create", "-o", "json"], more].concat());
    ran.check_code(0);
    ran.field("token").as_str().expect("a text").to_owned()
}

/// Five ports that nobody has, below those that outgoing connections get.
fn ports() -> [SocketAddr; 5] {
    let held = [(); 5].map(|()| {
        let mut tries =
            std::iter::repeat_with(|| TcpListener::bind(("127.0.0.1", rand::random_range(PORTS))));
        tries.find_map(Result::ok).expect("it goes on for ever")
    });
    held.map(|listener| listener.local_addr().expect("it is bound"))
}

/// Labs have those above.
const PORTS: std::ops::Range<u16> = 12_000..20_000;
