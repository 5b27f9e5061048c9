//! What the simulated sign-in service was told last: by a test it is read, and a lab shows it. Secrets are left out.

use hyper::http::request::Parts;
use serde::Serialize;
use std::collections::BTreeMap;

/// The last of each.
#[derive(Default, Serialize)]
pub(super) struct Heard {
    request: Request,
    form: Form,
}

/// A request for the service behind, with or without a good token.
#[derive(Default, Serialize)]
struct Request {
    path: String,
    /// The word before the token.
    scheme: String,
    /// Those whose names begin with `x-`.
    headers: BTreeMap<String, String>,
}

/// What somebody signed in with.
#[derive(Default, Serialize)]
struct Form {
    path: String,
    fields: BTreeMap<String, String>,
}

impl Heard {
    pub(super) fn request(&mut self, head: &Parts, scheme: &str) {
        let headers = head.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-"));
        let headers = headers.map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        self.request = Request {
            path: head.uri.path().to_owned(),
            scheme: scheme.to_owned(),
            headers: headers.take(HEADERS_MAX).collect(),
        };
    }

    pub(super) fn form(&mut self, path: &str, form: &BTreeMap<String, String>) {
        let fields = form.iter().filter(|(name, _)| !SECRETS.contains(&name.as_str()));
        let fields = fields.map(|(name, value)| (name.clone(), value.clone()));
        self.form = Form { path: path.to_owned(), fields: fields.collect() };
    }
}

const SECRETS: [&str; 4] = ["client_secret", "client_assertion", "refresh_token", "device_code"];
/// More than a connector has to say.
const HEADERS_MAX: usize = 32;
