//! Names of accounts, as people write them: `DOMAIN\name`.

use std::fmt;
use std::str::FromStr;

/// `DOMAIN\name`, without control characters, compared without regard to case.
#[derive(Clone, Debug)]
pub struct AccountName {
    domain: String,
    name: String,
}

/// Why a text is not an account name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{} is not an account name; write it as 'DOMAIN\\name' (a computer's ends in $)",
    super::quoted(text)
)]
pub struct ParseAccountNameError {
    text: String,
}

impl AccountName {
    /// Makes a name of its two parts; `None` if a part is empty, too long or has a forbidden character.
    #[must_use]
    pub fn new(domain: &str, name: &str) -> Option<Self> {
        let good = |part: &str| {
            !part.is_empty()
                && part.chars().count() <= PART_CHARS_MAX
                && !part.chars().any(|c| c.is_control() || "\\/\"[]:|<>+=;,?*".contains(c))
        };
        (good(domain) && good(name)).then(|| AccountName { domain: domain.into(), name: name.into() })
    }

    /// The domain's NetBIOS name.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The account's own name (sAMAccountName); a computer's ends in `$`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn folded(&self) -> (String, String) {
        (self.domain.to_lowercase(), self.name.to_lowercase())
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for AccountName {}

impl FromStr for AccountName {
    type Err = ParseAccountNameError;

    fn from_str(text: &str) -> Result<Self, ParseAccountNameError> {
        text.split_once('\\')
            .and_then(|(domain, name)| AccountName::new(domain, name))
            .ok_or_else(|| ParseAccountNameError { text: text.chars().take(2 * PART_CHARS_MAX).collect() })
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\\{}", self.domain, self.name)
    }
}

/// Longer than any directory allows: a sAMAccountName has at most 256 characters ([MS-ADA3] 2.222).
const PART_CHARS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_without_case() {
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        assert_eq!(name("LAB\\exch01$"), name("lab\\EXCH01$"));
        assert_ne!(name("LAB\\exch01$"), name("LAB\\exch01"));
    }

    #[test]
    fn refuses_what_could_forge_a_log_line_or_a_path() {
        for text in ["exch01$", "\\x", "LAB\\", "LAB\\a\nb", "LAB\\a\\b", "LAB\\a/b", "L\u{1b}AB\\a"] {
            assert!(text.parse::<AccountName>().is_err(), "{text:?}");
        }
    }
}
