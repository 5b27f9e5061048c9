//! Finds out what a request asks for, and words what is wrong with it.

use super::body::{self, Prefix};
use super::{Failure, Head, REQUEST_BYTES_MAX};
use crate::rms::Malformed;
use crate::rms::Operation;
use crate::rms::agreement::{check_agreement, content_type};
use crate::rms::envelope::{self, INSPECTED_BYTES_MAX, Inspected, Inspection};
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use http_body_util::LengthLimitError;

/// Reads as much of the body as tells the operation, and checks that everything agrees on it.
pub(super) async fn inspect(head: &Head, body: &mut Body) -> Result<(Inspected, Bytes), Failure> {
    let content_type =
        content_type(Some(&head.content_type).filter(|text| !text.is_empty()).map(String::as_str))
            .map_err(|error| Failure::UnsupportedMedia(error.to_string()))?;
    let mut prefix = Prefix::Piece(Bytes::new());
    let mut wanted = PREFIX_BYTES_MIN;
    let inspected = loop {
        let end = body::read_prefix(body, &mut prefix, wanted).await.map_err(|error| broken_body(&error))?;
        let bytes = prefix.bytes();
        // The first few are enough mostly, however many there are.
        let looked_at = bytes.get(..wanted).unwrap_or(bytes);
        let complete = end == body::End::Reached && looked_at.len() == bytes.len();
        match envelope::inspect(looked_at, complete).map_err(|malformed| unfit(&malformed))? {
            Inspection::Read(inspected) => break inspected,
            // Each inspection begins at the beginning, so there is one more at most.
            Inspection::NeedMore => wanted = INSPECTED_BYTES_MAX,
        }
    };
    let soap_action = Some(head.soap_action.as_str()).filter(|action| !action.is_empty());
    check_agreement(head.endpoint, soap_action, &content_type, &inspected)
        .map_err(|malformed| unfit(&malformed))?;
    Ok((inspected, prefix.freeze()))
}

/// Checks what is known of a request's length before more of it is waited for.
pub(super) fn check_length(head: &Head, operation: Operation, prefix: &Bytes) -> Result<(), Failure> {
    let bytes_max = operation.body_bytes_max();
    let is_longer = head.body_bytes.is_some_and(|bytes| bytes > bytes_max as u64);
    if is_longer || prefix.len() > bytes_max { Err(Failure::TooLarge { bytes_max }) } else { Ok(()) }
}

/// Why a body broke off.
pub(super) fn broken_body(error: &BodyError) -> Failure {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        failure.clone()
    } else if error.is::<LengthLimitError>() {
        Failure::TooLarge { bytes_max: REQUEST_BYTES_MAX }
    } else {
        Failure::BrokenOff
    }
}

/// A request that is not one of the protocol, or has a part that is too long.
pub(super) fn unfit(malformed: &Malformed) -> Failure {
    match malformed {
        Malformed::TooLong { .. } => Failure::OverLimit(malformed.to_string()),
        _ => Failure::Malformed(malformed.to_string()),
    }
}

/// An ordinary request tells its operation in its first few hundred bytes.
const PREFIX_BYTES_MIN: usize = 4 << 10;
