//! One function for each section of the node file: reads it, checks it, and gives what it means.

use super::file::{Reader, Section};
use super::{Cluster, Identity, Listen, Log, Node};
use super::{directory_section, ntlm_section};
use crate::directory;
use crate::front;
use crate::identity::ChannelBindingPolicy;
use crate::principal::Sid;
use crate::relay::ServiceLocations;
use crate::seal;
use crate::telemetry::{self, Target};
use crate::tls::Files;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub(super) fn node(reader: &Reader<'_>) -> Option<Node> {
    let section = reader.section("node");
    let name = section.parsed("name", "write letters, digits, - and .", name);
    let name = if section.has("name") { name } else { host_name(&section) };
    let site = section.text("site").unwrap_or_default().to_owned();
    let data_dir = PathBuf::from(section.text("data_dir").unwrap_or(DATA_DIR));
    let certificate_life = section.duration("certificate_life", CERTIFICATE_LIFE_MIN, CERTIFICATE_LIFE_MAX);
    section.end();
    let certificate_life = certificate_life.unwrap_or(CERTIFICATE_LIFE);
    Some(Node { name: name?, site, data_dir, certificate_life })
}

/// Whether a node takes requests of calling servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Needed,
    None,
}

pub(super) fn listen(reader: &Reader<'_>, front: Front) -> Option<Listen> {
    let section = reader.section("listen");
    let address = |key, default: &str| {
        if section.has(key) {
            section.parsed(key, ADDRESS_ACCEPTED, |text| text.parse::<SocketAddr>().ok())
        } else {
            default.parse().ok()
        }
    };
    let https = section.has("https").then(|| address("https", ""));
    let http = section.has("http").then(|| address("http", ""));
    let (peer, admin) = (address("peer", ""), address("admin", ""));
    let ops = address("ops", OPS_ADDRESS);
    let certificate = section.text("certificate").map(PathBuf::from);
    let key = section.text("key").map(PathBuf::from);
    if peer.is_none() && !section.has("peer") {
        section.missing(
            "peer",
            "write the address by which the other nodes reach this one, for instance 10.1.0.11:8700",
        );
    }
    if admin.is_none() && !section.has("admin") {
        section.missing("admin", "write the address for administrators, for instance 10.1.0.11:8701");
    }
    for (name, address) in [("peer", peer), ("admin", admin)] {
        if address.is_some_and(|address| address.ip().is_unspecified()) {
            section.refuse(name, "must be an address that others can reach, not 0.0.0.0");
        }
    }
    // With NTLM and Kerberos alike: nothing binds the proof to the connection, and answers can be read.
    if let Some(Some(http)) = http.filter(|http| http.is_some_and(|http| !is_local(http.ip()))) {
        let words = format!(
            "{http} is not of this machine: who proves itself without TLS can be passed on and listened to; \
             use 127.0.0.1, or https alone"
        );
        section.refuse("http", &words);
    }
    if front == Front::None {
        for key in ["https", "http", "certificate", "key"].into_iter().filter(|key| section.has(key)) {
            section.refuse(key, "a witness takes and relays no requests; take it out");
        }
        section.end();
        return Some(Listen { https: None, http: None, peer: peer?, admin: admin?, ops: ops? });
    }
    if https.is_none() && http.is_none() {
        section.missing("https", "write the address for calling servers, for instance 0.0.0.0:443");
    }
    // Without both it is the certificate of the cluster.
    if certificate.is_none() && key.is_some() {
        section.missing("certificate", "write the PEM file of the chain that the key is for, or neither");
    }
    if key.is_none() && certificate.is_some() {
        section.missing("key", "write the PEM file of the certificate's private key, or neither");
    }
    section.end();
    let files = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Files { certificate, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return None,
    };
    let https = match https {
        Some(address) => Some((address?, files)),
        None => None,
    };
    let http = match http {
        Some(address) => Some(address?),
        None => None,
    };
    Some(Listen { https, http, peer: peer?, admin: admin?, ops: ops? })
}

pub(super) fn cluster(reader: &Reader<'_>) -> Option<Cluster> {
    let section = reader.section("cluster");
    let service_name = section.parsed("service_name", "write the DNS name that calling servers use", name);
    if !section.has("service_name") {
        section.missing("service_name", "write the DNS name that calling servers use");
    }
    let (min, max) = (Duration::from_millis(10), Duration::from_secs(60));
    let heartbeat = section.duration("heartbeat", min, max).unwrap_or(HEARTBEAT);
    let election_min = section.duration("election_min", min, max).unwrap_or(ELECTION_MIN);
    let election_max = section.duration("election_max", min, max).unwrap_or(ELECTION_MAX);
    if heartbeat * 2 >= election_min {
        section
            .refuse("heartbeat", "must be less than half of election_min, or a late one starts an election");
    }
    if election_min >= election_max {
        section.refuse(
            "election_min",
            "must be less than election_max, so that nodes do not start elections together",
        );
    }
    section.end();
    Some(Cluster { service_name: service_name?, heartbeat, election_min, election_max })
}

