//! Says which seed it was when something panics: some panics end the process before anybody else can.

use std::cell::Cell;
use std::io::Write;
use std::sync::Once;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// This thread runs a seed from now on, or none.
pub(super) fn set(seed: Option<u64>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(seed) = SEED.get() {
                // Past what captures the output of tests.
                writeln!(std::io::stderr(), "in the simulation with the seed {seed}: {panic}").ok();
            }
            before(panic);
        }));
    });
    SEED.set(seed);
}
