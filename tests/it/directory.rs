//! The directory by LDAP, with the domain of the tests: whose groups count, and what happens without it.

use crate::support::cluster::TestCluster;
use crate::support::domain::{Domain, PASSWORD, Tickets};
use crate::support::lab::Node;
use crate::support::log::{await_event, events, field};
use crate::support::program::{Curled, curl_ntlm, curl_with};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::terminal::{Said, Terminal};
use crate::support::wait;
use std::fs;
use std::time::{Duration, Instant};

/// The groups of the domain may be this old, in the tests.
const GROUP_CACHE: &str = "1s";
/// The attribute, as rights name it ([MS-ADA3]).
const USER_ACCOUNT_CONTROL: &str = "bf967a68-0de6-11d0-a285-00aa003049e2";
/// What a machine under load needs beyond it.
const SOON: Duration = Duration::from_secs(5);

/// One node that takes tickets of a domain and asks its directory.
#[track_caller]
fn ask(domain: &Domain, controllers: &[&str]) -> TestCluster {
    ask_with(domain, &domain.section(controllers, GROUP_CACHE))
}

/// The same with this section.
#[track_caller]
fn ask_with(domain: &Domain, directory: &str) -> TestCluster {
    let cluster = TestCluster::start(1);
    let keytab = domain.keytab().display().to_string();
    let settings = format!("[identity.kerberos]\nkeytab = {keytab:?}\n\n{directory}[upstream]");
    cluster.edit("node-1", "target_names = [", "target_names = [\"rms.contoso.test\", ");
    cluster.reconfigure("node-1", "[upstream]", &settings);
    cluster.await_rotation();
    cluster
}

#[track_caller]
fn post(cluster: &TestCluster, tickets: &Tickets<'_>) -> Curled {
    let node = cluster.node("node-1");
    let port = node.http.rsplit_once(':').expect("a port").1;
    let resolve = format!("rms.contoso.test:{port}:127.0.0.1");
    let url = format!("http://rms.contoso.test:{port}{}", ACQUIRE_LICENSE.path);
    let content_type = format!("Content-Type: {}", ACQUIRE_LICENSE.content_type);
    let action = format!("SOAPAction: {}", ACQUIRE_LICENSE.action());
    let body = format!("@{}", ACQUIRE_LICENSE.file().display());
    let call = ["--negotiate", "--user", ":", "--resolve", &resolve];
    let what = ["--header", &content_type, "--header", &action, "--data-binary", &body, &url];
    curl_with(&mut tickets.command("curl"), &[&call[..], &what].concat())
}

fn is_served(cluster: &TestCluster, tickets: &Tickets<'_>) -> bool {
    let curled = post(cluster, tickets);
    match curled.status {
        200 => true,
        401 | 500 => false,
        _ => panic!("{curled:?}"),
    }
}

#[track_caller]
fn check_served(cluster: &TestCluster, tickets: &Tickets<'_>) {
    let curled = post(cluster, tickets);
    assert_eq!(curled.status, 200, "{curled:?}");
}

#[track_caller]
fn authorize(cluster: &TestCluster, role: &str, group: &str) {
    cluster.rmsc(&["authz", "add", "--yes", "--role", role, "--group", group]).check_code(0);
}

fn event(node: &Node, number: u16) {
    await_event(node, number, |_| true);
}

