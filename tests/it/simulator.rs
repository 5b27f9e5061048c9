//! The simulated service, at its own sockets: every fault can be switched on and off and does what its name
//! says, and the certificates are signed.

use crate::support::http::{self, Answer, Request};
use crate::support::program::{python, rmsc, run};
use crate::support::simulator::Simulator;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY, Message, named};
use serde::Deserialize;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

#[track_caller]
fn call(simulator: &Simulator, message: &Message) -> Answer {
    http::exchange(simulator.address(), &Request::soap(message))
}

/// All bytes that come until the end, and how it ends.
fn raw(simulator: &Simulator, patience: Duration, bytes_max: usize) -> (Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(simulator.address()).expect("it listens");
    stream.set_read_timeout(Some(patience)).expect("a socket has a time-out");
    let request = Request::soap(&ACQUIRE_LICENSE);
    let head = format!("{}Content-Length: {}\r\n\r\n", request.head("s", None), request.body.len());
    stream.write_all(&[head.as_bytes(), &request.body].concat()).expect("it reads");
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    while bytes.len() < bytes_max {
        match stream.read(&mut piece) {
            Ok(0) => return (bytes, None),
            Ok(read) => bytes.extend(piece.iter().take(read)),
            Err(error) => return (bytes, Some(error.kind())),
        }
    }
    (bytes, None)
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn every_status_is_answered_without_soap() {
    let simulator = Simulator::start();
    for status in [401, 403, 404, 429, 500, 502, 503, 504] {
        simulator.fail(&format!("{status}"));
        let answer = call(&simulator, &ACQUIRE_LICENSE);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("text/html; charset=utf-8"))
        );
        assert_eq!(simulator.faulted(&status.to_string()), 1);
    }
    simulator.fail("429=7");
    assert_eq!(call(&simulator, &ACQUIRE_LICENSE).header("retry-after"), Some("7"));
    simulator.fail("redirect=http://there.invalid/");
    let answer = call(&simulator, &ACQUIRE_LICENSE);
    assert_eq!((answer.status, answer.header("location")), (302, Some("http://there.invalid/")));
    simulator.fail("html");
    call(&simulator, &ACQUIRE_LICENSE).check(200, &["<!DOCTYPE html>"]);
    simulator.fail("empty");
    let answer = call(&simulator, &ACQUIRE_LICENSE);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
    simulator.fail("fault=System.UnauthorizedAccessException");
    call(&simulator, &ACQUIRE_LICENSE).check(500, &["faultstring", "System.UnauthorizedAccessException"]);
    simulator.fail("");
    call(&simulator, &ACQUIRE_LICENSE).check(200, &["AcquireLicenseResponse"]);
}

#[test]
fn connections_break_in_every_way() {
    let simulator = Simulator::start();
    simulator.fail("reset");
    assert_eq!(raw(&simulator, LONG, 1), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    simulator.fail("silent");
    assert_eq!(raw(&simulator, SHORT, 1), (Vec::new(), Some(ErrorKind::WouldBlock)));
    simulator.fail("half-closed");
    let (bytes, error) = raw(&simulator, LONG, usize::MAX);
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let length: usize = head
        .split("content-length: ")
        .nth(1)
        .and_then(|it| it.lines().next()?.parse().ok())
        .expect("a length");
    assert_eq!((body.len(), error), (length / 2, None));
    simulator.fail("endless");
    let (bytes, error) = raw(&simulator, LONG, 8 << 20);
    assert_eq!((bytes.len() >= 8 << 20, error), (true, None));
    let begun = Instant::now();
    simulator.fail("slow=1s");
    call(&simulator, &ACQUIRE_LICENSE).check(200, &["</soap:Envelope>"]);
    simulator.fail("latency=500ms..600ms");
    call(&simulator, &ACQUIRE_LICENSE).check(200, &[]);
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "{:?}", begun.elapsed());
    for name in ["reset", "silent", "half-closed", "endless", "slow", "latency"] {
        assert_eq!(simulator.faulted(name), 1, "{name}");
    }
}

#[test]
fn a_refusal_ends_by_itself_or_when_it_is_taken_back() {
    let simulator = Simulator::start();
    let refused =
        || TcpStream::connect(simulator.address()).is_err_and(|it| it.kind() == ErrorKind::ConnectionRefused);
    let until = |wanted: bool| {
        crate::support::wait::until_true("it listens or not", LONG, || refused() == wanted);
    };
    simulator.fail("refused");
    until(true);
    simulator.control("DELETE", "/simulator/faults", "").check(200, &["\"faults\":[]"]);
    until(false);
    let begun = Instant::now();
    simulator.fail("refused=1s");
    until(true);
    until(false);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(simulator.faulted("refused"), 2);
}

