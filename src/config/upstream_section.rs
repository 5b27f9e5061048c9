//! `[upstream]`: the service, and the way to it.

use super::account_section;
use super::file::{Reader, Section};
use super::oauth_section;
use crate::upstream::cloud::OAuthConfig;
use crate::upstream::{Config, Hosts, Kind, ProxyConfig};
use http::Uri;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) fn read(reader: &Reader<'_>, node: String, service_name: Option<&str>) -> Option<Config> {
    // First: a section must be known before the one above it ends.
    let proxy = proxy(reader);
    let section = reader.section("upstream");
    let base = section.parsed("url", "write http://HOST:PORT or https://HOST, without a path", base);
    if !section.has("url") {
        section.missing("url", "write where the service is, for instance http://127.0.0.1:18080");
    }
    let word = section.parsed("kind", KINDS, Word::of);
    if !section.has("kind") {
        section.missing("kind", KINDS);
    }
    let kind = kind(reader, word, base.as_ref());
    let authority = section.text("authority").map(PathBuf::from);
    let public = word == Some(Word::OAuth);
    if authority.is_none() && !public && base.as_ref().is_some_and(|base| base.scheme_str() == Some("https"))
    {
        section.missing("authority", "https needs the PEM file of the authority to trust");
    }
    let hosts = hosts(&section);
    let hosts = match &kind {
        Some(Kind::OAuth(oauth)) => in_cloud(&section, oauth, base.as_ref(), hosts),
        _ => Hosts::new(base.as_ref().and_then(Uri::host)).and(hosts),
    };
    let clear = section.parsed("clear_text", CLEAR_TEXT, |text| (text == "allow").then_some(()));
    let config = kind.zip(base).zip(proxy).map(|((kind, base), proxy)| Config {
        kind,
        base,
        authority,
        proxy,
        hosts,
        node,
    });
    if clear.is_none() && config.as_ref().is_some_and(Config::in_the_clear) {
        section
            .refuse("url", "must begin with https: what proves the connector goes there; or see clear_text");
    }
    let host = config.as_ref().and_then(|config| config.base.host());
    let own = host.zip(service_name).is_some_and(|(host, own)| host.eq_ignore_ascii_case(own));
    if own && word == Some(Word::Chained) {
        section.refuse("url", "is this connector's own service name: each request would come back to it");
    }
    section.end();
    config
}

/// The kinds of services, without what belongs to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Simulated,
    AdRms,
    Chained,
    OAuth,
}

impl Word {
    fn of(text: &str) -> Option<Self> {
        match text {
            "simulated" => Some(Word::Simulated),
            "ad-rms" => Some(Word::AdRms),
            "chained" => Some(Word::Chained),
            "oauth" => Some(Word::OAuth),
            _ => None,
        }
    }
}

fn kind(reader: &Reader<'_>, word: Option<Word>, base: Option<&Uri>) -> Option<Kind> {
    let account =
        matches!(word, Some(Word::AdRms | Word::Chained)).then(|| account_section::read(reader, base));
    if account.is_none() {
        let words = "is for kind = \"ad-rms\" and \"chained\", which take an account; take the section out";
        account_section::refuse(reader, words);
    }
    let oauth = (word == Some(Word::OAuth)).then(|| oauth_section::read(reader));
    if oauth.is_none() {
        reader.refuse_subsection("upstream.oauth", "is for kind = \"oauth\"; take the section out");
    }
    match word? {
        Word::OAuth => Some(Kind::OAuth(Box::new(oauth??))),
        Word::Simulated => Some(Kind::Simulated),
        Word::AdRms => Some(Kind::AdRms(account??)),
        Word::Chained => Some(Kind::Chained(account??)),
    }
}

/// The hosts of the cloud, and those that were typed: the settings must name none but them.
fn in_cloud(section: &Section<'_>, oauth: &OAuthConfig, base: Option<&Uri>, typed: Vec<String>) -> Hosts {
    let environment = oauth.environment;
    let hosts = Hosts::new(environment.hosts()).and(typed);
    for (key, uri) in [("url", base), ("hosts", Some(&oauth.sign_in))] {
        let host = uri.and_then(Uri::host).unwrap_or_default();
        if !host.is_empty() && !hosts.allows(host) {
            let words = if environment.is_public() {
                format!(
                    "{host} is no host of {}; if it is right, add it to upstream.hosts",
                    environment.word()
                )
            } else {
                format!(
                    "the hosts of {} are not public, so none is known here: write {host} and all others into \
                     upstream.hosts",
                    environment.word()
                )
            };
            section.refuse(key, &words);
        }
    }
    hosts
}

/// Further hosts that may be called.
fn hosts(section: &Section<'_>) -> Vec<String> {
    let hosts = section.list("hosts").unwrap_or_default();
    if hosts.iter().any(|host| !is_host(host)) {
        section.refuse("hosts", "write names of hosts, or .DOMAIN for all hosts of a domain");
    }
    hosts
}

/// `None`: the section has faults. `Some(None)`: there is none.
#[expect(clippy::option_option, reason = "faults are not the same as no section")]
fn proxy(reader: &Reader<'_>) -> Option<Option<ProxyConfig>> {
    let section = reader.section("upstream.proxy");
    let is_there = section.is_there();
    let url = section.parsed("url", PROXY_URL, |text| {
        base(text).filter(|url| url.scheme_str() == Some("http") && url.port().is_some())
    });
    if is_there && !section.has("url") {
        section.missing("url", PROXY_URL);
    }
    let username = section.parsed("username", "write a name without a colon", |text| {
        (!text.is_empty() && !text.contains(':')).then(|| text.to_owned())
    });
    let password_file = section.text("password_file").map(PathBuf::from);
    if section.has("username") != section.has("password_file") {
        let missing = if section.has("username") { "password_file" } else { "username" };
        section
            .missing(missing, "a login at the proxy has a name and a file with the password, of mode 0600");
    }
    let no_proxy = section.list("no_proxy").unwrap_or_default();
    if let Some(wrong) = no_proxy.iter().find(|it| !is_host(it) && !is_network(it)) {
        section.refuse("no_proxy", &format!("{wrong:?} is no host, .DOMAIN, address or NETWORK/BITS"));
    }
    section.end();
    if !is_there {
        return Some(None);
    }
    Some(Some(ProxyConfig { url: url?, login: username.zip(password_file), no_proxy }))
}

fn base(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.path() == "/"
        && uri.query().is_none();
    plain.then_some(uri)
}

/// A name, or a domain that begins with a dot.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, "0"));
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

const KINDS: &str = "write simulated, ad-rms, chained or oauth";
const CLEAR_TEXT: &str = "write allow, or take it out: then the service is called over https alone";
const PROXY_URL: &str = "write http://HOST:PORT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_hosts_and_networks() {
        for good in ["a", "a.b-c.test", ".contoso.com", "10.1.2.3"] {
            assert!(is_host(good), "{good}");
        }
        for wrong in ["", ".", "a..b", "a/8", "*", "a b", "http://a"] {
            assert!(!is_host(wrong), "{wrong}");
        }
        for good in ["10.0.0.0/8", "10.1.2.3", "::1", "fd00::/8"] {
            assert!(is_network(good), "{good}");
        }
        for wrong in ["10.0.0.0/33", "10.0/8", "fd00::/129", "x/8", "10.0.0.0/"] {
            assert!(!is_network(wrong), "{wrong}");
        }
    }
}
