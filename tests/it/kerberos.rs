//! Kerberos with tickets of a real domain: what clients that are not ours send, and what must be refused.

use crate::support::cluster::TestCluster;
use crate::support::domain::{Domain, Tickets};
use crate::support::http::{Request, Session};
use crate::support::lab::Node;
use crate::support::log::{await_event, field};
use crate::support::program::{Curled, curl_with, interpreter, number_of, python_with, run};
use crate::support::shared::Shared;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, Message};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Two nodes that take tickets of a domain. The second lets nobody in without channel binding, and does not
/// know that it is called rms.contoso.test.
struct Site {
    // Ends first.
    cluster: TestCluster,
    domain: Arc<Domain>,
}

static SHARED: Shared<Site> = Shared::new();

impl Site {
    #[track_caller]
    fn shared() -> Arc<Self> {
        SHARED.get_or_make(Self::start)
    }

    #[track_caller]
    fn start() -> Self {
        let (cluster, domain) = (TestCluster::start(2), Domain::shared());
        take_kerberos(&cluster, "node-1", "allow", &domain.keytab());
        take_kerberos(&cluster, "node-2", "require", &domain.keytab());
        cluster.await_rotation();
        for (role, name) in
            [("exchange", "RMS Everything"), ("sharepoint", "Finance"), ("fileserver", "team999")]
        {
            let (group, sid) = (format!("CONTOSO\\{name}"), domain.sid(name));
            let arguments = ["authz", "add", "--yes", "--role", role, "--group", &group, "--sid", &sid];
            cluster.rmsc(&arguments).check_code(0);
        }
        Site { cluster, domain }
    }

    /// The node that wants no binding.
    fn node(&self) -> Node {
        self.cluster.node("node-1")
    }

    #[track_caller]
    fn post(&self, tickets: &Tickets<'_>, base: &str, message: &Message) -> Curled {
        let ca = self.cluster.lab().ca.display().to_string();
        let port = base.rsplit_once(':').expect("a port").1;
        let resolve = format!("rms.contoso.test:{port}:127.0.0.1");
        let url = format!("{base}{}", message.path);
        let content_type = format!("Content-Type: {}", message.content_type);
        let action = format!("SOAPAction: {}", message.action());
        let body = format!("@{}", message.file().display());
        let call = ["--negotiate", "--user", ":", "--cacert", &ca, "--resolve", &resolve];
        let what = ["--header", &content_type, "--header", &action, "--data-binary", &body, &url];
        curl_with(&mut tickets.command("curl"), &[&call[..], &what].concat())
    }

    /// A call for a page with a ticket for `spn`.
    #[track_caller]
    fn call(&self, tickets: &Tickets<'_>, node: &Node, spn: &str, [protocol, binding]: [&str; 2]) -> Called {
        let how = [protocol, binding, "127.0.0.1"];
        call(&self.cluster, tickets, &node.https_localhost(), spn, how)
    }
}

/// Has a node take tickets.
#[track_caller]
pub fn take_kerberos(cluster: &TestCluster, name: &str, channel_binding: &str, keytab: &Path) {
    let settings = format!(
        "channel_binding = \"{channel_binding}\"\n[identity.kerberos]\nkeytab = {:?}\n\n[upstream]",
        keytab.display().to_string()
    );
    if channel_binding == "allow" {
        cluster.edit(name, "target_names = [", "target_names = [\"rms.contoso.test\", ");
    }
    cluster.reconfigure(name, "[upstream]", &settings);
}

/// What one token led to.
#[derive(Debug, Deserialize, PartialEq)]
struct Called {
    status: u16,
    /// The server has proven itself to the client as well.
    complete: bool,
}

#[track_caller]
fn call(
    cluster: &TestCluster,
    tickets: &Tickets<'_>,
    url: &str,
    spn: &str,
    [protocol, binding, source]: [&str; 3],
) -> Called {
    let ca = cluster.lab().ca.display().to_string();
    let arguments = [url, &ca, spn, protocol, binding, source];
    python_with(&mut tickets.command(interpreter()), "kerberos_call.py", &arguments)
}