#[test]
fn faults_act_on_one_operation_so_often_and_can_be_taken_back() {
    let simulator = Simulator::with(&["--fault", "503,next=1,operation=certify"]);
    call(&simulator, &ACQUIRE_LICENSE).check(200, &[]);
    assert_eq!(call(&simulator, &CERTIFY).status, 503);
    call(&simulator, &CERTIFY).check(200, &[]);
    let answer =
        simulator.control("POST", "/simulator/faults", r#"[{"fault": "html", "operation": "certify"}]"#);
    answer.check(
        200,
        &[r#"{"acted":1,"fault":"503,next=1,operation=certify","left":0}"#, "html,operation=certify"],
    );
    call(&simulator, &CERTIFY).check(200, &["<!DOCTYPE html>"]);
    simulator.control("DELETE", "/simulator/faults/html", "").check(200, &[]);
    simulator.control("DELETE", "/simulator/faults/html", "").check(404, &["is not on"]);
    call(&simulator, &CERTIFY).check(200, &["CertifyResponse"]);
    let wrong = simulator.control("PUT", "/simulator/faults", "htlm");
    wrong.check(400, &["\"htlm\" is no fault", "half-closed", "certificate-unknown-issuer"]);
    // What could not act is refused.
    for (fault, words) in [
        ("certificate-expired", "without TLS"),
        ("refused,rate=10%", "nobody listens"),
        ("certificate-expired,operation=certify", "no operation"),
    ] {
        simulator.control("PUT", "/simulator/faults", fault).check(400, &[words]);
        let ran = run(rmsc().args(["simulate", "cloud", "--fault", fault]));
        assert!(ran.code != Some(0) && ran.stderr.contains(words), "{fault}: {ran:?}");
    }
    // The service's own port has the same control.
    http::exchange(simulator.address(), &Request::get("/simulator/faults")).check(200, &["503,next=1"]);
    let help = run(rmsc().args(["simulate", "cloud", "--help"])).stdout;
    for name in rmsc::simulator::fault_names() {
        assert!(help.contains(&name), "{name} is not in the help");
    }
    let ran = run(rmsc().args(["simulate", "cloud", "--fault", "nothing"]));
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("half-closed"), "{ran:?}");
}

#[test]
fn certificates_go_bad_while_it_runs() {
    let simulator = Simulator::with_tls();
    let url = format!("{}/_wmcs/licensing", simulator.url());
    let curl = || {
        let mut command = Command::new("curl");
        run(command
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
            .arg(simulator.authority())
            .arg(&url))
    };
    assert_eq!(curl().code, Some(0));
    for (fault, words) in [
        ("certificate-expired", "expired"),
        ("certificate-wrong-name", "no alternative certificate subject name"),
        ("certificate-unknown-issuer", "issuer"),
    ] {
        simulator.fail(fault);
        let ran = curl();
        assert_eq!(ran.code, Some(60), "{fault}: {ran:?}");
        assert!(ran.stderr.contains(words), "{fault}: {ran:?}");
        assert_eq!(simulator.faulted(fault), 1);
    }
    simulator.fail("");
    assert_eq!(curl().code, Some(0));
}

#[derive(Debug, Deserialize)]
struct Found {
    certificates: usize,
    chains: Vec<Vec<String>>,
}

/// By Python's `cryptography`, over the bytes of each BODY.
#[test]
fn certificates_are_signed_and_chained() {
    let simulator = Simulator::start();
    let messages = [
        CERTIFY,
        named("exchange_get_client_licensor_cert.xml"),
        named("msdrm_acquire_issuance_license.xml"),
        ACQUIRE_LICENSE,
        ACQUIRE_PRE_LICENSE,
        named("msdrm_get_licensor_certificate.xml"),
        named("exchange_acquire_templates.xml"),
    ];
    let mut arguments = vec![simulator.url().to_owned()];
    for message in messages {
        arguments.extend([message.file().display().to_string(), message.path.to_owned(), message.action()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found: Vec<Found> = python("xrml_signatures.py", &arguments);
    let server = ["Server-Licensor-Certificate", "DRM-Enrollment-Service-Certificate", "DRM-CA-Certificate"];
    let leaves =
        ["Group-Identity-Credential", "Client-Licensor-Certificate", "Publishing-License", "Content-License"];
    for (found, leaf) in found.iter().zip(leaves) {
        assert_eq!(
            (found.chains[0][0].as_str(), found.chains[0][1].as_str()),
            (leaf, server[0]),
            "{found:?}"
        );
    }
    let certificates: Vec<usize> = found.iter().map(|found| found.certificates).collect();
    assert_eq!(certificates, [5, 5, 2, 5, 7, 4, 1]);
    assert_eq!(found[5].chains[0], [&server[..], &["DRM-CA-Certificate"]].concat());
}
