//! Calling servers at a fixed rate, whatever the answers take: every request has its moment, and is accounted for.

use crate::record::{Outcome, Request};
use crate::support::http::{self, Session, Trust};
use crate::support::lab::Account;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY, Message};
use crate::support::wait;
use crate::tickets::Ticket;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests that are being sent.
pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Who calls where.
pub struct Plan {
    pub fronts: Vec<(String, SocketAddr)>,
    /// Requests a second over all fronts.
    pub rate: u32,
    pub trust: Trust,
    /// The accounts that always may, those that change, and one that never may.
    pub always: Vec<Account>,
    pub changing: Vec<Account>,
    pub stranger: Account,
    /// Of those that always may and have a ticket: every second request of them.
    pub tickets: Arc<Vec<Ticket>>,
}

/// Who sends a request, and how it proves itself.
#[derive(Clone, Copy)]
struct Caller<'a> {
    account: &'a Account,
    ticket: Option<&'a Ticket>,
}

struct Shared {
    plan: Plan,
    begun: Instant,
    stop: AtomicBool,
    fronts: Vec<Front>,
    requests: Mutex<Vec<Request>>,
    messages: Vec<(http::Request, String)>,
}

struct Front {
    name: String,
    address: SocketAddr,
    /// Callers that wait for their next request.
    waiting: AtomicUsize,
    /// Clients go on elsewhere when they cannot connect, or lose the connection.
    down: AtomicBool,
    idle: Mutex<Vec<(Session, u32)>>,
}

impl Clients {
    pub fn start(plan: Plan, begun: Instant) -> Self {
        let front = |(name, address): &(String, SocketAddr)| Front {
            name: name.clone(),
            address: *address,
            waiting: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            idle: Mutex::new(Vec::new()),
        };
        let message = |message: &Message| (http::Request::soap(message), message.response_element());
        let shared = Arc::new(Shared {
            fronts: plan.fronts.iter().map(front).collect(),
            plan,
            begun,
            stop: AtomicBool::new(false),
            requests: Mutex::new(Vec::new()),
            messages: [ACQUIRE_LICENSE, CERTIFY, ACQUIRE_PRE_LICENSE].iter().map(message).collect(),
        });
        let threads = (0..shared.fronts.len()).map(|front| {
            let shared = shared.clone();
            std::thread::spawn(move || send_on(&shared, front))
        });
        Clients { threads: threads.collect(), shared }
    }

    /// Whether the clients of a front go on elsewhere when it fails them.
    pub fn set_down(&self, front: &str, down: bool) {
        for known in self.shared.fronts.iter().filter(|known| known.name == front) {
            known.down.store(down, Ordering::Relaxed);
        }
    }

