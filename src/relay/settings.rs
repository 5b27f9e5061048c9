//! What a relay is told by the node file.

use super::{KeptConfig, Mark, NtlmRules, ServiceLocations};
use crate::trace::Spans;

/// What a relay is told by the node file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which roles take NTLM.
    pub ntlm: NtlmRules,
    /// Which answers are given again while the service cannot be reached.
    pub kept: KeptConfig,
    /// Whose answer callers get who ask where the services are.
    pub service_locations: ServiceLocations,
    /// What the cluster knows its own requests by.
    pub mark: Mark,
    /// Who is told how long a request took here.
    pub spans: Spans,
}
