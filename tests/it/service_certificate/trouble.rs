//! A certificate that is kept and cannot be read, one that a node cannot show, and one that nobody trusts.

use super::{Folder, SERVICE, await_shown, import, import_issued, show, shown, without_files};
use crate::support::certificates::{other_data_key, put_secret};
use crate::support::cluster::NewDir;
use crate::support::host::Host;
use crate::support::log::{await_event, events, field};
use crate::support::program::{rmsc, run};
use crate::support::terminal::Terminal;
use crate::support::wait::{self, PATIENCE};
use serde_json::json;
use std::process::Command;

const BEFORE: &str = "a new certificate cannot be used, and calling servers see the one before: \
                      front-certificate does not open";

#[test]
fn what_nobody_can_read_is_named_and_another_one_takes_its_place() {
    let cluster = without_files(2);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    let first = folder.issue("first", &[SERVICE]);
    import_issued(&cluster, &folder, "first").check_code(0);
    put_secret(&cluster, "front-certificate", &[7; 200]);
    for node in &nodes {
        let event = await_event(node, 4115, |_| true);
        assert!(field(&event, "reason").contains("front-certificate does not open"), "{event}");
        let words = format!("{}: {BEFORE}", node.name);
        wait::until_true("the fault is told", PATIENCE, || {
            show(&cluster)["problems"].to_string().contains(&words)
        });
        wait::until_true("status tells it", PATIENCE, || cluster.rmsc(&["status"]).stdout.contains(&words));
    }
    let said = cluster.rmsc(&["cert", "show"]);
    said.check_code(3);
    assert!(said.stdout.contains("the cluster has one that cannot be read"), "{said:?}");
    await_shown(&nodes, &folder, &first);
    // Without a key nobody knows any more which one it was for.
    let without_key = import(&cluster, &[&folder.text("first.pem")]);
    without_key
        .check_code(1)
        .check_says(&["there is no private key", "the certificate that is kept cannot be read"]);

    let second = folder.issue("second", &[SERVICE]);
    let imported = import_issued(&cluster, &folder, "second");
    let words =
        "the one before could not be read, and this one is in its place: front-certificate does not open";
    assert!(imported.check_code(0).stdout.contains(words), "{imported:?}");
    await_shown(&nodes, &folder, &second);
    assert_eq!(show(&cluster)["problems"], json!([]));
    for node in &nodes {
        // It was tried again and again, and said once.
        assert_eq!(events(node, 4115).len(), 1, "{}", node.name);
    }
}

#[test]
fn an_import_names_the_node_that_does_not_show_it() {
    let cluster = without_files(2);
    let folder = Folder::new();
    cluster.kill("node-2");
    let before = other_data_key(&cluster.node("node-2"));
    cluster.restart("node-2");
    cluster.await_rotation();
    let fingerprint = folder.issue("first", &[SERVICE]);
    // Through the node whose key is the cluster's.
    let endpoint = cluster.node("node-1").admin.to_string();
    let [pem, key, ca] = ["first.pem", "first.key", "ca.pem"].map(|name| folder.text(name));
    let import = ["--endpoint", &endpoint, "cert", "import", &pem, "--key", &key, "--chain", &ca];
    let imported = cluster.rmsc(&import);
    imported.check_code(3);
    // The node has applied the change.
    assert!(imported.stdout.contains("in effect on 2/2 nodes"), "{imported:?}");
    let words = "node-2 does not show it: the certificate for calling servers cannot be used, and there is no other: \
                 front-certificate does not open";
    assert!(imported.stdout.contains(words), "{imported:?}");
    await_shown(&[cluster.node("node-1")], &folder, &fingerprint);
    // Also if there is nothing to change.
    let again = cluster.rmsc(&import);
    assert!(again.check_code(3).stdout.contains("node-2 does not show it"), "{again:?}");
    cluster.kill("node-2");
    before.put_back();
    cluster.restart("node-2");
    await_shown(&cluster.nodes(), &folder, &fingerprint);
    cluster.rmsc(&import).check_code(0);
}

