//! A lab of real node processes: `rmsc dev`, started for a test and stopped after it.

use super::http::{self, Answer, Request, Session};
use super::lab::{Account, Lab, Node};
use super::program::{Ran, rmsc, run};
use super::shared::Shared;
use super::turn::Turn;
use super::{processes, wait};
use rustix::process::Signal;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A lab without traffic of its own.
pub struct TestCluster {
    process: Child,
    dir: NewDir,
    names: Vec<String>,
    started_in: Duration,
    _turn: Turn,
}

/// What the simulated service has seen.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Counts {
    pub total: u64,
    pub by_node: BTreeMap<String, u64>,
    pub by_role: BTreeMap<String, u64>,
    pub by_caller: BTreeMap<String, u64>,
    pub without_id: u64,
    pub duplicates: BTreeMap<String, u32>,
    pub duplicate_requests: u64,
}

/// What it knows of one request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Arrived {
    pub times: u32,
    pub sha256: Option<String>,
    pub content_type: Option<String>,
    pub soap_action: Option<String>,
}

static SHARED: Shared<TestCluster> = Shared::new();

impl TestCluster {
    /// A lab of this test's own, beside other tests.
    #[track_caller]
    pub fn start(nodes: usize) -> Self {
        Self::begin(nodes, &[], Turn::beside_others())
    }

    /// One whose hosts' clocks are off by so many seconds.
    #[track_caller]
    pub fn with_clock_off_by(nodes: usize, seconds: i64) -> Self {
        let mut program = rmsc();
        program
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME", format!("{seconds:+}"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self::begin_with(program, nodes, &[], Turn::beside_others())
    }

    /// One whose hosts' clock is set while it runs.
    #[track_caller]
    pub fn with_clock(nodes: usize) -> (Self, Clock) {
        let clock = Clock(NewDir::made());
        clock.set(time::Duration::ZERO);
        let mut program = rmsc();
        program
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", clock.file())
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        (Self::begin_with(program, nodes, &[], Turn::beside_others()), clock)
    }

    /// One whose nodes' certificates live for a short time, with no other test at the same time.
    #[track_caller]
    pub fn with_certificate_life(nodes: usize, life: &str) -> Self {
        Self::begin(nodes, &["--certificate-life", life], Turn::alone())
    }

    /// A lab of this test's own, with no other test at the same time.
    #[track_caller]
    pub fn alone(nodes: usize) -> Self {
        Self::begin(nodes, &[], Turn::alone())
    }

    /// A lab of three nodes that tests share which leave nodes, table and counts alone. It stops when the
    /// last of them ends.
    pub fn shared() -> Arc<Self> {
        let turn = Turn::beside_others();
        SHARED.get_or_make(|| Self::begin(3, &[], turn))
    }

    #[track_caller]
    fn begin(nodes: usize, more: &[&str], turn: Turn) -> Self {
        Self::begin_with(rmsc(), nodes, more, turn)
    }

    #[track_caller]
    fn begin_with(mut program: Command, nodes: usize, more: &[&str], turn: Turn) -> Self {
        let dir = NewDir::new();
        let said = dir.path().with_extension("out");
        let begun = Instant::now();
        let output = fs::File::create(&said).expect("the temporary folder can be written");
        let mut process = program
            // Should this process be killed, the lab ends by itself.
            .args(["dev", "--no-traffic", "--for", "15m", "--nodes", &nodes.to_string()])
            .args(more)
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .expect("the program was built with the tests");
        wait::until("the lab is ready", START_TIMEOUT, || {
            let ended = process.try_wait().expect("a child can be asked");
            let said = || fs::read_to_string(&said).unwrap_or_default();
            assert!(ended.is_none(), "the lab ended: {ended:?}: {}", said());
            // The socket is there when everything else is.
            dir.path().join("lab.sock").exists().then_some(())
        });
        let names = (1..=nodes).map(|number| format!("node-{number}")).collect();
        TestCluster { process, dir, names, started_in: begun.elapsed(), _turn: turn }
    }

