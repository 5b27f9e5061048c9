//! Where a scenario is played: a cluster under load, and the record of what is seen.

use crate::administrator::{self, Administrators};
use crate::clients::{self, Clients};
use crate::cluster::{ALWAYS, CHANGING, Cluster, STRANGER, Settings};
use crate::invariants::secrets;
use crate::network::{Network, Place};
use crate::pulse::Pulse;
use crate::record::{Arrival, Record, Span};
use crate::support::wait;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rmsc::control::Context;
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct Stage {
    pub cluster: Cluster,
    pub rng: SmallRng,
    pub record: Record,
    clients: Option<Clients>,
    administrators: Option<Administrators>,
    pulse: Option<Pulse>,
    begun: Instant,
    begun_ms: u64,
}

/// As `/simulator/arrivals` tells it.
#[derive(Deserialize)]
struct Arrived {
    at_ms: u64,
    request_id: String,
    node: String,
    caller: String,
}

impl Stage {
    /// A cluster under load.
    #[track_caller]
    pub fn set(network: &Network, folder: &Path, settings: Settings, seed: u64) -> Self {
        let cluster = Cluster::found(network, folder, settings);
        let begun = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let record = Record { nodes: cluster.names(), rate: RATE, ..Record::default() };
        let mut stage = Stage {
            cluster,
            rng: SmallRng::seed_from_u64(seed),
            record,
            clients: None,
            administrators: None,
            pulse: Some(Pulse::start(begun)),
            begun,
            begun_ms: u64::try_from(since.as_millis()).expect("it is before the end of time"),
        };
        stage.note_accounts();
        stage.note_tickets();
        stage.start_load(seed);
        stage
    }

    fn note_accounts(&mut self) {
        for (name, sid) in &self.cluster.sids {
            let account = self.cluster.accounts.get(name).expect("each has a SID").name.clone();
            self.record.accounts.insert(sid.clone(), account);
            if ALWAYS.contains(&name.as_str()) {
                self.record.always.push(sid.clone());
            }
        }
    }

    fn note_tickets(&mut self) {
        for ticket in self.cluster.tickets.iter() {
            self.record.accounts.insert(ticket.sid.clone(), ticket.account.name.clone());
            self.record.always.push(ticket.sid.clone());
        }
    }

    fn start_load(&mut self, seed: u64) {
        let hosts = self.cluster.numbers();
        let accounts = |names: &[&str]| {
            names
                .iter()
                .map(|name| self.cluster.accounts.get(*name).expect("they were made").clone())
                .collect()
        };
        let plan = clients::Plan {
            fronts: hosts
                .iter()
                .map(|number| (format!("node-{number}"), Place::Node(*number).address(443)))
                .collect(),
            rate: RATE,
            trust: self.cluster.trust.clone(),
            always: accounts(&ALWAYS),
            changing: accounts(&CHANGING),
            stranger: self.cluster.accounts.get(STRANGER).expect("it was made").clone(),
            tickets: self.cluster.tickets.clone(),
        };
        self.clients = Some(Clients::start(plan, self.begun));
        let plan = administrator::Plan { context: self.context(), keys: self.keys(), seed };
        self.administrators = Some(Administrators::start(plan, self.begun));
    }

    fn context(&self) -> Context {
        let mut context = Context::load(&self.cluster.context()).expect("init wrote it");
        context.endpoints = self
            .cluster
            .numbers()
            .iter()
            .map(|number| Place::Node(*number).address(8_701).to_string())
            .collect();
        context
    }

    fn keys(&self) -> Vec<(String, String)> {
        let key = |name: &&str| {
            let account = self.cluster.accounts.get(*name).expect("they were made").name.clone();
            (account, self.cluster.sids.get(*name).expect("each has a SID").clone())
        };
        CHANGING.iter().map(key).collect()
    }

    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Goes on for so long.
    pub fn hold(&self, span: Duration) {
        wait::until_moment(Instant::now() + span);
    }

    /// The same nodes are in rotation from now on: a second later the shares must be equal.
    pub fn settled(&mut self, span: Duration) {
        self.settled_of(self.cluster.names(), span);
    }

    /// These nodes are, and no others.
    pub fn settled_of(&mut self, names: Vec<String>, span: Duration) {
        self.hold(EQUAL_AFTER);
        self.epoch(names, span);
    }

    fn epoch(&mut self, names: Vec<String>, span: Duration) {
        let from = self.now();
        self.hold(span);
        let span = Span::new(from, self.now());
        self.record.epochs.push((span, names));
    }

    /// How it is without faults.
    pub fn baseline(&mut self) {
        // Connections, sessions and the first logins are made.
        self.hold(WARM_UP);
        self.epoch(self.cluster.names(), BASELINE);
    }

    /// Something is broken from here on, until `play` ends.
    pub fn broken<T>(&mut self, play: impl FnOnce(&mut Self) -> T) -> T {
        let from = self.now();
        let played = play(self);
        let span = Span::new(from, self.now());
        self.record.faults.push(span);
        played
    }

    /// The front of a node does not serve its own connections, until `play` ends and it is back in rotation.
    pub fn without_front<T>(&mut self, number: usize, play: impl FnOnce(&mut Self) -> T) -> T {
        let (name, from) = (format!("node-{number}"), self.now());
        self.set_down(number, true);
        let played = play(self);
        self.set_down(number, false);
        self.record.down.push((name, Span::new(from, self.now())));
        played
    }

    /// The front of a node does not come back.
    pub fn without_front_for_good(&mut self, number: usize) {
        self.set_down(number, true);
        self.record.down.push((format!("node-{number}"), Span::new(self.now(), Duration::MAX)));
    }

