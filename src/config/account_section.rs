//! `[upstream.account]`: the connector's own account at a service that takes Windows authentication.

use super::file::{Reader, Section};
use crate::state::Role;
use crate::upstream::{AccountConfig, Proof, Protocol};
use http::Uri;
use std::path::PathBuf;

/// `None`: it has faults.
pub(super) fn read(reader: &Reader<'_>, base: Option<&Uri>) -> Option<AccountConfig> {
    let section = reader.section("upstream.account");
    let name = section.parsed("name", NAME, |text| is_account(text).then(|| text.to_owned()));
    if !section.has("name") {
        section.missing("name", NAME);
    }
    let password = section.text("password_file").map(PathBuf::from);
    let keytab = section.text("keytab").map(PathBuf::from);
    let proof = match (password, keytab) {
        (Some(file), None) => Some(Proof::Password(file)),
        (None, Some(file)) => Some(Proof::Keytab(file)),
        (None, None) => {
            section.missing("password_file", "write a file with the password, of mode 0600; or keytab");
            None
        }
        (Some(_), Some(_)) => {
            section.refuse("keytab", "goes without password_file: take one of the two out");
            None
        }
    };
    let protocol = section
        .parsed("protocol", "write negotiate, kerberos or ntlm", |text| match text {
            "negotiate" => Some(Protocol::Negotiate),
            "kerberos" => Some(Protocol::Kerberos),
            "ntlm" => Some(Protocol::Ntlm),
            _ => None,
        })
        .unwrap_or(Protocol::Negotiate);
    if matches!(proof, Some(Proof::Keytab(_))) && protocol == Protocol::Ntlm {
        section.refuse("keytab", "is of use for Kerberos alone; NTLM needs password_file");
    }
    let realm = section.parsed("realm", REALM, |text| {
        let good = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"@/{}\\".contains(&byte));
        good.then(|| text.to_owned())
    });
    // A `DOMAIN\\name` says nothing about the realm, which has another name.
    let short = name.as_ref().is_some_and(|name| name.contains('\\'));
    if short && protocol != Protocol::Ntlm && !section.has("realm") {
        section.missing("realm", REALM);
    }
    let kdcs = section.list("kdcs").unwrap_or_default();
    if kdcs
        .iter()
        .any(|kdc| kdc.is_empty() || kdc.contains(|char: char| char.is_whitespace() || "{}=".contains(char)))
    {
        section.refuse("kdcs", "write HOST or HOST:PORT of each");
    }
    let service = section.parsed(
        "service",
        "write the service's principal, for instance HTTP/rms.contoso.com",
        |text| {
            let good = text.contains('/') && !text.contains(char::is_whitespace) && !text.starts_with('-');
            good.then(|| text.to_owned())
        },
    );
    let roles = roles(&section);
    let host = base.and_then(Uri::host).unwrap_or_default();
    let connections_max = section.number("connections_max", 1, 1_000).unwrap_or(CONNECTIONS_MAX);
    section.end();
    Some(AccountConfig {
        name: name?,
        proof: proof?,
        protocol,
        realm,
        kdcs,
        roles: roles?,
        service: service.unwrap_or_else(|| format!("HTTP/{host}")),
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
    })
}

/// Each once, and at least one.
fn roles(section: &Section<'_>) -> Option<Vec<&'static str>> {
    if !section.has("roles") {
        section.missing("roles", ROLES);
        return None;
    }
    let mut roles = Vec::new();
    for word in section.list("roles")? {
        let role = word.parse::<Role>().map(Role::word).ok().filter(|role| !roles.contains(role));
        let Some(role) = role else {
            section.refuse("roles", ROLES);
            return None;
        };
        roles.push(role);
    }
    if roles.is_empty() {
        section.refuse("roles", ROLES);
    }
    Some(roles)
}

/// Says that the section must not be there.
pub(super) fn refuse(reader: &Reader<'_>, words: &str) {
    reader.refuse_subsection("upstream.account", words);
}

fn is_account(text: &str) -> bool {
    let parts = text.split_once('\\').or_else(|| text.split_once('@'));
    let plain = |part: &str| {
        !part.is_empty() && !part.contains(|char: char| char.is_control() || "\\@/".contains(char))
    };
    !text.starts_with('-')
        && parts.is_some_and(|(first, second)| plain(first) && plain(second) && !second.starts_with('-'))
}

const NAME: &str = "write DOMAIN\\name or name@realm";
const ROLES: &str = "write for whose requests the account may be used, each role once: roles = [\"exchange\"]; the \
                     service sees this account alone, and callers of every role here may do what it may";
const REALM: &str = "write the account's Kerberos realm in capitals, for instance CONTOSO.COM";
/// A server takes so many from one address without trouble; each carries a few requests a second.
const CONNECTIONS_MAX: u64 = 64;
