//! Tests that measure time or memory run alone; all others run beside each other.

use std::sync::{Condvar, Mutex, PoisonError};

/// A test's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    alone: bool,
}

#[derive(Default)]
struct Running {
    beside: usize,
    alone: bool,
    waiting_for_alone: usize,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { beside: 0, alone: false, waiting_for_alone: 0 });
static ENDED: Condvar = Condvar::new();

impl Turn {
    /// A turn beside others.
    pub fn beside_others() -> Self {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = ENDED
            .wait_while(running, |running| running.alone || running.waiting_for_alone > 0)
            .unwrap_or_else(PoisonError::into_inner);
        running.beside += 1;
        Turn { alone: false }
    }

    /// A turn with no other test at the same time.
    pub fn alone() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.waiting_for_alone += 1;
        let mut running = ENDED
            .wait_while(running, |running| running.alone || running.beside > 0)
            .unwrap_or_else(PoisonError::into_inner);
        running.waiting_for_alone -= 1;
        running.alone = true;
        Turn { alone: true }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if self.alone {
            running.alone = false;
        } else {
            running.beside -= 1;
        }
        drop(running);
        ENDED.notify_all();
    }
}
