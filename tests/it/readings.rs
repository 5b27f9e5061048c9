//! Which operation a message is: mutants of real requests are sent, and what was relayed of them is read again by
//! lxml, which knows nothing of us. Where it reads another operation, somebody could get what he may not.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::http::{Answer, Request, Session};
use crate::support::program::{number_of, python};
use crate::support::soap::{self, ACQUIRE_LICENSE, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;

const MUTANTS: u64 = 1_000;

#[derive(Debug, Deserialize)]
struct Readings {
    relayed: u64,
    read: u64,
    wrong: Vec<serde_json::Value>,
}

/// The same numbers in every run: a mutant is known by its number.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap_or(0)
    }

    fn one_of<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of.get(self.below(of.len())).copied().unwrap_or_default()
    }
}

/// What an attacker would put between two tags: a parser takes most of it.
const BETWEEN: &[&str] = &[
    "<Body/>",
    "<soap:Body/>",
    "<SOAP-ENV:Body/>",
    "<soap:Header/>",
    "<Body xmlns='http://schemas.xmlsoap.org/soap/envelope/'/>",
    "<Body xmlns=''/>",
    "<soap:Body><Certify xmlns='http://microsoft.com/DRM/CertificationService'/></soap:Body>",
    "<Body><AcquirePreLicense xmlns='http://microsoft.com/DRM/LicensingService'/></Body>",
    "<AcquirePreLicense xmlns='http://microsoft.com/DRM/LicensingService'/>",
    "<p:Certify xmlns:p='http://microsoft.com/DRM/CertificationService'/>",
    "<Envelope/>",
    "<x/>",
    "<x a='>' b=\"'/>\"/>",
    "<x a='/>'><y/></x>",
    "<!-- <soap:Body><Certify/></soap:Body> -->",
    "<!---->",
    "<!--->-->",
    "<![CDATA[</soap:Body><soap:Body>]]>",
    "<![CDATA[]]>",
    "<?x <soap:Body> ?>",
    " ",
    "\r\n\t",
    "&#32;",
    "&#60;x&#62;",
    "&amp;",
    "text",
    "\u{85}",
    "\u{a0}",
    "\u{feff}",
];
/// What he would put at the end of a tag.
const INSIDE: &[&str] = &[
    " xmlns='http://microsoft.com/DRM/CertificationService'",
    " xmlns='http://microsoft.com/DRM/LicensingService'",
    " xmlns='http://schemas.xmlsoap.org/soap/envelope/'",
    " xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'",
    " xmlns:soap='http://www.w3.org/2003/05/soap-envelope'",
    " xmlns:SOAP-ENV='http://microsoft.com/DRM/LicensingService'",
    " xmlns:p='http://microsoft.com/DRM/LicensingService'",
    " xmlns=''",
    " a='></soap:Body>'",
    " a = \"/\"",
    " p:a='1'",
    "\n",
    "/",
];
/// What is half of something.
const HALVES: &[&str] = &[
    "<",
    ">",
    "/>",
    "'",
    "\"",
    "=",
    "&",
    "&e;",
    "<!--",
    "-->",
    "--!>",
    "<![CDATA[",
    "]]>",
    "<?x",
    "?>",
    "<soap:Body>",
    "</soap:Body>",
    "<Body>",
    "</Body>",
    "</Envelope>",
    "\u{0}",
    "<!DOCTYPE x [<!ENTITY e '<y/>'>]>",
    "<?xml version='1.0'?>",
];
/// One word for another wherever it stands.
const WORDS: &[[&str; 2]] = &[
    ["AcquireLicense", "AcquirePreLicense"],
    ["GetClientLicensorCert", "AcquireIssuanceLicense"],
    ["AcquireTemplates", "AcquireTemplateInformation"],
    ["LicensingService", "CertificationService"],
    ["Body", "Bod&#121;"],
    ["soap:", "s:"],
    ["xmlns:soap=", "xmlns:SOAP-ENV="],
    ["Header", "Body"],
    ["<Body", "<b:Body xmlns:b='http://schemas.xmlsoap.org/soap/envelope/'"],
];

/// A message with a change or two. Most are near the outermost elements, at both ends.
fn mutant(message: &Message, numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = message.body();
    for _ in 0..=numbers.below(3) / 2 {
        let kind = numbers.below(10);
        let wanted = if matches!(kind, 6 | 7) { b'>' } else { *b"<>".get(numbers.below(2)).unwrap_or(&b'<') };
        let edges = bytes.iter().enumerate().filter(|(_, byte)| **byte == wanted);
        let edges: Vec<usize> = edges.map(|(at, _)| at).collect();
        let near = edges.len().min(8);
        let edge = match numbers.below(3) {
            0 => edges.get(numbers.below(near)),
            1 => edges.iter().rev().nth(numbers.below(near)),
            _ => edges.get(numbers.below(edges.len())),
        };
        let Some(edge) = edge.copied() else { continue };
        let between = edge + usize::from(wanted == b'>');
        match kind {
            0..=5 => drop(bytes.splice(between..between, numbers.one_of(BETWEEN).bytes())),
            6 | 7 => drop(bytes.splice(edge..edge, numbers.one_of(INSIDE).bytes())),
            8 => {
                let [from, to] = WORDS.get(numbers.below(WORDS.len())).copied().unwrap_or_default();
                bytes = String::from_utf8_lossy(&bytes).replace(from, to).into();
            }
            _ => drop(bytes.splice(edge..edge + numbers.below(2), numbers.one_of(HALVES).bytes())),
        }
    }
    bytes
}

