//! `[upstream.oauth]`: signing in at the cloud. Experimental, and so every part of it is a setting.

use super::file::{Reader, Section};
use crate::upstream::cloud::{Assertion, Audience, Environment, OAuthConfig};
use http::{HeaderName, Uri};
use std::path::PathBuf;

/// `None`: it has faults.
pub(super) fn read(reader: &Reader<'_>) -> Option<OAuthConfig> {
    let section = reader.section("upstream.oauth");
    let environment = section.parsed("environment", ENVIRONMENTS, Environment::of);
    if !section.has("environment") {
        section.missing("environment", ENVIRONMENTS);
    }
    let tenant = section.parsed("tenant", TENANT, |text| is_word(text).then(|| text.to_owned()));
    if !section.has("tenant") {
        section.missing("tenant", TENANT);
    }
    let client_id = section.parsed("client_id", CLIENT, |text| is_word(text).then(|| text.to_owned()));
    if !section.has("client_id") {
        section.missing("client_id", CLIENT);
    }
    let sign_in = sign_in(&section, environment, tenant.as_deref());
    let audience = audience(&section, environment);
    let scheme = section
        .parsed("scheme", "write Bearer, MSOID or another word", |text| {
            is_word(text).then(|| text.to_owned())
        })
        .unwrap_or_else(|| "Bearer".into());
    let path_prefix = section
        .parsed(
            "path_prefix",
            "write a path without a slash at its end, for instance /_wmcs/oauth2",
            |text| {
                let good = text.starts_with('/')
                    && !text.ends_with('/')
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
                    && !text.contains("..");
                good.then(|| text.to_owned())
            },
        )
        .unwrap_or_else(|| "/_wmcs".into());
    let mut assertions = Vec::new();
    for (key, assertion) in [
        ("caller_header", Assertion::Caller),
        ("entry_header", Assertion::Entry),
        ("role_header", Assertion::Role),
    ] {
        let name = section.parsed(key, "write the name of a header that begins with x-", |text| {
            let name: HeaderName = text.parse().ok()?;
            (name.as_str().starts_with("x-") && !name.as_str().starts_with("x-rmsc-")).then_some(name)
        });
        assertions.extend(name.map(|name| (name, assertion)));
    }
    let sign_in_authority = section.text("sign_in_authority").map(PathBuf::from);
    section.end();
    Some(OAuthConfig {
        environment: environment?,
        sign_in: sign_in?,
        client_id: client_id?,
        audience: audience?,
        scheme,
        path_prefix,
        assertions,
        sign_in_authority,
    })
}

/// `https://HOST/TENANT`.
fn sign_in(section: &Section<'_>, environment: Option<Environment>, tenant: Option<&str>) -> Option<Uri> {
    let typed = section.parsed("sign_in", SIGN_IN, |text| {
        let uri: Uri = text.parse().ok()?;
        let good = matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.path() == "/"
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        // A secret goes there: without TLS only to this machine.
        let clear = uri.scheme_str() == Some("http");
        let local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        (good && (!clear || local)).then(|| text.trim_end_matches('/').to_owned())
    });
    let base = match (typed, environment) {
        (Some(typed), _) => typed,
        (None, Some(environment)) => match environment.sign_in_host() {
            Some(host) => format!("https://{host}"),
            None => {
                if !section.has("sign_in") {
                    let words = format!("the hosts of {} are not public; {SIGN_IN}", environment.word());
                    section.missing("sign_in", &words);
                }
                return None;
            }
        },
        (None, None) => return None,
    };
    format!("{base}/{}", tenant?).parse().ok()
}

