//! The cloud: signing in, tokens that every node has, and what happens when the sign-in service is away.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::files::private;
use crate::support::http::Request;
use crate::support::load::Load;
use crate::support::log::{await_event, events, field};
use crate::support::program::{Ran, run};
use crate::support::sign_in::{SignIn, login, token};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Checks the exit code and what was printed.
#[track_caller]
fn check_prints(ran: &Ran, code: i32, words: &[&str]) {
    ran.check_code(code);
    for words in words {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
}

/// One request through every node.
#[track_caller]
fn check_every_node(cluster: &TestCluster, status: u16) {
    for node in cluster.nodes() {
        cluster.call(&node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(status, &[]);
    }
}

#[test]
fn signs_in_once_for_all_nodes_and_out_again() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    let words = ["not signed in", "rmsc cloud login", "experimental"];
    check_prints(&cluster.rmsc(&["cloud", "show"]), 3, &words);
    check_every_node(&cluster, 500);
    await_event(&cluster.any_node(), 4080, |_| true);
    let wrong = private(folder.path(), "wrong", "another-secret\n");
    login(&cluster, &wrong, &[]).check_code(4).check_says(&["invalid_client"]);
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o644)).expect("it is ours");
    login(&cluster, &wrong, &[]).check_code(1).check_says(&["chmod 0600"]);
    let right = private(folder.path(), "right", "simulated-secret\n");
    check_prints(&login(&cluster, &right, &[]), 0, &["in effect on 3/3 nodes", "rmsc cloud logout"]);
    check_every_node(&cluster, 200);
    for node in cluster.nodes() {
        let event = await_event(&node, 1016, |_| true);
        assert!(field(&event, "method") == "client-secret" && !field(&event, "by").is_empty(), "{event}");
    }
    check_prints(&cluster.rmsc(&["cloud", "show"]), 0, &["client-secret by", "lasts until"]);
    let before = token(&cluster);
    check_prints(&cluster.rmsc(&["cloud", "renew"]), 0, &["a new token"]);
    assert_ne!(token(&cluster), before);
    check_every_node(&cluster, 200);
    // A node that was away has the token when it is back.
    cluster.kill("node-2");
    cluster.restart("node-2");
    cluster.await_rotation();
    check_every_node(&cluster, 200);
    // Whoever leads next renews as well.
    let (leader, before) = (cluster.leader(), token(&cluster));
    cluster.kill(&leader);
    cluster.rmsc(&["cloud", "renew"]).check_code(0);
    assert_ne!(token(&cluster), before);
    cluster.restart(&leader);
    cluster.await_rotation();
    check_shows_no_secret(&cluster, &[b"simulated-secret", b"simulated-token-"]);
    cluster.rmsc(&["cloud", "logout"]).check_code(4);
    check_prints(&cluster.rmsc(&["cloud", "logout", "--yes"]), 0, &["forgotten: client-secret"]);
    check_every_node(&cluster, 500);
    cluster.rmsc(&["cloud", "renew"]).check_code(4).check_says(&["rmsc cloud login"]);
    for node in cluster.nodes() {
        let event = await_event(&node, 4085, |_| true);
        assert!(!field(&event, "by").is_empty(), "{event}");
    }
    check_prints(&cluster.rmsc(&["cloud", "show"]), 3, &["signed it out"]);
}

/// Neither logs nor the data folders have them.
#[track_caller]
fn check_shows_no_secret(cluster: &TestCluster, secrets: &[&[u8]]) {
    fn search(folder: &Path, secrets: &[&[u8]]) {
        for entry in fs::read_dir(folder).expect("it is a folder").flatten() {
            if entry.path().is_dir() {
                search(&entry.path(), secrets);
                continue;
            }
            let bytes = fs::read(entry.path()).unwrap_or_default();
            for secret in secrets {
                let is_there = bytes.windows(secret.len()).any(|window| window == *secret);
                assert!(!is_there, "{} shows {:?}", entry.path().display(), String::from_utf8_lossy(secret));
            }
        }
    }
    for node in cluster.nodes() {
        search(&node.data_dir, secrets);
        let log = fs::read_to_string(&node.log).expect("a node writes a log");
        assert!(
            secrets.iter().all(|secret| !log.contains(&*String::from_utf8_lossy(secret))),
            "{}",
            node.name
        );
    }
}

