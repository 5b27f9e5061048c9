//! Whether the machine itself stood still: a thread that does nothing but wake up, and notes when it was late. What waits
//! for a processor in this process waits in the nodes, too.

use crate::record::Span;
use crate::support::wait;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Span>>,
}

impl Pulse {
    pub fn start(begun: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Pulse { stop, thread: std::thread::spawn(move || beat(begun, &stopped)) }
    }

    /// Gives each time when it was late: from when it was to wake up until it did.
    pub fn stop(self) -> Vec<Span> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does nothing that can fail")
    }
}

fn beat(begun: Instant, stop: &AtomicBool) -> Vec<Span> {
    let mut late = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + EVERY;
        wait::until_moment(due);
        let span = Span::new(due - begun, begun.elapsed());
        if span.to - span.from > LATE_MIN {
            late.push(span);
        }
    }
    late
}

const EVERY: Duration = Duration::from_millis(5);
/// A timer and a switch of tasks take less.
const LATE_MIN: Duration = Duration::from_millis(3);
