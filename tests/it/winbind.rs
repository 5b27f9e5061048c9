//! NTLM that a domain controller verifies through winbind: who is let in, as whom, and what happens without it.

use crate::support::cluster::TestCluster;
use crate::support::domain::{Domain, PASSWORD};
use crate::support::http::{Answer, Request, Session};
use crate::support::lab::{Account, Node};
use crate::support::log::{await_event, events, field, lines};
use crate::support::processes::{check_gone, children, signal, try_signal};
use crate::support::program::{Curled, curl, curl_with, python};
use crate::support::shared::Shared;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use rustix::process::Signal;
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the product promises for a logon that nobody can verify.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// Nodes that have a domain verify NTLM, and take it of Exchange servers only with channel binding.
struct Site {
    // Ends first.
    cluster: TestCluster,
    domain: Arc<Domain>,
}

static SHARED: Shared<Site> = Shared::new();

impl Site {
    /// Two nodes that tests leave alone: a request to one is relayed by the other now and then.
    #[track_caller]
    fn shared() -> Arc<Self> {
        SHARED.get_or_make(|| {
            let domain = Domain::shared();
            Site { cluster: site(&domain, 2, 4), domain }
        })
    }

    fn node(&self) -> Node {
        self.cluster.any_node()
    }
}

/// A cluster with that domain, and with entries for some of its accounts.
#[track_caller]
fn site(domain: &Domain, nodes: usize, helpers_max: usize) -> TestCluster {
    let cluster = TestCluster::start(nodes);
    let (keytab, helper) = (domain.keytab(), domain.ntlm_auth());
    let settings = format!(
        "[identity.winbind]\nntlm_auth = {helper:?}\nhelpers_max = {helpers_max}\n\n\
         [identity.kerberos]\nkeytab = {keytab:?}\n\n{}[upstream]",
        domain.section(&[&domain.controller()[0]], "1s"),
    );
    for name in cluster.others(&[]) {
        cluster.kill(&name);
        cluster.edit(&name, "exchange = \"on\"", "exchange = \"channel-binding\"");
        cluster.edit(&name, "level = \"info\"", "level = \"rmsc=debug,info\"");
        cluster.edit(&name, "[upstream]", &settings);
        cluster.restart(&name);
    }
    cluster.await_rotation();
    for (role, kind, name) in [
        ("exchange", "--group", "RMS Everything"),
        ("sharepoint", "--group", "Finance"),
        ("sharepoint", "--account", "zoë"),
        ("sharepoint", "--account", "dora"),
        ("fileserver", "--computer", "FS01$"),
    ] {
        let name = format!("CONTOSO\\{name}");
        cluster.rmsc(&["authz", "add", "--yes", "--role", role, kind, &name]).check_code(0);
    }
    cluster
}

fn account(name: &str, password: &str) -> Account {
    Account { name: name.into(), password: password.into() }
}

/// A request of our own client, on a connection of its own.
#[track_caller]
fn call(cluster: &TestCluster, node: &Node, name: &str, password: &str) -> Answer {
    cluster.call(node, &account(name, password), &Request::soap(&ACQUIRE_LICENSE))
}

/// A request of curl, which binds nothing.
#[track_caller]
fn post(node: &Node, base: &str, ca: &str, name: &str, password: &str) -> Curled {
    let (user, url) = (format!("{name}:{password}"), format!("{base}{}", ACQUIRE_LICENSE.path));
    let body = format!("@{}", ACQUIRE_LICENSE.file().display());
    let content_type = format!("Content-Type: {}", ACQUIRE_LICENSE.content_type);
    let action = format!("SOAPAction: {}", ACQUIRE_LICENSE.action());
    let curled = curl(&[
        "--ntlm",
        "--user",
        &user,
        "--cacert",
        ca,
        "--header",
        &content_type,
        "--header",
        &action,
        "--data-binary",
        &body,
        &url,
    ]);
    assert_ne!(curled.status, 0, "{}", node.name);
    curled
}

/// The helpers of a node, whatever they are doing.
fn helpers(node: &Node) -> Vec<u32> {
    children(node.running_pid())
}

/// The reasons for which nobody was let in, so far. The event comes once a minute, the lines always.
fn reasons(node: &Node) -> Vec<String> {
    let text = |line: &serde_json::Value| line["reason"].as_str().map(str::to_owned);
    lines(node).iter().filter_map(text).collect()
}

#[track_caller]
fn check_reason(node: &Node, words: &str) {
    wait::until_true(&format!("the log says {words:?}"), wait::PATIENCE, || {
        reasons(node).iter().any(|reason| reason.contains(words))
    });
}

