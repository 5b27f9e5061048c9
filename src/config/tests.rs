//! What a configuration says, and each fault in it.

use super::*;
use crate::telemetry;

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
[identity]
accounts_file = "accounts.toml"
[upstream]
kind = "simulated"
url = "http://127.0.0.1:18080"
"#;

fn check_faults(text: &str, expected: &[&str]) {
    let faults: Vec<String> = Config::parse(text).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.contains(expected), "{fault} does not say {expected}");
    }
}

#[test]
fn takes_a_good_file_and_its_defaults() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.listen.ops.to_string(), "127.0.0.1:8702");
    assert_eq!(config.node.certificate_life, Duration::from_secs(90 * 86_400));
    assert_eq!(config.secrets.key_file, Path::new("/etc/rmsc/seal.key"));
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
}

#[test]
fn without_files_the_certificate_is_the_clusters() {
    let files = |text: &str| Config::parse(text).unwrap().listen.https.unwrap().1;
    assert_eq!(files(GOOD).unwrap().key, Path::new("front.key"));
    let without = GOOD.replace("certificate = \"front.pem\"\nkey = \"front.key\"\n", "");
    assert_eq!(files(&without), None);
    check_faults(&GOOD.replace("key = \"front.key\"\n", ""), &["listen.key: is missing; write the PEM file"]);
    check_faults(
        &GOOD.replace("certificate = \"front.pem\"\n", ""),
        &["listen.certificate: is missing; write the PEM file"],
    );
}

#[test]
fn a_collector_is_refused_where_the_build_cannot_tell_it() {
    assert_eq!(Config::parse(GOOD).unwrap().collector, None);
    let with = |url: &str| format!("{GOOD}[trace]\notlp = \"{url}\"\n");
    let good = with("http://127.0.0.1:4317");
    if telemetry::CAN_TELL_A_COLLECTOR {
        assert_eq!(Config::parse(&good).unwrap().collector.as_deref(), Some("http://127.0.0.1:4317"));
    } else {
        check_faults(
            &good,
            &["trace.otlp: is not in this program, which was built without the feature otlp"],
        );
    }
    for wrong in ["127.0.0.1:4317", "https://collector:4317", "http://collector:4317/v1/traces"] {
        let faults = Config::parse(&with(wrong)).unwrap_err();
        assert!(faults.iter().any(|it| it.to_string().contains("write http://HOST:PORT")), "{faults:#?}");
    }
}

