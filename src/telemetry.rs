//! What a node tells the people who watch it: its log, and its ops port.

mod health;
mod log;
#[cfg(feature = "otlp")]
mod otlp;
mod spans;

pub use health::{Answer, Ops, serve};
pub use log::{StartError, Target, is_level, start};
pub use spans::{CAN_TELL_A_COLLECTOR, CollectorError, spans};

/// The registry that every part registers its metrics with.
pub use prometheus_client::registry::Registry;