#[test]
fn the_domain_verifies_who_it_is_and_the_sid_is_the_directorys() {
    let site = Site::shared();
    let node = site.node();
    for (name, sid) in [
        (r"CONTOSO\alice", "alice"),
        (r"contoso\ALICE", "alice"),
        (r"contoso.test\alice", "alice"),
        (r"CONTOSO\FS01$", "FS01$"),
    ] {
        let before = site.cluster.counts().by_caller.get(&site.domain.sid(sid)).copied().unwrap_or(0);
        let curled = post(&node, &node.http, "/dev/null", name, PASSWORD);
        assert_eq!(curled.status, 200, "{name}: {curled:?}");
        let after = site.cluster.counts().by_caller.get(&site.domain.sid(sid)).copied().unwrap_or(0);
        assert!(after > before, "{name} was not {}", site.domain.sid(sid));
    }
    // Samba and the directory could read such a name in two ways; curl knows no letters beyond ASCII.
    assert_eq!(call(&site.cluster, &node, r"CONTOSO\zoë", PASSWORD).status, 401);
}

#[test]
fn whom_the_domain_does_not_know_for_certain_is_refused() {
    let site = Site::shared();
    let node = site.node();
    for (name, password, words) in [
        (r"CONTOSO\alice", "wrong", "wrong password, or no such account"),
        (r"CONTOSO\nobody", PASSWORD, "wrong password, or no such account"),
        (r"CONTOSO\dora", PASSWORD, "the account is disabled"),
        // Right passwords, all of them; a controller would take some of these names for alice's or EXCH01$'s.
        (r"OTHER\alice", PASSWORD, "not the one that this node verifies"),
        (r"DC1\alice", PASSWORD, "not the one that this node verifies"),
        (r"BUILTIN\alice", PASSWORD, "not the one that this node verifies"),
        (r"CONTOSO\alice@contoso.test", PASSWORD, "no account has such a name"),
        (r"CONTOSO\EXCH01", PASSWORD, "wrong password, or no such account"),
        // Without a domain it is the accounts file that is asked, and that does not have her.
        (r"\alice", PASSWORD, "in the directory"),
        (r"\alice@contoso.test", PASSWORD, "in the directory"),
    ] {
        let answer = call(&site.cluster, &node, name, password);
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        check_reason(&node, words);
    }
}