#[test]
fn a_token_that_is_not_taken_is_renewed_once_and_no_request_fails() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 8);
    load.await_more(50);
    let granted = sign_in.granted();
    sign_in.order("revoke");
    load.await_more(100);
    load.stop().check_nothing_failed();
    let counted = sign_in.counted();
    assert_eq!(counted["granted"], granted + 1, "{counted}");
    assert!(counted["refused"].as_u64().is_some_and(|refused| refused > 0), "{counted}");
}

#[test]
fn no_request_fails_while_the_sign_in_is_away_for_nine_tenths_of_a_tokens_life() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "30s");
    sign_in.serve(&cluster);
    // Before the token's life begins, so that what is left of it is not less than a tenth.
    let begun = Instant::now();
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let before = token(&cluster);
    sign_in.order("down");
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 4);
    wait::until_true("nine tenths of the life are over", Duration::from_secs(30), || {
        begun.elapsed() >= Duration::from_secs(27)
    });
    assert_eq!(token(&cluster), before);
    let nodes = cluster.nodes();
    let event = await_event(&cluster.node(&cluster.leader()), 4082, |_| true);
    assert!(field(&event, "reason").contains("temporarily_unavailable"), "{event}");
    sign_in.order("up");
    wait::until_true("there is a new token", Duration::from_secs(3), || token(&cluster) != before);
    // Past the end of the old one.
    wait::until_true("the old token is over", Duration::from_secs(10), || {
        begun.elapsed() >= Duration::from_secs(33)
    });
    load.stop().check_nothing_failed();
    // One of them got it, and each said once that it had not.
    assert_eq!(nodes.iter().map(|node| events(node, 1015).len()).sum::<usize>(), 1);
    nodes.iter().for_each(|node| assert!(events(node, 4082).len() <= 1, "{}", node.name));
}

#[test]
fn signs_in_with_a_certificate_and_reminds_of_its_end() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key) = (path("app.pem"), path("app.key"));
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=connector", "-days", "10"];
    run(Command::new("openssl").args(make).args(["-keyout", &key, "-out", &certificate])).check_code(0);
    let arguments = ["cloud", "login", "--certificate", &certificate, "--key", &key];
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    cluster.rmsc(&arguments).check_code(1).check_says(&["chmod 0600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");
    check_prints(&cluster.rmsc(&arguments), 0, &["certificate by"]);
    check_every_node(&cluster, 200);
    check_assertion(&sign_in, folder.path(), &certificate);
    // Ten days are less than fourteen.
    let event = await_event(&cluster.any_node(), 4083, |_| true);
    assert_eq!(event["days"], 14, "{event}");
    check_prints(&cluster.rmsc(&["cloud", "show"]), 3, &["ends in 9 days"]);
    assert!(cluster.rmsc(&["status"]).stdout.contains("ends in 9 days"));
    let metrics = cluster.monitor(&cluster.any_node(), "/metrics").text();
    assert!(metrics.contains("rmsc_cloud_credential_expires_timestamp_seconds 1"), "{metrics}");
}

