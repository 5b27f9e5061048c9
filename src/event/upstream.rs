//! What the catalogue says about trouble on the way to the service that an administrator can mend.

use super::{Description, Level};

/// What is wrong on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTrouble {
    /// Its name has no address.
    NoName,
    /// Its certificate's time is over, or has not come.
    Expired,
    /// Its certificate is for other names.
    WrongName,
    /// Its certificate is of an authority that is not trusted.
    UnknownIssuer,
    /// The web proxy cannot be reached.
    ProxyUnreachable,
    /// The web proxy wants a login.
    ProxyLogin,
    /// The web proxy refuses.
    ProxyRefused,
    /// It is none of the hosts that may be called. No file that is taken names such a one: this is the last line of
    /// defence against what names another host later.
    NotAllowed,
    /// The connector's own account has nothing to prove itself with.
    NoLogin,
    /// The service does not take the connector's own account.
    LoginRefused,
    /// There is no token for it.
    NoToken,
    /// It does not take the token.
    TokenRefused,
}

impl UpstreamTrouble {
    /// The row of the catalogue.
    pub(super) const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            UpstreamTrouble::NoName => (
                4070,
                "the service cannot be found: its name has no address",
                "test the name on this node: getent hosts NAME; mend the DNS, or upstream.url",
            ),
            UpstreamTrouble::Expired => (
                4071,
                "the service is not trusted: its certificate is not valid now",
                "compare this node's clock; if it is right, whoever runs the service must renew the certificate",
            ),
            UpstreamTrouble::WrongName => (
                4072,
                "the service is not trusted: its certificate is for another name",
                "read the names in it; mend upstream.url, or where its name leads",
            ),
            UpstreamTrouble::UnknownIssuer => (
                4073,
                "the service is not trusted: who issued its certificate is not trusted here",
                "if a device looks into TLS, exempt the service's hosts there; else put the issuer into upstream.authority",
            ),
            UpstreamTrouble::ProxyUnreachable => (
                4074,
                "the service cannot be reached: the web proxy does not answer",
                "test the way to the proxy from this node; mend it, or upstream.proxy.url",
            ),
            UpstreamTrouble::ProxyLogin => (
                4075,
                "the service cannot be reached: the web proxy wants a login, or another one",
                "mend upstream.proxy.username and the password file, or let the proxy pass this node without",
            ),
            UpstreamTrouble::ProxyRefused => (
                4076,
                "the service cannot be reached: the web proxy refuses the way to it",
                "read its status; allow the service's hosts and port there: rmsc cloud endpoints",
            ),
            UpstreamTrouble::NotAllowed => (
                4077,
                "the service is not called: its host is none of those that may be",
                "if the host is right, add it to upstream.hosts; if you do not know it, find out who named it",
            ),
            UpstreamTrouble::NoLogin => (
                4078,
                "the service is not called: the connector's own account cannot prove itself",
                "read the reason; mend upstream.account: its password or keytab, the realm, the way to its KDC",
            ),
            UpstreamTrouble::LoginRefused => (
                4079,
                "the service does not take the connector's own account",
                "authorize that account there; if it is, mend its password, and the service's name (SPN)",
            ),
            UpstreamTrouble::NoToken => (
                4080,
                "the service is not called: there is no token for it",
                "rmsc cloud show says why: nobody has signed in (rmsc cloud login), or it cannot be renewed (4082)",
            ),
            UpstreamTrouble::TokenRefused => (
                4081,
                "the service does not take the connector's token, nor a new one",
                "see what the token is asked for ([upstream.oauth] scope), and the application's rights in the cloud",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}