#[test]
fn names_that_could_be_lines_or_filters_reach_nobody() {
    let site = Site::shared();
    let node = site.node();
    for name in [
        "CONTOSO\\alice\nUsername: EXCH01$",
        "CONTOSO\nNT-Domain: OTHER\\alice",
        "CONTOSO\\alice\n.\n",
        "CONTOSO\\alice\0",
        "CONTOSO\\alice\r",
        "CONTOSO\\ali*",
        "CONTOSO\\alice)(objectClass=*",
        "CONTOSO\\",
    ] {
        let answer = call(&site.cluster, &node, name, PASSWORD);
        assert_eq!(answer.status, 401, "{name:?}: {answer:?}");
    }
    assert_eq!(call(&site.cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
}

/// Samba's helper ends a refusal with one line more than an acceptance. Who counts lines gives the next one the
/// answer of the one before.
#[test]
fn an_answer_is_never_that_to_another_question() {
    let domain = Domain::shared();
    let cluster = site(&domain, 1, 1);
    let node = cluster.any_node();
    for _ in 0..4 {
        for (password, status) in
            [("wrong", 401), (PASSWORD, 200), ("wrong", 401), ("wrong", 401), (PASSWORD, 200)]
        {
            let name = if password == PASSWORD { r"CONTOSO\alice" } else { r"CONTOSO\FS01$" };
            let answer = call(&cluster, &node, name, password);
            assert_eq!(answer.status, status, "{name}: {answer:?}");
        }
    }
    assert_eq!(helpers(&node).len(), 1);
}

#[test]
fn local_accounts_are_verified_by_their_file_and_those_of_the_domain_never() {
    let site = Site::shared();
    let (node, local) = (site.node(), site.cluster.account("svc-sharepoint"));
    assert_eq!(call(&site.cluster, &node, &local.name, &local.password).status, 200);
    let name = local.name.replace("LAB\\", "CONTOSO\\");
    assert_eq!(call(&site.cluster, &node, &name, &local.password).status, 401);
    assert_eq!(call(&site.cluster, &node, r"LAB\alice", PASSWORD).status, 401);
}

#[track_caller]
fn forged(kind: &str) -> u16 {
    #[derive(Deserialize)]
    struct Got {
        status: u16,
    }
    let site = Site::shared();
    let arguments = [&site.node().http, r"CONTOSO\alice", PASSWORD, r"CONTOSO\bob", PASSWORD, kind];
    python::<Got>("forged.py", &arguments).status
}

#[test]
fn a_forged_message_is_refused_by_the_controller() {
    assert_eq!(forged("honest"), 200);
    for kind in ["random_proof", "random_session_key", "another_name", "another_challenge", "trailing_bytes"]
    {
        assert_eq!(forged(kind), 401, "{kind}");
    }
}

#[derive(Debug, Deserialize)]
struct Answered {
    status: u16,
    text: String,
}

/// The client's two requests go to both nodes, whichever it came to.
#[test]
fn an_exchange_server_is_let_in_by_ntlm_with_channel_binding_alone() {
    let site = Site::shared();
    let (node, ca) = (site.node(), site.cluster.lab().ca.display().to_string());
    let base = node.https_localhost();
    let url = format!("{base}{}", ACQUIRE_LICENSE.path);
    let (file, action) = (ACQUIRE_LICENSE.file().display().to_string(), ACQUIRE_LICENSE.action());
    let before = site.cluster.counts().by_node;
    for _ in 0..2 {
        let arguments = [&url, r"CONTOSO\EXCH01$", PASSWORD, &file, &action, &ca].map(|it| it as &str);
        for answered in python::<Vec<Answered>>("requests_call.py", &arguments) {
            assert_eq!(answered.status, 200, "{answered:?}");
            assert!(answered.text.contains(&ACQUIRE_LICENSE.response_element()), "{answered:?}");
        }
    }
    let after = site.cluster.counts().by_node;
    for name in site.cluster.others(&[]) {
        assert!(after.get(&name) > before.get(&name), "{name} has relayed none: {after:?}");
    }
    // The same with TLS and no binding, and without TLS: by either node.
    for base in [&base, &base, &node.http, &node.http] {
        let curled = post(&node, base, &ca, r"CONTOSO\EXCH01$", PASSWORD);
        assert_eq!(curled.status, 500, "{curled:?}");
        assert!(curled.body.contains("the account is not authorized"), "{curled:?}");
        assert_eq!(post(&node, base, &ca, r"CONTOSO\alice", PASSWORD).status, 200);
    }
    let event = await_event(&node, 2004, |event| event["account"] == r"CONTOSO\EXCH01$");
    assert!(field(&event, "reason").contains("only if it is bound to the TLS connection"), "{event}");
    assert!(field(&event, "remedy").contains("[identity.ntlm]"), "{event}");
    assert_eq!(event["sid"], site.domain.sid("EXCH01$"));
    // Nothing of this is about Kerberos.
    assert_eq!(negotiate(&site.cluster, &site.domain, "EXCH01$").status, 200);
    // And nobody was told that all is well with a relaxed setting.
    let status = site.cluster.rmsc(&["status", "-o", "json"]).field("warnings").to_string();
    assert!(!status.contains("NTLM"), "{status}");
    let metrics = site.cluster.monitor(&node, "/metrics").text();
    assert!(metrics.contains("rmsc_relay_exchange_ntlm_unbound 0"), "{metrics}");
}

#[track_caller]
fn negotiate(cluster: &TestCluster, domain: &Domain, name: &str) -> Curled {
    let tickets = domain.login(name);
    with_tickets(cluster, &mut tickets.command("curl"))
}

#[track_caller]
fn with_tickets(cluster: &TestCluster, command: &mut std::process::Command) -> Curled {
    let node = cluster.any_node();
    let url = format!("{}{}", node.http.replace("127.0.0.1", "localhost"), ACQUIRE_LICENSE.path);
    let content_type = format!("Content-Type: {}", ACQUIRE_LICENSE.content_type);
    let action = format!("SOAPAction: {}", ACQUIRE_LICENSE.action());
    let body = format!("@{}", ACQUIRE_LICENSE.file().display());
    let call = ["--negotiate", "--user", ":"];
    let what = ["--header", &content_type, "--header", &action, "--data-binary", &body, &url];
    curl_with(command, &[&call[..], &what].concat())
}

#[test]
fn a_helper_that_was_killed_is_replaced_and_nobody_notices() {
    let domain = Domain::shared();
    let cluster = site(&domain, 1, 2);
    let node = cluster.any_node();
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    for _ in 0..3 {
        let pids = helpers(&node);
        assert!(!pids.is_empty());
        pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
        assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    }
}

#[test]
fn a_helper_that_hangs_is_answered_for_in_time_and_replaced() {
    let domain = Domain::shared();
    let cluster = site(&domain, 1, 1);
    let node = cluster.any_node();
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    let hung = helpers(&node);
    assert_eq!(hung.len(), 1);
    signal(hung[0], Signal::STOP);
    let begun = Instant::now();
    let answer = call(&cluster, &node, r"CONTOSO\alice", PASSWORD);
    assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
    // Not 401: mail would bounce, though the password is right.
    answer.check(429, &["Try again"]);
    let event = await_event(&node, 4057, |_| true);
    assert!(field(&event, "reason").contains("not answered in time"), "{event}");
    let warned = || {
        let status: serde_json::Value = cluster.rmsc(&["status", "-o", "json"]).json();
        status["warnings"].to_string().contains("node-1 asked winbind about a logon and got no answer")
    };
    assert!(warned());
    check_gone(&hung, wait::PATIENCE);
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    await_event(&node, 1014, |_| true);
    assert!(!helpers(&node).contains(&hung[0]));
    assert!(!warned());
}

#[test]
fn there_are_never_more_helpers_than_the_setting_allows() {
    let domain = Domain::shared();
    let cluster = site(&domain, 1, 2);
    let node = cluster.any_node();
    let (done, most) = (AtomicBool::new(false), Mutex::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let pids = helpers(&node);
                let mut most = most.lock().unwrap_or_else(PoisonError::into_inner);
                *most = pids.len().max(*most);
            }
        });
        // Four for each helper: who waits for three others before it is answered well within its time.
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let (cluster, node) = (&cluster, &node);
                scope.spawn(move || {
                    let log_on = |time| {
                        // Those that fail are replaced under load as well.
                        if let (true, Some(pid)) = (client == 2 * time, helpers(node).first()) {
                            let _ = try_signal(*pid, Signal::KILL);
                        }
                        call(cluster, node, r"CONTOSO\alice", PASSWORD).status
                    };
                    (0..4).map(log_on).collect::<Vec<u16>>()
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        done.store(true, Ordering::Relaxed);
        let statuses: Vec<u16> =
            ended.into_iter().flat_map(|client| client.expect("it does not panic")).collect();
        let metrics = cluster.monitor(&node, "/metrics").text();
        let counted: Vec<&str> = metrics.lines().filter(|line| line.starts_with("rmsc_winbind")).collect();
        let why = format!("{statuses:?}, {counted:#?}, {:#?}", events(&node, 4057));
        // One whose helper was killed with its question is told to try again.
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        assert!(statuses.iter().filter(|status| **status == 200).count() >= 24, "{why}");
    });
    let most = *most.lock().unwrap_or_else(PoisonError::into_inner);
    assert!((1..=2).contains(&most), "{most} helpers at a time");
}

