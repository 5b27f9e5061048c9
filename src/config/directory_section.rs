//! `[directory]`: the domain controllers, and what is done with their answers.

use super::file::Reader;
use crate::directory::LdapConfig;
use crate::principal::AccountName;
use http::Uri;
use std::path::PathBuf;
use std::time::Duration;

/// `None`: there is no such section, or it has faults.
pub(super) fn read(reader: &Reader<'_>) -> Option<LdapConfig> {
    let section = reader.section("directory");
    let is_there = is_there(reader);
    let missing = |key, accepted| {
        if is_there && !section.has(key) {
            section.missing(key, accepted);
        }
    };
    let domain = section.parsed("domain", DOMAIN, |text| {
        let good = AccountName::new(text, "x").is_some() && !text.contains(['.', '@']);
        good.then(|| text.to_owned())
    });
    missing("domain", DOMAIN);
    let controllers = section.list("controllers");
    missing("controllers", CONTROLLERS);
    let urls: Option<Vec<String>> =
        controllers.as_ref().and_then(|urls| urls.iter().map(|url| controller(url)).collect());
    let urls = urls.filter(|urls| (1..=CONTROLLERS_MAX).contains(&urls.len()));
    if controllers.is_some() && urls.is_none() {
        section.refuse("controllers", CONTROLLERS);
    }
    let authority = section.text("authority").map(PathBuf::from);
    missing("authority", "write the PEM file of the authority that made the controllers' certificates");
    let user = section.parsed("user", USER, |text| (!text.trim().is_empty()).then(|| text.to_owned()));
    missing("user", USER);
    let password_file = section.text("password_file").map(PathBuf::from);
    missing("password_file", "write the file with the user's password, of mode 0600");
    let group_cache = section.duration("group_cache", GROUP_CACHE_MIN, GROUP_CACHE_MAX);
    let last_good_max = section.duration("last_good_max", Duration::ZERO, LAST_GOOD_LIMIT);
    let lists_every = section.duration("distribution_groups_every", GROUP_CACHE_MIN, LAST_GOOD_LIMIT);
    let (group_cache, last_good_max) =
        (group_cache.unwrap_or(GROUP_CACHE), last_good_max.unwrap_or(LAST_GOOD_MAX));
    if is_there && last_good_max < group_cache {
        section.refuse("last_good_max", "must not be less than group_cache: what is fresh is good");
    }
    section.end();
    Some(LdapConfig {
        domain: domain?,
        controllers: urls?,
        authority: authority?,
        user: user?,
        password_file: password_file?,
        group_cache,
        last_good_max,
        lists_every: lists_every.unwrap_or(LISTS_EVERY),
    })
}

/// Whether the section is there, right or wrong.
pub(super) fn is_there(reader: &Reader<'_>) -> bool {
    reader.has_section("directory")
}

/// `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`, and nothing behind it.
fn controller(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let good = matches!(uri.scheme_str(), Some("ldaps" | "ldap"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    good.then(|| text.trim_end_matches('/').to_owned())
}

const DOMAIN: &str = "write the domain's short name, for instance CONTOSO";
const CONTROLLERS: &str =
    "write one to eight: [\"ldaps://dc1.contoso.com\", …]; with ldap:// StartTLS is used";
const CONTROLLERS_MAX: usize = 8;
const USER: &str = "write who asks, for instance svc-rmsc@contoso.com";
const GROUP_CACHE: Duration = Duration::from_secs(60);
/// Only tests have it so short.
const GROUP_CACHE_MIN: Duration = Duration::from_millis(100);
/// Who was taken out of a group must not be let in for longer.
const GROUP_CACHE_MAX: Duration = Duration::from_secs(15 * 60);
const LAST_GOOD_MAX: Duration = Duration::from_secs(3_600);
/// The life of a ticket: groups are never older than in one.
const LAST_GOOD_LIMIT: Duration = Duration::from_secs(10 * 3_600);
const LISTS_EVERY: Duration = Duration::from_secs(5 * 60);
