//! Who gets the next token for the cloud, and that nobody takes a good one away.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::files::private;
use crate::support::http::Request;
use crate::support::load::Load;
use crate::support::log::{await_event, field, lines};
use crate::support::processes;
use crate::support::program::run;
use crate::support::sign_in::{SignIn, login, token};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::uploads::{MEBIBYTE, padded};
use crate::support::wait;
use crate::support::witness::Witness;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than a renewal that is due takes, and not longer than what is left of a token of 30 s then.
const RENEWED: Duration = Duration::from_secs(30);

#[test]
fn a_relay_renews_while_a_witness_leads() {
    let (cluster, folder) = (TestCluster::start(2), NewDir::made());
    let _witness = Witness::join(&cluster, "witness-1");
    let sign_in = SignIn::start(&cluster, "30s");
    sign_in.serve(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let (begun, before) = (Instant::now(), token(&cluster));
    cluster.rmsc(&["cluster", "transfer", "witness-1", "--force"]).check_code(0);
    wait::until_true("the witness leads", wait::PATIENCE, || cluster.leader() == "witness-1");
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    wait::until_true("there is a new token", RENEWED, || token(&cluster) != before);
    wait::until_true("the old token is over", RENEWED, || begun.elapsed() >= Duration::from_secs(33));
    load.stop().check_nothing_failed();
    assert_eq!(cluster.leader(), "witness-1");
}

#[test]
fn another_node_renews_when_the_leader_cannot_ask() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "30s");
    sign_in.serve_by_name(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let cut_off = cluster.leader();
    // The service can be reached without that web proxy, which is none.
    let section = "[upstream.oauth]\n";
    let proxy = "clear_text = \"allow\"\n\n[upstream.proxy]\nurl = \"http://127.0.0.1:9\"\nno_proxy = [\"127.0.0.1\"]\n\n";
    cluster.reconfigure(&cut_off, section, &format!("{proxy}{section}"));
    cluster.await_rotation();
    cluster.rmsc(&["cluster", "transfer", &cut_off]).check_code(0);
    cluster.rmsc(&["cloud", "renew"]).check_code(0);
    let (begun, before) = (Instant::now(), token(&cluster));
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    wait::until_true("there is a new token", RENEWED, || token(&cluster) != before);
    wait::until_true("the old token is over", RENEWED, || begun.elapsed() >= Duration::from_secs(33));
    load.stop().check_nothing_failed();
    assert_eq!(cluster.leader(), cut_off);
    let event = await_event(&cluster.node(&cut_off), 4082, |_| true);
    assert!(field(&event, "reason").contains("proxy"), "{event}");
}

#[test]
fn who_was_held_up_between_asking_and_writing_takes_no_newer_token_away() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let (leader, before) = (cluster.leader(), token(&cluster));
    sign_in.order("hold");
    std::thread::scope(|scope| {
        scope.spawn(|| cluster.rmsc(&["cloud", "renew"]));
        wait::until_true("the leader asks", wait::PATIENCE, || sign_in.counted()["held"] == 1);
        cluster.signal(&leader, Signal::STOP);
    });
    wait::until_true("another node asks in its place", Duration::from_secs(60), || token(&cluster) != before);
    let newer = token(&cluster);
    sign_in.order("go");
    cluster.signal(&leader, Signal::CONT);
    cluster.await_rotation();
    wait::stays("the newer token", Duration::from_secs(3), || token(&cluster) == newer);
    cluster.rmsc(&["cloud", "renew"]).check_code(0);
    assert_ne!(token(&cluster), newer);
}

/// What came for it could not be asked for a second time with a person's login.
#[test]
fn a_node_that_is_stopped_keeps_what_it_has_asked_for() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let (node, before) = (cluster.any_node(), token(&cluster));
    let pid = node.running_pid();
    sign_in.order("hold");
    std::thread::scope(|scope| {
        scope.spawn(|| cluster.rmsc(&["cloud", "renew"]));
        wait::until_true("it asks", wait::PATIENCE, || sign_in.counted()["held"] == 1);
        cluster.signal(&node.name, Signal::TERM);
        wait::until_true("it ends", wait::PATIENCE, || {
            lines(&node).iter().any(|line| line["message"] == "draining")
        });
        wait::stays("it waits for the answer", Duration::from_secs(3), || processes::is_alive(pid));
        sign_in.order("go");
    });
    processes::check_gone(&[pid], wait::PATIENCE);
    cluster.restart(&node.name);
    cluster.await_rotation();
    assert_ne!(token(&cluster), before);
    assert_eq!(sign_in.granted(), 2);
}

