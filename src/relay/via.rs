//! Through which clusters a request has come: one that comes back to a cluster would go round until its deadline.
//!
//! Each cluster that sends a request to another connector adds its mark, and passes on those that came with it. Nobody
//! but services is shown a mark, and whoever makes one up harms its own request alone: it is refused.

use http::HeaderMap;
use sha2::{Digest, Sha256};

/// What a cluster knows its own requests by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// The mark of a cluster; its secret does not follow from it.
    #[must_use]
    pub fn of(cluster_id: &str, secret: &[u8]) -> Self {
        let mut digest = Sha256::new_with_prefix(b"rmsc via\0");
        digest.update(cluster_id.as_bytes());
        digest.update([0]);
        digest.update(secret);
        Mark(digest.finalize().iter().take(MARK_CHARS / 2).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The marks that a request came with, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via(Vec<String>);

impl Via {
    /// Reads them out of a request's headers. What is no mark is left out: it goes no further.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
        Via::of_marks(values.flat_map(|value| value.split(',')))
    }

    pub(super) fn of_marks<'m>(marks: impl Iterator<Item = &'m str>) -> Self {
        let is_mark = |mark: &&str| mark.len() == MARK_CHARS && mark.bytes().all(|it| it.is_ascii_hexdigit());
        let marks = marks.map(str::trim).filter(is_mark).take(CLUSTERS_MAX);
        Via(marks.map(str::to_ascii_lowercase).collect())
    }

    /// Whether the request has been through this cluster: nobody else can know its mark.
    #[must_use]
    pub fn comes_back_to(&self, own: &Mark) -> bool {
        self.0.contains(&own.0)
    }

    /// Whether it has been through more clusters than anybody chains, by its own word.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.0.len() >= CLUSTERS_MAX
    }

    pub(super) fn marks(&self) -> &[String] {
        &self.0
    }

    /// What the next service is told.
    pub(super) fn and(&self, own: &Mark) -> String {
        let mut marks = self.0.clone();
        marks.push(own.0.clone());
        marks.join(", ")
    }
}

const HEADER: &str = "x-rmsc-via";
/// 128 bits: nobody guesses one.
const MARK_CHARS: usize = 32;
/// Two connectors in a row are rare.
const CLUSTERS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn via(values: &[&str]) -> Via {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        Via::of(&headers)
    }

    #[test]
    fn a_request_that_has_been_here_is_known_whatever_else_it_came_through() {
        let (own, other) = (Mark::of("a", b"secret"), Mark::of("b", b"secret"));
        assert_ne!(own, other);
        assert_ne!(own, Mark::of("a", b"another"));
        let first = via(&[]);
        assert!(!first.comes_back_to(&own));
        let second = via(&[&first.and(&own)]);
        assert!(second.comes_back_to(&own) && !second.comes_back_to(&other));
        let third = via(&["nonsense, ", &second.and(&other)]);
        assert!(third.comes_back_to(&own) && third.comes_back_to(&other));
        assert_eq!(third.marks().len(), 2);
        assert!(via(&[&own.0.to_uppercase()]).comes_back_to(&own));
    }

    #[test]
    fn nothing_but_marks_goes_further_and_not_without_end() {
        let own = Mark::of("a", b"secret");
        let made_up = via(&["x", "0123", &"g".repeat(32), &"0".repeat(33), "a\tb"]);
        assert_eq!(made_up, Via::default());
        let many = via(&[&vec!["0".repeat(32); 100].join(",")]);
        assert!(many.is_too_long() && !many.comes_back_to(&own));
        assert_eq!(many.marks().len(), CLUSTERS_MAX);
    }
}
