//! Node files that are wrong: every fault at once, in words that say what to change.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::program::{Ran, rmsc, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A folder with a node file.
struct File {
    dir: NewDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = File { dir: NewDir::made() };
        fs::write(file.path(), text).expect("the temporary folder can be written");
        file
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("rmsc.toml")
    }

    fn check(&self) -> Ran {
        run(rmsc().args(["config", "check", "--config"]).arg(self.path()))
    }

    fn serve(&self) -> Ran {
        run(rmsc().args(["server", "--config"]).arg(self.path()))
    }
}

const GOOD: &str = r#"[node]
name = "node-1"
data_dir = "/nonexistent/data"

[listen]
http = "127.0.0.1:0"
peer = "127.0.0.1:8700"
admin = "127.0.0.1:8701"

[cluster]
service_name = "rms.example.net"

[identity]
accounts_file = "/nonexistent/accounts.toml"

[upstream]
kind = "simulated"
url = "http://127.0.0.1:18080"
"#;

const FAULTY: &str = r#"[node]
nmae = "node-1"

[listen]
http = "127.0.0.1"
peer = "0.0.0.0:8700"
admin = "127.0.0.1:8701"

[cluster]
service_name = "rms.example.net"
heartbeat = "5 minutes"

[identity]
channel_binding = "sometimes"

[upstraem]
kind = "simulated"

[log]
level = "loud"
"#;

const FAULTS: &[&str] = &[
    "log.level: \"loud\" is not possible; write error, warn, info, debug or trace",
    "faults",
    "line 2: node.nmae: is not a known key; did you mean name?",
    "line 5: listen.http: \"127.0.0.1\" is not possible; write an address and a port",
    "line 6: listen.peer: must be an address that others can reach",
    "line 11: cluster.heartbeat: \"5 minutes\" is not possible; write a duration",
    "line 14: identity.channel_binding: \"sometimes\" is not possible; write off, allow or require",
    "line 16: upstraem: is not a known section; did you mean upstream?",
    "upstream.url: is missing",
];

#[test]
fn a_good_file_is_said_to_be_good() {
    let ran = File::new(GOOD).check();
    ran.check_code(0);
    assert!(ran.stdout.contains("is good: node node-1"), "{ran:?}");
}

#[test]
fn the_labs_own_files_are_good() {
    let cluster = TestCluster::shared();
    for node in cluster.nodes() {
        run(rmsc().args(["config", "check", "--config"]).arg(&node.config)).check_code(0);
    }
}

#[test]
fn check_names_every_fault_with_its_line_and_what_to_write() {
    File::new(FAULTY).check().check_code(2).check_says(FAULTS);
}

#[test]
fn server_names_every_fault_with_its_line_and_what_to_write() {
    File::new(FAULTY).serve().check_code(2).check_says(FAULTS);
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_line() {
    File::new("[node]\nname = \n").check().check_code(2).check_says(&["line 2: TOML:"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = run(rmsc().args(["server", "--config", "/nonexistent/rmsc.toml"]));
    ran.check_code(2).check_says(&["cannot read the configuration /nonexistent/rmsc.toml", "No such file"]);
}

#[test]
fn a_public_address_without_tls_is_refused() {
    let file = File::new(&GOOD.replace("http = \"127.0.0.1:0\"", "http = \"0.0.0.0:80\""));
    for ran in [file.check(), file.serve()] {
        ran.check_code(2).check_says(&["listen.http", "0.0.0.0:80", "without TLS", "127.0.0.1, or https"]);
    }
}

#[test]
fn what_this_version_does_not_do_is_refused_and_not_ignored() {
    let file = File::new(&format!(
        "{GOOD}\n[upstream.proxy]\nurl = \"https://nobody.test:8080\"\n\n[secrets]\nseal = \"tpm\"\n"
    ));
    file.check().check_code(2).check_says(&[
        "upstream.proxy.url: \"https://nobody.test:8080\" is not possible",
        "secrets.seal: \"tpm\" is not possible",
    ]);
}

const DIRECTORY: &str = r#"
[directory]
domain = "CONTOSO"
controllers = ["ldaps://dc1.contoso.com"]
authority = "/nonexistent/ca.pem"
user = "svc-rmsc@contoso.com"
password_file = "/nonexistent/password"
"#;

#[test]
fn winbind_needs_its_program_and_a_directory() {
    let winbind = "\n[identity.winbind]\nntlm_auth = \"/nonexistent/ntlm_auth\"\n";
    let file = File::new(&format!("{GOOD}{winbind}{DIRECTORY}"));
    for ran in [file.check(), file.serve()] {
        ran.check_code(2).check_says(&[
            "identity.winbind.ntlm_auth: /nonexistent/ntlm_auth is not a program on this host",
            "install the package winbind",
        ]);
    }
    let file = File::new(&format!("{GOOD}{}", winbind.replace("/nonexistent/ntlm_auth", "ntlm_auth")));
    file.check().check_code(2).check_says(&[
        "identity.winbind.ntlm_auth: \"ntlm_auth\" is not possible; write a whole path",
        "directory.domain: is missing; [identity.winbind] needs the section [directory]",
    ]);
    let ntlm = "\n[identity.ntlm]\nexchange = \"maybe\"\nfile_server = \"on\"\n";
    File::new(&format!("{GOOD}{ntlm}")).check().check_code(2).check_says(&[
        "identity.ntlm.exchange: \"maybe\" is not possible; write off, channel-binding or on",
        "identity.ntlm.file_server: is not a known key; did you mean fileserver?",
    ]);
    // A host without a program of its own to name says so by the file alone.
    let program = format!("{GOOD}{}{DIRECTORY}", winbind.replace("/nonexistent/ntlm_auth", "/bin/true"));
    File::new(&program).check().check_code(0);
}

#[test]
fn accounts_that_others_can_read_are_refused_with_the_command_that_helps() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    cluster.kill("node-1");
    let accounts = cluster.dir().join("accounts.toml");
    fs::set_permissions(&accounts, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(rmsc().args(["server", "--config"]).arg(&node.config));
    ran.check_code(1).check_says(&[&accounts.display().to_string(), "chmod 0600"]);
}

#[test]
fn a_store_that_another_process_uses_is_refused() {
    let cluster = TestCluster::start(1);
    let ran = run(rmsc().args(["server", "--config"]).arg(&cluster.any_node().config));
    ran.check_code(1).check_says(&["Error:"]);
    cluster.await_rotation();
}
