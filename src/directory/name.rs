//! What a person typed: a SID, `DOMAIN\name`, `name@domain`, or a name alone.

use super::FindError;
use crate::principal::{AccountName, Sid};

/// What was typed, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed<'a> {
    Sid(Sid),
    Name { domain: Option<&'a str>, name: &'a str, style: Style },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `DOMAIN\name`.
    Account,
    /// `name@domain`.
    Upn,
    /// `name`.
    Plain,
}

pub(super) fn read(text: &str) -> Result<Typed<'_>, FindError> {
    if let Ok(sid) = text.parse() {
        return Ok(Typed::Sid(sid));
    }
    let (domain, name, style) = match (text.split_once('\\'), text.split_once('@')) {
        (Some((domain, name)), _) => (Some(domain), name, Style::Account),
        (None, Some((name, domain))) => (Some(domain), name, Style::Upn),
        (None, None) => (None, text, Style::Plain),
    };
    let too_long = || FindError::NotAName { text: text.chars().take(TEXT_SHOWN_CHARS_MAX).collect() };
    AccountName::new(domain.unwrap_or("x"), name).ok_or_else(too_long)?;
    Ok(Typed::Name { domain, name, style })
}

const TEXT_SHOWN_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_write_a_name() {
        let named = |domain, name, style| Ok(Typed::Name { domain, name, style });
        assert_eq!(read(r"LAB\EXCH01$"), named(Some("LAB"), "EXCH01$", Style::Account));
        assert_eq!(read("alice@lab.test"), named(Some("lab.test"), "alice", Style::Upn));
        assert_eq!(read("Exchange Servers"), named(None, "Exchange Servers", Style::Plain));
        assert!(matches!(read("S-1-5-21-1-2-3-500"), Ok(Typed::Sid(_))));
        for wrong in ["", r"LAB\", r"\x", "a*", "a(b)|c", "a\nb", "@"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
