//! A cluster as an operator would set it up: a host a node, joined with tokens, an accounts file, the simulated service.

mod accounts;
mod certificates;
mod config;
mod joining;
mod program;
mod said;

pub use accounts::{ALWAYS, CHANGING, STRANGER};

use crate::faults::clock;
use crate::network::{Network, Place};
use crate::programs;
use crate::support::files;
use crate::support::http::{self, Answer, Request, Trust};
use crate::support::lab::{Account, Node};
use crate::support::processes;
use crate::support::program::{Ran, rmsc, run};
use crate::support::simulator::Simulator;
use crate::support::wait;
use crate::tickets::{self, Ticket};
use accounts::DOMAIN;
use rmsc::tls::Authority;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

pub struct Cluster {
    pub network: Network,
    pub service: Simulator,
    pub accounts: BTreeMap<String, Account>,
    /// SIDs by short name.
    pub sids: BTreeMap<String, String>,
    pub trust: Trust,
    /// Callers with tickets, if the scenario wants them.
    pub tickets: Arc<Vec<Ticket>>,
    folder: PathBuf,
    fronts: Authority,
    hosts: Vec<Host>,
    /// How many certificates were imported.
    imported: usize,
    settings: Settings,
}

/// What scenarios may want otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    pub nodes: usize,
    pub certificate_life: Duration,
    pub certificates: Certificates,
    pub clocks: Clocks,
    /// Whether there are callers with tickets of a domain.
    pub tickets: bool,
    /// The program that all nodes begin with, if that is not the one of this build.
    pub older: Option<PathBuf>,
}

/// Where the certificates come from that callers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Each node's own files.
    OfFiles,
    /// The cluster: [`Cluster::import_certificate`].
    OfCluster,
}

/// Whose time the nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    Shared,
    /// Each node's can be set: [`clock::set`].
    Own,
}

/// A host, whether its node runs or not.
pub struct Host {
    pub number: usize,
    pub node: Node,
    /// For its next start.
    pub program: PathBuf,
    /// For its next start.
    pub environment: Vec<(OsString, OsString)>,
    /// The program that runs it, with its arguments; none: itself.
    pub wrapper: Vec<String>,
    process: Option<Child>,
}

impl Cluster {
    /// Founds one, and waits until every front has every node in rotation.
    #[track_caller]
    pub fn found(network: &Network, folder: &Path, settings: Settings) -> Self {
        fs::create_dir_all(folder).expect("the temporary folder can be written");
        let mut service = rmsc_at(network, Place::Service, &programs::newer());
        let address = |port| Place::Service.address(port).to_string();
        service.args(["simulate", "cloud", "--listen", &address(18_080), "--control", &address(18_081)]);
        let fronts =
            Authority::new("chaos front CA", OffsetDateTime::now_utc()).expect("the name is a good one");
        let authority = files::private(folder, "ca.pem", fronts.certificate_pem());
        let (accounts, sids) = accounts::write(folder);
        let tickets = if settings.tickets { tickets::get(&folder.join(KEYTAB)) } else { Vec::new() };
        let mut cluster = Cluster {
            network: network.clone(),
            service: Simulator::by(&mut service),
            accounts,
            sids,
            trust: Trust::new(&authority, SERVICE_NAME),
            tickets: Arc::new(tickets),
            folder: folder.to_owned(),
            fronts,
            hosts: Vec::new(),
            imported: 0,
            settings,
        };
        for number in 1..=cluster.settings.nodes {
            clock::set(&cluster, number, 0);
            cluster.enlist(number);
        }
        cluster.await_rotation();
        cluster
    }