#[track_caller]
fn check_let_in(called: &Called) {
    assert_eq!(*called, Called { status: 200, complete: true });
}

#[track_caller]
fn check_refused(called: &Called) {
    assert_eq!((called.status, called.complete), (401, false), "{called:?}");
}

#[track_caller]
fn check_served(curled: &Curled, message: &Message) {
    assert_eq!(curled.status, 200, "{curled:?}");
    assert!(curled.body.contains(&message.response_element()), "{curled:?}");
}

/// Tickets name the service's name, and any of the connector's names that the keytab has.
#[test]
fn curl_is_served_for_a_nested_group_over_http_and_https() {
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    let http = site.node().http.replace("127.0.0.1", "rms.contoso.test");
    // Twice on every way, so that either node has relayed.
    for base in [&http, &http, &site.node().https_localhost(), &site.node().https_localhost()] {
        check_served(&site.post(&tickets, base, &ACQUIRE_LICENSE), &ACQUIRE_LICENSE);
    }
    check_served(&site.post(&tickets, &http, &ACQUIRE_PRE_LICENSE), &ACQUIRE_PRE_LICENSE);
    assert!(tickets.listed().stdout.contains("HTTP/rms.contoso.test@CONTOSO.TEST"));
}

#[test]
fn an_account_gets_what_its_groups_may() {
    let site = Site::shared();
    let http = site.node().http.replace("127.0.0.1", "rms.contoso.test");
    // A member of Finance Managers, which is in Finance: a SharePoint server's role.
    let alice = site.domain.login("alice");
    check_served(&site.post(&alice, &http, &ACQUIRE_LICENSE), &ACQUIRE_LICENSE);
    let refused = site.post(&alice, &http, &ACQUIRE_PRE_LICENSE);
    assert!(refused.body.contains("System.UnauthorizedAccessException"), "{refused:?}");
    // In no group that is listed.
    let refused = site.post(&site.domain.login("bob"), &http, &ACQUIRE_LICENSE);
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.body.contains("System.UnauthorizedAccessException"), "{refused:?}");
    let sid = site.domain.sid("bob");
    let event = await_event(&site.node(), 2001, |event| event["sid"] == sid);
    assert_eq!(field(&event, "account"), r"CONTOSO\bob");
}

#[test]
fn a_member_of_a_thousand_groups_is_served() {
    let site = Site::shared();
    let http = site.node().http.replace("127.0.0.1", "rms.contoso.test");
    let crowd = site.domain.login("crowd");
    // Twice, so that the groups have crossed the hop.
    for _ in 0..2 {
        check_served(&site.post(&crowd, &http, &ACQUIRE_LICENSE), &ACQUIRE_LICENSE);
    }
}

/// The largest token that Windows makes is read, and refused for what is in it.
#[test]
fn a_header_of_64_kib_is_read() {
    let site = Site::shared();
    let url = format!("{}{}", site.node().http, ACQUIRE_LICENSE.path);
    let header = format!("Authorization: Negotiate {}", "AAAA".repeat(16_000));
    let tickets = site.domain.login("bob");
    let curled = curl_with(&mut tickets.command("curl"), &["--header", &header, &url]);
    assert_eq!(curled.status, 401, "{curled:?}");
}

#[test]
fn both_clients_of_requests_are_served_and_know_the_server() {
    #[derive(Debug, Deserialize)]
    struct Answered {
        status: u16,
        text: String,
    }
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    let ca = site.cluster.lab().ca.display().to_string();
    let (file, action) = (ACQUIRE_LICENSE.file().display().to_string(), ACQUIRE_LICENSE.action());
    let (bound, unbound) = (site.cluster.node("node-2"), site.node());
    let localhost = unbound.http.replace("127.0.0.1", "localhost");
    for (base, ca) in
        [(&localhost, "-"), (&unbound.https_localhost(), &*ca), (&bound.https_localhost(), &*ca)]
    {
        for client in ["requests-kerberos", "requests-gssapi"] {
            let url = format!("{base}{}", ACQUIRE_LICENSE.path);
            let post = |host: &str| {
                let arguments = [&*url, &file, &action, ca, client, host];
                let mut python = tickets.command(interpreter());
                python_with::<Vec<Answered>>(&mut python, "kerberos_requests.py", &arguments)
            };
            for answered in post("localhost") {
                assert_eq!(answered.status, 200, "{client} {base} {answered:?}");
                assert!(answered.text.contains(&ACQUIRE_LICENSE.response_element()), "{answered:?}");
            }
            for answered in post("other.contoso.test") {
                assert_eq!(answered.status, 401, "{client} {base} {answered:?}");
            }
        }
    }
}

