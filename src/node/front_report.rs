//! What this node's front sees, in the words in which other nodes are told.

use crate::front::{Peers, Seen, Standing};
use crate::proto::peer::v1 as wire;
use crate::relay::Hamper;
use std::time::Duration;

pub(super) fn front_report(peers: &Peers) -> wire::FrontReport {
    let (seen, unchanged) = peers.seen();
    wire::FrontReport {
        unchanged_ms: milliseconds(unchanged),
        nodes: seen.into_iter().map(front_node).collect(),
    }
}

fn front_node(seen: Seen) -> wire::FrontNode {
    let (standing, reason) = standing(seen.standing);
    wire::FrontNode {
        node_id: seen.id,
        standing: standing.into(),
        reason,
        for_ms: milliseconds(seen.for_so_long),
        in_rotation: seen.in_rotation,
        drained: seen.drained,
        turns: seen.counts.turns,
        handed: seen.counts.handed,
        lost: seen.counts.lost,
        in_flight: seen.counts.in_flight,
    }
}

fn standing(standing: Standing) -> (wire::FrontStanding, String) {
    match standing {
        Standing::Unheard => (wire::FrontStanding::Unheard, String::new()),
        Standing::Ready => (wire::FrontStanding::Ready, String::new()),
        Standing::Hampered(hampered) => match hampered.by {
            Hamper::Service => (wire::FrontStanding::NoService, hampered.reason),
            Hamper::Load => (wire::FrontStanding::Overloaded, hampered.reason),
        },
        Standing::NotReady(reason) => (wire::FrontStanding::NotReady, reason),
        Standing::Suspended(reason) => (wire::FrontStanding::Suspended, reason),
        Standing::Unreachable(reason) => (wire::FrontStanding::Unreachable, reason),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
