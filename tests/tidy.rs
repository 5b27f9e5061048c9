//! The rules about the source itself: who may name whom, sizes, headers, words that may not occur.
//! Everything is read as text. The rules themselves are in `tidy/rules.rs`.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use May::{AllBut, Names};
use rules::{
    bad_records, banned, crates_away, foreign_messages, imports_outside, machines, messages, mod_rs,
    no_header, other_providers, strangers_at_the_top, todo_without_issue, too_long,
};
use source::{File, over_source, read, root, tracked};
use std::fmt::Write as _;
use std::process::Command;

/// Which of our modules a module may name. A longer path allows only what is below it.
enum May {
    Names(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// Who may name whom. The empty squares are the design: `front` and `relay` cannot name `cluster`, so no
/// request waits for consensus; `front` cannot call `upstream`, so nothing is sent without a permit.
const TABLE: &[(&str, May)] = &[
    ("event", Names(&[])),
    ("metrics", Names(&[])),
    ("principal", Names(&[])),
    ("proto", Names(&[])),
    ("rms", Names(&[])),
    ("secret", Names(&[])),
    ("storage", Names(&[])),
    ("tasks", Names(&[])),
    ("trace", Names(&[])),
    ("telemetry", Names(&["tasks", "trace"])),
    ("seal", Names(&["secret"])),
    ("tls", Names(&["seal", "secret"])),
    ("listener", Names(&["event", "tasks", "tls"])),
    ("identity", Names(&["principal", "secret"])),
    ("state", Names(&["principal"])),
    ("directory", Names(&["event", "identity", "metrics", "principal", "secret", "tasks", "tls"])),
    (
        "upstream",
        Names(&[
            "identity::ChannelBinding",
            "identity::kerberos_client",
            "identity::nt_hash",
            "identity::ntlm_client",
            "metrics",
            "secret",
            "tasks",
            "tls",
        ]),
    ),
    ("simulator", Names(&["principal", "rms", "tasks", "tls"])),
    ("cluster", Names(&["event", "principal", "proto", "secret", "state", "storage", "tasks", "tls"])),
    (
        "enrolment",
        Names(&[
            "cluster", "event", "metrics", "proto", "seal", "secret", "state", "storage", "tasks", "tls",
        ]),
    ),
    // Of the messages only those of `relay.proto`: see `relay_names_only_its_own_messages`.
    (
        "relay",
        Names(&[
            "event",
            "metrics",
            "principal",
            "proto::peer::v1",
            "rms",
            "secret",
            "state",
            "tasks",
            "tls",
            "trace",
            "upstream",
        ]),
    ),
    (
        "front",
        Names(&[
            "directory",
            "event",
            "identity",
            "metrics",
            "principal",
            "relay",
            "rms",
            "secret",
            "state",
            "tasks",
            "tls",
            "trace",
            "upstream::Body",
            "upstream::BodyError",
        ]),
    ),
    (
        "backup",
        Names(&["cluster", "enrolment", "proto", "seal", "secret", "state", "storage", "tasks", "tls"]),
    ),
    (
        "control",
        Names(&[
            "backup",
            "cluster",
            "directory",
            "enrolment",
            "event",
            "identity::kerberos",
            "metrics",
            "principal",
            "proto",
            "renewal",
            "seal",
            "secret",
            "state",
            "tasks",
            "tls",
            // Signing in; no request can be sent with it.
            "upstream::cloud",
        ]),
    ),
    ("config", AllBut(&["cli", "lab", "node", "simulator"])),
    ("node", AllBut(&["cli", "lab"])),
    (
        "renewal",
        Names(&[
            "cluster",
            "enrolment",
            "event",
            "secret",
            "state",
            "tasks",
            "tls::AssertionError",
            "tls::AssertionKey",
            "upstream::cloud",
        ]),
    ),
    ("lab", AllBut(&["cli", "config", "node"])),
    (
        "cli",
        Names(&[
            "backup",
            "cluster",
            "config",
            "control",
            "enrolment",
            "event",
            "lab",
            "node",
            "principal",
            "proto",
            "seal",
            "secret",
            "simulator",
            "state::Timestamp",
            "tasks",
            "telemetry",
            "tls",
        ]),
    ),
    ("main", Names(&["cli"])),
];

/// The homes of outside crates: modules, or files where there is a dot.
const HOMES: &[(&[&str], &[&str])] = &[
    (&["sled", "raft_log"], &["storage"]),
    (&["crc32fast", "lz4_flex", "openraft", "stateright", "turmoil"], &["cluster"]),
    (&["age"], &["backup"]),
    (&["ldap3"], &["directory"]),
    (&["quick_xml"], &["rms"]),
    (&["p12_keystore", "rustls", "rustls_native_certs", "tokio_rustls", "rcgen"], &["tls"]),
    (&["x509_parser"], &["tls", "identity"]),
    (&["hyper_rustls"], &["upstream"]),
    (&["aes", "cts", "md4", "md5", "rc4", "sha1"], &["identity"]),
    (&["hmac"], &["enrolment", "identity"]),
    (&["aws_lc_rs"], &["seal", "simulator"]),
    (&["clap", "comfy_table"], &["cli", "main"]),
    (&["anyhow"], &["cli", "lab", "main"]),
    (
        &["tonic", "tonic_health", "tonic_reflection"],
        &["cli", "cluster", "control", "enrolment", "lab", "node", "proto"],
    ),
    (&["opentelemetry", "opentelemetry_otlp", "opentelemetry_sdk"], &["telemetry"]),
    (&["prometheus_client"], &["telemetry", "metrics.rs"]),
];

/// Words that may not occur, where, and what to do in their place.
const BANNED: &[(&str, Scope, &str)] = &[
    ("unbounded_channel", Scope::Everywhere, "a queue has a named bound"),
    ("todo !", Scope::Everywhere, "finish it, or leave it out"),
    ("unimplemented !", Scope::Everywhere, "finish it, or leave it out"),
    ("dbg !", Scope::Everywhere, "log with fields"),
    ("# [ ignore", Scope::Everywhere, "no test is ignored"),
    ("# [ allow", Scope::Everywhere, "#[expect(…, reason = \"…\")] on the item"),
    ("# ! [ allow", Scope::Everywhere, "#[expect(…, reason = \"…\")] on the item"),
    ("sleep (", Scope::Tests, "wait for a condition with the helper of tests/support"),
    (". unwrap ( )", Scope::Product(&[]), "`?`, or expect(\"why it cannot happen\")"),
    ("tokio :: spawn (", Scope::Product(&["tasks"]), "Tasks::spawn, with a name"),
    ("task :: spawn (", Scope::Product(&["tasks"]), "Tasks::spawn, with a name"),
    ("thread :: spawn (", Scope::Product(&["tasks"]), "Tasks::spawn, with a name"),
    ("thread :: sleep (", Scope::Product(&[]), "tokio::time::sleep"),
    ("print !", Scope::Product(&["cli"]), "only the command line prints"),
    ("println !", Scope::Product(&["cli"]), "only the command line prints"),
    ("eprint !", Scope::Product(&["cli"]), "only the command line prints"),
    ("eprintln !", Scope::Product(&["cli"]), "only the command line prints"),
];

#[derive(Clone, Copy)]
enum Scope {
    Everywhere,
    /// `tests/`, `chaos/` and `benches/`.
    Tests,
    /// What is shipped, but for these modules.
    Product(&'static [&'static str]),
}

/// The one helper that waits for a condition.
const WAITING: &str = "tests/support/wait.rs";

// ---- The rules, over the tree. ----

#[test]
fn a_module_names_only_what_the_table_allows() {
    check("import outside the table", &over_source(imports_outside));
}

#[test]
fn every_module_has_a_row_in_the_table() {
    let library = read("src/lib.rs");
    let modules = File::new("src/lib.rs", &library).modules();
    assert!(modules.len() > 20, "{modules:?}");
    for module in modules {
        assert!(row(&module).is_some(), "{module} has no row in the table of tests/tidy.rs");
    }
}

#[test]
fn relay_names_only_its_own_messages() {
    let own = messages(&read("proto/rmsc/peer/v1/relay.proto"));
    check("message of another part", &over_source(|file| foreign_messages(file, &own)));
}

#[test]
fn an_outside_crate_has_one_home() {
    check("outside crate away from its home", &over_source(crates_away));
}

#[test]
fn every_file_says_what_it_is_for() {
    check("no //! in the first line", &over_source(no_header));
}

#[test]
fn a_module_is_a_file_of_its_own_name() {
    check("mod.rs", &over_source(mod_rs));
}

#[test]
fn a_file_has_one_subject() {
    check("too long", &over_source(too_long));
}

#[test]
fn no_banned_word_occurs() {
    check("banned", &over_source(banned));
}

#[test]
fn a_todo_names_its_issue() {
    check("TODO without an issue", &over_source(todo_without_issue));
}

#[test]
fn only_one_helper_sleeps() {
    let sleeps = over_source(|file| if file.is_support() { file.find("sleep (") } else { Vec::new() });
    let elsewhere: Vec<String> = sleeps.into_iter().filter(|place| !place.contains(WAITING)).collect();
    check(&format!("sleeps outside {WAITING}"), &elsewhere);
}

#[test]
fn there_is_one_tls_provider() {
    check("in the dependency tree", &other_providers(&dependency_tree()));
}

#[test]
fn decision_records_are_short_and_numbered() {
    let records: Vec<(String, String)> = tracked()
        .into_iter()
        .filter(|path| path.starts_with("src/docs/decisions/"))
        .map(|path| (path.clone(), read(&path)))
        .collect();
    assert!(!records.is_empty());
    check("decision record", &bad_records(&records));
}

#[test]
fn no_file_names_a_machine() {
    let texts = tracked().into_iter().filter(|path| path != "tests/tidy/rules.rs" && path != "Cargo.lock");
    let found: Vec<String> = texts.flat_map(|path| machines(&path, &read(&path))).collect();
    check("path or host of a machine", &found);
}

#[test]
fn the_top_level_shows_the_product() {
    check("does not belong at the top level", &strangers_at_the_top(&tracked()));
}

fn check(what: &str, found: &[String]) {
    let mut words = String::new();
    for line in found {
        let _ = write!(words, "\n  {line}");
    }
    assert!(found.is_empty(), "{what}:{words}");
}

fn dependency_tree() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl May {
    fn allows(&self, path: &[String]) -> bool {
        match self {
            Names(names) => names.iter().any(|name| {
                let mut parts = path.iter();
                name.split("::").all(|part| parts.next().is_some_and(|it| it == part))
            }),
            AllBut(names) => path.first().is_some_and(|named| !names.contains(&named.as_str())),
        }
    }
}

impl std::fmt::Display for May {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Names([]) => write!(f, "nothing of ours"),
            Names(names) => write!(f, "{}", names.join(", ")),
            AllBut(names) => write!(f, "all but {}", names.join(", ")),
        }
    }
}

fn row(module: &str) -> Option<&'static May> {
    TABLE.iter().find(|(name, _)| *name == module).map(|(_, may)| may)
}