#[test]
fn without_a_controller_ntlm_is_refused_at_once_and_kerberos_goes_on() {
    let mut domain = Domain::alone();
    let cluster = site(&domain, 1, 2);
    let node = cluster.any_node();
    let metrics = || cluster.monitor(&node, "/metrics").text();
    let fs01 = domain.login("FS01$").cache().to_owned();
    assert_eq!(with_tickets(&cluster, &mut domain.tickets(&fs01).command("curl")).status, 200);
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    assert!(metrics().contains("rmsc_winbind_up 1"), "{}", metrics());
    domain.order("stop");
    for password in [PASSWORD, "wrong", PASSWORD, PASSWORD] {
        let begun = Instant::now();
        let answer = call(&cluster, &node, r"CONTOSO\alice", password);
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(with_tickets(&cluster, &mut domain.tickets(&fs01).command("curl")).status, 200);
    }
    // The directory is asked before winbind, and it is the same host.
    await_event(&node, 4052, |_| true);
    assert!(metrics().contains("rmsc_directory_up 0"), "{}", metrics());
    // Whoever is on a connection with a proof, and those of the file, need no controller.
    let local = cluster.account("svc-sharepoint");
    assert_eq!(call(&cluster, &node, &local.name, &local.password).status, 200);
    domain.order("start");
    wait::until_true("the controller verifies again", wait::PATIENCE, || {
        call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status == 200
    });
    await_event(&node, 1013, |_| true);
}

/// The helper is held until the node has seen that nobody waits for its answer any more.
#[test]
fn a_client_that_hangs_up_costs_no_helper() {
    let domain = Domain::shared();
    let cluster = site(&domain, 1, 1);
    let node = cluster.any_node();
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    let before = helpers(&node);
    assert_eq!(before.len(), 1);
    signal(before[0], Signal::STOP);
    let mut session = Session::open(node.front(), &account(r"CONTOSO\alice", PASSWORD)).expect("it listens");
    session.begin(&Request::get(ACQUIRE_LICENSE.path), "X-Last: 1").expect("it answers");
    let none = || cluster.monitor(&node, "/metrics").text().contains("rmsc_front_connections 0");
    assert!(!none());
    drop(session);
    wait::until_true("the connection is gone", wait::PATIENCE, none);
    signal(before[0], Signal::CONT);
    assert_eq!(call(&cluster, &node, r"CONTOSO\alice", PASSWORD).status, 200);
    assert_eq!(helpers(&node), before);
}
