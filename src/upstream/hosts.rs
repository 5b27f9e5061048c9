//! Which hosts may be called at all: a setting, an answer or a discovery that names another leads nowhere.

/// A list of hosts, and of domains whose hosts are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Names in small letters; one that begins with a dot is a domain.
    names: Vec<String>,
}

/// A host is not on the list.
#[derive(Debug, thiserror::Error)]
#[error("{host} is none of the hosts that may be called: {allowed}")]
pub(super) struct NotAllowed {
    pub(super) host: String,
    allowed: String,
}

impl Hosts {
    /// `name.example`, or `.example` for every host below.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        Hosts { names: names.into_iter().map(|name| plain(name.as_ref())).collect() }
    }

    /// More of them.
    #[must_use]
    pub fn and<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names.extend(Hosts::new(names).names);
        self
    }

    /// Whether a host is meant.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|name| match name.strip_prefix('.') {
            Some(domain) => host.strip_suffix(domain).is_some_and(|below| {
                // A whole label, so that `evilaadrm.com` is not of `aadrm.com`.
                below.len() > 1 && below.ends_with('.')
            }),
            None => *name == host,
        })
    }

    /// The names, for people.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn check(&self, host: &str) -> Result<(), NotAllowed> {
        if self.allows(host) {
            return Ok(());
        }
        Err(NotAllowed { host: host.into(), allowed: self.names.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_a_host_and_the_hosts_of_a_domain() {
        let hosts = Hosts::new(["Discover.aadrm.com.", ".aadrm.us"]);
        for allowed in ["discover.aadrm.com", "DISCOVER.AADRM.COM.", "a.aadrm.us", "a.b.aadrm.us"] {
            assert!(hosts.allows(allowed), "{allowed}");
        }
        for other in ["aadrm.us", ".aadrm.us", "evilaadrm.us", "a.aadrm.us.evil", "aadrm.com", ""] {
            assert!(!hosts.allows(other), "{other}");
        }
    }
}
