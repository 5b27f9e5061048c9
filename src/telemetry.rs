//! What a node tells the people who watch it: its log, and its ops port.

mod health;
mod log;

pub use health::{Answer, Ops, serve};
pub use log::{StartError, Target, is_level, start};

/// The registry that every part registers its metrics with.
pub use prometheus_client::registry::Registry;
