//! Our messages to the types of [`state`](crate::state) and of Raft, and back.

mod raft;
mod roster;
mod values;

pub(super) use raft::{
    append_from, append_result_from, append_result_to, append_to, applied_from, applied_to, log_id_from,
    log_id_to, payload_from, payload_to, random_from, random_to, vote_from, vote_request_from,
    vote_request_to, vote_response_from, vote_response_to, vote_to,
};
pub(super) use roster::{HEAD, roster_row_from, roster_to};
pub use values::KNOWN;
pub(super) use values::{
    answered_from, answered_to, command_from, command_to, digest, entry_from, entry_to, needs, outcome_from,
    outcome_to, within_needs,
};