pub(super) fn identity(reader: &Reader<'_>, cluster: Option<&Cluster>) -> Option<Identity> {
    let (keytab, realms) = kerberos(reader);
    let ldap = directory_section::read(reader);
    let limits = login_limits(reader);
    let winbind = ntlm_section::winbind(reader, directory_section::is_there(reader));
    let ntlm = ntlm_section::rules(reader);
    let section = reader.section("identity");
    let accounts_file = section.text("accounts_file").map(PathBuf::from);
    let channel_binding = section
        .parsed("channel_binding", "write off, allow or require", |text| match text {
            "off" => Some(ChannelBindingPolicy::Off),
            "allow" => Some(ChannelBindingPolicy::Allow),
            "require" => Some(ChannelBindingPolicy::Require),
            _ => None,
        })
        .unwrap_or(ChannelBindingPolicy::Allow);
    let mut target_names = section.list("target_names").unwrap_or_default();
    target_names.extend(cluster.map(|cluster| cluster.service_name.clone()));
    section.end();
    let directory = directory::Config { accounts_file, ldap, winbind };
    Some(Identity { directory, keytab, realms, target_names, channel_binding, limits, ntlm })
}

fn login_limits(reader: &Reader<'_>) -> front::LoginLimits {
    let section = reader.section("identity.limits");
    let number = |key, min, max, default| {
        section.number(key, min, max).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    let lockout_threshold = number("lockout_threshold", LOCKOUT_THRESHOLD_MIN, 999, LOCKOUT_THRESHOLD);
    let source_failures_max = number("source_failures_max", 1, 1_000_000, SOURCE_FAILURES_MAX);
    let window = section.duration("lockout_window", LOCKOUT_WINDOW_MIN, LOCKOUT_WINDOW_MAX);
    section.end();
    let lockout_window = window.unwrap_or(LOCKOUT_WINDOW);
    front::LoginLimits { lockout_threshold, lockout_window, source_failures_max }
}

fn kerberos(reader: &Reader<'_>) -> (Option<PathBuf>, BTreeMap<String, Vec<Sid>>) {
    // First: a section must be known before the one above it ends.
    let accepted = "write the SIDs of the realm's domains: [\"S-1-5-21-…\"]";
    let domain = |text: &str| text.parse::<Sid>().ok().filter(Sid::is_domain);
    let realms = reader.section("identity.kerberos.realms").lists(accepted, domain);
    let section = reader.section("identity.kerberos");
    let keytab = section.text("keytab").map(PathBuf::from);
    if section.is_there() && !section.has("keytab") && realms.is_empty() {
        section.missing(
            "keytab",
            "write where the keys of HTTP/HOST are, or take the section out: rmsc kerberos import gives them to \
             the whole cluster",
        );
    }
    section.end();
    (keytab, realms)
}

/// `[relay]`: how old an answer may be that is given again; none is kept with never.
pub(super) fn kept_answers(reader: &Reader<'_>) -> Option<Duration> {
    let section = reader.section("relay");
    let never = section.text("kept_answers") == Some("never");
    let age_max =
        if never { None } else { section.duration("kept_answers", KEPT_MIN, KEPT_MAX).or(Some(KEPT)) };
    section.end();
    age_max
}

pub(super) fn service_locations(reader: &Reader<'_>) -> ServiceLocations {
    let section = reader.section("front");
    let known = [ServiceLocations::Connector, ServiceLocations::Service];
    let locations = section.parsed("service_locations", "write connector or service", |text| {
        known.into_iter().find(|known| known.word() == text)
    });
    section.end();
    locations.unwrap_or_default()
}

pub(super) fn limits(reader: &Reader<'_>) -> front::Config {
    let section = reader.section("limits");
    let number = |key, max, default| {
        let number = section.number(key, 1, max).and_then(|number| usize::try_from(number).ok());
        number.unwrap_or(default)
    };
    // One alone has half of it, unless it is said otherwise.
    let share = |key, of_key, all: usize| {
        let share = number(key, u64::MAX, all.div_ceil(2));
        if share > all {
            section.refuse(key, &format!("must not be more than {of_key}, which is {all}"));
        }
        share
    };
    let connections_max = number("connections_max", 100_000, CONNECTIONS_MAX);
    let connections_per_source_max = share("connections_per_source_max", "connections_max", connections_max);
    let requests_max = number("requests_max", REQUESTS_MAX_MAX, REQUESTS_MAX);
    let requests_per_source_max = share("requests_per_source_max", "requests_max", requests_max);
    let requests_per_account_max = share("requests_per_account_max", "requests_max", requests_max);
    let buffered_bytes_max = number("buffered_mebibytes_max", 65_536, BUFFERED_MEBIBYTES_MAX) << 20;
    section.end();
    front::Config {
        connections_max,
        connections_per_source_max,
        requests_max,
        requests_per_source_max,
        requests_per_account_max,
        buffered_bytes_max,
    }
}

pub(super) fn drain(reader: &Reader<'_>) -> Duration {
    let section = reader.section("drain");
    let deadline = section.duration("deadline", Duration::ZERO, Duration::from_secs(3_600));
    section.end();
    deadline.unwrap_or(DRAIN_TIMEOUT)
}

pub(super) fn log(reader: &Reader<'_>) -> Log {
    let section = reader.section("log");
    let level = section
        .parsed("level", LEVELS, |text| telemetry::is_level(text).then(|| text.to_owned()))
        .unwrap_or_else(|| "info".into());
    let target = section
        .parsed("target", "write journald, stdout or stdout-json", |text| text.parse().ok())
        .unwrap_or(Target::Stdout);
    section.end();
    Log { level, target }
}

/// There is no TLS on this way, and nobody's name in what goes it.
pub(super) fn collector(reader: &Reader<'_>) -> Option<String> {
    let section = reader.section("trace");
    let accepted = "write http://HOST:PORT of a collector that takes OTLP over gRPC";
    let collector = section.parsed("otlp", accepted, |text| {
        let uri: http::Uri = text.parse().ok()?;
        let is_plain = uri.scheme_str() == Some("http") && uri.port().is_some() && uri.path() == "/";
        is_plain.then(|| text.trim_end_matches('/').to_owned())
    });
    if section.has("otlp") && !telemetry::CAN_TELL_A_COLLECTOR {
        section.refuse(
            "otlp",
            "is not in this program, which was built without the feature otlp: build it with --features otlp, or take \
             the line out",
        );
    }
    section.end();
    collector
}

pub(super) fn secrets(reader: &Reader<'_>, node: Option<&Node>) -> seal::Config {
    let section = reader.section("secrets");
    let kind = section.parsed("seal", "write auto, systemd-creds or file", |text| match text {
        "auto" => Some(seal::Kind::Auto),
        "systemd-creds" => Some(seal::Kind::SystemdCreds),
        "file" => Some(seal::Kind::File),
        _ => None,
    });
    let key_file = PathBuf::from(section.text("key_file").unwrap_or(SEAL_KEY_FILE));
    if node.is_some_and(|node| key_file.starts_with(&node.data_dir)) {
        section.refuse(
            "key_file",
            "must not be inside node.data_dir: whoever copies that folder would have key and secrets together",
        );
    }
    section.end();
    seal::Config { kind: kind.unwrap_or(seal::Kind::Auto), key_file }
}

fn host_name(section: &Section<'_>) -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = self::name(&name);
    if name.is_none() {
        section.missing("name", "the host's name cannot be used; write letters, digits, - and .");
    }
    name
}

fn name(text: &str) -> Option<String> {
    let good = (1..=253).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    good.then(|| text.to_owned())
}

fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback()
}

