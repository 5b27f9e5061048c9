//! Whether the machine itself stood still: a thread that does nothing but wake up, and notes when it was late. What waits
//! for a processor in this process waits in the nodes, too. Whether it waited for the nodes themselves or for the host,
//! which gave the processors to others, the kernel knows (`steal` in /proc/stat).

use crate::record::Span;
use crate::support::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Late>,
}

/// When it was late: from when it was to wake up until it did.
#[derive(Clone, Debug, Default)]
pub struct Late {
    /// Each time.
    pub all: Vec<Span>,
    /// The part of each for which the host had taken the processors.
    pub stolen: Vec<Span>,
}

impl Pulse {
    pub fn start(begun: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Pulse { stop, thread: std::thread::spawn(move || beat(begun, &stopped)) }
    }

    /// Ends it, and gives what it has seen.
    pub fn stop(self) -> Late {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does nothing that can fail")
    }
}

fn beat(begun: Instant, stop: &AtomicBool) -> Late {
    let (mut late, mut stolen) = (Late::default(), stolen());
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        wait::until_moment(due);
        let span = Span::new(due - begun, begun.elapsed());
        let (before, now) = (stolen, self::stolen());
        stolen = now;
        let length = span.length();
        if length > LATE_MIN {
            let of_it = now.saturating_sub(before).min(length);
            late.stolen.extend((!of_it.is_zero()).then(|| Span::new(span.to - of_it, span.to)));
            late.all.push(span);
        }
    }
    late
}

/// For how long the host has taken processors of this machine, of all of them together; nothing where it does not say.
fn stolen() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text.lines().next().and_then(|all| all.split_whitespace().nth(STEAL)?.parse().ok());
    TICK * ticks.unwrap_or(0)
}

/// Behind `cpu` and seven others (proc(5)).
const STEAL: usize = 8;
/// The kernel's unit for programs (USER_HZ).
const TICK: Duration = Duration::from_millis(10);
const EVERY: Duration = Duration::from_millis(5);
/// A timer and a switch of tasks take less.
const LATE_MIN: Duration = Duration::from_millis(3);
