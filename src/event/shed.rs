//! What is said where there is no room for what a client sends.

/// A limit that is reached.
#[derive(Clone, Copy, Debug)]
pub struct Shed<'a> {
    /// The key of the configuration that sets it.
    pub key: &'a str,
    /// What it is.
    pub value: usize,
    /// Whose limit it is; empty if it is that of all.
    pub who: &'a str,
    /// How many were not said before this one.
    pub left_out: u64,
}