    /// Makes a host a node, and starts it.
    #[track_caller]
    pub fn enlist(&mut self, number: usize) {
        self.prepare(number);
        if number == 1 {
            let host = self.host(number);
            let context = self.folder.join("administrator");
            let mut init = rmsc_at(&self.network, Place::Node(number), &host.program);
            init.args(["init", "--config"]).arg(&host.node.config).arg("--context-dir").arg(context);
            run(&mut init).check_code(0);
        } else {
            let token = self.token().expect("there is a leader");
            let through = self.any_running_but(number).number;
            run(&mut self.join(number, through, &token)).check_code(0);
        }
        self.start(number);
        if number == 1 {
            let monitor = self.host(1).node.monitor();
            wait::until_true("the first node takes changes", wait::PATIENCE, || {
                http::try_exchange(monitor, &Request::get("/clusterz"))
                    .is_ok_and(|answer| answer.field("changes") == true)
            });
            for name in ALWAYS {
                let name = format!("{DOMAIN}\\{name}");
                self.rmsc(&["authz", "add", "--role", "exchange", &name, "--yes"]).check_code(0);
            }
            for Ticket { account, sid, .. } in self.tickets.iter() {
                let add = [
                    "authz",
                    "add",
                    "--role",
                    "exchange",
                    "--sid",
                    sid,
                    "--computer",
                    &account.name,
                    "--yes",
                ];
                self.rmsc(&add).check_code(0);
            }
            if self.settings.certificates == Certificates::OfCluster {
                self.import_certificate().check_code(0);
            }
        }
    }

    fn host_of(&self, number: usize) -> Host {
        let folder = self.folder.join(format!("node-{number}"));
        fs::create_dir(&folder).expect("the folder of the run can be written");
        let place = Place::Node(number);
        let front = self.fronts.issue_server(&[SERVICE_NAME.into()], OffsetDateTime::now_utc());
        let front = front.expect("the name is a good one");
        files::private(&folder, "front.pem", &front.certificate_pem);
        files::private(&folder, "front.key", front.key_pem.expose());
        let node = Node {
            name: format!("node-{number}"),
            pid: None,
            http: String::new(),
            https: format!("https://{}", place.address(443)),
            admin: place.address(8_701),
            ops: format!("http://{}", place.address(8_702)),
            peer: place.address(8_700),
            data_dir: folder.join("data"),
            config: folder.join("rmsc.toml"),
            log: folder.join("node.log"),
        };
        let text = config::text(&node, (&folder, &self.folder), self.service.url(), &self.settings);
        files::private(&folder, "rmsc.toml", &text);
        let environment = match self.settings.clocks {
            Clocks::Own => clock::environment(self.clock_file(number)),
            Clocks::Shared => Vec::new(),
        };
        let program = self.settings.older.clone().unwrap_or_else(programs::newer);
        Host { number, node, program, environment, wrapper: Vec::new(), process: None }
    }