    /// How long the start took.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything that the lab says about itself now.
    pub fn lab(&self) -> Lab {
        let text = fs::read_to_string(self.dir().join("lab.json")).expect("a lab writes lab.json");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("lab.json: {error}: {text}"))
    }

    pub fn nodes(&self) -> Vec<Node> {
        self.lab().nodes
    }

    #[track_caller]
    pub fn node(&self, name: &str) -> Node {
        self.nodes().into_iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// The first node, where it does not matter which.
    pub fn any_node(&self) -> Node {
        self.node("node-1")
    }

    /// The processes of all nodes.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes().iter().filter_map(|node| node.pid).collect()
    }

    /// An account by its short name.
    #[track_caller]
    pub fn account(&self, name: &str) -> Account {
        let full = format!("LAB\\{name}");
        let found = self.lab().accounts.into_iter().find(|account| account.name == full);
        found.unwrap_or_else(|| panic!("no account {full}"))
    }

    /// May call every operation.
    pub fn exchange(&self) -> Account {
        self.account("EXCH01$")
    }

    /// Is not authorized.
    pub fn mallory(&self) -> Account {
        self.account("mallory")
    }

    /// Our own program as this lab's administrator.
    pub fn administrator(&self) -> Command {
        let mut command = rmsc();
        command.arg("--context").arg(self.dir().join("context.toml"));
        command
    }

    #[track_caller]
    pub fn rmsc(&self, arguments: &[&str]) -> Ran {
        run(self.administrator().args(arguments))
    }

    /// One request as an account, on a connection of its own.
    #[track_caller]
    pub fn call(&self, node: &Node, account: &Account, request: &Request) -> Answer {
        Session::open(node.front(), account)
            .and_then(|mut session| session.call(request))
            .unwrap_or_else(|error| panic!("no answer through {}: {error}", node.name))
    }

    /// What the ops port of a node says.
    #[track_caller]
    pub fn monitor(&self, node: &Node, path: &str) -> Answer {
        http::exchange(node.monitor(), &Request::get(path))
    }

    pub fn counts(&self) -> Counts {
        let answer =
            http::exchange(super::lab::address(&self.lab().simulator), &Request::get("/simulator/requests"));
        serde_json::from_slice(&answer.body).expect("the simulated service counts in JSON")
    }

    /// What the simulated service knows of the request that got this answer.
    #[track_caller]
    pub fn arrived(&self, answer: &Answer) -> Arrived {
        let id = answer.header("x-rmsc-request-id").expect("every answer has it");
        let request = Request::get(&format!("/simulator/requests/{id}"));
        let answer = http::exchange(super::lab::address(&self.lab().simulator), &request);
        serde_json::from_slice(&answer.body).expect("the simulated service tells in JSON")
    }

    pub fn reset_counts(&self) {
        let request = Request::post("/simulator/reset", "");
        http::exchange(super::lab::address(&self.lab().simulator), &request).check(200, &[]);
    }

    /// Ends a node without notice.
    #[track_caller]
    pub fn kill(&self, name: &str) {
        let pid = self.node(name).running_pid();
        processes::signal(pid, Signal::KILL);
        processes::check_gone(&[pid], wait::PATIENCE);
    }

    #[track_caller]
    pub fn signal(&self, name: &str, signal: Signal) {
        processes::signal(self.node(name).running_pid(), signal);
    }

    /// Ends a node, changes its file, and starts it again.
    #[track_caller]
    pub fn reconfigure(&self, name: &str, from: &str, to: &str) {
        self.kill(name);
        self.edit(name, from, to);
        self.restart(name);
    }

    /// Changes a node's file.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let config = self.node(name).config;
        let text = fs::read_to_string(&config).expect("a node of the lab has a file");
        let changed = text.replace(from, to);
        assert_ne!(text, changed, "there is no {from:?}");
        fs::write(&config, changed).expect("the lab's folder can be written");
    }

    /// Starts a node again that has ended.
    #[track_caller]
    pub fn restart(&self, name: &str) {
        run(rmsc().args(["dev", "restart", name, "--dir"]).arg(self.dir())).check_code(0);
    }

    /// Waits until every front has every node in rotation.
    #[track_caller]
    pub fn await_rotation(&self) {
        self.await_rotation_of(&self.names.clone(), &self.names.clone());
    }

    /// Waits until the fronts of these nodes have exactly those in rotation.
    #[track_caller]
    pub fn await_rotation_of(&self, fronts: &[String], ready: &[String]) {
        for front in fronts {
            let monitor = self.node(front).monitor();
            wait::until_true(&format!("{front} has {ready:?} in rotation"), wait::PATIENCE, || {
                http::try_exchange(monitor, &Request::get("/readyz"))
                    .is_ok_and(|answer| answer.field("rotation") == serde_json::json!(ready))
            });
        }
    }

    /// The names of all nodes but these.
    pub fn others(&self, than: &[&str]) -> Vec<String> {
        self.names.iter().filter(|name| !than.contains(&name.as_str())).cloned().collect()
    }

    /// The name of the leader that a node knows.
    #[track_caller]
    pub fn leader(&self) -> String {
        wait::until("a leader is known", wait::PATIENCE, || {
            self.nodes().iter().find_map(|node| {
                let answer = http::try_exchange(node.monitor(), &Request::get("/clusterz")).ok()?;
                answer.field("leader").as_str().map(str::to_owned)
            })
        })
    }

    /// Checks that no node has had a defect.
    #[track_caller]
    pub fn check_no_panic(&self) {
        for node in self.nodes() {
            let text = fs::read_to_string(&node.log).unwrap_or_default();
            let line = text.lines().find(|line| line.contains("panicked"));
            assert!(line.is_none(), "{}: {line:?}", node.name);
        }
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        let nodes = self.nodes();
        // A node that a test has frozen could not end.
        for pid in nodes.iter().filter_map(|node| node.pid).filter(|pid| processes::is_alive(*pid)) {
            processes::signal(pid, Signal::CONT);
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            processes::signal(self.process.id(), Signal::TERM);
            wait::happens(STOP_TIMEOUT, || !matches!(self.process.try_wait(), Ok(None)));
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        // What must have ended by now may be an id of another program, so it is only asked.
        if std::thread::panicking() {
            return;
        }
        let pids: Vec<u32> = nodes.iter().filter_map(|node| node.pid).collect();
        processes::check_gone(&pids, wait::PATIENCE);
        self.check_no_panic();
        let _ = fs::remove_file(self.dir.path().with_extension("out"));
    }
}

