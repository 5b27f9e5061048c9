//! Spans on their way to a collector, if the node file names one and the build can: OTLP over gRPC.

use crate::tasks::Tasks;
use crate::trace::Spans;

/// Whether this build can tell a collector.
pub const CAN_TELL_A_COLLECTOR: bool = cfg!(feature = "otlp");

/// The collector cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The address is of no use, or the build has no exporter.
    #[error("the collector {address} cannot be told")]
    Unusable {
        /// Where it is.
        address: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where the parts of a node hand their spans.
///
/// # Errors
/// [`CollectorError`].
pub fn spans(collector: Option<&str>, node: &str, tasks: &Tasks) -> Result<Spans, CollectorError> {
    let Some(address) = collector else { return Ok(Spans::default()) };
    start(address, node, tasks).map_err(|source| CollectorError::Unusable { address: address.into(), source })
}

#[cfg(feature = "otlp")]
use super::otlp::start;

#[cfg(not(feature = "otlp"))]
fn start(_: &str, _: &str, _: &Tasks) -> Result<Spans, Box<dyn std::error::Error + Send + Sync>> {
    Err("this program was built without the feature otlp".into())
}
