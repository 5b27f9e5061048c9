//! Messages of the control plane to values and back.

use super::survey::Seat;
use crate::cluster::Standing;
use crate::proto::control::v1 as proto;
use crate::state::{Entry, Kind, RemovedNode, Role};
use std::time::Duration;
use tonic::Status;

pub(super) fn entry(entry: &Entry) -> proto::Entry {
    proto::Entry {
        sid: entry.sid.to_string(),
        name: entry.name.to_string(),
        kind: match entry.kind {
            Kind::Account => proto::Kind::Account,
            Kind::Computer => proto::Kind::Computer,
            Kind::Group => proto::Kind::Group,
        }
        .into(),
        role: match entry.role {
            Role::Exchange => proto::Role::Exchange,
            Role::SharePoint => proto::Role::Sharepoint,
            Role::FileServer => proto::Role::Fileserver,
        }
        .into(),
        note: entry.note.to_string(),
        added_by: entry.added_by.to_string(),
        added_at_ms: entry.added_at.0,
    }
}

pub(super) fn role(role: proto::Role) -> Result<Role, Status> {
    match role {
        proto::Role::Exchange => Ok(Role::Exchange),
        proto::Role::Sharepoint => Ok(Role::SharePoint),
        proto::Role::Fileserver => Ok(Role::FileServer),
        proto::Role::Unspecified => {
            Err(Status::invalid_argument("role is missing; it must be exchange, sharepoint or fileserver"))
        }
    }
}

/// `None`: take the directory's word for it.
pub(super) fn kind(kind: proto::Kind) -> Option<Kind> {
    match kind {
        proto::Kind::Account => Some(Kind::Account),
        proto::Kind::Computer => Some(Kind::Computer),
        proto::Kind::Group => Some(Kind::Group),
        proto::Kind::Unspecified => None,
    }
}

pub(super) fn node(seat: &Seat, standing: &Standing) -> proto::Node {
    let up = seat.up();
    let (member, entry) = (&seat.member, seat.node.as_ref());
    let status = seat.status.clone().unwrap_or_default();
    let facts = status.facts;
    proto::Node {
        id: member.node_id,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        version: status.version,
        voter: member.voter,
        up,
        leader: standing.leader == Some(member.node_id),
        ready: seat.ready(),
        reason: if up { facts.reason } else { "does not answer".into() },
        revision: status.revision,
        relayed: facts.relayed,
        uptime_s: facts.uptime.as_secs(),
        witness: member.witness,
        drained: entry
            .and_then(|entry| entry.drained.as_ref())
            .map(|drained| proto::Drained { by: drained.by.clone(), at_ms: drained.at.0 }),
        admin_address: member.admin_address.clone(),
        build: entry.map_or(0, |entry| entry.build),
        fresh_ms: facts.age.map(milliseconds),
        stale_after_ms: milliseconds(facts.stale_after),
        in_flight: facts.in_flight,
        certificate_expires_at_ms: facts.certificate_expires_at.map_or(0, |at| at.0),
        joined_at_ms: entry.map_or(0, |entry| entry.joined_at.0),
        answered_ms_ago: seat.answered.map(|answered| milliseconds(answered.at.elapsed())),
        applied: status.applied,
        leaving: entry.and_then(|entry| entry.leaving.clone()).unwrap_or_default(),
        disk_full: status.disk_full,
        plain_seal_key: facts.plain_seal_key,
        exchange_ntlm_unbound: facts.exchange_ntlm_unbound,
        directory_away_ms: facts
            .directory_away
            .map(|away| u64::try_from(away.as_millis()).unwrap_or(u64::MAX)),
        winbind_away: facts.winbind_away,
        account_shared: facts.account_shared,
        cloud_differs: facts.cloud_differs,
        hampered: facts.hampered,
        certificate_faults: facts.certificate_faults,
    }
}

pub(super) fn removed_node(id: u64, node: &RemovedNode) -> proto::RemovedNode {
    proto::RemovedNode { id, name: node.name.clone(), by: node.by.clone(), at_ms: node.at.0 }
}

pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A text for people: bounded, and without characters that could forge a line.
pub(super) fn words(what: &str, text: String, chars_max: usize) -> Result<String, Status> {
    if text.chars().count() > chars_max {
        return Err(Status::invalid_argument(format!("{what} is longer than {chars_max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Status::invalid_argument(format!("{what} has control characters: {text:?}")));
    }
    Ok(text)
}