#[test]
fn curl_without_a_ticket_or_with_one_for_another_service_is_refused() {
    let site = Site::shared();
    let mut tickets = site.domain.login("EXCH01$");
    let port = site.node().front().port();
    let call = |tickets: &Tickets<'_>, host: &str| {
        let resolve = format!("{host}:{port}:127.0.0.1");
        let url = format!("http://{host}:{port}{}", ACQUIRE_LICENSE.path);
        let arguments = ["--negotiate", "--user", ":", "--resolve", &resolve, &url];
        curl_with(&mut tickets.command("curl"), &arguments).status
    };
    assert_eq!((call(&tickets, "rms.contoso.test"), call(&tickets, "other.contoso.test")), (200, 401));
    tickets = site.domain.tickets(Path::new("/nowhere"));
    assert_eq!(call(&tickets, "rms.contoso.test"), 401);
}

#[test]
fn a_ticket_is_taken_raw_and_inside_spnego_with_and_without_binding() {
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    for protocol in ["kerberos", "negotiate"] {
        for binding in ["none", "right"] {
            check_let_in(&site.call(&tickets, &site.node(), "HTTP/rms.contoso.test", [protocol, binding]));
        }
        check_let_in(&site.call(
            &tickets,
            &site.cluster.node("node-2"),
            "HTTP/localhost",
            [protocol, "right"],
        ));
    }
}

#[test]
fn a_wrong_channel_binding_is_refused_and_a_missing_one_where_it_is_required() {
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    for protocol in ["kerberos", "negotiate"] {
        for (node, binding) in [("node-1", "wrong"), ("node-2", "wrong"), ("node-2", "none")] {
            let node = site.cluster.node(node);
            check_refused(&site.call(&tickets, &node, "HTTP/localhost", [protocol, binding]));
        }
    }
}

/// A key in the keytab alone does not make a name the connector's.
#[test]
fn a_ticket_for_a_name_that_is_none_of_the_nodes_is_refused() {
    let site = Site::shared();
    let (tickets, node) = (site.domain.login("EXCH01$"), site.cluster.node("node-2"));
    let call = |spn, source| {
        call(&site.cluster, &tickets, &node.https_localhost(), spn, ["negotiate", "right", source])
    };
    check_let_in(&call("HTTP/localhost", "127.0.1.5"));
    check_refused(&call("HTTP/rms.contoso.test", "127.0.1.5"));
    let reason = reason(&node, "127.0.1.5");
    assert!(reason.contains("the client means the service \"HTTP/rms.contoso.test@"), "{reason}");
}

/// A ticket is for one request: the connection may be one that somebody shares between clients.
#[test]
fn nobody_is_remembered_on_a_connection_after_a_ticket() {
    let site = Site::shared();
    let (tickets, account) = (site.domain.login("EXCH01$"), site.cluster.exchange());
    let (url, ca) = (site.node().https_localhost(), site.cluster.lab().ca.display().to_string());
    let ntlm = format!("ntlm:{}:{}", account.name, account.password);
    let check = |steps: &[(&str, u16)]| {
        let mut arguments = vec![&*url, &*ca, "HTTP/rms.contoso.test"];
        arguments.extend(steps.iter().map(|(step, _)| *step));
        let mut python = tickets.command(interpreter());
        let came: Vec<u16> = python_with(&mut python, "kerberos_connection.py", &arguments);
        let wanted: Vec<u16> = steps.iter().map(|(_, status)| *status).collect();
        assert_eq!(came, wanted, "{steps:?}");
    };
    check(&[("bound", 200), ("silent", 401), ("bound", 200)]);
    check(&[("unbound", 200), ("silent", 401)]);
    check(&[(&ntlm, 200), ("silent", 401), ("bound", 200), ("silent", 401)]);
}

