//! `--help` of every command, as recorded.

use crate::support::program::{manifest_dir, rmsc, run};
use std::fs;

const COMMANDS: [&str; 75] = [
    "",
    "server",
    "init",
    "join",
    "leave",
    "token",
    "token create",
    "token list",
    "token revoke",
    "admin",
    "admin add",
    "admin request",
    "admin list",
    "admin remove",
    "dev",
    "dev restart",
    "authz",
    "authz add",
    "authz remove",
    "authz list",
    "authz test",
    "directory",
    "directory search",
    "directory show",
    "status",
    "witness",
    "node",
    "node list",
    "node show",
    "node drain",
    "node undrain",
    "node replace",
    "node remove",
    "node rename",
    "lb",
    "lb show",
    "lb report",
    "kerberos",
    "kerberos import",
    "kerberos rotate",
    "kerberos show",
    "kerberos test",
    "kerberos remove",
    "kerberos spn-commands",
    "cert",
    "cert import",
    "cert show",
    "cert renew",
    "cert remove",
    "cloud",
    "cloud show",
    "cloud login",
    "cloud logout",
    "cloud detect",
    "cloud test",
    "cloud tokens",
    "cloud renew",
    "cloud endpoints",
    "cluster",
    "cluster show",
    "cluster step-down",
    "cluster transfer",
    "cluster upgrade",
    "cluster recover",
    "backup",
    "backup key",
    "backup create",
    "backup list",
    "backup verify",
    "backup restore",
    "simulate",
    "simulate cloud",
    "simulate sign-in",
    "config",
    "config check",
];

fn help(command: &str) -> String {
    let ran = run(rmsc().env_remove("COLUMNS").args(command.split_whitespace()).arg("--help"));
    ran.check_code(0);
    ran.stdout
}

#[test]
fn help_is_as_recorded() {
    let folder = manifest_dir().join("tests/golden/help");
    for command in COMMANDS {
        let name = format!("rmsc {command}").trim_end().replace(' ', "_");
        let file = folder.join(format!("{name}.txt"));
        let now = help(command);
        if std::env::var_os("RMSC_RENEW_GOLDEN").is_some() {
            fs::write(&file, &now).unwrap();
            continue;
        }
        let recorded = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            now == recorded,
            "`rmsc {command} --help` is not as in {}; if it should be so: RMSC_RENEW_GOLDEN=1 cargo test --test it \
             help\n--- recorded\n{recorded}\n--- now\n{now}",
            file.display()
        );
    }
}

/// A usage line that names options nobody wrote sends its reader the wrong way.
#[test]
fn the_usage_of_an_error_names_what_was_written_alone() {
    let mut command = rmsc();
    command
        .env("RMSC_CONTEXT", "context.toml")
        .env("RMSC_ENDPOINT", "127.0.0.1:8701")
        .env("RMSC_OUTPUT", "json");
    let ran = run(command.args(["node", "drain"]));
    ran.check_code(2).check_says(&["<NODE>", "Usage: rmsc node drain <NODE>"]);
    assert!(!ran.stderr.contains("--context"), "{}", ran.stderr);
}

/// Nobody can read a help text that names a command which is missing from the list above.
#[test]
fn every_command_is_recorded() {
    for command in COMMANDS {
        let help = help(command);
        let Some((_, commands)) = help.split_once("\nCommands:\n") else { continue };
        let listed = commands.lines().take_while(|line| !line.trim().is_empty());
        // A description that goes on in another line is indented further.
        let listed = listed.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
        for name in listed.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help") {
            let full = format!("{command} {name}");
            assert!(COMMANDS.contains(&full.trim_start()), "{full}");
        }
    }
}