/// The clock of a lab's hosts.
pub struct Clock(NewDir);

impl Clock {
    /// It is so far ahead from now on.
    #[track_caller]
    pub fn set(&self, ahead: time::Duration) {
        let unfinished = self.0.path().join("clock.new");
        let text = format!("{:+}\n", ahead.whole_seconds());
        fs::write(&unfinished, text).expect("the temporary folder can be written");
        fs::rename(unfinished, self.file()).expect("the temporary folder can be written");
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("clock")
    }
}

/// The library that gives a process another time.
#[track_caller]
pub fn faketime() -> &'static Path {
    let library = FAKETIME.iter().map(Path::new).find(|library| library.exists());
    library.unwrap_or_else(|| {
        panic!("libfaketime is missing: run tests/run, or: apt-get install -y libfaketime")
    })
}

/// A folder that does not exist yet, and goes away with this value unless its test failed. Not below the
/// source: a socket's path has 108 bytes at most.
#[derive(Debug)]
pub struct NewDir(PathBuf);

impl NewDir {
    pub fn new() -> Self {
        NewDir(std::env::temp_dir().join(format!("rmsc-test-{:016x}", rand::random::<u64>())))
    }

    /// One that exists, and is empty.
    pub fn made() -> Self {
        let dir = NewDir::new();
        fs::create_dir(dir.path()).expect("the temporary folder can be written");
        dir
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Where Debian has it, for the two architectures.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