#[test]
fn answers_are_kept_for_a_week_for_as_long_as_is_said_or_never() {
    let kept = |text: &str| Config::parse(&format!("{GOOD}{text}")).unwrap().kept_answers;
    assert_eq!(kept(""), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(kept("[relay]\nkept_answers = \"12h\"\n"), Some(Duration::from_secs(12 * 3_600)));
    assert_eq!(kept("[relay]\nkept_answers = \"never\"\n"), None);
    check_faults(&format!("{GOOD}[relay]\nkept_answers = \"always\"\n"), &["relay.kept_answers: \"always\""]);
}

#[test]
fn one_source_and_one_account_have_half_unless_it_is_said_and_never_more_than_all() {
    let read = |limits: &str| Config::parse(&format!("{GOOD}[limits]\n{limits}")).map(|config| config.front);
    let front = read("").unwrap();
    assert_eq!((front.connections_max, front.connections_per_source_max), (5_000, 2_500));
    let front = read("requests_max = 7\nrequests_per_source_max = 7\n").unwrap();
    assert_eq!((front.requests_per_source_max, front.requests_per_account_max), (7, 4));
    for (limits, fault) in [
        (
            "connections_max = 9\nconnections_per_source_max = 10",
            "must not be more than connections_max, which is 9",
        ),
        ("requests_per_account_max = 401", "must not be more than requests_max, which is 400"),
        ("requests_max = 1000", "write a whole number from 1 to 900"),
        ("requests_per_source_max = 0", "limits.requests_per_source_max: 0 is not possible"),
        ("buffered_mebibytes_max = 0", "limits.buffered_mebibytes_max: 0 is not possible"),
    ] {
        check_faults(&format!("{GOOD}[limits]\n{limits}\n"), &[fault]);
    }
}

#[test]
fn takes_kerberos_where_there_is_a_keytab() {
    assert_eq!(Config::parse(GOOD).unwrap().identity.keytab, None);
    let text = format!("{GOOD}[identity.kerberos]\nkeytab = \"/etc/rmsc/rmsc.keytab\"\n");
    let keytab = Config::parse(&text).unwrap().identity.keytab;
    assert_eq!(keytab.as_deref(), Some(Path::new("/etc/rmsc/rmsc.keytab")));
    let text = format!("{GOOD}[identity.kerberos]\nkeytabs = 1\n");
    check_faults(
        &text,
        &[
            "identity.kerberos.keytab: is missing",
            "identity.kerberos.keytabs: is not a known key; did you mean keytab?",
        ],
    );
}

const DIRECTORY: &str = r#"
[directory]
domain = "CONTOSO"
controllers = ["ldaps://dc1.contoso.com", "ldap://10.1.0.5:1389/"]
authority = "ca.pem"
user = "svc-rmsc@contoso.com"
password_file = "password"
"#;

#[test]
fn takes_a_directory_and_its_defaults() {
    assert_eq!(Config::parse(GOOD).unwrap().identity.directory.ldap, None);
    let config = Config::parse(&format!("{GOOD}{DIRECTORY}")).unwrap();
    let ldap = config.identity.directory.ldap.unwrap();
    assert_eq!(ldap.controllers, ["ldaps://dc1.contoso.com", "ldap://10.1.0.5:1389"]);
    assert_eq!((ldap.group_cache, ldap.last_good_max), (Duration::from_secs(60), Duration::from_secs(3_600)));
}

#[test]
fn names_what_a_directory_lacks_and_what_it_cannot_be() {
    let missing: Vec<String> = ["domain", "controllers", "authority", "user", "password_file"]
        .map(|key| format!("directory.{key}: is missing"))
        .into();
    let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    check_faults(&format!("{GOOD}[directory]\n"), &missing);
    for wrong in ["http://dc1", "ldaps://dc1/dc=contoso", "ldaps://user@dc1", "dc1", ""] {
        let text = format!("{GOOD}{DIRECTORY}").replace("ldaps://dc1.contoso.com", wrong);
        check_faults(&text, &["directory.controllers: write one to eight"]);
    }
    let text = format!("{GOOD}{DIRECTORY}group_cache = \"2m\"\nlast_good_max = \"1m\"\n");
    check_faults(&text, &["directory.last_good_max: must not be less than group_cache"]);
}

#[test]
fn accounts_may_be_left_out_because_the_cluster_may_have_keys_of_kerberos() {
    let without = GOOD.replace("accounts_file = \"accounts.toml\"\n", "");
    for more in ["", "[identity.kerberos]\nkeytab = \"k\"\n", DIRECTORY] {
        let config = Config::parse(&format!("{without}{more}")).unwrap();
        assert_eq!(config.identity.directory.accounts_file, None);
    }
}

#[test]
fn names_every_fault_at_once() {
    let text = GOOD
        .replace("https = \"0.0.0.0:443\"", "htps = \"0.0.0.0:443\"")
        .replace("10.1.0.11:8701\"", "nowhere\"")
        .replace("kind = \"simulated\"", "kind = \"azure\"")
        .replace("[identity]", "[identty]");
    check_faults(
        &text,
        &[
            "listen.https: is missing",
            "listen.htps: is not a known key; did you mean https?",
            "listen.admin: \"nowhere\" is not possible",
            "identty: is not a known section; did you mean identity?",
            "upstream.kind: \"azure\" is not possible; write simulated, ad-rms, chained or oauth",
        ],
    );
}

#[test]
fn reads_for_which_domains_a_realm_may_speak() {
    let keytab = "[identity.kerberos]\nkeytab = \"k\"\n[identity.kerberos.realms]\n";
    let text = format!(
        "{GOOD}{keytab}\"CONTOSO.COM\" = [\"S-1-5-21-1-2-3\", \"S-1-5-21-4-5-6\"]\nA = [\"S-1-5-21-7-8-9\"]\n"
    );
    let realms = Config::parse(&text).unwrap().identity.realms;
    assert_eq!(realms.keys().collect::<Vec<_>>(), ["A", "CONTOSO.COM"]);
    assert_eq!(realms["CONTOSO.COM"][1].to_string(), "S-1-5-21-4-5-6");
    for wrong in ["\"S-1-5-21-1-2-3\"", "[\"S-1-5-21-1-2-3-512\"]", "[]", "[7]", "[\"S-1-5-32-544\"]"] {
        let fault = format!("identity.kerberos.realms.A: {wrong} is not possible; write the SIDs");
        check_faults(&format!("{GOOD}{keytab}A = {wrong}\n"), &[&fault]);
    }
}

#[test]
fn a_section_of_kerberos_needs_a_keytab() {
    check_faults(&format!("{GOOD}[identity.kerberos]\n"), &["identity.kerberos.keytab: is missing"]);
}

#[test]
fn refuses_clear_text_on_a_network() {
    let text = GOOD.replace("peer =", "http = \"0.0.0.0:80\"\npeer =");
    check_faults(&text, &["listen.http: 0.0.0.0:80 is not of this machine"]);
    assert!(Config::parse(&GOOD.replace("peer =", "http = \"127.0.0.1:80\"\npeer =")).is_ok());
}

#[test]
fn refuses_what_this_version_cannot_keep() {
    check_faults(&format!("{GOOD}[secrets]\nseal = \"tpm2\"\n"), &["write auto, systemd-creds or file"]);
}

#[test]
fn reads_a_web_proxy_and_says_what_is_wrong_with_one() {
    assert_eq!(Config::parse(GOOD).unwrap().upstream.proxy, None);
    let proxy = "[upstream.proxy]\nurl = \"http://proxy.contoso.com:8080\"\n";
    let login = "username = \"svc\"\npassword_file = \"p\"\nno_proxy = [\"10.0.0.0/8\", \".contoso.com\"]\n";
    let read = Config::parse(&format!("{GOOD}{proxy}{login}")).unwrap().upstream.proxy.unwrap();
    assert_eq!(read.login, Some(("svc".into(), PathBuf::from("p"))));
    assert_eq!(read.no_proxy, ["10.0.0.0/8", ".contoso.com"]);
    for (wrong, fault) in [
        ("", "upstream.proxy.url: is missing; write http://HOST:PORT"),
        ("url = \"https://proxy:8080\"", "upstream.proxy.url: \"https://proxy:8080\" is not possible"),
        ("url = \"http://proxy\"", "upstream.proxy.url: \"http://proxy\" is not possible"),
        ("url = \"http://a:b@proxy:8080\"", "upstream.proxy.url: "),
        ("url = \"http://p:1\"\nusername = \"a\"", "upstream.proxy.password_file: is missing"),
        ("url = \"http://p:1\"\npassword_file = \"a\"", "upstream.proxy.username: is missing"),
        ("url = \"http://p:1\"\nno_proxy = [\"10.0.0.0/40\"]", "upstream.proxy.no_proxy: \"10.0.0.0/40\""),
    ] {
        check_faults(&format!("{GOOD}[upstream.proxy]\n{wrong}\n"), &[fault]);
    }
}

#[test]
fn reads_the_account_for_a_service_that_takes_one() {
    let account = "[upstream.account]\nname = 'CONTOSO\\svc-rmsc'\npassword_file = \"p\"\nrealm = \"CONTOSO.COM\"\nroles = [\"exchange\"]\n";
    let good = GOOD.replace("kind = \"simulated\"", "kind = \"ad-rms\"");
    let upstream::Kind::AdRms(read) = Config::parse(&format!("{good}{account}")).unwrap().upstream.kind
    else {
        panic!("another kind")
    };
    assert_eq!((&*read.service, read.protocol), ("HTTP/127.0.0.1", upstream::Protocol::Negotiate));
    check_faults(&format!("{GOOD}{account}"), &["upstream.account: is for kind = \"ad-rms\""]);
    check_faults(
        &good,
        &[
            "upstream.account.name: is missing",
            "upstream.account.password_file: is missing",
            "upstream.account.roles: is missing",
        ],
    );
    for (from, to, fault) in [
        ("CONTOSO\\svc", "svc", "upstream.account.name: 'svc-rmsc' is not possible"),
        ("realm = \"CONTOSO.COM\"", "", "upstream.account.realm: is missing"),
        ("realm", "keytab = \"k\"\nrealm", "upstream.account.keytab: goes without password_file"),
        ("roles = [\"exchange\"]", "", "upstream.account.roles: is missing"),
        ("[\"exchange\"]", "[]", "upstream.account.roles: write for whose requests"),
        ("[\"exchange\"]", "[\"everybody\"]", "upstream.account.roles: write for whose requests"),
        ("realm", "protocol = \"basic\"\nrealm", "upstream.account.protocol: \"basic\" is not possible"),
    ] {
        check_faults(&format!("{good}{}", account.replace(from, to)), &[fault]);
    }
}

#[test]
fn service_locations_are_the_connectors_unless_the_file_says_otherwise() {
    let parsed = |more: &str| Config::parse(&format!("{GOOD}{more}")).unwrap().service_locations;
    assert_eq!(parsed(""), ServiceLocations::Connector);
    assert_eq!(parsed("[front]\nservice_locations = \"connector\"\n"), ServiceLocations::Connector);
    assert_eq!(parsed("[front]\nservice_locations = \"service\"\n"), ServiceLocations::Service);
    let text = format!("{GOOD}[front]\nservice_locations = \"cloud\"\n");
    check_faults(&text, &["front.service_locations: \"cloud\" is not possible; write connector or service"]);
}

#[test]
fn what_proves_the_connector_goes_over_https() {
    let account = "[upstream.account]\nname = 'C\\s'\npassword_file = \"p\"\nprotocol = \"ntlm\"\nroles = [\"exchange\"]\n";
    let clear = "upstream.url: must begin with https";
    for kind in ["ad-rms", "chained"] {
        let with = |url: &str, more: &str| {
            let service = format!("kind = {kind:?}\nurl = {url:?}\n{more}");
            let start = GOOD.find("kind = \"simulated\"").unwrap();
            format!("{}{service}\n{account}", &GOOD[..start])
        };
        check_faults(&with("http://rms.contoso.com", ""), &[clear]);
        check_faults(&with("http://10.0.0.1:80", ""), &[clear]);
        for here in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"] {
            assert!(Config::parse(&with(here, "")).is_ok(), "{here}");
            let proxy = format!("{}[upstream.proxy]\nurl = \"http://p:1\"\n", with(here, ""));
            check_faults(&proxy, &[clear]);
        }
        assert!(Config::parse(&with("https://rms.contoso.com", "authority = \"ca.pem\"")).is_ok());
        let allowed = Config::parse(&with("http://rms.contoso.com", "clear_text = \"allow\"")).unwrap();
        assert!(allowed.upstream.in_the_clear());
        let own = Config::parse(&with("https://RMSconnector.contoso.com", "authority = \"ca.pem\""));
        assert_eq!(own.is_err(), kind == "chained");
        let fault = "upstream.clear_text: \"yes\" is not possible";
        check_faults(&with("http://127.0.0.1", "clear_text = \"yes\""), &[fault]);
    }
}

#[test]
fn refuses_a_seal_key_beside_what_it_seals() {
    let text = format!("{GOOD}[secrets]\nkey_file = \"/var/lib/rmsc/keys/seal.key\"\n");
    check_faults(&text, &["secrets.key_file: must not be inside node.data_dir"]);
}

#[test]
fn refuses_keys_of_the_time_before_joining() {
    let text = GOOD.replace("service_name", "peers = [\"10.1.0.11:8700\"]\nservice_name");
    check_faults(&text, &["cluster.peers: is not a known key"]);
}