#[test]
fn one_that_is_issued_by_itself_is_shown_when_it_is_forced() {
    let cluster = without_files(1);
    let folder = Folder::new();
    folder.write(
        "request.cnf",
        &format!(
            "[req]\ndistinguished_name=name\nx509_extensions=own\nprompt=no\n[name]\nCN={SERVICE}\n[own]\n\
                  subjectAltName=DNS:{SERVICE}\n"
        ),
    );
    folder.openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "own.key",
        "-out",
        "ca.pem",
        "-days",
        "90",
        "-config",
        "request.cnf",
    ]);
    let [pem, key] = [folder.text("ca.pem"), folder.text("own.key")];
    let refused = import(&cluster, &[&pem, "--key", &key]);
    refused.check_code(4).check_says(&["it is issued by itself", "If that is meant: --force"]);
    assert_eq!(show(&cluster)["chain"], json!([]));
    let forced = import(&cluster, &[&pem, "--key", &key, "--force"]);
    assert!(forced.check_code(3).stdout.contains("‼ it is issued by itself"), "{forced:?}");
    let said = show(&cluster);
    let fingerprint = said["chain"][0]["fingerprint"].as_str().expect("it is taken").to_owned();
    // Whoever trusts it comes through.
    await_shown(&cluster.nodes(), &folder, &fingerprint);
    await_event(&cluster.any_node(), 4113, |event| field(event, "reason").contains("it is issued by itself"));
    let said = cluster.rmsc(&["cert", "show"]);
    let words = "‼ node-1: the certificate for calling servers: it is issued by itself";
    assert!(said.check_code(3).stdout.contains(words), "{said:?}");
}

#[test]
fn the_password_of_a_pfx_file_is_asked_for_at_a_terminal() {
    let cluster = without_files(1);
    let folder = Folder::new();
    let fingerprint = folder.issue("first", &[SERVICE]);
    folder.export("first", &["-passout", "pass:Passw0rd.1"]);
    let typed = |keys: &str| {
        // The password is read from the terminal that the program belongs to.
        let mut command = Command::new("setsid");
        let own = cluster.administrator();
        command.args(["--ctty", "--wait"]).arg(own.get_program()).args(own.get_args());
        command.args(["cert", "import", &folder.text("first.pfx")]);
        for variable in ["RMSC_OUTPUT", "RMSC_CONTEXT", "RMSC_ENDPOINT", "RMSC_CONFIG"] {
            command.env_remove(variable);
        }
        let mut terminal = Terminal::start(&mut command);
        terminal.await_words("Password of ");
        terminal.keys(keys);
        terminal.end()
    };
    typed("wrong\n").check(1, &["the password does not open the PFX file"]);
    let said = typed("Passw0rd.1\n");
    said.check(0, &["in effect on 1/1 nodes"]);
    assert!(!said.screen.contains("Passw0rd"), "{said:?}");
    await_shown(&cluster.nodes(), &folder, &fingerprint);
}

#[test]
fn a_cluster_out_of_a_backup_shows_the_certificate() {
    let cluster = without_files(1);
    let (folder, backups) = (Folder::new(), NewDir::made());
    let fingerprint = folder.issue("first", &[SERVICE]);
    import_issued(&cluster, &folder, "first").check_code(0);
    let key = backups.path().join("backup.key");
    let recipient =
        run(rmsc().args(["backup", "key", "-o", "json", "--to"]).arg(&key)).check_code(0).field("recipient");
    let create =
        ["backup", "create", "-o", "json", "--recipient", recipient.as_str().expect("a text"), "--to"];
    let created = run(cluster.administrator().args(create).arg(backups.path()));
    let file = created.check_code(0).field("file");
    // What came after it is not in it.
    folder.issue("second", &[SERVICE]);
    import_issued(&cluster, &folder, "second").check_code(0);
    let mut host = Host::new(&cluster, "node-1");
    cluster.kill("node-1");
    let mut restore = rmsc();
    restore.args(["backup", "restore", "--identity"]).arg(&key).arg("--config").arg(&host.node.config);
    run(restore.arg(file.as_str().expect("a text"))).check_code(0);
    host.start();
    await_shown(std::slice::from_ref(&host.node), &folder, &fingerprint);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(shown(&host.node, &folder)).expect("a handshake");
    assert_eq!(seen, fingerprint);
}
