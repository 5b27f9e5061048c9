//! Answers that need no cloud: pages for people, descriptions, the tenant's URL, and where the services are.

use super::{Answered, Failure, Head, broken_body, unfit};
use crate::rms::envelope::Inspected;
use crate::rms::version::BadVersion;
use crate::rms::{Endpoint, Operation, fault, location, page as pages, wsdl as description};
use crate::upstream::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Full};

/// Whose answer callers get who ask where the services are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceLocations {
    /// The connector's: its own URL. The service's would send servers past it, to a place where they cannot
    /// authenticate.
    #[default]
    Connector,
    /// The service's, as it comes.
    Service,
}

impl ServiceLocations {
    /// The word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ServiceLocations::Connector => "connector",
            ServiceLocations::Service => "service",
        }
    }

    /// Whether the connector answers this operation itself.
    pub(super) fn answers(self, operation: Operation) -> bool {
        let asks =
            matches!(operation, Operation::FindServiceLocations | Operation::FindServiceLocationsForUser);
        asks && self == ServiceLocations::Connector
    }
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

/// The description of a service at the URL by which the caller knows it. As with pages, an account is enough.
#[must_use]
pub fn wsdl(endpoint: Endpoint, address: &str) -> Answered {
    answer(StatusCode::OK, description::CONTENT_TYPE, description::wsdl(endpoint, address).into())
}

/// Where the services are: here. The versions of the question are judged, since nobody else answers it.
pub(super) async fn locations(
    head: &Head,
    inspected: &Inspected,
    prefix: Bytes,
    mut body: Body,
) -> Result<Answered, Failure> {
    let bytes_max = inspected.operation.body_bytes_max();
    let mut whole = BytesMut::from(prefix);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| broken_body(&error))?.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > bytes_max {
            return Err(Failure::TooLarge { bytes_max });
        }
    }
    let question = location::question(&whole).map_err(|error| unfit(&error))?;
    let (operation, soap) = (inspected.operation, inspected.soap);
    let located = match question.versions {
        // What is answered is the same in every version; the answer says up to which one is known here.
        Ok(_) | Err(BadVersion::TooNew) => {
            location::service_locations(operation, &head.base, question.service_types)
                .map_err(|bad| fault::message(soap, fault::exception::INVALID_OPERATION, &bad.to_string()))
        }
        Err(bad) => Err(fault::message(soap, bad.exception(), &bad.to_string())),
    };
    Ok(match located {
        Ok(located) => {
            let message =
                location::service_locations_response(operation, inspected.namespace, soap, &located);
            answer(StatusCode::OK, soap.content_type(), message.into())
        }
        Err(message) => answer(StatusCode::INTERNAL_SERVER_ERROR, soap.content_type(), message.into()),
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