/// The event's reason, for a caller from an address of its own: a source is reported once a minute.
#[track_caller]
fn reason(node: &Node, source: &str) -> String {
    let event = await_event(node, 2000, |event| event["computer"] == source);
    field(&event, "reason").to_owned()
}

#[test]
fn a_ticket_for_another_service_is_refused_and_says_which() {
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    let url = site.node().https_localhost();
    for (spn, source) in [
        ("HTTP/rms-old.contoso.test", "127.0.1.1"),
        ("HTTP/other.contoso.test", "127.0.1.2"),
        // The same account and so the same key, but not a service that answers HTTP.
        ("cifs/rms.contoso.test", "127.0.1.3"),
        // Its account has RC4 keys alone.
        ("HTTP/weak.contoso.test", "127.0.1.4"),
    ] {
        check_refused(&call(&site.cluster, &tickets, &url, spn, ["negotiate", "none", source]));
        let reason = reason(&site.node(), source);
        assert!(reason.contains(&format!("the ticket is for {spn}@CONTOSO.TEST")), "{reason}");
    }
}

#[test]
fn a_token_that_was_sent_before_or_was_changed_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Sent {
        honest: u16,
        again: u16,
        tail: u16,
        cut: u16,
        other: u16,
        damaged: BTreeMap<u16, u32>,
    }
    let site = Site::shared();
    let tickets = site.domain.login("EXCH01$");
    let mut python = tickets.command(interpreter());
    let arguments = [&*site.node().http, "rms.contoso.test", "200"];
    let sent: Sent = python_with(&mut python, "kerberos_twisted.py", &arguments);
    assert_eq!((sent.honest, sent.other), (200, 200), "{sent:?}");
    assert_eq!((sent.again, sent.tail, sent.cut), (401, 401, 401), "{sent:?}");
    assert_eq!(sent.damaged, BTreeMap::from([(401, 205)]), "{sent:?}");
    site.cluster.check_no_panic();
}

/// MIT's acceptor is older and more tried than ours: what it refuses, we must not take. A full run has ten times as
/// many: `RMSC_ORACLE_MUTANTS=10000`; another seed has others: `RMSC_ORACLE_SEED`.
#[test]
fn nothing_is_taken_that_mit_refuses() {
    #[derive(Debug, Deserialize)]
    struct Judged {
        verdicts: BTreeMap<String, u32>,
        node_only: Vec<[String; 3]>,
        kinds: BTreeMap<String, [u32; 2]>,
    }
    let site = Site::shared();
    let accounts = ["EXCH01$", "alice"].map(|account| site.domain.login(account));
    let caches = accounts.each_ref().map(|tickets| tickets.cache().display().to_string());
    let mut python = accounts[0].command(interpreter());
    // Its memory of what it took is a file for the whole machine, and not what is compared here.
    python.env("KRB5RCACHENAME", "none:");
    let keytab = site.domain.keytab().display().to_string();
    let [mutants, seed] = [("RMSC_ORACLE_MUTANTS", 1_000), ("RMSC_ORACLE_SEED", 20_261_121)]
        .map(|(name, usual)| number_of(name, usual));
    let begun = Instant::now();
    let arguments = [
        &*site.node().http,
        "HTTP/rms.contoso.test",
        &keytab,
        &mutants.to_string(),
        &seed.to_string(),
        &caches[0],
        &caches[1],
    ];
    let judged: Judged = python_with(&mut python, "kerberos_oracle.py", &arguments);
    println!("{mutants} mutants in {:.1?}: {:?}", begun.elapsed(), judged.verdicts);
    judged
        .kinds
        .iter()
        .for_each(|(kind, [taken, refused])| println!("{kind}: {taken} taken, {refused} refused"));
    assert!(judged.node_only.is_empty(), "{judged:#?}");
    // Neither can have passed by refusing everything, or by never being asked.
    let many = |verdict: &str, part: u64| {
        let count = judged.verdicts.get(verdict).copied().unwrap_or_default();
        assert!(u64::from(count) >= mutants / part, "{judged:#?}");
    };
    many("both", 5);
    many("neither", 3);
    for honest in ["untouched", "closed_again"] {
        let [taken, refused] = judged.kinds[honest];
        assert!(u64::from(taken) == mutants / 20 && refused == 0, "{judged:#?}");
    }
    for (kind, [taken, refused]) in &judged.kinds {
        assert!(taken + refused > 0, "{kind}: {judged:#?}");
    }
    site.cluster.check_no_panic();
}