fn audience(section: &Section<'_>, environment: Option<Environment>) -> Option<Audience> {
    let sound = |text: &str| {
        let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        good.then(|| text.to_owned())
    };
    let scope = section.parsed(
        "scope",
        "write what a token is asked for, for instance https://aadrm.com/.default",
        sound,
    );
    let resource =
        section.parsed("resource", "write whom a token is for, for instance https://aadrm.com", sound);
    match (scope, resource) {
        (Some(_), Some(_)) => {
            section.refuse("resource", "goes without scope: take one of the two out");
            None
        }
        (Some(scope), None) => Some(Audience::Scope(scope)),
        (None, Some(resource)) => Some(Audience::Resource(resource)),
        (None, None) => match environment?.resource() {
            Some(resource) => Some(Audience::Scope(format!("{resource}/.default"))),
            None => {
                section.missing("scope", "what tokens are for there is not public; write it");
                None
            }
        },
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

const ENVIRONMENTS: &str =
    "write AzureCloud, AzureChinaCloud, AzureUSGovernment, AzureUSGovernment2 or AzureUSGovernment3";
const TENANT: &str = "write the tenant's id or its domain";
const CLIENT: &str = "write the id of the application that was registered for this connector";
const SIGN_IN: &str = "write where one signs in, https://HOST";

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::upstream::Kind;
    use crate::upstream::cloud::Audience;

    const GOOD: &str = r#"
[node]
name = "rmsc-1"
[listen]
https = "0.0.0.0:443"
certificate = "front.pem"
key = "front.key"
peer = "10.1.0.11:8700"
admin = "10.1.0.11:8701"
[cluster]
service_name = "rmsconnector.contoso.com"
[upstream]
kind = "oauth"
url = "https://5c6bb73b-1038-4eec-863d-49bded473437.rms.eu.aadrm.com"
[upstream.oauth]
environment = "AzureCloud"
tenant = "contoso.com"
client_id = "00000000-1111-2222-3333-444444444444"
"#;

    fn check_faults(text: &str, expected: &[&str]) {
        let faults: Vec<String> = Config::parse(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.contains(expected), "{fault} does not say {expected}");
        }
    }

    #[test]
    fn a_public_cloud_needs_little() {
        let Kind::OAuth(oauth) = Config::parse(GOOD).unwrap().upstream.kind else { panic!("another kind") };
        assert_eq!(oauth.sign_in.to_string(), "https://login.microsoftonline.com/contoso.com");
        assert_eq!(oauth.audience, Audience::Scope("https://aadrm.com/.default".into()));
        assert_eq!((&*oauth.scheme, &*oauth.path_prefix), ("Bearer", "/_wmcs"));
        for (environment, zone, host) in [
            ("AzureChinaCloud", "cn", "login.partner.microsoftonline.cn"),
            ("AzureUSGovernment", "us", "login.microsoftonline.us"),
        ] {
            let text = GOOD.replace("AzureCloud", environment).replace("aadrm.com", &format!("aadrm.{zone}"));
            let Kind::OAuth(oauth) = Config::parse(&text).unwrap().upstream.kind else {
                panic!("another kind")
            };
            assert_eq!(oauth.sign_in.host(), Some(host));
        }
    }

    #[test]
    fn a_token_goes_over_https() {
        let text = GOOD.replace("https://5c", "http://5c");
        check_faults(&text, &["upstream.url: must begin with https"]);
        let allowed = text.replace("[upstream.oauth]", "clear_text = \"allow\"\n[upstream.oauth]");
        assert!(Config::parse(&allowed).is_ok());
    }

    #[test]
    fn hosts_of_another_cloud_are_refused() {
        let text = GOOD.replace("rms.eu.aadrm.com", "rms.eu.aadrm.com.evil.test");
        check_faults(
            &text,
            &[
                "upstream.url: 5c6bb73b-1038-4eec-863d-49bded473437.rms.eu.aadrm.com.evil.test is no host of AzureCloud",
            ],
        );
        let typed = text.replace("[upstream.oauth]", "hosts = [\".evil.test\"]\n[upstream.oauth]");
        assert!(Config::parse(&typed).is_ok());
        check_faults(
            &format!("{GOOD}sign_in = \"https://login.evil.test\"\n"),
            &["login.evil.test is no host of AzureCloud"],
        );
        check_faults(
            &format!("{GOOD}sign_in = \"http://login.microsoftonline.com\"\n"),
            &["upstream.oauth.sign_in: "],
        );
    }

    #[test]
    fn the_hosts_of_two_clouds_must_be_typed() {
        for environment in ["AzureUSGovernment2", "AzureUSGovernment3"] {
            let text = GOOD.replace("AzureCloud", environment);
            check_faults(
                &text,
                &[
                    "upstream.oauth.sign_in: is missing; the hosts of AzureUSGovernment",
                    "upstream.oauth.scope: is missing; what tokens are for there is not public",
                ],
            );
            let typed = format!(
                "{text}sign_in = \"https://login.gov.test\"\nscope = \"https://rms.gov.test/.default\"\n"
            );
            check_faults(&typed, &["are not public, so none is known here"; 2]);
            let hosts = typed.replace(
                "[upstream.oauth]",
                "hosts = [\".aadrm.com\", \"login.gov.test\"]\n[upstream.oauth]",
            );
            assert!(Config::parse(&hosts).is_ok());
        }
    }

    #[test]
    fn the_section_is_for_this_kind_alone() {
        let text = GOOD.replace("\"oauth\"", "\"simulated\"").replace("https://5c", "http://5c");
        check_faults(&text, &["upstream.oauth: is for kind = \"oauth\""]);
    }
}