const LEVELS: &str = "write error, warn, info, debug or trace, or a filter such as rmsc=debug,info";
const DATA_DIR: &str = "/var/lib/rmsc";
/// Where `rmsc init` and `rmsc join` make the node's own key if systemd hands none over.
const SEAL_KEY_FILE: &str = "/etc/rmsc/seal.key";
/// 90 days, renewed after 60.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Only tests have it so short.
const CERTIFICATE_LIFE_MIN: Duration = Duration::from_secs(3);
const CERTIFICATE_LIFE_MAX: Duration = Duration::from_secs(825 * 24 * 3_600);
const OPS_ADDRESS: &str = "127.0.0.1:8702";
const ADDRESS_ACCEPTED: &str = "write an address and a port, for instance 10.1.0.11:8700";
/// See the decision record on election times.
const HEARTBEAT: Duration = Duration::from_millis(75);
const ELECTION_MIN: Duration = Duration::from_millis(400);
const ELECTION_MAX: Duration = Duration::from_millis(700);
/// Those of Microsoft's security baseline for Windows Server.
const LOCKOUT_THRESHOLD: u32 = 10;
const LOCKOUT_WINDOW: Duration = Duration::from_secs(10 * 60);
/// One login may fail here, and one more where the account has logged in before.
const LOCKOUT_THRESHOLD_MIN: u64 = 3;
/// Only tests have it so short.
const LOCKOUT_WINDOW_MIN: Duration = Duration::from_secs(1);
/// What a domain can be told: 99,999 minutes.
const LOCKOUT_WINDOW_MAX: Duration = Duration::from_secs(99_999 * 60);
/// Three servers with a wrong password, which try every ten seconds, behind one balancer: the account is limited first.
const SOURCE_FAILURES_MAX: u32 = 100;
/// A week: longer than any weekend, shorter than the life of a certificate in it.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Only tests have it so short.
const KEPT_MIN: Duration = Duration::from_secs(1);
const KEPT_MAX: Duration = Duration::from_secs(90 * 24 * 3_600);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Fifty servers with a hundred connections each.
const CONNECTIONS_MAX: usize = 5_000;
/// A node with 1 GB has room for the longest answer to each.
const REQUESTS_MAX: usize = 400;
/// Should all go to one other node, its connection carries a thousand.
const REQUESTS_MAX_MAX: u64 = 900;
/// As many long requests, of which the first mebibyte is kept.
const BUFFERED_MEBIBYTES_MAX: usize = 128;