/// How a caller may say what his message is, and how he may not: ASP.NET takes parameters apart at every semicolon and
/// by the beginning of a name, and reads other charsets.
const CONTENT_TYPES: &[&str] = &[
    "text/xml",
    "text/xml; charset=utf-8",
    "Text/XML;charset=\"UTF-8\"",
    "application/soap+xml; charset=utf-8",
    "text/xml; charset=utf-7",
    "text/xml; x=\"; charset=utf-7\"",
    "text/xml; charset =utf-7",
    "text/xml; charsetx=utf-7; charset=utf-8",
    "text/xml; charset=\"utf-8; charset=utf-7\"",
    "text/xml ;charset=utf-16",
    "application/soap+xml; actionx=\"http://microsoft.com/DRM/LicensingService/AcquirePreLicense\"",
    "application/soap+xml; action=\"http://microsoft.com/DRM/LicensingService/AcquirePreLicense\"",
    "application/soap+xml; action=\"x;action=http://microsoft.com/DRM/LicensingService/AcquirePreLicense\"",
];
const ACTIONS: &[&str] = &[
    "http://microsoft.com/DRM/LicensingService/AcquirePreLicense",
    "\"http://microsoft.com/DRM/LicensingService/AcquireLicense\"",
    "\"http://microsoft.com/DRM/LicensingService/AcquireLicense\";x",
    "%22http://microsoft.com/DRM/LicensingService/AcquirePreLicense%22",
    "\"\"",
];

/// Changes one of the headers that say what a message is, at times.
fn with_headers(request: Request, numbers: &mut Numbers) -> Request {
    match numbers.below(6) {
        0 => request.with("Content-Type", numbers.one_of(CONTENT_TYPES)),
        1 => request.with("SOAPAction", numbers.one_of(ACTIONS)),
        _ => request,
    }
}

/// A comment at the end of the operation, which makes it longer than what is kept of a request.
fn lengthened(bytes: &mut Vec<u8>) {
    let ends: Vec<usize> =
        bytes.windows(2).enumerate().filter(|(_, it)| *it == b"</").map(|(at, _)| at).collect();
    let Some(end) = ends.iter().rev().nth(2).copied() else { return };
    drop(bytes.splice(end..end, format!("<!-- {} -->", "x".repeat(LONG_BYTES)).into_bytes()));
}

/// Sends a request in chunks, of which the last ones are as short as may be.
fn call_chunked(session: &mut Session, request: &Request) -> std::io::Result<Answer> {
    let connection = session.begin(request, "Transfer-Encoding: chunked")?;
    let short = request.body.len().saturating_sub(400);
    let (long, short) = request.body.split_at(short);
    for chunk in long.chunks(65_537).chain(short.chunks(7)) {
        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        // A refusal may come before all is sent.
        if connection.send(&chunk).is_err() {
            break;
        }
    }
    let _ = connection.send(b"0\r\n\r\n");
    connection.answer(false)
}

/// A cluster, so that most of them cross a hop.
#[test]
fn lxml_reads_no_other_operation_than_was_relayed() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let mut session = Session::open(node.front(), &account).unwrap();
    let messages: Vec<&Message> =
        soap::ALL.iter().filter(|message| !message.operation.starts_with("Find")).collect();
    let mut numbers = Numbers(number_of("RMSC_MUTANTS_SEED", 5));
    let (mut lines, mut long) = (String::new(), 0);
    for number in 0..number_of("RMSC_MUTANTS", MUTANTS) {
        let is_long = number % LONG_EVERY == 0;
        let message = if is_long { &ACQUIRE_LICENSE } else { messages[numbers.below(messages.len())] };
        let mut body = mutant(message, &mut numbers);
        if is_long {
            lengthened(&mut body);
        }
        let request = with_headers(Request::soap_with_body(message, body.clone()), &mut numbers);
        let call = |session: &mut Session| match is_long {
            true => call_chunked(session, &request),
            false => session.call(&request),
        };
        let answer = call(&mut session).unwrap_or_else(|_| {
            session = Session::open(node.front(), &account).unwrap();
            call(&mut session).unwrap()
        });
        let arrived = cluster.arrived(&answer);
        let relayed = if arrived.times > 0 { message.tag() } else { String::new() };
        long += u64::from(is_long && arrived.times > 0);
        let of = |text: Option<String>| STANDARD.encode(text.unwrap_or_default());
        let (content_type, action) = (of(arrived.content_type), of(arrived.soap_action));
        writeln!(lines, "{relayed} {content_type} {action} {}", STANDARD.encode(body)).unwrap();
    }
    let dir = NewDir::made();
    let file = dir.path().join("messages");
    fs::write(&file, lines).unwrap();
    let readings: Readings = python("readings.py", &[&file.display().to_string()]);
    assert!(readings.wrong.is_empty(), "{} wrong: {:#?}", readings.wrong.len(), readings.wrong);
    // Neither all were refused, nor did all stay what they were.
    assert!(readings.relayed > 300 && readings.read > 300 && long > 2, "{readings:?}, {long} long ones");
}

const LONG_EVERY: u64 = 40;
const LONG_BYTES: usize = 1_100_000;
