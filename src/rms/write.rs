//! Writes envelopes and escapes text. Everything variable goes through [`escape`].

use super::SoapVersion;
use std::borrow::Cow;

/// Text as XML or HTML content or attribute value. Characters that XML forbids become U+FFFD.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ if needs_escape(character) => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// A whole message with this XML as content of `Header` (left out when empty) and `Body`.
#[must_use]
pub fn envelope_around(soap: SoapVersion, header: &str, body: &str) -> Vec<u8> {
    let (namespace, mut message) = (soap.namespace(), String::with_capacity(body.len() + 512));
    message.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    message.push_str(&format!("<soap:Envelope xmlns:soap=\"{namespace}\" {SCHEMA_NAMESPACES}>"));
    if !header.is_empty() {
        message.push_str(&format!("<soap:Header>{header}</soap:Header>"));
    }
    message.push_str("<soap:Body>");
    message.push_str(body);
    message.push_str("</soap:Body></soap:Envelope>");
    message.into_bytes()
}

fn needs_escape(c: char) -> bool {
    match c {
        '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}' => true,
        '\t' | '\n' | '\r' => false,
        _ => c < ' ',
    }
}

const SCHEMA_NAMESPACES: &str = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
     xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_markup_and_replaces_what_xml_forbids() {
        assert_eq!(escape("plain \u{e9}\n"), "plain \u{e9}\n");
        assert_eq!(escape("<a b='c'>&\"\u{1}\u{ffff}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\u{fffd}\u{fffd}");
    }
}
