//! Waiting for a condition: the only place where a test sleeps.

use std::time::{Duration, Instant};

/// Tries until there is something, and gives it; at the deadline it fails with `what`.
#[track_caller]
pub fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        until_moment(Instant::now() + POLL_EVERY);
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until_true(what: &str, deadline: Duration, mut probe: impl FnMut() -> bool) {
    until(what, deadline, || probe().then_some(()));
}

/// Waits until something is so; says whether it came to that.
pub fn happens(deadline: Duration, mut probe: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if probe() {
            return true;
        }
        if begun.elapsed() >= deadline {
            return false;
        }
        until_moment(Instant::now() + POLL_EVERY);
    }
}

/// Checks that something stays so, for as long as a fault would need to show.
#[track_caller]
pub fn stays(what: &str, span: Duration, mut probe: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        assert!(probe(), "{what}, but no longer after {:?}", begun.elapsed());
        until_moment(Instant::now() + POLL_EVERY);
    }
}

/// Waits for a moment: what is sent at a fixed rate has no other condition to wait for.
pub fn until_moment(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

const POLL_EVERY: Duration = Duration::from_millis(20);
/// What a loaded machine may take for anything that is not itself measured.
pub const PATIENCE: Duration = Duration::from_secs(20);
