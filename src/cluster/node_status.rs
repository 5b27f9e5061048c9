//! How a node fares, as nodes tell each other.

use super::{Facts, NodeStatus};
use crate::proto::peer::v1 as wire;
use crate::state::Timestamp;
use std::time::Duration;

pub(super) fn to_wire(status: NodeStatus) -> wire::StatusResponse {
    let facts = status.facts;
    wire::StatusResponse {
        version: status.version,
        ready: facts.ready,
        reason: facts.reason,
        revision: status.revision,
        relayed: facts.relayed,
        uptime_s: facts.uptime.as_secs(),
        applied: status.applied,
        fresh_ms: facts.age.map(milliseconds),
        stale_after_ms: milliseconds(facts.stale_after),
        in_flight: facts.in_flight,
        rotation: facts.rotation,
        certificate_expires_at_ms: facts.certificate_expires_at.map_or(0, |at| at.0),
    }
}

pub(super) fn from_wire(status: wire::StatusResponse) -> NodeStatus {
    NodeStatus {
        version: status.version,
        revision: status.revision,
        applied: status.applied,
        facts: Facts {
            ready: status.ready,
            reason: status.reason,
            relayed: status.relayed,
            uptime: Duration::from_secs(status.uptime_s),
            age: status.fresh_ms.map(Duration::from_millis),
            stale_after: Duration::from_millis(status.stale_after_ms),
            in_flight: status.in_flight,
            rotation: status.rotation,
            certificate_expires_at: Some(status.certificate_expires_at_ms)
                .filter(|at| *at != 0)
                .map(Timestamp),
        },
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_crosses_the_wire_whole() {
        let facts = Facts {
            ready: true,
            reason: "none".into(),
            relayed: 7,
            uptime: Duration::from_secs(9),
            age: Some(Duration::from_millis(11)),
            stale_after: Duration::from_secs(60),
            in_flight: 3,
            rotation: vec![1, 2],
            certificate_expires_at: Some(Timestamp(5)),
        };
        let status = NodeStatus { version: "1".into(), revision: 4, applied: 8, facts };
        assert_eq!(from_wire(to_wire(status.clone())), status);
        let unheard = NodeStatus::default();
        assert_eq!(from_wire(to_wire(unheard.clone())), unheard);
    }
}
