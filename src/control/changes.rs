//! Changes that administrators ask for: written once however often they are repeated, and what came of
//! them in words.

use super::status;
use crate::cluster::{Cluster, Written};
use crate::state::{Change, ClientId, Outcome, Rejection, RosterChange, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::Status;

/// Writes a change. With a `request_id` a repeated call does not act twice, unless so many others came in
/// between that the first one is forgotten.
pub(super) async fn write(
    cluster: &Cluster,
    by: &str,
    change: Change,
    request_id: &[u8],
) -> Result<Written, Status> {
    let client = match request_id {
        [] => None,
        bytes => Some(ClientId(bytes.try_into().map_err(|_| {
            Status::invalid_argument(format!(
                "request_id has {} bytes; it must have 16, at random",
                bytes.len()
            ))
        })?)),
    };
    cluster.write(by, change, client, now()).await.map_err(|error| status::of_write(&error))
}

/// Whether a change of the roster changed anything, and where it stands.
pub(super) struct RosterWritten {
    pub(super) log_index: u64,
    pub(super) changed: bool,
}

/// Writes a change of the roster.
pub(super) async fn write_roster(
    cluster: &Cluster,
    by: &str,
    change: RosterChange,
    request_id: &[u8],
) -> Result<RosterWritten, Status> {
    let written = write(cluster, by, Change::Roster(change), request_id).await?;
    let log_index = written.log_index;
    match &written.outcome {
        Outcome::RosterChanged => Ok(RosterWritten { log_index, changed: true }),
        Outcome::RosterUnchanged => Ok(RosterWritten { log_index, changed: false }),
        Outcome::Rejected(rejection) => Err(rejected(rejection)),
        Outcome::OtherCommand => Err(used_before()),
        Outcome::Allowed
        | Outcome::Renewed
        | Outcome::HasOtherRole { .. }
        | Outcome::TableFull
        | Outcome::Removed { .. }
        | Outcome::NotInTable
        | Outcome::Admitted { .. }
        | Outcome::Forgotten => Err(unexpected(&written)),
    }
}

pub(super) fn rejected(rejection: &Rejection) -> Status {
    let words = rejection.to_string();
    match rejection {
        Rejection::NoSuchNode { .. }
        | Rejection::NoSuchToken { .. }
        | Rejection::NoSuchAdministrator { .. }
        | Rejection::NoSuchServiceKey { .. } => Status::not_found(words),
        Rejection::NameTaken { .. }
        | Rejection::AlreadyFounded
        | Rejection::AdministratorExists { .. }
        | Rejection::KeyUsed { .. }
        | Rejection::ServiceKeyDiffers { .. } => Status::already_exists(words),
        Rejection::NotFounded
        | Rejection::LastNode { .. }
        | Rejection::TooManyNodes { .. }
        | Rejection::LastAdministrator { .. }
        | Rejection::TooManyAdministrators { .. }
        | Rejection::ServiceKeyRemoved { .. }
        | Rejection::ServiceKeyRealms { .. }
        | Rejection::TooManyServiceKeys { .. }
        | Rejection::SecretChanged { .. }
        | Rejection::TokenExpired { .. }
        | Rejection::TokenUsed { .. }
        | Rejection::TokenRevoked { .. }
        | Rejection::Version { .. } => Status::failed_precondition(words),
    }
}

pub(super) fn unexpected(written: &Written) -> Status {
    Status::internal(format!("the change at log index {} had the outcome of another", written.log_index))
}

pub(super) fn used_before() -> Status {
    Status::invalid_argument("the request_id was used for another change before; it must be new and random")
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
