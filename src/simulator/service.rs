//! One call of the simulated service: bytes in, an answer or a fault out. Pure but for new ids.

use super::licensor::Licensor;
use super::{Config, answers};
use crate::rms::agreement::{ContentType, check_agreement};
use crate::rms::document::{Document, LIMITS};
use crate::rms::fault::{self, exception};
use crate::rms::request::Request;
use crate::rms::version::{Versions, version_data};
use crate::rms::{Endpoint, Malformed, envelope_around};
use hyper::StatusCode;

/// A call as it came.
pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) content_type: &'a ContentType,
    pub(super) soap_action: Option<&'a str>,
    /// The authorized entry that the connector acts for.
    pub(super) entry: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) config: &'a Config,
    pub(super) licensor: &'a Licensor,
}

/// What is sent back.
pub(super) struct Served {
    pub(super) operation: &'static str,
    pub(super) status: StatusCode,
    pub(super) message: Vec<u8>,
}

/// An exception of the service and its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) exception: &'static str,
    pub(super) text: String,
}

impl Fault {
    pub(super) fn new(exception: &'static str, text: impl Into<String>) -> Self {
        Fault { exception, text: text.into() }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::new(exception::INVALID_OPERATION, malformed.to_string())
    }
}

pub(super) fn serve(call: &Call<'_>) -> Served {
    let mut operation = "malformed";
    match reply(call, &mut operation) {
        Ok(message) => Served { operation, status: StatusCode::OK, message },
        Err(Fault { exception, text }) => Served {
            operation,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: fault::message(call.content_type.soap, exception, &text),
        },
    }
}

fn reply(call: &Call<'_>, operation: &mut &'static str) -> Result<Vec<u8>, Fault> {
    let document = Document::parse(call.body, &LIMITS)?;
    let request = Request::read(&document)?;
    check_agreement(call.endpoint, call.soap_action, call.content_type, &request.inspected)?;
    let inspected = request.inspected;
    *operation = inspected.operation.word();
    let mut header = String::new();
    let mut batching = Batching::One;
    if inspected.operation.has_version_data() {
        let versions = Versions::of(&request).map_err(|bad| Fault::new(bad.exception(), bad.to_string()))?;
        batching = if versions.allow_batches() { Batching::Many } else { Batching::One };
        header = version_data(inspected.namespace);
    }
    let asked = answers::Asked {
        request,
        batching,
        entry: call.entry.unwrap_or("nobody"),
        config: call.config,
        licensor: call.licensor,
    };
    let result = answers::result(&asked)?;
    let (name, namespace) = (inspected.operation.name(), inspected.namespace);
    let body = format!(
        "<{name}Response xmlns=\"{namespace}\"><{name}Result>{result}</{name}Result></{name}Response>"
    );
    Ok(envelope_around(inspected.soap, &header, &body))
}

/// How many licenses one call may ask for ([MS-RMPR] note 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Batching {
    /// Version 1.0.0.0.
    One,
    /// Version 1.1.0.0 and later.
    Many,
}