/// One node whose clock is off, and what it says of a ticket of now.
#[track_caller]
fn check_reason_with_clock_off_by(seconds: i64, wanted: &[&str]) {
    let (cluster, domain) = (TestCluster::with_clock_off_by(1, seconds), Domain::shared());
    take_kerberos(&cluster, "node-1", "allow", &domain.keytab());
    cluster.await_rotation();
    let (node, tickets) = (cluster.node("node-1"), domain.login("EXCH01$"));
    let called =
        call(&cluster, &tickets, &node.http, "HTTP/rms.contoso.test", ["negotiate", "none", "127.0.0.1"]);
    check_refused(&called);
    let reason = reason(&node, "127.0.0.1");
    assert!(wanted.iter().all(|words| reason.contains(words)), "{reason}");
}

#[test]
fn a_skewed_clock_is_refused_and_says_by_how_much() {
    check_reason_with_clock_off_by(450, &["Kerberos: the client's clock is 4", " s behind ours"]);
}

#[test]
fn an_expired_ticket_is_refused_and_says_since_when() {
    check_reason_with_clock_off_by(11 * 3_600, &["Kerberos: the ticket ended 3", " s ago"]);
}

#[test]
fn a_keytab_that_others_may_read_or_that_is_none_keeps_a_node_from_starting() {
    let cluster = TestCluster::start(1);
    let node = cluster.node("node-1");
    let keytab = cluster.dir().join("broken.keytab");
    fs::write(&keytab, "no keytab").expect("the lab's folder can be written");
    cluster.kill("node-1");
    let settings = format!("[identity.kerberos]\nkeytab = {:?}\n\n[upstream]", keytab.display().to_string());
    cluster.edit("node-1", "[upstream]", &settings);
    let check = |mode, words: &[&str]| {
        fs::set_permissions(&keytab, fs::Permissions::from_mode(mode)).expect("it is ours");
        let mut command = crate::support::program::rmsc();
        let ran = run(command.arg("server").arg("--config").arg(&node.config));
        assert_ne!(ran.code, Some(0), "{ran:?}");
        ran.check_says(words);
    };
    check(0o644, &["has mode 0644"]);
    check(0o600, &["no keytab of format 0x0502"]);
    // Each of two realms could name the accounts of the other.
    let two = [&[5, 2][..], &keytab_entry("CONTOSO.TEST"), &keytab_entry("FABRIKAM.TEST")].concat();
    fs::write(&keytab, two).expect("it is ours");
    check(0o600, &["[identity.kerberos.realms]", "CONTOSO.TEST, FABRIKAM.TEST"]);
    chown(&keytab, Some(65_534), None).expect("the domain needs root as well");
    check(0o600, &["belongs to another user (65534)"]);
}

/// A key of AES for HTTP/rms in a realm, as MIT's tools write it.
fn keytab_entry(realm: &str) -> Vec<u8> {
    let text = |text: &str| [&[0, text.len() as u8][..], text.as_bytes()].concat();
    let name = [&[0, 2][..], &text(realm), &text("HTTP"), &text("rms")].concat();
    let entry = [&name[..], &[0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 18, 0, 32], &[7; 32]].concat();
    [&[0, 0, 0, entry.len() as u8][..], &entry].concat()
}

/// NTLM goes on beside Kerberos, on the same node.
#[test]
fn accounts_of_the_file_are_served_as_before() {
    let site = Site::shared();
    let account = site.cluster.exchange();
    let mut session = Session::open(site.node().front(), &account).expect("the front listens");
    let answer = session.call(&Request::soap(&ACQUIRE_LICENSE)).expect("it is answered");
    assert_eq!(answer.status, 200);
}
