//! How long a request and its parts may be, how long its answer may take, and what many long ones cost.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::processes;
use crate::support::sink::{Sink, When};
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY, Message, SERVER_INFO, named};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const MEBIBYTE: usize = 1 << 20;

/// A request with content put at the beginning of one of its elements.
fn filled(message: &Message, element: &str, content: &str) -> Vec<u8> {
    let text = String::from_utf8(message.body()).expect("the requests are UTF-8");
    let tag = format!("<{element}>");
    assert!(text.contains(&tag), "{element}");
    text.replacen(&tag, &format!("{tag}{content}"), 1).into()
}

fn certificate(bytes: usize) -> String {
    format!("<Certificate>{}</Certificate>", "x".repeat(bytes))
}

#[track_caller]
fn send(cluster: &TestCluster, message: &Message, body: Vec<u8>) -> Answer {
    let request = Request::soap_with_body(message, body);
    cluster.call(&cluster.any_node(), &cluster.exchange(), &request)
}

#[track_caller]
fn check_taken(message: &Message, element: &str, content: &str) {
    let cluster = TestCluster::shared();
    let answer = send(&cluster, message, filled(message, element, content));
    assert_eq!(cluster.arrived(&answer).times, 1, "{element}: {answer:?}");
}

/// Three times, so that each node of the lab relays it; and the service never has it.
#[track_caller]
fn check_refused(message: &Message, element: &str, content: &str, status: u16, words: &str) {
    let cluster = TestCluster::shared();
    for _ in 0..3 {
        let answer = send(&cluster, message, filled(message, element, content));
        answer.check(status, &[words]);
        assert_eq!(cluster.arrived(&answer).times, 0, "{element}");
    }
}

#[test]
fn a_certificate_of_a_licensee_has_30_kibibytes_at_most() {
    check_taken(&ACQUIRE_LICENSE, "LicenseeCerts", &certificate(30_720));
    let words = "a longer certificate in LicenseeCerts than 30720 bytes";
    check_refused(&ACQUIRE_LICENSE, "LicenseeCerts", &certificate(30_721), 413, words);
    // One that never ends is refused all the same.
    let endless = format!("<Certificate>{}", "x".repeat(5 * MEBIBYTE));
    check_refused(&ACQUIRE_LICENSE, "LicenseeCerts", &endless, 413, words);
}

#[test]
fn a_list_has_a_hundred_certificates_at_most() {
    check_taken(&ACQUIRE_LICENSE, "LicenseeCerts", &certificate(3).repeat(90));
    let words = "more than 100 certificates in one list";
    check_refused(&ACQUIRE_LICENSE, "LicenseeCerts", &certificate(3).repeat(101), 400, words);
    check_refused(&CERTIFY, "MachineCertificateChain", &certificate(3).repeat(101), 400, words);
}

#[test]
fn a_batch_has_a_hundred_recipients_at_most() {
    let identities = |count: usize| "<string>a@example.com</string>".repeat(count);
    check_taken(&ACQUIRE_PRE_LICENSE, "LicenseeIdentities", &identities(97));
    let words = "more than 100 licensee identities";
    check_refused(&ACQUIRE_PRE_LICENSE, "LicenseeIdentities", &identities(98), 400, words);
}

#[test]
fn application_data_have_100_kibibytes_at_most() {
    let data = |bytes: usize| format!("<ApplicationData>{}</ApplicationData>", "x".repeat(bytes));
    check_taken(&ACQUIRE_LICENSE, "AcquireLicenseParams", &data(102_400));
    let words = "a longer ApplicationData than 102400 bytes";
    check_refused(&ACQUIRE_LICENSE, "AcquireLicenseParams", &data(102_401), 413, words);
}

#[test]
fn a_license_has_8_mebibytes_at_most() {
    check_taken(&ACQUIRE_LICENSE, "IssuanceLicense", &certificate(7 * MEBIBYTE));
    let words = "a longer IssuanceLicense than 8388608 bytes";
    check_refused(&ACQUIRE_LICENSE, "IssuanceLicense", &certificate(8 * MEBIBYTE), 413, words);
}

/// The request with white space behind it, so long all in all.
fn padded(message: &Message, bytes: usize) -> Vec<u8> {
    let mut body = message.body();
    assert!(body.len() < bytes);
    body.resize(bytes, b'\n');
    body
}

/// How a request says its length.
#[derive(Clone, Copy, Debug)]
enum Length {
    Told,
    Chunked,
}

