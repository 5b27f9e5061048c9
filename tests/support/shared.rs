//! What tests share that run at the same time: made for the first of them, gone with the last.

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    pub const fn new() -> Self {
        Shared(Mutex::new(Weak::new()))
    }

    #[track_caller]
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let made = Arc::new(make());
            *shared = Arc::downgrade(&made);
            made
        })
    }
}