/// What is asked of the directory counts, and not what a ticket of this morning says.
#[test]
fn groups_of_the_directory_count_and_its_last_ones_while_it_is_away() {
    let mut domain = Domain::alone();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    let node = cluster.node("node-1");
    authorize(&cluster, "exchange", r"CONTOSO\RMS Everything");
    {
        let (exch, fs01) = (domain.login("EXCH01$"), domain.login("FS01$"));
        // In Exchange Servers, which is in RMS Servers, which is in RMS Everything.
        check_served(&cluster, &exch);
        assert!(!is_served(&cluster, &fs01));
        domain.tool(&["group", "removemembers", "Exchange Servers", "EXCH01$"]);
        domain.tool(&["group", "addmembers", "Exchange Servers", "FS01$"]);
        // Both with the tickets that they have.
        wait::until_true("who was taken out is refused", SOON, || !is_served(&cluster, &exch));
        wait::until_true("who was added is served", SOON, || is_served(&cluster, &fs01));
    }
    let (exch, fs01) = (domain.login("EXCH01$"), domain.login("FS01$"));
    let files: Vec<_> = [&exch, &fs01].iter().map(|tickets| tickets.cache().to_owned()).collect();
    check_served(&cluster, &fs01);
    assert!(!is_served(&cluster, &exch));
    drop((exch, fs01));
    domain.order("stop");
    event(&node, 4052);
    let status = cluster.rmsc(&["status"]);
    assert!(status.stdout.contains("node-1 has heard nothing from the directory for"), "{status:?}");
    let [exch, fs01] = [domain.tickets(&files[0]), domain.tickets(&files[1])];
    let begun = Instant::now();
    for _ in 0..3 {
        check_served(&cluster, &fs01);
        assert!(!is_served(&cluster, &exch));
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let metrics = || cluster.monitor(&node, "/metrics").text();
    assert!(metrics().contains("rmsc_directory_up 0"), "{}", metrics());
    let last_good = r#"rmsc_directory_groups_total{source="LastGood"}"#;
    wait::until_true("what is known is no longer fresh", SOON, || {
        check_served(&cluster, &fs01);
        metrics().contains(last_good)
    });
    let tested = cluster.rmsc(&["authz", "test", r"CONTOSO\FS01$"]);
    assert!(tested.stdout.contains("the directory does not answer; this is what it said"), "{tested:?}");
    // A node that knows nothing from before has the tickets.
    cluster.kill("node-1");
    cluster.restart("node-1");
    cluster.await_rotation();
    check_served(&cluster, &fs01);
    assert!(!is_served(&cluster, &exch));
    drop((exch, fs01));
    domain.order("start");
    event(&node, 1013);
    domain.tool(&["user", "disable", "FS01$"]);
    let fs01 = domain.tickets(&files[1]);
    wait::until_true("a disabled account is refused", SOON, || post(&cluster, &fs01).status == 401);
    let refused = await_event(&node, 2000, |event| field(event, "reason").contains("disabled"));
    assert!(field(&refused, "reason").contains(r"CONTOSO\FS01$ is disabled"), "{refused}");
}

/// News of the directory is not taken back by an older ticket, however long the directory is away after it.
#[test]
fn who_was_taken_out_or_disabled_stays_out_however_long_the_directory_is_away() {
    let mut domain = Domain::alone();
    let [ldaps, _] = domain.controller();
    let section = domain.section(&[&ldaps], GROUP_CACHE);
    let cluster = ask_with(&domain, &section.replace("group_cache", "last_good_max = \"1s\"\ngroup_cache"));
    let node = cluster.node("node-1");
    authorize(&cluster, "exchange", r"CONTOSO\RMS Everything");
    let files = ["EXCH01$", "alice", "FS01$"].map(|account| domain.login(account).cache().to_owned());
    domain.tool(&["group", "addmembers", "Exchange Servers", "alice,FS01$"]);
    domain.tool(&["group", "removemembers", "Exchange Servers", "EXCH01$"]);
    domain.tool(&["user", "disable", "alice"]);
    {
        let [exch, alice, fs01] = [0, 1, 2].map(|at| domain.tickets(&files[at]));
        wait::until_true("who was taken out is refused", SOON, || !is_served(&cluster, &exch));
        wait::until_true("who is disabled is refused", SOON, || post(&cluster, &alice).status == 401);
        wait::until_true("who was added is served", SOON, || is_served(&cluster, &fs01));
        domain.tool(&["user", "setexpiry", "FS01$", "--days=0"]);
        wait::until_true("who has expired is refused", SOON, || post(&cluster, &fs01).status == 401);
    }
    domain.order("stop");
    event(&node, 4052);
    let age = || {
        let text = cluster.monitor(&node, "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix("rmsc_directory_age_seconds "));
        line.and_then(|age| age.parse::<u64>().ok()).unwrap_or_default()
    };
    wait::until_true("it is away for longer than last_good_max", wait::PATIENCE, || age() > 2);
    let [exch, alice, fs01] = [0, 1, 2].map(|at| domain.tickets(&files[at]));
    assert!(!is_served(&cluster, &exch));
    assert_eq!([post(&cluster, &alice).status, post(&cluster, &fs01).status], [401, 401]);
}

/// A ticket could not name them either.
#[test]
fn groups_that_the_realm_may_not_name_do_not_count_out_of_the_directory() {
    let domain = Domain::shared();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    domain.tool(&["group", "addmembers", "Print Operators", "bob"]);
    let [bob, alice] = ["bob", "alice"].map(|account| domain.login(account));
    authorize(&cluster, "sharepoint", r"CONTOSO\Print Operators");
    assert!(!is_served(&cluster, &bob));
    let tested = cluster.rmsc(&["authz", "test", r"CONTOSO\bob"]);
    tested.check_code(4);
    authorize(&cluster, "sharepoint", r"CONTOSO\All Mail");
    wait::until_true("those of the domain do", SOON, || is_served(&cluster, &alice));
}

/// As with a trust: a local group of our domain has an account of another one in it.
#[test]
fn an_account_of_another_domain_has_the_groups_of_its_ticket() {
    let (ours, other) = (Domain::alone(), Domain::shared());
    let (exchange, group) = (other.sid("EXCH01$"), other.sid("Exchange Servers"));
    ours.tool(&["group", "addmembers", "Print Operators", &exchange]);
    let cluster = ask_with(&other, &ours.section(&[&ours.controller()[0]], GROUP_CACHE));
    let add = ["authz", "add", "--yes", "--role", "exchange", "--group", r"OTHER\Exchange Servers"];
    cluster.rmsc(&[&add[..], &["--sid", &group]].concat()).check_code(0);
    let exch = other.login("EXCH01$");
    check_served(&cluster, &exch);
    let log = fs::read_to_string(cluster.node("node-1").log).expect("the node writes a log");
    assert!(!log.contains("the directory does not show"), "{log}");
}

/// The first controller is not there: the second one answers, by StartTLS.
#[test]
fn members_of_a_distribution_group_are_served_and_the_next_controller_is_asked() {
    let domain = Domain::shared();
    let [_, starttls] = domain.controller();
    let cluster = ask(&domain, &["ldaps://127.0.0.1:1", &starttls]);
    authorize(&cluster, "sharepoint", r"CONTOSO\All Mail");
    let shown = cluster.rmsc(&["directory", "search", r"contoso\all m", "-o", "json"]).field("principals");
    assert_eq!(shown[0]["kind"], "distribution group", "{shown}");
    // FS01$ by a distribution group in it, alice by a group of security, bob not at all.
    let [fs01, alice, bob] = ["FS01$", "alice", "bob"].map(|account| domain.login(account));
    wait::until_true("the members were read", SOON, || is_served(&cluster, &fs01));
    check_served(&cluster, &alice);
    assert!(!is_served(&cluster, &bob));
}

#[test]
fn a_controller_with_a_certificate_of_somebody_else_is_not_asked() {
    let domain = Domain::shared();
    let [ldaps, starttls] = domain.controller();
    for controller in [ldaps, starttls] {
        let cluster = TestCluster::start(1);
        let other = cluster.lab().ca.display().to_string();
        let section = domain.section(&[&controller], GROUP_CACHE);
        let right = domain.dir().join("ldap-ca.pem").display().to_string();
        assert!(section.contains(&right));
        let settings = format!("{}[upstream]", section.replace(&right, &other));
        cluster.edit("node-1", "target_names = [", "target_names = [\"rms.contoso.test\", ");
        cluster.reconfigure("node-1", "[upstream]", &settings);
        cluster.await_rotation();
        let event = await_event(&cluster.node("node-1"), 4052, |_| true);
        assert!(field(&event, "reason").contains("certificate"), "{event}");
    }
}

/// Its names and groups are not ours, though it has our domain's name.
#[test]
fn a_controller_of_another_domain_is_not_asked_and_the_next_one_is() {
    let (mut first, other) = (Domain::alone(), Domain::shared());
    let ([ours, starttls], [theirs, _]) = (first.controller(), other.controller());
    let authorities =
        [&first, &*other].map(|domain| fs::read_to_string(domain.dir().join("ldap-ca.pem")).unwrap());
    fs::write(first.dir().join("ldap-ca.pem"), authorities.concat()).expect("the test's own folder");
    let cluster = ask_with(&first, &first.section(&[&ours, &theirs, &starttls], GROUP_CACHE));
    let node = cluster.node("node-1");
    wait::until_true("it is known which domain is meant", SOON, || {
        cluster.rmsc(&["directory", "show", r"CONTOSO\FS01$"]).code == Some(0)
    });
    first.order("stop");
    let away = await_event(&node, 4052, |_| true);
    assert!(field(&away, "reason").contains("it is a controller of another CONTOSO"), "{away}");
    first.order("start");
    event(&node, 1013);
    let sid = cluster.rmsc(&["directory", "show", r"CONTOSO\FS01$", "-o", "json"]).field("sid");
    assert_eq!(sid, first.sid("FS01$"));
}

#[test]
fn a_controller_of_a_domain_with_another_name_is_not_asked() {
    let domain = Domain::shared();
    let section = domain.section(&[&domain.controller()[0]], GROUP_CACHE);
    let cluster = ask_with(&domain, &section.replace("CONTOSO", "FABRIKAM"));
    let away = await_event(&cluster.node("node-1"), 4052, |_| true);
    assert!(field(&away, "reason").contains("a controller of CONTOSO, not of FABRIKAM"), "{away}");
}

/// The ticket decides then, and it is said once.
#[test]
fn an_account_that_cannot_be_read_is_said_and_asked_about_now_and_then() {
    let domain = Domain::alone();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    let reader = cluster.rmsc(&["directory", "show", r"CONTOSO\svc-other", "-o", "json"]).field("sid");
    let reader = reader.as_str().expect("a SID is a text");
    let deny = format!("--sddl=(OD;;RP;{USER_ACCOUNT_CONTROL};;{reader})");
    domain.tool(&["dsacl", "set", "--objectdn=CN=alice,CN=Users,DC=contoso,DC=test", &deny]);
    let node = cluster.node("node-1");
    authorize(&cluster, "sharepoint", r"CONTOSO\Finance Managers");
    let alice = domain.login("alice");
    check_served(&cluster, &alice);
    let unreadable = await_event(&node, 4062, |_| true);
    assert!(field(&unreadable, "reason").contains("userAccountControl"), "{unreadable}");
    assert_eq!(field(&unreadable, "account"), domain.sid("alice"));
    for _ in 0..5 {
        check_served(&cluster, &alice);
    }
    assert_eq!(events(&node, 4062).len(), 1);
    let tested = cluster.rmsc(&["authz", "test", r"CONTOSO\alice"]);
    tested.check_says(&["it does not show whether the account is enabled"]);
}

#[test]
fn a_password_that_others_may_read_keeps_a_node_from_starting() {
    use crate::support::program::{rmsc, run};
    use std::os::unix::fs::PermissionsExt;
    let domain = Domain::shared();
    let cluster = TestCluster::start(1);
    let node = cluster.node("node-1");
    let password = cluster.dir().join("directory.password");
    fs::write(&password, "x\n").expect("the lab's folder can be written");
    let right = domain.dir().join("ldap.password").display().to_string();
    let section = domain.section(&[&domain.controller()[0]], GROUP_CACHE);
    let section = section.replace(&right, &password.display().to_string());
    cluster.kill("node-1");
    cluster.edit("node-1", "[upstream]", &format!("{section}[upstream]"));
    for (text, mode, words) in [("x\n", 0o644, "has mode 0644"), ("", 0o600, "must hold one password")] {
        fs::write(&password, text).expect("it is ours");
        fs::set_permissions(&password, fs::Permissions::from_mode(mode)).expect("it is ours");
        let ran = run(rmsc().arg("server").arg("--config").arg(&node.config));
        assert_ne!(ran.code, Some(0), "{ran:?}");
        ran.check_says(&[words]);
    }
}

/// A node of the shared domain that stays as it is.
#[test]
fn names_are_looked_up_and_one_that_means_two_is_refused_with_both() {
    let domain = Domain::shared();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    let found = |text: &str| {
        let begun = Instant::now();
        let ran = cluster.rmsc(&["directory", "search", text, "-o", "json"]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        ran.check_code(0);
        ran.json::<serde_json::Value>()
    };
    let exch = &found("exch")["principals"];
    let named = |name: &str| exch.as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    let computer = named(r"CONTOSO\EXCH01$").expect("it begins so");
    assert_eq!((&computer["kind"], &computer["sid"]), (&"computer".into(), &domain.sid("EXCH01$").into()));
    assert_eq!(named(r"CONTOSO\Exchange Servers").expect("it too")["kind"], "group");
    // A thousand teams, page after page.
    let (mut after, mut names) = (String::new(), Vec::new());
    for _ in 0..3 {
        let page = cluster.rmsc(&["directory", "search", "team", "--after", &after, "-o", "json"]);
        let rows = page.field("principals");
        let rows = rows.as_array().unwrap().clone();
        assert_eq!(rows.len(), 50);
        names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        after = names.last().unwrap().clone();
    }
    assert!(names.is_sorted_by_key(|name| name.to_lowercase()), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 150);
    // What looks like a filter is a name that nobody has.
    for text in ["*)(objectClass=*", "exch*"] {
        assert_eq!(found(text)["principals"], serde_json::json!([]), "{text}");
    }
    // A user called like a computer, and two groups that people call so, which is no name.
    domain.tool(&["user", "create", "PAIR01", PASSWORD]);
    domain.tool(&["computer", "create", "PAIR01"]);
    for name in ["PAIR01", r"CONTOSO\pair01", "pair01@contoso.test"] {
        let both = cluster.rmsc(&["authz", "add", "--yes", "--role", "sharepoint", name]);
        both.check_code(4).check_says(&[r"CONTOSO\PAIR01 (S-1-5-21-", r"CONTOSO\PAIR01$ (S-1-5-21-"]);
    }
    let twins = &found("twins")["principals"];
    assert_eq!(twins.as_array().map(Vec::len), Some(2), "{twins}");
    let called = ["authz", "add", "--yes", "--role", "sharepoint", "--group", r"CONTOSO\Twins"];
    cluster.rmsc(&called).check_code(1).check_says(&["the directory does not know"]);
    let nobody = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"CONTOSO\nobody"]);
    nobody.check_code(1).check_says(&["the directory does not know"]);
}

/// The primary group of every user, inside of another one.
#[test]
fn members_by_their_primary_group_are_compared_as_well() {
    let domain = Domain::shared();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    domain.tool(&["group", "add", "Insiders"]);
    domain.tool(&["group", "addmembers", "Insiders", "Domain Users"]);
    cluster.rmsc(&["authz", "add", "--yes", "--role", "fileserver", r"CONTOSO\bob"]).check_code(0);
    let add = ["authz", "add", "--yes", "--role", "sharepoint", "--group", r"CONTOSO\Insiders"];
    cluster.rmsc(&add).check_code(4).check_says(&[r"CONTOSO\bob would match two"]);
}

/// What was typed may mean something else than one believes: the name found must be typed.
#[test]
fn what_is_authorized_is_confirmed_by_the_name_that_was_found() {
    let domain = Domain::shared();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    let sid = domain.sid("FS01$");
    let answered = |role: &str, keys: &str| -> Said {
        let mut command = cluster.administrator();
        let mut terminal =
            Terminal::start(command.args(["authz", "add", "--role", role, "fs01@contoso.test"]));
        terminal.await_words("Type the name again to go on:");
        terminal.keys(keys);
        terminal.end()
    };
    for role in ["exchange", "sharepoint"] {
        let said = answered(role, "fs01@contoso.test\n");
        said.check(4, &[r"computer CONTOSO\FS01$", "CN=FS01", &sid, "Not confirmed; nothing was changed"]);
    }
    let listed = || cluster.rmsc(&["authz", "list", "-o", "json"]).check_code(0).stdout.contains(&sid);
    assert!(!listed());
    answered("exchange", "contoso\\fs01$\n").check(0, &["SUPER USER", r"added exchange CONTOSO\FS01$"]);
    assert!(listed());
    // By its SID it is the same one, and nothing else.
    let wrong = ["authz", "add", "--yes", "--role", "exchange", "--group", r"CONTOSO\FS01$", "--sid", &sid];
    cluster.rmsc(&wrong).check_code(1).check_says(&["is of the kind computer, not group"]);
}

#[test]
fn test_and_show_say_by_which_groups_and_an_account_cannot_match_twice() {
    let domain = Domain::shared();
    let [ldaps, _] = domain.controller();
    let cluster = ask(&domain, &[&ldaps]);
    let chain = |ran: &crate::support::program::Ran, key: &str| {
        let groups = ran.field(key);
        let outer = groups.as_array().unwrap().iter().find(|it| it["name"] == r"CONTOSO\RMS Everything");
        outer.expect("it is in there")["via"].clone()
    };
    let way = serde_json::json!([r"CONTOSO\Exchange Servers", r"CONTOSO\RMS Servers"]);
    let shown = cluster.rmsc(&["directory", "show", "exch01$@contoso.test", "-o", "json"]);
    assert_eq!(chain(&shown, "groups"), way);
    authorize(&cluster, "exchange", r"CONTOSO\RMS Everything");
    let tested = cluster.rmsc(&["authz", "test", r"CONTOSO\EXCH01$", "-o", "json"]);
    tested.check_code(0);
    assert_eq!(chain(&tested, "memberships"), way);
    // By the account itself, and by a group around a part of the members.
    for (kind, name) in [("--computer", r"CONTOSO\EXCH01$"), ("--group", r"CONTOSO\Exchange Servers")] {
        let add = ["authz", "add", "--yes", "--role", "sharepoint", kind, name];
        let twice = cluster.rmsc(&add);
        twice.check_code(4).check_says(&[
            r"CONTOSO\EXCH01$ would match two",
            name,
            "RMS Everything",
            "--force",
        ]);
    }
    let near = cluster.rmsc(&["authz", "test", "crowd"]);
    near.check_code(4);
    assert!(near.stdout.contains("would be refused: no entry"), "{near:?}");
    // A thousand teams and the users of the domain; what fits a screen is shown.
    assert!(near.stdout.contains("and 95"), "{near:?}");
    let force = ["authz", "add", "--yes", "--role", "sharepoint", "--force", r"CONTOSO\EXCH01$"];
    cluster.rmsc(&force).check_code(0);
    // The lab's accounts file has one of that name, too.
    let both = cluster.rmsc(&["authz", "test", "EXCH01$"]);
    both.check_code(4).check_says(&[r"LAB\EXCH01$ (S-1-5-21-", r"CONTOSO\EXCH01$ (S-1-5-21-"]);
    let tested = cluster.rmsc(&["authz", "test", r"CONTOSO\EXCH01$"]);
    assert!(tested.check_code(0).stdout.contains("also matches"), "{tested:?}");
    // One letter of another.
    cluster.rmsc(&["authz", "add", "--yes", "--role", "fileserver", r"CONTOSO\bob"]).check_code(0);
    authorize(&cluster, "fileserver", r"CONTOSO\twins-1");
    let nearest = cluster.rmsc(&["authz", "test", r"CONTOSO\twins-2", "-o", "json"]).field("nearest");
    assert_eq!(nearest["name"], r"CONTOSO\twins-1");
}

#[test]
fn without_an_accounts_file_ntlm_is_refused_and_says_why() {
    let domain = Domain::shared();
    let cluster = ask(&domain, &[&domain.controller()[0]]);
    let (node, account) = (cluster.node("node-1"), cluster.exchange());
    let text = fs::read_to_string(&node.config).expect("the lab wrote it");
    let accounts = text.lines().find(|line| line.starts_with("accounts_file")).expect("the lab has accounts");
    cluster.reconfigure("node-1", accounts, "");
    cluster.await_rotation();
    let url = format!("{}{}", node.http, ACQUIRE_LICENSE.path);
    let refused = curl_ntlm(&account, &[&url]);
    assert_eq!(refused.status, 401, "{refused:?}");
    assert_eq!(refused.all("www-authenticate"), ["Negotiate"], "{refused:?}");
    let event = await_event(&node, 2000, |event| field(event, "reason").contains("NTLM"));
    assert!(field(&event, "reason").contains("takes Kerberos alone"), "{event}");
}
