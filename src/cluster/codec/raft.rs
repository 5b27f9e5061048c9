//! Log ids, votes, memberships and the messages of Raft to ours, and back.

use super::values::wrong;
use crate::cluster::types::{
    Address, DecodeError, Entry, LogId, Payload, Proposal, SnapshotMeta, StoredMembership, TypeConfig, Vote,
};
use crate::proto::peer::v1 as wire;
use crate::proto::state::v1 as stored;
use crate::state::State;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, Membership};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stored::payload::Payload as StoredPayload;
use wire::append_response::Result as AppendOutcome;

type Result<T> = std::result::Result<T, DecodeError>;

pub(in crate::cluster) fn log_id_to(log_id: &LogId) -> stored::LogId {
    stored::LogId { term: log_id.committed_leader_id().term, index: log_id.index() }
}

pub(in crate::cluster) fn log_id_from(log_id: stored::LogId) -> LogId {
    LogId::new_term_index(log_id.term, log_id.index)
}

pub(in crate::cluster) fn vote_to(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node_id: vote.leader_id.voted_for, committed: vote.committed }
}

pub(in crate::cluster) fn vote_from(vote: Option<wire::Vote>) -> Result<Vote> {
    let vote = vote.ok_or_else(|| wrong("a request", &"it has no vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    })
}

pub(in crate::cluster) fn payload_to(payload: &Payload) -> stored::Payload {
    let payload = match payload {
        EntryPayload::Blank => StoredPayload::Blank(stored::Empty {}),
        EntryPayload::Normal(proposal) => StoredPayload::Command(proposal.0.clone()),
        EntryPayload::Membership(membership) => StoredPayload::Membership(membership_to(membership)),
    };
    stored::Payload { payload: Some(payload) }
}

pub(in crate::cluster) fn payload_from(payload: stored::Payload) -> Result<Payload> {
    match payload.payload.ok_or_else(|| wrong("an entry of the log", &"its kind is not known here"))? {
        StoredPayload::Blank(_) => Ok(EntryPayload::Blank),
        StoredPayload::Command(bytes) => Ok(EntryPayload::Normal(Proposal(bytes))),
        StoredPayload::Membership(membership) => Ok(EntryPayload::Membership(membership_from(membership)?)),
    }
}

/// 128 random bits.
pub(in crate::cluster) fn random_to(bits: u128) -> Vec<u8> {
    bits.to_be_bytes().to_vec()
}

pub(in crate::cluster) fn random_from(bytes: &[u8]) -> Result<u128> {
    let bytes = bytes.try_into().map_err(|_| wrong("a random id", &format!("{} bytes", bytes.len())))?;
    Ok(u128::from_be_bytes(bytes))
}

fn membership_to(membership: &Membership<u64, Address>) -> stored::Membership {
    let voters = membership.get_joint_config().iter();
    let members = membership.nodes().map(|(node_id, address)| stored::Member {
        node_id: *node_id,
        name: address.name.clone(),
        peer_address: address.peer.clone(),
        admin_address: address.admin.clone(),
        incarnation: random_to(address.incarnation),
        group: random_to(address.group),
    });
    stored::Membership {
        voters: voters.map(|ids| stored::Voters { node_ids: ids.iter().copied().collect() }).collect(),
        members: members.collect(),
    }
}

fn membership_from(membership: stored::Membership) -> Result<Membership<u64, Address>> {
    let members: BTreeMap<u64, Address> = membership
        .members
        .into_iter()
        .map(|member| {
            let address = Address {
                incarnation: random_from(&member.incarnation)?,
                group: random_from(&member.group)?,
                name: member.name,
                peer: member.peer_address,
                admin: member.admin_address,
            };
            Ok((member.node_id, address))
        })
        .collect::<Result<_>>()?;
    let voters: Vec<BTreeSet<u64>> =
        membership.voters.into_iter().map(|voters| voters.node_ids.into_iter().collect()).collect();
    if voters.is_empty() && members.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(voters, members).map_err(|error| wrong("a membership", &error))
}

pub(in crate::cluster) fn applied_to(meta: &SnapshotMeta, state: &State) -> stored::Applied {
    let membership = stored::StoredMembership {
        log_id: meta.last_membership.log_id().as_ref().map(log_id_to),
        membership: Some(membership_to(meta.last_membership.membership())),
    };
    stored::Applied {
        last: meta.last_log_id.as_ref().map(log_id_to),
        membership: Some(membership),
        revision: state.table.revision,
        forgotten: state.clients.forgotten,
    }
}

/// How far a state goes, and the state without its rows.
pub(in crate::cluster) fn applied_from(applied: stored::Applied) -> Result<(SnapshotMeta, State)> {
    let membership = applied.membership.unwrap_or_default();
    let last_membership = StoredMembership::new(
        membership.log_id.map(log_id_from),
        membership_from(membership.membership.unwrap_or_default())?,
    );
    let last_log_id = applied.last.map(log_id_from);
    let mut state = State::default();
    Arc::make_mut(&mut state.table).revision = applied.revision;
    state.clients.forgotten = applied.forgotten;
    Ok((SnapshotMeta { last_log_id, last_membership }, state))
}

pub(in crate::cluster) fn append_to(
    request: &AppendEntriesRequest<TypeConfig>,
    route: wire::Route,
) -> wire::AppendRequest {
    let entries = request.entries.iter().map(|entry| wire::Entry {
        log_id: Some(log_id_to(&entry.log_id)),
        payload: Some(payload_to(&entry.payload)),
    });
    wire::AppendRequest {
        route: Some(route),
        vote: Some(vote_to(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to),
        entries: entries.collect(),
        committed: request.leader_commit.as_ref().map(log_id_to),
    }
}

pub(in crate::cluster) fn append_from(
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>> {
    let entries = request.entries.into_iter().map(|entry| {
        let log_id = entry.log_id.ok_or_else(|| wrong("an entry", &"it has no log id"))?;
        let payload = payload_from(entry.payload.unwrap_or_default())?;
        Ok(Entry { log_id: log_id_from(log_id), payload })
    });
    Ok(AppendEntriesRequest {
        vote: vote_from(request.vote)?,
        prev_log_id: request.previous.map(log_id_from),
        entries: entries.collect::<Result<_>>()?,
        leader_commit: request.committed.map(log_id_from),
    })
}

pub(in crate::cluster) fn append_result_to(result: &StreamAppendResult<TypeConfig>) -> wire::AppendResponse {
    let result = match result {
        Ok(log_id) => AppendOutcome::Matching(wire::Matching { log_id: log_id.as_ref().map(log_id_to) }),
        Err(StreamAppendError::Conflict(log_id)) => AppendOutcome::Conflict(log_id_to(log_id)),
        Err(StreamAppendError::HigherVote(vote)) => AppendOutcome::Higher(vote_to(vote)),
    };
    wire::AppendResponse { result: Some(result) }
}

pub(in crate::cluster) fn append_result_from(
    response: wire::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>> {
    match response.result.ok_or_else(|| wrong("an answer to an append", &"it is empty"))? {
        AppendOutcome::Matching(matching) => Ok(Ok(matching.log_id.map(log_id_from))),
        AppendOutcome::Conflict(log_id) => Ok(Err(StreamAppendError::Conflict(log_id_from(log_id)))),
        AppendOutcome::Higher(vote) => Ok(Err(StreamAppendError::HigherVote(vote_from(Some(vote))?))),
    }
}

pub(in crate::cluster) fn vote_request_to(
    request: &VoteRequest<TypeConfig>,
    route: wire::Route,
) -> wire::VoteRequest {
    wire::VoteRequest {
        route: Some(route),
        vote: Some(vote_to(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(in crate::cluster) fn vote_request_from(request: &wire::VoteRequest) -> Result<VoteRequest<TypeConfig>> {
    let mut asked = VoteRequest::new(vote_from(request.vote)?, request.last.map(log_id_from));
    asked.leadership_transfer = request.leadership_transfer;
    Ok(asked)
}

pub(in crate::cluster) fn vote_response_to(response: &VoteResponse<TypeConfig>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_to),
    }
}

pub(in crate::cluster) fn vote_response_from(
    response: wire::VoteResponse,
) -> Result<VoteResponse<TypeConfig>> {
    Ok(VoteResponse::new(vote_from(response.vote)?, response.last.map(log_id_from), response.granted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frozen;
    use prost::Message;

    #[test]
    fn entries_of_the_log_come_back_as_they_were_and_as_they_were_frozen() {
        let address = |name: &str| Address {
            name: name.into(),
            peer: format!("{name}:8700"),
            admin: format!("{name}:8701"),
            incarnation: 7,
            group: 9,
        };
        let members = BTreeMap::from([(1, address("a")), (2, address("b")), (5, address("c"))]);
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let membership = Membership::new(joint, members).unwrap();
        let payloads = [
            ("blank", EntryPayload::Blank),
            ("command", EntryPayload::Normal(Proposal(b"a command".to_vec()))),
            ("membership", EntryPayload::Membership(membership)),
        ];
        for (name, payload) in payloads {
            let frozen = frozen::check(&format!("entry-1/{name}"), &payload_to(&payload).encode_to_vec());
            let read = payload_from(stored::Payload::decode(frozen.as_slice()).unwrap()).unwrap();
            assert_eq!(read, payload);
        }
    }
}