#[track_caller]
fn send_as(cluster: &TestCluster, message: &Message, body: &[u8], length: Length) -> Answer {
    let request = Request::soap_with_body(message, body);
    match length {
        Length::Told => send(cluster, message, request.body),
        Length::Chunked => {
            let session = Session::open(cluster.any_node().front(), &cluster.exchange());
            let mut session = session.expect("the node listens");
            let begun = session.begin(&request, "Transfer-Encoding: chunked");
            let connection = begun.expect("the account is known");
            connection.send_chunked(body);
            connection.answer(false).expect("a refusal is an answer too")
        }
    }
}

#[test]
fn each_operation_has_a_limit_of_its_own_at_every_node() {
    let cluster = TestCluster::shared();
    for (message, bytes_max) in [
        (CERTIFY, 4 * MEBIBYTE),
        (named("exchange_get_client_licensor_cert.xml"), 4 * MEBIBYTE),
        (named("exchange_acquire_templates.xml"), 256 << 10),
        (named("msdrm_get_licensor_certificate.xml"), 256 << 10),
        (SERVER_INFO, 256 << 10),
    ] {
        for length in [Length::Told, Length::Chunked] {
            let what = format!("{} {length:?}", message.operation);
            let answer = send_as(&cluster, &message, &padded(&message, bytes_max), length);
            assert_eq!(cluster.arrived(&answer).times, 1, "{what}: {answer:?}");
            // Three times, so that each node of the lab relays it.
            for _ in 0..3 {
                let answer = send_as(&cluster, &message, &padded(&message, bytes_max + 1), length);
                assert_eq!(answer.status, 413, "{what}: {answer:?}");
                let named = match length {
                    Length::Told => format!("longer than {bytes_max} bytes"),
                    Length::Chunked => "longer than".into(),
                };
                assert!(answer.text().contains(&named), "{what}: {answer:?}");
                assert_eq!(cluster.arrived(&answer).times, 0, "{what}");
            }
        }
    }
}

/// A node whose service is this one.
fn cluster_with(sink: &Sink) -> TestCluster {
    let cluster = TestCluster::alone(1);
    cluster.reconfigure("node-1", &cluster.lab().simulator, &sink.url());
    cluster.await_rotation();
    cluster
}

#[test]
fn a_hundred_long_requests_at_once_need_300_mb_at_most() {
    const REQUESTS: usize = 100;
    const GROWTH_MAX: u64 = 300_000_000;
    let sink = Sink::start(When::Together(REQUESTS));
    let cluster = cluster_with(&sink);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    // What any request needs is there before.
    let padding = certificate(8 * MEBIBYTE - 16_384);
    let body = Arc::new(filled(&ACQUIRE_LICENSE, "IssuanceLicense", &padding));
    let before = processes::resident_bytes(node.running_pid());
    let senders: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (body, front, account) = (body.clone(), node.front(), account.clone());
            thread::spawn(move || {
                let mut session = Session::open(front, &account).unwrap();
                let length = format!("Content-Length: {}", body.len());
                let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap();
                connection.send(&body).unwrap();
                connection.answer(false).unwrap()
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap().check(200, &["<taken>"]);
    }
    let grown = processes::resident_bytes_max(node.running_pid()).saturating_sub(before);
    assert_eq!(sink.arrived(), REQUESTS);
    assert!(grown <= GROWTH_MAX, "{} MB", grown / 1_000_000);
    report(&format!("{REQUESTS} requests of {} bytes at once: {} MB more", body.len(), grown / 1_000_000));
}

#[expect(clippy::print_stdout, reason = "the figure is what it is for")]
pub fn report(line: &str) {
    println!("{line}");
}

#[test]
fn an_answer_may_take_25_seconds_and_a_second_for_each_recipient() {
    let sink = Sink::start(When::After(Duration::from_millis(26_500)));
    let cluster = cluster_with(&sink);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let begun = Instant::now();
    let ask = |message: Message| {
        let (front, account) = (node.front(), account.clone());
        thread::spawn(move || {
            let mut session = Session::open(front, &account).unwrap();
            (session.call(&Request::soap(&message)).unwrap(), begun.elapsed())
        })
    };
    // Three recipients: 28 s.
    let (batch, license) = (ask(ACQUIRE_PRE_LICENSE), ask(ACQUIRE_LICENSE));
    let (answer, elapsed) = license.join().unwrap();
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!((24..27).contains(&elapsed.as_secs()), "{elapsed:?}");
    let (answer, elapsed) = batch.join().unwrap();
    answer.check(200, &["<taken>"]);
    assert!(elapsed >= Duration::from_millis(26_500), "{elapsed:?}");
}
