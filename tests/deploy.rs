//! What an operator installs and reads fits the program: the example file, the unit, the runbook.

use clap::Parser;
use rmsc::cli::Arguments;
use rmsc::config::{Config, Witness};
use rmsc::directory::Directory;
use rmsc::event::CATALOGUE;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

#[test]
fn the_example_configuration_is_good() {
    let config = check_config(&read("rmsc.toml"));
    assert_eq!(config.node.name, "rmsc-1");
    assert_eq!(config.secrets.key_file, PathBuf::from("/etc/rmsc/seal.key"));
}

#[test]
fn the_example_of_a_witness_is_good() {
    let example = read("witness.toml");
    let witness = Witness::parse(&example).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(witness.node.name, "rmsc-witness");
    let all = Witness::parse(&uncommented(&example)).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(all, witness, "a commented line is not the default");
}

#[test]
fn the_example_of_accounts_is_good() {
    let path = std::env::temp_dir().join(format!("rmsc-accounts-{}", std::process::id()));
    std::fs::write(&path, read("accounts.toml")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let directory = Directory::open_local(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(directory.unwrap().domain(), "CONTOSO");
}

#[test]
fn every_setting_that_the_example_names_is_known() {
    let example = read("rmsc.toml");
    let all = check_config(&uncommented(&example));
    assert!(all.listen.http.is_some(), "nothing was taken out of its comment");
    // The site, the plain listener, accounts of a file and the keytab have no default, and are not asked for.
    let mut expected = check_config(&example);
    expected.node.site.clone_from(&all.node.site);
    expected.listen.http = all.listen.http;
    expected.upstream.authority.clone_from(&all.upstream.authority);
    expected.upstream.proxy.clone_from(&all.upstream.proxy);
    expected.identity.directory.accounts_file.clone_from(&all.identity.directory.accounts_file);
    expected.identity.keytab.clone_from(&all.identity.keytab);
    expected.identity.realms.clone_from(&all.identity.realms);
    // A directory is not asked for either; what can be left out of it has a default.
    let ldap = all.identity.directory.ldap.as_ref().expect("the example has a directory");
    let defaults = [ldap.group_cache, ldap.last_good_max, ldap.lists_every].map(|it| it.as_secs());
    assert_eq!(defaults, [60, 3_600, 300]);
    expected.identity.directory.ldap = Some(ldap.clone());
    let winbind = all.identity.directory.winbind.as_ref().expect("the example has winbind");
    assert_eq!((winbind.program.to_str(), winbind.helpers_max), (Some("/usr/bin/ntlm_auth"), 8));
    expected.identity.directory.winbind = Some(winbind.clone());
    assert_eq!(all, expected, "a commented line is not the default");
}

#[test]
fn the_example_of_each_kind_of_service_is_good() {
    let example = read("rmsc.toml")
        .replace("http://127.0.0.1:18080", "https://rms.na.aadrm.com")
        .replace("#authority = \"/etc/rmsc/upstream-ca.pem\"", "authority = \"/etc/rmsc/upstream-ca.pem\"");
    for (section, kind) in [("account", "ad-rms"), ("account", "chained"), ("oauth", "oauth")] {
        let of_kind = example.replace("kind = \"simulated\"", &format!("kind = \"{kind}\""));
        let config = check_config(&with_block(&of_kind, &format!("[upstream.{section}]")));
        assert_eq!(config.upstream.kind.word(), kind);
        // So a wrong key in the block would be found.
        let wrong = of_kind
            .replace(&format!("# [upstream.{section}]"), &format!("# [upstream.{section}]\n# no_key = 1"));
        let faults = Config::parse(&with_block(&wrong, &format!("[upstream.{section}]"))).unwrap_err();
        assert!(faults.iter().any(|fault| fault.to_string().contains("no_key")), "{faults:?}");
    }
}

#[test]
fn the_unit_knows_every_credential_that_the_example_names() {
    let unit = read("rmsc.service");
    let example = read("rmsc.toml");
    let named: Vec<_> = example.split("/run/credentials/rmsc.service/").skip(1).collect();
    assert!(named.len() > 3, "{named:?}");
    for named in named {
        let name = named.split('"').next().unwrap_or_default();
        let line = format!("LoadCredential={name}:");
        assert!(
            unit.lines().any(|it| it.trim_start_matches('#').starts_with(&line)),
            "no {line} in rmsc.service"
        );
    }
}

#[test]
fn the_unit_starts_a_command_that_exists() {
    check_command(&setting("ExecStart"));
}

#[test]
fn the_unit_waits_until_the_node_has_drained() {
    let wait: u64 = setting("TimeoutStopSec").parse().expect("seconds");
    let config = check_config(&read("rmsc.toml"));
    // Three groups of tasks one after the other, then the store.
    assert!(Duration::from_secs(wait) > config.drain_timeout * 3 + Duration::from_secs(6));
}

#[test]
fn the_unit_hands_over_the_key_that_the_example_names() {
    let config = check_config(&read("rmsc.toml"));
    let (_, files) = config.listen.https.expect("the example has https");
    let files = files.expect("and files of its own");
    let name = files.key.file_name().and_then(|name| name.to_str()).expect("a file");
    assert_eq!(files.key, PathBuf::from("/run/credentials/rmsc.service").join(name));
    let credentials = settings("LoadCredential");
    assert!(credentials.iter().any(|it| it.starts_with(&format!("{name}:"))), "{credentials:?}");
}

#[test]
fn the_unit_hands_over_the_seal_key_where_init_and_join_make_it() {
    let config = check_config(&read("rmsc.toml"));
    let expected = format!("rmsc-seal:{}", config.secrets.key_file.display());
    assert!(settings("LoadCredential").contains(&expected));
}

#[test]
fn every_event_has_its_section_in_the_runbook() {
    let runbook = read("runbook.md");
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    // The others are about what to do without an event.
    let sections: Vec<&str> =
        sections.filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    let expected: Vec<String> =
        CATALOGUE.iter().map(|event| format!("{}: {}", event.number, event.words)).collect();
    assert_eq!(sections, expected);
}

#[test]
fn every_command_of_the_documents_exists() {
    let mut commands = 0;
    for document in ["runbook.md", "CHANGELOG.md"] {
        let text = read(document);
        // Every second part is inside a block.
        for block in text.split("```").skip(1).step_by(2) {
            for line in block.lines().filter(|line| line.starts_with("rmsc ")) {
                check_command(line);
                commands += 1;
            }
        }
    }
    assert!(commands > 5, "only {commands} commands were found");
}

fn check_config(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n"));
    })
}

fn check_command(line: &str) {
    // Where the output goes is the shell's.
    let words = words(line.split(" > ").next().unwrap_or(line));
    if let Err(error) = Arguments::try_parse_from(words) {
        panic!("{line}\n{error}");
    }
}

/// The words of a command line; what is in single quotes is one of them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Takes `#key = value`, `#"name" = value` and `#[section]` out of their comments; prose has a space behind the
/// mark.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|char: char| char.is_ascii_lowercase() || "[\"".contains(char)) => {
            format!("{key}\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Takes one block, up to the next empty line, out of its comments with a space.
fn with_block(text: &str, section: &str) -> String {
    let begin = text.find(&format!("# {section}\n")).unwrap_or_else(|| panic!("no {section}"));
    let (before, rest) = text.split_at(begin);
    let (block, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let lines = block.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    let block: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{before}{block}\n{after}")
}

/// A setting of the unit.
fn setting(name: &str) -> String {
    settings(name).first().unwrap_or_else(|| panic!("rmsc.service has no {name}")).to_owned()
}

/// A setting that can be there several times.
fn settings(name: &str) -> Vec<String> {
    let unit = read("rmsc.service");
    let found = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.map(str::to_owned).collect()
}

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