/// openssl takes the assertion's signature for the certificate's.
#[track_caller]
fn check_assertion(sign_in: &SignIn, folder: &Path, certificate: &str) {
    use base64::Engine as _;
    let counted = sign_in.counted();
    let assertion = counted.get("last_assertion").and_then(Value::as_str).expect("a text");
    let (text, signature) = assertion.rsplit_once('.').expect("three parts");
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let (text_file, signature_file, key) =
        (folder.join("text"), folder.join("signature"), folder.join("public"));
    fs::write(&text_file, text).expect("the temporary folder can be written");
    fs::write(&signature_file, signature).expect("the temporary folder can be written");
    let public = run(Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in", certificate]));
    fs::write(&key, &public.check_code(0).stdout).expect("the temporary folder can be written");
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    let mut verify = Command::new("openssl");
    verify.args(["dgst", "-sha256"]).args(pss).arg("-verify").arg(key);
    let verified = run(verify.arg("-signature").arg(signature_file).arg(text_file));
    check_prints(&verified, 0, &["Verified OK"]);
}

#[test]
fn a_person_signs_in_with_a_code_and_tokens_go_on_from_there() {
    let cluster = TestCluster::start(1);
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    let mut login = cluster
        .administrator()
        .args(["cloud", "login", "--device-code"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built with the tests");
    let mut line = String::new();
    let stderr = login.stderr.take().expect("it was asked for");
    BufReader::new(stderr).read_line(&mut line).expect("it says what to do");
    assert!(line.contains("https://sign-in.example/device") && line.contains("SIM-ULATED"), "{line}");
    sign_in.order("approve");
    assert!(login.wait().expect("a child can be waited for").success());
    check_every_node(&cluster, 200);
    // What the next token is got with can be used once, so each renewal needs that of the one before.
    for _ in 0..3 {
        cluster.rmsc(&["cloud", "renew"]).check_code(0);
    }
    check_every_node(&cluster, 200);
    assert_eq!(sign_in.counted()["grants"]["refresh_token"], 3);
    // The sign-in service knows it no more: only a person can help.
    sign_in.order("lose-refresh");
    sign_in.order("revoke");
    check_every_node(&cluster, 500);
    let event = await_event(&cluster.any_node(), 4082, |_| true);
    assert!(field(&event, "reason").contains("invalid_grant"), "{event}");
}

#[test]
fn says_which_hosts_there_are_and_whether_there_is_a_way() {
    let cluster = TestCluster::start(1);
    let sign_in = SignIn::start(&cluster, "1h");
    cluster
        .rmsc(&["cloud", "login", "--device-code"])
        .check_code(4)
        .check_says(&["takes no tokens", "oauth"]);
    sign_in.serve(&cluster);
    check_prints(&cluster.rmsc(&["cloud", "test"]), 3, &["service", "sign-in", "rmsc cloud login"]);
    let hosts = cluster.rmsc(&["cloud", "endpoints", "-o", "json"]).field("hosts");
    let hosts: Vec<&str> =
        hosts.as_array().expect("a list").iter().filter_map(|it| it["host"].as_str()).collect();
    assert_eq!(hosts, ["127.0.0.1", "127.0.0.1", "*.aadrm.com", "login.microsoftonline.com"]);
    drop(sign_in);
    check_prints(&cluster.rmsc(&["cloud", "test"]), 1, &["refuses connections"]);
    // No host is called from here: all of them are behind a web proxy that is none.
    let proxy = "clear_text = \"allow\"\n[upstream.proxy]\nurl = \"http://127.0.0.1:9\"\n\n[upstream.oauth]";
    cluster.reconfigure("node-1", "[upstream.oauth]", proxy);
    cluster.await_rotation();
    let detected = cluster.rmsc(&["cloud", "detect", "-o", "json"]);
    let clouds = detected.check_code(0).field("hosts");
    for (cloud, name) in
        clouds.as_array().expect("a list").iter().zip(["AzureCloud", "AzureChinaCloud", "AzureUSGovernment"])
    {
        assert_eq!(cloud["purpose"], name, "{clouds}");
        assert!(cloud.to_string().contains("the web proxy cannot be reached"), "{clouds}");
    }
    assert_eq!(clouds.as_array().map(Vec::len), Some(3));
}
