//! Python's clients, which are not ours: what Windows servers send, and what no acceptor may take.

use crate::support::cluster::TestCluster;
use crate::support::lab::Account;
use crate::support::program::python;
use crate::support::soap::ACQUIRE_LICENSE;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Answered {
    status: u16,
    text: String,
}

#[track_caller]
fn check_requests(base: &str, ca: &str) {
    let cluster = TestCluster::shared();
    let account = cluster.exchange();
    let node = cluster.any_node();
    let base = match base {
        "https" => node.https_localhost(),
        _ => node.http,
    };
    let url = format!("{base}{}", ACQUIRE_LICENSE.path);
    let (file, action) = (ACQUIRE_LICENSE.file().display().to_string(), ACQUIRE_LICENSE.action());
    let ca = if ca == "-" { ca.to_owned() } else { cluster.lab().ca.display().to_string() };
    let arguments = [&url, &account.name, &account.password, &file, &action, &ca].map(String::as_str);
    for answered in python::<Vec<Answered>>("requests_call.py", &arguments) {
        assert_eq!(answered.status, 200, "{answered:?}");
        assert!(answered.text.contains(&ACQUIRE_LICENSE.response_element()), "{answered:?}");
    }
}

#[test]
fn requests_ntlm_is_served_over_http() {
    check_requests("http", "-");
}

#[test]
fn requests_ntlm_is_served_over_https_with_channel_binding() {
    check_requests("https", "ca");
}

#[test]
fn requests_ntlm_with_a_wrong_password_is_refused() {
    let cluster = TestCluster::shared();
    let (node, ca) = (cluster.any_node(), cluster.lab().ca.display().to_string());
    let (file, action) = (ACQUIRE_LICENSE.file().display().to_string(), ACQUIRE_LICENSE.action());
    for (base, ca) in [(&node.http, "-"), (&node.https_localhost(), &*ca)] {
        let url = format!("{base}{}", ACQUIRE_LICENSE.path);
        let arguments = [&*url, &cluster.exchange().name, "wrong", &file, &action, ca];
        for answered in python::<Vec<Answered>>("requests_call.py", &arguments) {
            assert_eq!(answered.status, 401, "{base} {answered:?}");
        }
    }
}

#[derive(Debug, Deserialize)]
struct Legs {
    statuses: Vec<u16>,
    complete: bool,
}

#[track_caller]
fn spnego(channel: &str, scheme: &str, protocol: &str, binding: &str) -> Legs {
    let cluster = TestCluster::shared();
    let account = cluster.exchange();
    spnego_as(&cluster, &account, [channel, scheme, protocol, binding, "localhost"])
}

#[track_caller]
fn spnego_as(cluster: &TestCluster, account: &Account, how: [&str; 5]) -> Legs {
    let [channel, scheme, protocol, binding, target] = how;
    let node = cluster.any_node();
    let url = if channel == "https" { node.https_localhost() } else { node.http };
    let ca = cluster.lab().ca.display().to_string();
    let arguments = [&url, &account.name, &account.password, &ca].map(String::as_str);
    python("spnego_call.py", &[&arguments[..], &[scheme, protocol, binding, target]].concat())
}

#[track_caller]
fn check_let_in(legs: &Legs) {
    assert_eq!(legs.statuses, [401, 200], "{legs:?}");
    assert!(legs.complete, "the client has a doubt left: {legs:?}");
}

#[track_caller]
fn check_refused(legs: &Legs) {
    assert!(legs.statuses.len() >= 2 && legs.statuses.iter().all(|status| *status == 401), "{legs:?}");
}

#[test]
fn raw_ntlm_is_taken_under_ntlm() {
    check_let_in(&spnego("http", "NTLM", "ntlm", "none"));
}

#[test]
fn raw_ntlm_is_taken_under_negotiate() {
    check_let_in(&spnego("http", "Negotiate", "ntlm", "none"));
}

#[test]
fn ntlm_inside_spnego_is_taken_under_negotiate() {
    check_let_in(&spnego("http", "Negotiate", "negotiate", "none"));
}

#[test]
fn the_right_channel_binding_is_taken() {
    for (scheme, protocol) in [("NTLM", "ntlm"), ("Negotiate", "ntlm"), ("Negotiate", "negotiate")] {
        check_let_in(&spnego("https", scheme, protocol, "right"));
    }
}

#[test]
fn a_wrong_channel_binding_is_refused() {
    for (scheme, protocol) in [("NTLM", "ntlm"), ("Negotiate", "ntlm"), ("Negotiate", "negotiate")] {
        check_refused(&spnego("https", scheme, protocol, "wrong"));
    }
}

#[test]
fn a_wrong_password_is_refused_in_every_wrapping() {
    let cluster = TestCluster::shared();
    let account = Account { password: "wrong".into(), ..cluster.exchange() };
    for (scheme, protocol) in [("NTLM", "ntlm"), ("Negotiate", "ntlm"), ("Negotiate", "negotiate")] {
        check_refused(&spnego_as(&cluster, &account, ["http", scheme, protocol, "none", "localhost"]));
    }
}

#[test]
fn what_is_meant_for_another_server_is_refused() {
    let cluster = TestCluster::shared();
    let account = cluster.exchange();
    let here = cluster.lab().service_name;
    let to = |target| spnego_as(&cluster, &account, ["http", "NTLM", "ntlm", "none", target]);
    check_let_in(&to(&here));
    check_refused(&to("elsewhere.example"));
}

/// The status that one kind of message gets, for an account that is authorized.
#[track_caller]
fn forged(kind: &str) -> u16 {
    #[derive(Deserialize)]
    struct Got {
        status: u16,
    }
    let cluster = TestCluster::shared();
    let (account, other) = (cluster.exchange(), cluster.mallory());
    let url = cluster.any_node().http;
    let arguments =
        [&url, &account.name, &account.password, &other.name, &other.password].map(String::as_str);
    python::<Got>("forged.py", &[&arguments[..], &[kind]].concat()).status
}

/// Without it the other ones could be refused for their form.
#[test]
fn a_hand_made_message_with_the_right_proof_is_taken() {
    assert_eq!(forged("honest"), 200);
}

#[test]
fn a_random_proof_without_mic_is_refused() {
    assert_eq!(forged("random_proof"), 401);
}

#[test]
fn a_random_proof_with_a_session_key_is_refused() {
    assert_eq!(forged("random_session_key"), 401);
}

#[test]
fn an_empty_response_is_refused() {
    assert_eq!(forged("empty_response"), 401);
}

#[test]
fn a_proof_of_another_account_is_refused() {
    assert_eq!(forged("another_name"), 401);
}

#[test]
fn a_proof_for_another_challenge_is_refused() {
    assert_eq!(forged("another_challenge"), 401);
}

#[test]
fn a_replayed_message_is_refused_after_another_challenge() {
    assert_eq!(forged("replayed"), 401);
}

#[test]
fn a_replayed_message_is_refused_as_the_first_one() {
    assert_eq!(forged("replayed_first"), 401);
}

#[test]
fn bytes_after_the_response_are_refused() {
    assert_eq!(forged("trailing_bytes"), 401);
}

#[test]
fn ntlm_version_1_is_refused_with_the_right_password() {
    assert_eq!(forged("ntlmv1"), 401);
}

#[test]
fn lan_manager_is_refused_with_the_right_password() {
    assert_eq!(forged("lm"), 401);
}

#[test]
fn anonymous_is_refused() {
    assert_eq!(forged("anonymous"), 401);
}
