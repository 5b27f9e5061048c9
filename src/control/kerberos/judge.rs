//! What the keys of the cluster and of its nodes amount to: what to show, and what is wrong. Pure, but for who
//! was asked before.

use super::super::survey::{Picture, Seat};
use crate::cluster::KeyInUse;
use crate::enrolment::PlainServiceKey;
use crate::identity::kerberos::etype_name;
use crate::proto::control::v1 as proto;
use crate::state::{Roster, ServiceKey, ServiceKeyId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// When the nodes were asked, by this node's clock.
pub(super) struct Asked {
    pub(super) before: Timestamp,
    pub(super) after: Timestamp,
}

/// Everything for `rmsc kerberos show` and `test`.
pub(super) fn shown(service_name: &str, picture: &Picture, asked: &Asked) -> proto::ShowKeysResponse {
    let roster = &picture.state.roster;
    let wanted: BTreeSet<&ServiceKeyId> = roster
        .service_keys
        .iter()
        .filter(|(_, key)| !key.is_retired(asked.after))
        .map(|(id, _)| id)
        .collect();
    let relays: Vec<&Seat> = picture.seats.iter().filter(|seat| !seat.is_witness()).collect();
    let nodes: Vec<proto::KerberosNode> =
        relays.iter().map(|seat| node(service_name, &wanted, seat, asked)).collect();
    let mut keys: BTreeMap<ServiceKeyId, proto::KerberosKey> = roster
        .service_keys
        .iter()
        .filter(|(_, key)| !key.is_retired(asked.after))
        .map(|(id, key)| (id.clone(), of_cluster(id, key)))
        .collect();
    for seat in &relays {
        for used in in_use(seat) {
            let key = keys.entry(used.id.clone()).or_insert_with(|| proto::KerberosKey {
                removed: roster.removed_service_keys.contains_key(&used.id),
                ..named(&used.id)
            });
            key.used_at_ms = key.used_at_ms.max(used.used_at.map_or(0, |at| at.0));
            if used.of_file {
                key.files.push(seat.name().to_owned());
            }
        }
    }
    let keys: Vec<proto::KerberosKey> = keys.into_values().collect();
    let problems = problems(service_name, &keys, &nodes);
    proto::ShowKeysResponse {
        service_name: service_name.into(),
        keys,
        nodes,
        problems,
        current: picture.current,
    }
}

pub(super) fn of_cluster(id: &ServiceKeyId, key: &ServiceKey) -> proto::KerberosKey {
    proto::KerberosKey {
        cluster: true,
        added_by: key.added_by.clone(),
        added_at_ms: key.added_at.0,
        retires_at_ms: key.retires_at.map_or(0, |at| at.0),
        ..named(id)
    }
}

/// What an administrator should look at after an import.
pub(super) fn hints(
    service_name: &str,
    imported: &BTreeSet<ServiceKeyId>,
    roster: &Roster,
    others_retire_at: Option<Timestamp>,
) -> Vec<String> {
    let mut hints = Vec::new();
    let of_name: Vec<&ServiceKeyId> = imported.iter().filter(|id| is_of(id, service_name)).collect();
    if of_name.is_empty() {
        let services: BTreeSet<&str> = imported.iter().map(|id| id.service.as_str()).collect();
        hints.push(format!(
            "no key is of HTTP/{service_name}, the name that servers call; these are of {}: \
             rmsc kerberos spn-commands prints what makes the right ones",
            services.into_iter().collect::<Vec<_>>().join(", ")
        ));
    } else if !of_name.iter().any(|id| AES256.contains(&id.etype)) {
        hints.push(format!(
            "no key of HTTP/{service_name} is of AES256, which domains prefer: tickets made with it cannot be \
             opened. Export it as well, or have the account take AES128 alone"
        ));
    }
    for id in imported {
        let newest = newest(roster.service_keys.keys(), &id.service);
        let older = roster.service_keys.iter().any(|(other, key)| {
            other.service == id.service && other.version < id.version && key.retires_at.is_none()
        });
        if older && others_retire_at.is_none() && newest == Some(id.version) {
            let hint = format!(
                "older keys of {} stay for good; let them go when their tickets are over: rmsc kerberos rotate \
                 with the same keytab",
                id.service
            );
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

pub(super) fn newest<'a>(ids: impl Iterator<Item = &'a ServiceKeyId>, service: &str) -> Option<u32> {
    ids.filter(|id| id.service.eq_ignore_ascii_case(service)).map(|id| id.version).max()
}

/// The same keys as those that are meant, under names that are not: an account has one key for all its names.
pub(super) fn same<'a>(
    keys: &'a [PlainServiceKey],
    is_meant: &impl Fn(&ServiceKeyId) -> bool,
) -> impl Iterator<Item = &'a ServiceKeyId> {
    let meant = |key: &&PlainServiceKey| is_meant(&key.id);
    let others = keys.iter().filter(move |key| !meant(key));
    others
        .filter(move |other| keys.iter().filter(meant).any(|key| key.bytes.expose() == other.bytes.expose()))
        .map(|key| &key.id)
}

/// Keys that are to go under one name, and stay under another.
pub(super) fn half_retired(roster: &Roster, keys: &[PlainServiceKey]) -> Vec<String> {
    let retires = |id: &ServiceKeyId| roster.service_keys.get(id).is_some_and(|key| key.retires_at.is_some());
    let stay = same(keys, &retires).map(|id| {
        format!(
            "{id} is the same key as one that is let go, and stays: export {} from the domain as well and rotate \
             again, or rmsc kerberos remove {} --kvno {}",
            id.service, id.service, id.version
        )
    });
    stay.collect()
}

fn node(
    service_name: &str,
    wanted: &BTreeSet<&ServiceKeyId>,
    seat: &Seat,
    asked: &Asked,
) -> proto::KerberosNode {
    let keys = in_use(seat);
    let taken: BTreeSet<&ServiceKeyId> = keys.iter().filter(|key| !key.of_file).map(|key| &key.id).collect();
    let clock = seat.status.as_ref().and_then(|status| status.facts.clock);
    proto::KerberosNode {
        name: seat.name().to_owned(),
        up: seat.up(),
        keys: count(keys.len()),
        missing: if seat.up() { count(wanted.difference(&taken).count()) } else { 0 },
        serves: keys.iter().any(|key| is_of(&key.id, service_name)),
        clock_ahead_ms: clock.map_or(0, |clock| ahead(clock, asked)),
    }
}

/// At least so much: it was asked at some time in between.
fn ahead(clock: Timestamp, asked: &Asked) -> i64 {
    if clock > asked.after {
        clock.0 - asked.after.0
    } else if clock < asked.before {
        clock.0 - asked.before.0
    } else {
        0
    }
}

fn problems(service_name: &str, keys: &[proto::KerberosKey], nodes: &[proto::KerberosNode]) -> Vec<String> {
    let mut problems = Vec::new();
    if keys.is_empty() {
        problems.push(
            "there is no key, so no ticket is taken: rmsc kerberos spn-commands, then rmsc kerberos import FILE"
                .into(),
        );
    }
    for node in nodes {
        let name = &node.name;
        if !node.up {
            problems.push(format!("{name} does not answer, so nobody knows which keys it uses"));
            continue;
        }
        if node.missing > 0 {
            problems.push(format!(
                "{name} does not use {} of the cluster's keys yet; if it stays so, see event 4051 in its log",
                node.missing
            ));
        }
        if !node.serves && !keys.is_empty() {
            problems.push(format!(
                "{name} has no AES key of HTTP/{service_name}, the name that servers call: \
                 rmsc kerberos spn-commands"
            ));
        }
        if node.clock_ahead_ms.unsigned_abs() >= CLOCK_APART_MS {
            let side = if node.clock_ahead_ms > 0 { "ahead of" } else { "behind" };
            problems.push(format!(
                "the clock of {name} is {} s {side} that of the node that was asked; a ticket is refused from 300 s \
                 on: check chrony or systemd-timesyncd there",
                node.clock_ahead_ms.unsigned_abs() / 1_000
            ));
        }
    }
    let realms: BTreeSet<String> =
        keys.iter().filter_map(|key| key.service.rsplit_once('@')).map(upper).collect();
    if realms.len() > 1 {
        problems.push(format!(
            "there are keys of {}: who has the key of one realm could be anybody of the other",
            realms.into_iter().collect::<Vec<_>>().join(" and ")
        ));
    }
    problems.extend(keys.iter().filter(|key| !key.cluster).map(|key| {
        let what = format!(
            "{} version {} ({}) is in the file of {}",
            key.service,
            key.version,
            key.etype,
            key.files.join(", ")
        );
        if key.removed {
            format!("{what}, and was removed from the cluster: take it out of the file, and restart the node")
        } else {
            format!("{what} alone: rmsc kerberos import gives it to every node")
        }
    }));
    problems
}

fn upper((_, realm): (&str, &str)) -> String {
    realm.to_uppercase()
}

/// The keys that a node has out of its own file.
pub(super) fn of_file(seat: &Seat) -> impl Iterator<Item = &ServiceKeyId> {
    in_use(seat).iter().filter(|key| key.of_file).map(|key| &key.id)
}

fn in_use(seat: &Seat) -> &[KeyInUse] {
    seat.status.as_ref().map_or(&[], |status| &status.facts.service_keys)
}

fn is_of(id: &ServiceKeyId, service_name: &str) -> bool {
    let name = id.service.rsplit_once('@').map_or("", |(name, _)| name);
    name.split_once('/').is_some_and(|(_, host)| host.eq_ignore_ascii_case(service_name))
}

fn named(id: &ServiceKeyId) -> proto::KerberosKey {
    proto::KerberosKey {
        service: id.service.clone(),
        version: id.version,
        etype: etype_name(id.etype),
        ..Default::default()
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// aes256-cts-hmac-sha1-96 and aes256-cts-hmac-sha384-192.
const AES256: [u16; 2] = [18, 20];
/// Clocks that are kept are far nearer; Kerberos allows 300 s.
const CLOCK_APART_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(service: &str, cluster: bool) -> proto::KerberosKey {
        let files = if cluster { Vec::new() } else { vec!["a".into()] };
        proto::KerberosKey { service: service.into(), version: 3, cluster, files, ..Default::default() }
    }

    fn good(name: &str) -> proto::KerberosNode {
        proto::KerberosNode { name: name.into(), up: true, keys: 1, serves: true, ..Default::default() }
    }

    fn check(keys: &[proto::KerberosKey], nodes: &[proto::KerberosNode], expected: &[&str]) {
        let found = problems("rms.test", keys, nodes);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} does not say {expected}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_keys_and_nodes() {
        let keys = [key("HTTP/rms.test@R", true)];
        check(&keys, &[good("a"), good("b")], &[]);
        check(&[], &[good("a")], &["there is no key"]);
        check(
            &keys,
            &[proto::KerberosNode { up: false, serves: false, ..good("a") }],
            &["a does not answer"],
        );
        check(&keys, &[proto::KerberosNode { missing: 2, ..good("a") }], &["a does not use 2 of"]);
        check(&keys, &[proto::KerberosNode { serves: false, ..good("a") }], &["no AES key of HTTP/rms.test"]);
        let behind = proto::KerberosNode { clock_ahead_ms: -6_000, ..good("a") };
        check(&keys, &[behind], &["the clock of a is 6 s behind"]);
        check(
            &[key("HTTP/rms.test@R", true), key("HTTP/rms.test@S", false)],
            &[good("a")],
            &["keys of R and S", "in the file of a alone"],
        );
    }

    #[test]
    fn an_import_says_what_is_missing() {
        let id = |service: &str, version, etype| ServiceKeyId { service: service.into(), version, etype };
        let said = |ids: &[ServiceKeyId], known: &[ServiceKeyId]| {
            let mut roster = Roster::default();
            let key = ServiceKey {
                sealed: Default::default(),
                mark: Default::default(),
                added_by: String::new(),
                added_at: Timestamp(1),
                retires_at: None,
            };
            roster.service_keys.extend(known.iter().chain(ids).map(|id| (id.clone(), key.clone())));
            hints("rms.test", &ids.iter().cloned().collect(), &roster, None)
        };
        assert!(said(&[id("HTTP/RMS.test@R", 3, 18)], &[]).is_empty());
        let other = said(&[id("HTTP/other@R", 3, 18)], &[]);
        assert!(
            other[0].contains("no key is of HTTP/rms.test") && other[0].contains("HTTP/other@R"),
            "{other:?}"
        );
        let weak = said(&[id("HTTP/rms.test@R", 3, 17)], &[]);
        assert!(weak[0].contains("AES256"), "{weak:?}");
        let older = said(&[id("HTTP/rms.test@R", 3, 18)], &[id("HTTP/rms.test@R", 2, 18)]);
        assert!(older[0].contains("older keys of HTTP/rms.test@R stay"), "{older:?}");
    }

    #[test]
    fn a_clock_is_apart_only_beyond_what_asking_took() {
        let asked = Asked { before: Timestamp(1_000), after: Timestamp(1_500) };
        assert_eq!(
            [900, 1_000, 1_200, 1_500, 1_600].map(|clock| ahead(Timestamp(clock), &asked)),
            [-100, 0, 0, 0, 100]
        );
    }
}
