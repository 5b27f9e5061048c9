//! Whom an event is about.

use std::fmt;

/// The caller an event is about.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The account's SID.
    pub sid: &'a dyn fmt::Display,
    /// The account's name.
    pub account: &'a dyn fmt::Display,
    /// The computer it came from.
    pub computer: &'a str,
}

impl fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {}", self.account, self.sid, self.computer)
    }
}
