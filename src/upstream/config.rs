//! Which service it is, how to reach it, and what follows from that.

use super::account::AccountConfig;
use super::cloud::OAuthConfig;
use super::hosts::Hosts;
use super::proxy::ProxyConfig;
use crate::tls;
use http::Uri;
use std::net::IpAddr;
use std::path::PathBuf;

/// Which service, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What kind of service it is.
    pub kind: Kind,
    /// `http(s)://authority`, without a path.
    pub base: Uri,
    /// The certificate authority to trust for `https`.
    pub authority: Option<PathBuf>,
    /// The web proxy, if there is one.
    pub proxy: Option<ProxyConfig>,
    /// The hosts that may be called.
    pub hosts: Hosts,
    /// This node's name, told to a simulated service.
    pub node: String,
}

/// The kinds of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `rmsc simulate cloud`, which also likes to know who asked and through which nodes.
    Simulated,
    /// An AD RMS cluster, which takes this account. It sees no other: who asked the connector is lost there.
    AdRms(AccountConfig),
    /// Another connector, which has authorized this account. It sees no other, either.
    Chained(AccountConfig),
    /// The service in the cloud, with a token. Experimental.
    OAuth(Box<OAuthConfig>),
}

impl Kind {
    /// The word for it in the configuration.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Simulated => "simulated",
            Kind::AdRms(_) => "ad-rms",
            Kind::Chained(_) => "chained",
            Kind::OAuth(_) => "oauth",
        }
    }
}

impl Kind {
    /// Whether a caller with this role may have requests sent there. Where the service sees one account for all, what
    /// that account may do, every caller may do.
    #[must_use]
    pub fn acts_for(&self, role: &str) -> bool {
        match self {
            Kind::Simulated | Kind::OAuth(_) => true,
            Kind::AdRms(account) | Kind::Chained(account) => account.roles.contains(&role),
        }
    }

    /// Whether callers of several roles are one account there.
    #[must_use]
    pub fn shares_an_account(&self) -> bool {
        match self {
            Kind::Simulated | Kind::OAuth(_) => false,
            Kind::AdRms(account) | Kind::Chained(account) => account.roles.len() > 1,
        }
    }
}

impl Config {
    /// Whether what proves the connector goes over a network without TLS. Through a web proxy even this host's own
    /// address is elsewhere.
    #[must_use]
    pub fn in_the_clear(&self) -> bool {
        let proves = match &self.kind {
            Kind::Simulated => false,
            Kind::AdRms(_) | Kind::Chained(_) | Kind::OAuth(_) => true,
        };
        let here = self.proxy.is_none() && self.base.host().is_some_and(is_loopback);
        proves && self.base.scheme_str() == Some("http") && !here
    }

    /// Whom to trust as the service.
    #[must_use]
    pub fn roots(&self) -> tls::Roots<'_> {
        match (&self.authority, &self.kind) {
            (Some(file), _) => tls::Roots::File(file),
            (None, Kind::OAuth(_)) => tls::Roots::System,
            (None, Kind::Simulated | Kind::AdRms(_) | Kind::Chained(_)) => tls::Roots::Nobody,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
