//! One object of the directory, out of its attributes. A SID may be valid UTF-8, so bytes are in either map.

use crate::directory::{Kind, What};
use crate::principal::{AccountName, Sid};
use ldap3::SearchEntry;
use std::time::SystemTime;

/// An account or a group, as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::directory) struct Row {
    /// Its SID.
    pub(in crate::directory) sid: Sid,
    /// `DOMAIN\name`.
    pub(in crate::directory) name: AccountName,
    /// What it is.
    pub(in crate::directory) what: What,
    /// Its distinguished name.
    pub(in crate::directory) dn: String,
    /// It may log on, as far as that can be read; a group may not be disabled.
    pub(in crate::directory) enabled: bool,
    /// The distinguished names of the groups that it is in directly, but for the primary one.
    pub(in crate::directory) member_of: Vec<String>,
    /// The relative id of its primary group.
    pub(in crate::directory) primary_group: Option<u32>,
}

impl Row {
    /// The attributes that [`Row::of`] reads.
    pub(super) const ATTRIBUTES: [&'static str; 8] = [
        "objectSid",
        "sAMAccountName",
        "objectClass",
        "groupType",
        "userAccountControl",
        "accountExpires",
        "memberOf",
        "primaryGroupID",
    ];

    /// `None`: it is no principal.
    pub(super) fn of(entry: &SearchEntry, domain: &str) -> Option<Self> {
        Some(Row {
            sid: sid(entry)?,
            name: AccountName::new(domain, &text(entry, "sAMAccountName")?)?,
            what: what(entry),
            dn: entry.dn.clone(),
            enabled: is_enabled(entry, SystemTime::now()) == Some(true),
            member_of: texts(entry, "memberOf"),
            primary_group: text(entry, "primaryGroupID").and_then(|rid| rid.parse().ok()),
        })
    }
}

/// Whether an account may log on at this time; a group always may. `None`: the directory does not let us see.
pub(super) fn is_enabled(entry: &SearchEntry, now: SystemTime) -> Option<bool> {
    if what(entry).kind() == Kind::Group {
        return Some(true);
    }
    let control: i64 = text(entry, "userAccountControl")?.parse().ok()?;
    // It is shown to whom the other one is, and an account may have none. [MS-ADTS] 3.1.1.2.3: two values of
    // "never", else tenths of a microsecond since 1601.
    let expires: i64 = text(entry, "accountExpires").map_or(Some(0), |expires| expires.parse().ok())?;
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let has_expired = !matches!(expires, 0 | i64::MAX) && expires / 10_000_000 - SECONDS_TO_1970 <= seconds;
    Some(control & ACCOUNT_DISABLE == 0 && !has_expired)
}

pub(super) fn sid(entry: &SearchEntry) -> Option<Sid> {
    bytes(entry, "objectSid").first().and_then(|bytes| Sid::from_bytes(bytes))
}

pub(super) fn text(entry: &SearchEntry, name: &str) -> Option<String> {
    texts(entry, name).into_iter().next()
}

/// Every value that is a text.
pub(super) fn texts(entry: &SearchEntry, name: &str) -> Vec<String> {
    let found = entry.attrs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, values)| values.clone()).unwrap_or_default()
}

/// Every value, whether it looks like a text or not.
pub(super) fn bytes(entry: &SearchEntry, name: &str) -> Vec<Vec<u8>> {
    let named = |key: &String| key.eq_ignore_ascii_case(name);
    let texts = entry.attrs.iter().filter(|(key, _)| named(key)).flat_map(|(_, values)| values);
    let bytes = entry.bin_attrs.iter().filter(|(key, _)| named(key)).flat_map(|(_, values)| values);
    texts.map(|text| text.clone().into_bytes()).chain(bytes.cloned()).collect()
}

fn what(entry: &SearchEntry) -> What {
    let classes = texts(entry, "objectClass");
    let is = |class: &str| classes.iter().any(|it| it.eq_ignore_ascii_case(class));
    if is("group") {
        // [MS-ADTS] 2.2.12: the sign says that it is a group of security.
        let kind = text(entry, "groupType").and_then(|kind| kind.parse::<i64>().ok());
        return if kind.is_some_and(|kind| kind & 0x8000_0000 == 0) {
            What::DistributionGroup
        } else {
            What::Group
        };
    }
    // Those are computers too, by their class.
    if is("msDS-GroupManagedServiceAccount") || is("msDS-ManagedServiceAccount") {
        return What::ServiceAccount;
    }
    if is("computer") { What::Computer } else { What::User }
}

/// [MS-ADTS] 2.2.16.
const ACCOUNT_DISABLE: i64 = 2;
/// From 1601.
const SECONDS_TO_1970: i64 = 11_644_473_600;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn entry(attributes: &[(&str, &str)]) -> SearchEntry {
        let mut attrs: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in attributes {
            attrs.entry((*name).into()).or_default().push((*value).into());
        }
        SearchEntry { dn: "CN=X,DC=contoso".into(), attrs, bin_attrs: HashMap::new() }
    }

    fn check_what(attributes: &[(&str, &str)], expected: What) {
        assert_eq!(what(&entry(attributes)), expected, "{attributes:?}");
    }

    #[test]
    fn knows_what_an_object_is() {
        let class = |class| ("objectClass", class);
        check_what(&[class("top"), class("person"), class("user")], What::User);
        check_what(&[class("user"), class("computer")], What::Computer);
        check_what(&[class("computer"), class("msDS-GroupManagedServiceAccount")], What::ServiceAccount);
        check_what(&[class("group"), ("groupType", "-2147483644")], What::Group);
        check_what(&[class("group"), ("groupType", "8")], What::DistributionGroup);
        check_what(&[class("group")], What::Group);
    }

    #[test]
    fn knows_who_is_disabled() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let enabled = ("userAccountControl", "512");
        for (attributes, wanted) in [
            (vec![enabled], Some(true)),
            (vec![("useraccountcontrol", "514")], Some(false)),
            // Who cannot be seen to be enabled is not.
            (vec![], None),
            (vec![("userAccountControl", "x")], None),
            (vec![enabled, ("accountExpires", "x")], None),
            (vec![("objectClass", "group")], Some(true)),
            (vec![enabled, ("accountExpires", "0")], Some(true)),
            (vec![enabled, ("accountExpires", "9223372036854775807")], Some(true)),
            (vec![enabled, ("accountExpires", "133444735990000000")], Some(false)),
            (vec![enabled, ("accountExpires", "133444736010000000")], Some(true)),
        ] {
            assert_eq!(is_enabled(&entry(&attributes), now), wanted, "{attributes:?}");
        }
    }

    /// Every byte below 128 makes a text, and ldap3 then gives it as one.
    #[test]
    fn reads_a_sid_that_looks_like_a_text() {
        let plain = "S-1-5-32-544".parse::<Sid>().unwrap();
        let text = String::from_utf8(plain.to_bytes()).unwrap();
        assert_eq!(sid(&entry(&[("objectSid", &text)])), Some(plain));
        let other = "S-1-5-21-1004336348-1177238915-682003330-512".parse::<Sid>().unwrap();
        let mut binary = entry(&[]);
        binary.bin_attrs.insert("objectSid".into(), vec![other.to_bytes()]);
        assert_eq!(sid(&binary), Some(other));
    }
}
