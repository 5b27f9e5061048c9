//! Errors of the cluster to gRPC status codes, once.

use crate::cluster::{ReadError, WriteError};
use crate::directory::FindError;
use crate::event::with_causes;
use tonic::Status;

pub(super) fn of_write(error: &WriteError) -> Status {
    match error {
        WriteError::NoLeader { .. } | WriteError::NoQuorum { .. } => Status::unavailable(with_causes(error)),
        WriteError::DiskFull { .. } => Status::resource_exhausted(with_causes(error)),
        WriteError::Unknown { .. } => Status::deadline_exceeded(with_causes(error)),
        WriteError::TooNew { .. } => Status::failed_precondition(with_causes(error)),
        WriteError::TooLarge { .. } => Status::invalid_argument(with_causes(error)),
    }
}

pub(super) fn of_read(error: &ReadError) -> Status {
    Status::unavailable(with_causes(error))
}

pub(super) fn of_find(error: &FindError) -> Status {
    match error {
        FindError::NotAName { .. } => Status::invalid_argument(error.to_string()),
        FindError::Ambiguous { .. } => Status::failed_precondition(error.to_string()),
        // Not UNAVAILABLE: the cluster is there, and another node may reach the directory.
        FindError::NoAnswer { .. } => Status::aborted(error.to_string()),
    }
}
