//! Which operation a message is: mutants of real requests are sent, and what was relayed of them is read again by
//! lxml, which knows nothing of us. Where it reads another operation, somebody could get what he may not.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::http::{Request, Session};
use crate::support::program::{number_of, python};
use crate::support::soap::{self, Message};
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

#[test]
fn lxml_reads_no_other_operation_than_was_relayed() {
    let cluster = TestCluster::alone(1);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let mut session = Session::open(node.front(), &account).unwrap();
    let messages: Vec<&Message> =
        soap::ALL.iter().filter(|message| !message.operation.starts_with("Find")).collect();
    let mut numbers = Numbers(number_of("RMSC_MUTANTS_SEED", 5));
    let mut lines = String::new();
    for _ in 0..number_of("RMSC_MUTANTS", MUTANTS) {
        let message = messages[numbers.below(messages.len())];
        let body = mutant(message, &mut numbers);
        let request = Request::soap_with_body(message, body.clone());
        let answer = session.call(&request).unwrap_or_else(|_| {
            session = Session::open(node.front(), &account).unwrap();
            session.call(&request).unwrap()
        });
        let relayed = if cluster.arrived(&answer).times > 0 { message.tag() } else { String::new() };
        writeln!(lines, "{relayed} {}", STANDARD.encode(body)).unwrap();
    }
    let dir = NewDir::made();
    let file = dir.path().join("messages");
    fs::write(&file, lines).unwrap();
    let readings: Readings = python("readings.py", &[&file.display().to_string()]);
    assert!(readings.wrong.is_empty(), "{} wrong: {:#?}", readings.wrong.len(), readings.wrong);
    // Neither all were refused, nor did all stay what they were.
    assert!(readings.relayed > 300 && readings.read > 300, "{readings:?}");
}
