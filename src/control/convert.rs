//! Messages of the control plane to values and back.

use crate::proto::control::v1 as proto;
use crate::state::{Entry, Kind, Role};
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