    /// How many requests have gone on elsewhere when this front failed them.
    pub fn moved(&self, front: &str) -> usize {
        let requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| request.front == front && request.moved.is_some()).count()
    }

    /// Lets every client finish its request.
    pub fn stop(self) -> Vec<Request> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client notes what fails and goes on");
        }
        std::mem::take(&mut *self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives each request at its moment to a caller that waits, or to a new one; waits for all of them in the end.
fn send_on(shared: &Arc<Shared>, front: usize) {
    let fronts = u32::try_from(shared.fronts.len()).expect("at most five");
    let period = Duration::from_secs(1) * fronts / shared.plan.rate;
    let offset = period * u32::try_from(front).expect("at most five") / fronts;
    let (requests, work): (SyncSender<(u32, Duration)>, _) = sync_channel(QUEUE_MAX);
    let (work, mut callers) = (Arc::new(Mutex::new(work)), Vec::new());
    for number in 0.. {
        let intended = offset + period * number;
        wait::until_moment(shared.begun + intended);
        let Some(own) = shared.fronts.get(front) else { break };
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        if own.waiting.load(Ordering::Relaxed) == 0 && callers.len() < CALLERS_PER_FRONT {
            let (shared, work) = (shared.clone(), work.clone());
            callers.push(std::thread::spawn(move || shared.call_on(front, &work)));
        }
        requests.send((number, intended)).expect("the callers wait for more");
    }
    drop(requests);
    for caller in callers {
        caller.join().expect("a caller notes what fails and goes on");
    }
}

impl Shared {
    fn call_on(&self, front: usize, work: &Mutex<Receiver<(u32, Duration)>>) {
        let Some(own) = self.fronts.get(front) else { return };
        loop {
            own.waiting.fetch_add(1, Ordering::Relaxed);
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            own.waiting.fetch_sub(1, Ordering::Relaxed);
            let Ok((number, intended)) = next else { return };
            let request = self.one(own, number, intended);
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        }
    }

    fn one(&self, own: &Front, number: u32, intended: Duration) -> Request {
        let caller = self.caller(number);
        let fresh = number.is_multiple_of(FRESH_EVERY);
        let (mut outcome, mut answer) = self.call(own, caller, number, fresh);
        let mut moved = None;
        // As a real client's next attempt does when its server is gone.
        if matches!(outcome, Outcome::Broke(_)) && own.down.load(Ordering::Relaxed) {
            // Each begins at another of the addresses.
            let others = self.fronts.iter().cycle().skip(number as usize).take(self.fronts.len());
            let others = others.filter(|front| front.name != own.name);
            for other in others.filter(|front| !front.down.load(Ordering::Relaxed)) {
                let again = self.call(other, caller, number, true);
                moved.get_or_insert(std::mem::replace(&mut outcome, again.0));
                answer = again.1;
                if !matches!(outcome, Outcome::Broke(_)) {
                    break;
                }
            }
        }
        let header = |name| answer.as_ref().and_then(|answer| answer.header(name)).unwrap_or_default();
        Request {
            front: own.name.clone(),
            account: caller.account.name.clone(),
            intended,
            ended: self.begun.elapsed(),
            outcome,
            moved,
            id: header("x-rmsc-request-id").to_owned(),
            served_by: header("x-rmsc-served-by").to_owned(),
            fresh,
        }
    }

    /// Where there are tickets, every second request of those that always may comes with one.
    fn caller(&self, number: u32) -> Caller<'_> {
        let tickets = &self.plan.tickets;
        let may = number % 40 != 7 && number % 10 != 3;
        let turn = tickets.iter().cycle().nth((number / 2) as usize % tickets.len().max(1));
        match turn.filter(|_| may && number.is_multiple_of(2)) {
            Some(ticket) => Caller { account: &ticket.account, ticket: Some(ticket) },
            None => Caller { account: self.account(number), ticket: None },
        }
    }

    /// Mostly those that may; every tenth request is of one that may or may not, every fortieth of a stranger.
    fn account(&self, number: u32) -> &Account {
        let plan = &self.plan;
        let from = match number % 40 {
            7 => return &plan.stranger,
            at if at % 10 == 3 => &plan.changing,
            _ => &plan.always,
        };
        from.iter().cycle().nth((number / 10) as usize % from.len()).unwrap_or(&plan.stranger)
    }

    fn call(
        &self,
        front: &Front,
        Caller { account, ticket }: Caller<'_>,
        number: u32,
        fresh: bool,
    ) -> (Outcome, Option<http::Answer>) {
        let session = if fresh { None } else { front.idle_session() };
        let (mut session, calls) = match session {
            Some(known) => known,
            None => match Session::open_tls(front.address, &self.plan.trust, account) {
                Ok(session) => (session, 0),
                Err(error) => return (Outcome::Broke(format!("{CONNECTING}{error}")), None),
            },
        };
        session.log_on(account);
        let message = self.messages.iter().cycle().nth(number as usize % self.messages.len());
        let (request, expected) = message.expect("there are messages");
        let answered = match ticket {
            Some(ticket) => {
                let proof = ticket.proof(session.binding.as_ref());
                session.proven(request, &proof)
            }
            None => session.call(request),
        };
        match answered {
            Ok(answer) => {
                if !fresh && calls < CALLS_PER_CONNECTION && answer.header("connection") != Some("close") {
                    front.keep(session, calls + 1);
                }
                (outcome(&answer, expected), Some(answer))
            }
            Err(error) => (Outcome::Broke(error.to_string()), None),
        }
    }
}

impl Front {
    /// The one that was used last, if the server has not ended it.
    fn idle_session(&self) -> Option<(Session, u32)> {
        loop {
            let (mut session, calls) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if session.connection().is_idle() {
                return Some((session, calls));
            }
        }
    }

    fn keep(&self, session: Session, calls: u32) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, calls));
    }
}

fn outcome(answer: &http::Answer, expected: &str) -> Outcome {
    let text = answer.text();
    match answer.status {
        200 if text.contains(expected) => Outcome::Good,
        500 if text.contains("System.UnauthorizedAccessException") => Outcome::Refused,
        status => Outcome::Answered(status, text.chars().take(160).collect()),
    }
}

/// How an outcome begins that happened before a request was sent.
pub const CONNECTING: &str = "connecting: ";
/// With more that wait for answers at one front, later requests wait for them, and their time counts.
const CALLERS_PER_FRONT: usize = 400;
const QUEUE_MAX: usize = 10_000;
/// Handshakes are part of the load.
const FRESH_EVERY: u32 = 8;
const CALLS_PER_CONNECTION: u32 = 100;
