//! Answers that need no cloud: pages for people, the tenant's URL, and where the services are.

use super::{Answered, Failure, Head, REQUEST_BYTES_MAX, broken_body};
use crate::rms::envelope::Inspected;
use crate::rms::{Endpoint, Operation, fault, location, page as pages};
use crate::upstream::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full};

/// Whether the connector answers this operation itself.
pub(super) fn answers(operation: Operation) -> bool {
    matches!(operation, Operation::FindServiceLocationsForUser)
}

/// The page that a GET of an endpoint shows. It needs an account, but none that is authorized.
#[must_use]
pub fn page(endpoint: Endpoint, node: &str, version: &str) -> Answered {
    answer(StatusCode::OK, pages::CONTENT_TYPE, pages::page(endpoint, node, version).into())
}

/// What `GetRmsoUri.aspx` answers: the tenant's URL and nothing else, not even a line end.
#[must_use]
pub fn tenant_url_page(tenant_url: &str) -> Answered {
    answer(StatusCode::OK, pages::TENANT_URL_CONTENT_TYPE, pages::tenant_url(tenant_url).to_owned().into())
}

/// Where the services are: here. The service's own answer would send servers past the connector,
/// to a place where they cannot authenticate.
pub(super) async fn locations(
    head: &Head,
    inspected: &Inspected,
    prefix: Bytes,
    mut body: Body,
) -> Result<Answered, Failure> {
    let mut whole = BytesMut::from(prefix);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broken_body(&error))?.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > LOCATIONS_REQUEST_BYTES_MAX {
            return Err(Failure::TooLarge { bytes_max: LOCATIONS_REQUEST_BYTES_MAX });
        }
    }
    let types =
        location::requested_service_types(&whole).map_err(|error| Failure::Malformed(error.to_string()))?;
    let (soap, content_type) = (inspected.soap, inspected.soap.content_type());
    let located: Result<Vec<_>, _> = types
        .into_iter()
        .map(|service_type| location::service_url(&head.base, &service_type).map(|url| (service_type, url)))
        .collect();
    Ok(match located {
        Ok(located) => {
            let message = location::service_locations_response(inspected.namespace, soap, &located);
            answer(StatusCode::OK, content_type, message.into())
        }
        Err(bad) => {
            let message = fault::message(soap, fault::exception::INVALID_OPERATION, &bad.to_string());
            answer(StatusCode::INTERNAL_SERVER_ERROR, content_type, message.into())
        }
    })
}

fn answer(status: StatusCode, content_type: &str, bytes: Bytes) -> Answered {
    Answered {
        status,
        content_type: content_type.to_owned(),
        content_encoding: String::new(),
        body: Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
    }
}

/// A handful of service names; nobody asks for more.
const LOCATIONS_REQUEST_BYTES_MAX: usize = REQUEST_BYTES_MAX / 64;