    /// Whether clients go on elsewhere when this node's front refuses a connection.
    pub fn set_down(&self, number: usize, down: bool) {
        if let Some(clients) = &self.clients {
            clients.set_down(&format!("node-{number}"), down);
        }
    }

    /// How many requests have gone on elsewhere so far when this node's front failed them.
    pub fn moved(&self, number: usize) -> usize {
        self.clients.as_ref().map_or(0, |clients| clients.moved(&format!("node-{number}")))
    }

    /// This node does not hear from the others until `play` ends.
    pub fn cut_off<T>(&mut self, number: usize, play: impl FnOnce(&mut Self) -> T) -> T {
        let (name, from) = (format!("node-{number}"), self.now());
        let played = play(self);
        self.record.cut_off.push((name, Span::new(from, self.now())));
        played
    }

    /// These nodes did not hear from the others, from then until now.
    pub fn were_cut_off(&mut self, numbers: &[usize], from: Duration) {
        let span = Span::new(from, self.now());
        self.record.cut_off.extend(numbers.iter().map(|number| (format!("node-{number}"), span)));
    }

    /// The service fails until `play` ends, in one of the ways that it knows.
    pub fn broken_service(&mut self, faults: &str, play: impl FnOnce(&mut Self)) {
        let from = self.now();
        self.cluster.service.fail(faults);
        play(self);
        self.cluster.service.fail("");
        let span = Span::new(from, self.now());
        self.record.broken_service.push(span);
        self.record.faults.push(span);
    }

    /// One of these.
    pub fn pick(&mut self, from: &[usize]) -> usize {
        let at = self.rng.random_range(0..from.len());
        *from.get(at).expect("the place is among them")
    }

    pub fn leader(&self) -> usize {
        self.cluster.leader()
    }

    pub fn follower(&mut self) -> usize {
        let leader = self.leader();
        let others: Vec<usize> = self.others(&[leader]);
        self.pick(&others)
    }

    pub fn others(&self, than: &[usize]) -> Vec<usize> {
        self.cluster.numbers().into_iter().filter(|number| !than.contains(number)).collect()
    }

    /// Waits until all nodes are in rotation everywhere, and notes how long that took.
    pub fn recover(&mut self) {
        let from = self.now();
        let done = wait::happens(RECOVERY_MAX, || match self.cluster.rotation() {
            Ok(()) => true,
            Err(missing) => {
                self.record.missing = missing;
                false
            }
        });
        self.record.recovered = done.then(|| self.now() - from);
    }

    /// Ends the load, waits until all nodes have the same, and gives what was seen.
    pub fn end(mut self) -> Record {
        let changes = self.administrators.take().map(Administrators::stop);
        self.record.changes = changes.unwrap_or_default();
        self.compare();
        self.record.ended = self.now();
        let requests = self.clients.take().map(Clients::stop);
        self.record.requests = requests.unwrap_or_default();
        self.record.late = self.pulse.take().map(Pulse::stop).unwrap_or_default();
        self.record.arrivals = self.arrivals();
        self.search();
        self.note_panics();
        self.record
    }

    /// The last fault is over for long: they may differ by what is on its way.
    fn compare(&mut self) {
        let (context, from) = (self.context(), self.now());
        let keys: Vec<String> = self.keys().into_iter().map(|(_, sid)| sid).collect();
        let equal = wait::happens(RECOVERY_MAX, || {
            let finals = self.cluster.numbers().into_iter().filter_map(|number| {
                let endpoint = Place::Node(number).address(8_701).to_string();
                Some((format!("node-{number}"), administrator::local(&context, &endpoint, &keys)?))
            });
            self.record.finals = finals.collect();
            let mut tables = self.record.finals.values();
            let first = tables.next();
            self.record.finals.len() == self.cluster.numbers().len()
                && tables.all(|table| Some(table) == first)
        });
        let took = self.now() - from;
        if !equal {
            self.record.missing = format!("the nodes differ: {:?}", self.record.finals);
        }
        self.record.recovered = self.record.recovered.filter(|_| equal).map(|recovered| recovered.max(took));
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let answer = self.cluster.service.control("GET", "/simulator/arrivals", "");
        let all: Vec<Arrived> = serde_json::from_slice(&answer.body).expect("the service tells in JSON");
        let arrival = |arrived: Arrived| Arrival {
            at: Duration::from_millis(arrived.at_ms.saturating_sub(self.begun_ms)),
            id: arrived.request_id,
            node: arrived.node,
            caller: arrived.caller,
        };
        all.into_iter().map(arrival).collect()
    }

    /// Looks for secrets where none may be.
    fn search(&mut self) {
        let (outputs, secrets) = (self.cluster.outputs(), self.cluster.secrets());
        self.record.searched = (outputs.len(), secrets.len());
        self.record.leaks = secrets::search(&outputs, &secrets);
    }

    fn note_panics(&mut self) {
        for (place, text) in self.cluster.outputs() {
            let text = String::from_utf8_lossy(&text);
            let panics = text.lines().filter(|line| line.contains("panicked"));
            self.record.findings.extend(panics.map(|line| format!("{place}: {line}")));
        }
    }
}

/// Requests a second over all nodes.
const RATE: u32 = 200;
const WARM_UP: Duration = Duration::from_millis(1_500);
const EQUAL_AFTER: Duration = Duration::from_secs(1);
const BASELINE: Duration = Duration::from_secs(4);
/// Longer than any budget: what takes longer is told as never.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