#[test]
fn a_login_takes_the_place_of_another_at_once_or_not_at_all() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    let right = private(folder.path(), "right", "simulated-secret");
    login(&cluster, &right, &[]).check_code(0);
    let (granted, before) = (sign_in.granted(), token(&cluster));
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 4);
    load.await_more(50);
    login(&cluster, &right, &[]).check_code(0);
    let after = token(&cluster);
    assert_ne!(after, before);
    load.await_more(50);
    assert_eq!(sign_in.granted(), granted + 1, "one for the login, and none in its place");
    // What cannot be kept leaves what there is.
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key, bundle) = (path("app.pem"), path("app.key"), path("bundle.pem"));
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=connector", "-days", "99"];
    run(Command::new("openssl").args(make).args(["-keyout", &key, "-out", &certificate])).check_code(0);
    let one = fs::read_to_string(&certificate).expect("openssl wrote it");
    fs::write(&bundle, one.repeat(40)).expect("the temporary folder can be written");
    let padded = fs::read_to_string(&key).expect("openssl wrote it") + &"#\n".repeat(4_000);
    let padded = private(folder.path(), "padded.key", &padded);
    let refused = cluster.rmsc(&[
        "cloud",
        "login",
        "--certificate",
        &certificate,
        "--key",
        &padded.display().to_string(),
    ]);
    assert!(refused.code != Some(0) && refused.stderr.contains("at most"), "{}", refused.stderr);
    assert_eq!(token(&cluster), after);
    // Of a bundle the certificate itself is enough.
    let key = private(folder.path(), "app.key", &fs::read_to_string(&key).expect("openssl wrote it"));
    cluster
        .rmsc(&["cloud", "login", "--certificate", &bundle, "--key", &key.display().to_string()])
        .check_code(0);
    load.await_more(50);
    load.stop().check_nothing_failed();
    assert_ne!(token(&cluster), after);
}

#[test]
fn a_node_with_other_settings_sends_no_token_and_says_so() {
    let (cluster, folder) = (TestCluster::start(3), NewDir::made());
    let sign_in = SignIn::start(&cluster, "1h");
    sign_in.serve(&cluster);
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    let leader = cluster.leader();
    cluster.reconfigure(&leader, "client_id = \"connector\"", "client_id = \"another\"");
    // Without a token it gets no requests: the others have one.
    cluster.await_rotation_of(&cluster.others(&[]), &cluster.others(&[&leader]));
    cluster.rmsc(&["cluster", "transfer", &leader]).check_code(0);
    let event = await_event(&cluster.node(&leader), 4086, |_| true);
    assert!(field(&event, "difference").contains("client_id is another"), "{event}");
    let warned = format!("{leader} sends no token to the cloud: client_id is another");
    let status = cluster.rmsc(&["status"]);
    assert!(status.stdout.contains(&warned), "{}", status.stdout);
    // What that node cannot do the others do, at no cost.
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    load.await_more(100);
    let refused = sign_in.counted()["refused"].clone();
    cluster.rmsc(&["cloud", "renew"]).check_code(0);
    load.await_more(100);
    load.stop().check_nothing_failed();
    let counted = sign_in.counted();
    assert_eq!(counted["refused"], refused, "{counted}");
    for node in cluster.nodes() {
        for bytes in [0, 2 * MEBIBYTE] {
            let body = padded(&ACQUIRE_LICENSE, bytes);
            let request = Request::soap_with_body(&ACQUIRE_LICENSE, body);
            cluster.call(&node, &cluster.exchange(), &request).check(200, &[]);
        }
    }
}

#[test]
fn says_early_that_nobody_renews() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let sign_in = SignIn::start(&cluster, "20s");
    sign_in.serve(&cluster);
    let begun = Instant::now();
    login(&cluster, &private(folder.path(), "right", "simulated-secret"), &[]).check_code(0);
    sign_in.order("down");
    let warned = |shown: &Value| shown.to_string().contains("should have been renewed long ago");
    wait::until_true("it is said", Duration::from_secs(20), || {
        cluster.rmsc(&["cloud", "show"]).stdout.contains("should have been renewed long ago")
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "before anything failed");
    let status = cluster.rmsc(&["status", "-o", "json"]);
    let warnings = status.check_code(3).field("warnings");
    assert!(warned(&warnings) && warnings.to_string().contains("temporarily_unavailable"), "{warnings}");
}
