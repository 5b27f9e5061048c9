//! Calling servers that call on and on, and remember everything that went wrong.

use super::http::{Request, Session};
use super::lab::{Account, Node};
use super::soap::Message;
use super::wait;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Load that is being sent.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub requests: u64,
    pub failures: Vec<String>,
    pub slowest: Duration,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    report: Mutex<Report>,
}

impl Load {
    /// Starts `clients` callers at each front.
    pub fn start(fronts: &[Node], account: &Account, message: &Message, clients: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = fronts
            .iter()
            .flat_map(|node| std::iter::repeat_n(node.front(), clients))
            .map(|front| {
                let (shared, account, request) = (shared.clone(), account.clone(), Request::soap(message));
                let expected = message.response_element();
                std::thread::spawn(move || call_on(&shared, front, &account, &request, &expected))
            })
            .collect();
        Load { shared, threads }
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub fn await_more(&self, requests: u64) {
        let wanted = self.shared.answered.load(Ordering::Relaxed) + requests;
        wait::until_true(&format!("{requests} more requests are answered"), AWAIT_TIMEOUT, || {
            self.shared.answered.load(Ordering::Relaxed) >= wanted
        });
    }

    /// Lets every caller finish its request.
    pub fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a caller notes what fails and goes on");
        }
        self.shared.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Report {
    #[track_caller]
    pub fn check_nothing_failed(&self) {
        let shown: Vec<_> = self.failures.iter().take(5).collect();
        assert!(
            self.failures.is_empty(),
            "{} of {} requests failed: {shown:#?}",
            self.failures.len(),
            self.requests
        );
    }
}

fn call_on(shared: &Shared, front: SocketAddr, account: &Account, request: &Request, expected: &str) {
    let mut session = None;
    let mut calls = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let result = call(&mut session, front, account, request, expected);
        let elapsed = begun.elapsed();
        calls += 1;
        if result.is_err() || calls % CALLS_PER_CONNECTION == 0 {
            session = None;
        }
        let mut report = shared.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.requests += 1;
        report.slowest = report.slowest.max(elapsed);
        match result {
            Ok(()) => {
                shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(why) => report.failures.push(format!("through {front} after {elapsed:?}: {why}")),
        }
    }
}

fn call(
    session: &mut Option<Session>,
    front: SocketAddr,
    account: &Account,
    request: &Request,
    expected: &str,
) -> Result<(), String> {
    let opened = match session.take() {
        Some(open) => open,
        None => Session::open(front, account).map_err(|error| error.to_string())?,
    };
    let answer = session.insert(opened).call(request).map_err(|error| error.to_string())?;
    let text = answer.text();
    if answer.status != 200 || !text.contains(expected) {
        return Err(format!("{}: {}", answer.status, text.chars().take(200).collect::<String>()));
    }
    Ok(())
}

/// Handshakes are part of the load.
const CALLS_PER_CONNECTION: u32 = 25;
const AWAIT_TIMEOUT: Duration = Duration::from_secs(60);