    /// Starts a node that does not run.
    #[track_caller]
    pub fn start(&mut self, number: usize) {
        let mut command = match self.host(number).wrapper.split_first() {
            None => rmsc_at(&self.network, Place::Node(number), &self.host(number).program),
            Some((program, arguments)) => {
                let mut command = self.network.at(Place::Node(number), Path::new(program));
                command.args(arguments).arg(&self.host(number).program);
                command
            }
        };
        let host = self.host_mut(number);
        let log = fs::File::options().create(true).append(true).open(&host.node.log);
        let log = log.expect("the folder of the run can be written");
        command
            .envs(host.environment.iter().cloned())
            .args(["server", "--stop-with-stdin", "--config"])
            .arg(&host.node.config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let process = command.spawn().expect("the program was built with the tests");
        host.node.pid = Some(process.id());
        host.process = Some(process);
    }

    /// Ends a node without notice.
    pub fn kill(&mut self, number: usize) {
        let host = self.host_mut(number);
        if let Some(mut process) = host.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        host.node.pid = None;
    }

    /// Tells a node to stop, and waits until it has; gives its exit code.
    #[track_caller]
    pub fn stop(&mut self, number: usize) -> Option<i32> {
        self.signal(number, Signal::TERM);
        self.await_end(number, wait::PATIENCE)
    }

    /// Waits until a node has ended.
    #[track_caller]
    pub fn await_end(&mut self, number: usize, within: Duration) -> Option<i32> {
        let host = self.host_mut(number);
        host.node.pid = None;
        let mut process = host.process.take().expect("it was started");
        wait::until("the node ends", within, || process.try_wait().expect("a child can be asked")).code()
    }

    pub fn signal(&self, number: usize, signal: Signal) {
        processes::signal(self.host(number).node.running_pid(), signal);
    }

    pub fn host(&self, number: usize) -> &Host {
        self.hosts.iter().find(|host| host.number == number).expect("there is such a host")
    }

    pub fn host_mut(&mut self, number: usize) -> &mut Host {
        self.hosts.iter_mut().find(|host| host.number == number).expect("there is such a host")
    }

    fn any_running_but(&self, number: usize) -> &Host {
        let other = self.hosts.iter().find(|host| host.number != number && host.process.is_some());
        other.expect("another node runs")
    }

    /// The numbers of the nodes that are in.
    pub fn numbers(&self) -> Vec<usize> {
        self.hosts.iter().map(|host| host.number).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.hosts.iter().map(|host| host.node.name.clone()).collect()
    }

    /// It is no node any more.
    pub fn forget(&mut self, number: usize) {
        self.kill(number);
        self.hosts.retain(|host| host.number != number);
    }

    /// How far off a node's clock is: for [`clock`].
    pub fn clock_file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("clock-{number}"))
    }

    pub fn context(&self) -> PathBuf {
        self.folder.join("administrator/context.toml")
    }

    /// Our own program as the administrator, who asks a node that runs.
    #[track_caller]
    pub fn rmsc(&self, arguments: &[&str]) -> Ran {
        self.rmsc_through(&self.any_running_but(0).node.admin.to_string(), arguments)
    }

    /// The same, asking a certain node.
    #[track_caller]
    pub fn rmsc_through(&self, endpoint: &str, arguments: &[&str]) -> Ran {
        run(&mut self.administrator(endpoint, arguments))
    }

    /// The same, without waiting for an answer.
    #[track_caller]
    pub fn ask(&self, endpoint: &str, arguments: &[&str]) -> Child {
        let mut command = self.administrator(endpoint, arguments);
        let asking = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        asking.expect("the program was built with the tests")
    }

    fn administrator(&self, endpoint: &str, arguments: &[&str]) -> Command {
        let mut command = rmsc();
        command.arg("--context").arg(self.context()).args(["--endpoint", endpoint]).args(arguments);
        command
    }

    /// What the ops port of a node says, if it answers.
    pub fn monitor(&self, number: usize, path: &str) -> Option<Answer> {
        http::try_exchange(self.host(number).node.monitor(), &Request::get(path)).ok()
    }

    /// Whether the fronts of all nodes have all of them in rotation; if not, what is missing.
    pub fn rotation(&self) -> Result<(), String> {
        for host in &self.hosts {
            let answer = self.monitor(host.number, "/readyz").filter(|answer| answer.status == 200);
            let rotation = answer.map(|answer| answer.field("rotation"));
            if rotation.as_ref() != Some(&serde_json::json!(self.names())) {
                return Err(format!("{} has {rotation:?} in rotation", host.node.name));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn await_rotation(&self) {
        wait::until_true("every front has every node in rotation", START_TIMEOUT, || self.rotation().is_ok());
    }

    /// The number of the leader that the nodes know.
    #[track_caller]
    pub fn leader(&self) -> usize {
        let known = || {
            self.hosts.iter().filter(|host| host.process.is_some()).find_map(|host| {
                let name = self.monitor(host.number, "/clusterz")?.field("leader");
                self.hosts.iter().find(|host| name == host.node.name.as_str()).map(|host| host.number)
            })
        };
        wait::until("a leader is known", wait::PATIENCE, known)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for number in self.numbers() {
            if let Some(pid) = self.host(number).node.pid {
                processes::try_signal(pid, Signal::CONT);
            }
            self.kill(number);
            self.network.open(Place::Node(number));
        }
        self.service.kill();
    }
}

fn rmsc_at(network: &Network, place: Place, program: &Path) -> Command {
    let mut command = network.at(place, program);
    for (name, _) in rmsc().get_envs() {
        command.env_remove(name);
    }
    command
}

const KEYTAB: &str = "service.keytab";
const SERVICE_NAME: &str = "rmsconnector.chaos.test";
const START_TIMEOUT: Duration = Duration::from_secs(60);
