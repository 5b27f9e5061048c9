//! Administrators who change the table and read it while things break, and remember what they were told.

use crate::record::{Action, Change, Told};
use crate::support::wait;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rmsc::control::{Client, Context};
use rmsc::proto::control::v1 as proto;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::{Code, Status};

/// Changes that are being made.
pub struct Administrators {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What they may do.
#[derive(Clone)]
pub struct Plan {
    /// Its endpoints are the nodes.
    pub context: Context,
    /// Name and SID; the first one stays in and out for seconds.
    pub keys: Vec<(String, String)>,
    pub seed: u64,
}

struct Shared {
    plan: Plan,
    begun: Instant,
    stop: AtomicBool,
    notes: AtomicU64,
    changes: Mutex<Vec<Change>>,
}

/// One of them: at first at a node of his own, then wherever somebody answers.
struct Administrator {
    shared: Arc<Shared>,
    number: usize,
    runtime: Runtime,
    rng: SmallRng,
    node: usize,
    client: Option<Client>,
}

impl Administrators {
    pub fn start(plan: Plan, begun: Instant) -> Self {
        let notes = AtomicU64::new(1);
        let stop = AtomicBool::new(false);
        let shared = Arc::new(Shared { plan, begun, stop, notes, changes: Mutex::new(Vec::new()) });
        let threads = (0..ADMINISTRATORS).map(|number| {
            let shared = shared.clone();
            std::thread::spawn(move || Administrator::new(shared, number).work())
        });
        Administrators { threads: threads.collect(), shared }
    }

    /// Lets each finish what he is at.
    pub fn stop(self) -> Vec<Change> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("an administrator notes what fails and goes on");
        }
        std::mem::take(&mut *self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Administrator {
    fn new(shared: Arc<Shared>, number: usize) -> Self {
        let rng = SmallRng::seed_from_u64(shared.plan.seed.wrapping_add(number as u64));
        Administrator { shared, number, runtime: runtime(), rng, node: number, client: None }
    }

    fn work(mut self) {
        // The first one adds and removes the account that clients are to notice the most; the others are quick.
        let pause = if self.number == 0 { SLOW } else { QUICK };
        let mut next = self.shared.begun + pause;
        let mut there = false;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let keys = self.shared.plan.keys.len();
            let (key, action) = if self.number == 0 {
                there = !there;
                (0, if there { Kind::Add } else { Kind::Remove })
            } else {
                let kind = match self.rng.random_range(0..10) {
                    0..=3 => Kind::Add,
                    4..=6 => Kind::Remove,
                    _ => Kind::Read,
                };
                (self.rng.random_range(1..keys), kind)
            };
            self.act(key, action);
            next = (next + pause).max(Instant::now());
            // Stopping must not wait for the slow one.
            wait::happens(next.saturating_duration_since(Instant::now()), || {
                self.shared.stop.load(Ordering::Relaxed)
            });
        }
    }

    fn act(&mut self, key: usize, kind: Kind) {
        let Some((name, sid)) = self.shared.plan.keys.get(key).cloned() else { return };
        let action = match kind {
            Kind::Add => Action::Add(self.shared.notes.fetch_add(1, Ordering::Relaxed)),
            Kind::Remove => Action::Remove,
            Kind::Read => Action::Read,
        };
        let begun = self.shared.begun.elapsed();
        let request_id: [u8; 16] = self.rng.random();
        let ended = self.insist(&Ask { name, sid: sid.clone(), action, request_id });
        let ended = ended.map(|told| (self.shared.begun.elapsed(), told));
        let change = Change { key: sid, action, begun, ended };
        self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Asks with the same id until somebody knows what came of it.
    fn insist(&mut self, ask: &Ask) -> Option<Told> {
        let begun = Instant::now();
        while begun.elapsed() < INSIST {
            let client = self.client.take().or_else(|| self.connect());
            let Some(client) = client else { continue };
            let call = async { tokio::time::timeout(CALL_TIMEOUT, ask.call(&client)).await };
            if let Ok(Ok(told)) = self.runtime.block_on(call) {
                self.client = Some(client);
                return Some(told);
            }
            self.node += 1;
        }
        None
    }

    fn connect(&mut self) -> Option<Client> {
        let mut context = self.shared.plan.context.clone();
        let nodes = context.endpoints.len();
        let endpoint = context.endpoints.swap_remove(self.node % nodes);
        context.endpoints = vec![endpoint];
        let connecting = async { tokio::time::timeout(CONNECT_TIMEOUT, Client::connect(&context)).await };
        let connected = self.runtime.block_on(connecting);
        let client = connected.ok().and_then(Result::ok);
        if client.is_none() {
            self.node += 1;
        }
        client
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Add,
    Remove,
    Read,
}

struct Ask {
    name: String,
    sid: String,
    action: Action,
    request_id: [u8; 16],
}

impl Ask {
    async fn call(&self, client: &Client) -> Result<Told, Status> {
        let mut table = client.authorizations();
        let told = match self.action {
            Action::Add(note) => {
                table.add(self.to_add(note)).await.map(|it| Told::Added(it.into_inner().added))
            }
            Action::Remove => {
                let request = proto::RemoveRequest {
                    principal: self.sid.clone(),
                    request_id: self.request_id.to_vec(),
                    ..Default::default()
                };
                table.remove(request).await.map(|_| Told::Removed(true))
            }
            Action::Read => read(client, &self.sid, proto::Consistency::Linearizable).await.map(Told::Note),
        };
        match told {
            Err(status) if self.action == Action::Remove && status.code() == Code::NotFound => {
                Ok(Told::Removed(false))
            }
            Err(status) if status.code() == Code::ResourceExhausted => Ok(Told::Nothing),
            told => told,
        }
    }

    fn to_add(&self, note: u64) -> proto::AddRequest {
        // Half of them want to hear when it acts, the others when it cannot be lost.
        let wait_for =
            if note.is_multiple_of(2) { proto::WaitFor::Effect } else { proto::WaitFor::Acknowledgement };
        proto::AddRequest {
            name: self.name.clone(),
            sid: self.sid.clone(),
            kind: proto::Kind::Account.into(),
            role: proto::Role::Exchange.into(),
            note: note.to_string(),
            request_id: self.request_id.to_vec(),
            wait_for: wait_for.into(),
            ..Default::default()
        }
    }
}

async fn read(client: &Client, sid: &str, consistency: proto::Consistency) -> Result<Option<u64>, Status> {
    let request = proto::GetRequest { sid: sid.to_owned(), consistency: consistency.into() };
    let found = client.authorizations().get(request).await?.into_inner();
    Ok(found.entry.map(|entry| entry.note.parse().unwrap_or_default()))
}

/// What one node itself has of these keys, if it answers.
pub fn local(context: &Context, endpoint: &str, keys: &[String]) -> Option<BTreeMap<String, Option<u64>>> {
    let context = Context { endpoints: vec![endpoint.to_owned()], ..context.clone() };
    let asking = async {
        let client = Client::connect(&context).await.ok()?;
        let mut found = BTreeMap::new();
        for key in keys {
            found.insert(key.clone(), read(&client, key, proto::Consistency::Local).await.ok()?);
        }
        Some(found)
    };
    runtime().block_on(async { tokio::time::timeout(CALL_TIMEOUT, asking).await.ok().flatten() })
}

fn runtime() -> Runtime {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.expect("there is room for one more")
}

const ADMINISTRATORS: usize = 3;
const SLOW: Duration = Duration::from_millis(2_500);
const QUICK: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A write waits for a leader for 5 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(7);
const INSIST: Duration = Duration::from_secs(20);
