//! What is sent to the sign-in service: pairs, each written so that it stays one.

use super::Audience;
use crate::secret::Secret;
use bytes::Bytes;
use std::fmt::Write as _;

pub(super) struct Form {
    text: Secret<String>,
    secrets: Vec<Secret<String>>,
}

impl Form {
    pub(super) fn new(client_id: &str) -> Self {
        let mut form =
            Form { text: Secret::new(String::with_capacity(FORM_BYTES_EXPECTED)), secrets: Vec::new() };
        form.add("client_id", client_id);
        form
    }

    pub(super) fn add(&mut self, name: &str, value: &str) -> &mut Self {
        let text = self.text.expose_mut();
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                // Into a text, which takes everything.
                _ => drop(write!(text, "%{byte:02X}")),
            }
        }
        self
    }

    /// A value that no text may show, whoever sends it back.
    pub(super) fn secret(&mut self, name: &str, value: &Secret<String>) -> &mut Self {
        let begin = self.text.expose().len() + name.len() + 2;
        self.add(name, value.expose());
        self.secrets.push(value.clone());
        let written = self.text.expose().get(begin..).unwrap_or_default().to_owned();
        self.secrets.push(Secret::new(written));
        self
    }

    pub(super) fn audience(&mut self, audience: &Audience, also: Option<&str>) {
        match (audience, also) {
            (Audience::Scope(scope), Some(also)) => self.add("scope", &format!("{scope} {also}")),
            (Audience::Scope(scope), None) => self.add("scope", scope),
            (Audience::Resource(resource), _) => self.add("resource", resource),
        };
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from(self.text.expose().clone().into_bytes())
    }

    /// A text without what is secret here.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(Secret::expose).filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "(secret)"))
    }
}

/// A form with a long token has some KiB, and must not leave a shorter copy behind as it grows.
const FORM_BYTES_EXPECTED: usize = 64 << 10;
