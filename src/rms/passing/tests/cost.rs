//! What it costs to look at a request before it is sent on.
//!
//! `RMSC_INSPECTION_GOALS=1 cargo test --release --lib passing::tests::cost -- --nocapture` measures, on a machine that does
//! nothing else, and fails when a goal is missed; otherwise a few rounds show that it works.

use crate::rms::Endpoint;
use crate::rms::agreement::{check_agreement, content_type};
use crate::rms::envelope::{Inspection, inspect};
use crate::rms::passing::Passing;
use std::hint::black_box;
use std::time::Instant;

const GOLDEN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests/exchange_acquire_license.xml"));
const ACTION: &str = "\"http://microsoft.com/DRM/LicensingService/AcquireLicense\"";

/// A request in the shape of Exchange's, with a publishing license as long as can be.
fn request(bytes: usize) -> String {
    let license = GOLDEN.find("<IssuanceLicense>").unwrap();
    let begin = license + GOLDEN[license..].find("<XrML").unwrap();
    let end = begin + GOLDEN[begin..].find("</XrML>").unwrap() + "</XrML>".len();
    let xrml = &GOLDEN[begin..end];
    let more = bytes.saturating_sub(GOLDEN.len()) / xrml.len();
    let mut request = GOLDEN.to_owned();
    request.insert_str(begin, &xrml.repeat(more));
    request
}

/// All that is done with a request whose bytes are there, as [`Relay`](crate::relay) does it.
fn look_at(bytes: &[u8]) -> usize {
    let content_type = content_type(Some("text/xml; charset=utf-8")).unwrap();
    let beginning = bytes.get(..4 << 10).unwrap_or(bytes);
    let Ok(Inspection::Read(inspected)) = inspect(beginning, beginning.len() == bytes.len()) else {
        panic!("a request of the tests is good")
    };
    check_agreement(Endpoint::License, Some(ACTION), &content_type, &inspected).unwrap();
    let mut passing = Passing::default();
    passing.read(bytes).unwrap();
    passing.finish().unwrap();
    passing.recipients()
}

#[test]
fn looking_at_a_request_costs_little() {
    let measured = std::env::var_os("RMSC_INSPECTION_GOALS").is_some();
    let (rounds, each) = if measured { (201, 50) } else { (3, 2) };
    for (bytes, goal) in [(4 << 10, 15.0), (64 << 10, 60.0)] {
        let request = request(bytes);
        let mut costs: Vec<f64> = (0..rounds)
            .map(|_| {
                let begun = Instant::now();
                for _ in 0..each {
                    black_box(look_at(black_box(request.as_bytes())));
                }
                begun.elapsed().as_secs_f64() * 1e6 / f64::from(each)
            })
            .collect();
        costs.sort_by(f64::total_cmp);
        let at = |share: usize| costs[(costs.len() - 1) * share / 100];
        println!(
            "{:>6} bytes: median {:.1} us (least {:.1}, 95 of 100 at most {:.1}; goal {goal})",
            request.len(),
            at(50),
            at(0),
            at(95)
        );
        assert!(!measured || at(50) <= goal, "{costs:?}");
    }
}

/// Both ways to read, of whatever they take.
fn read_all(bytes: &[u8]) {
    for (looked_at, complete) in [(bytes.get(..4 << 10), false), (Some(bytes), true)] {
        black_box(inspect(looked_at.unwrap_or(bytes), complete).is_ok());
    }
    let mut passing = Passing::default();
    black_box(passing.read(bytes).is_ok());
}

#[test]
fn nothing_in_a_quarter_of_a_mebibyte_costs_5_ms() {
    let measured = std::env::var_os("RMSC_INSPECTION_GOALS").is_some();
    let fill = |item: &str| item.repeat((256 << 10) / item.len());
    for (place, content) in [
        ("<s:Header>", fill("x")),
        ("<s:Header>", fill("<a/>")),
        ("<s:Header>", fill("&amp;")),
        ("<s:Header>", fill("<!---->")),
        ("<s:Header", format!("{}>", fill(" a='x'"))),
        ("<s:Header", format!(" a='{}'>", fill("&lt;"))),
        ("<s:Header>", fill("<a xmlns:b='u:b' xmlns:c='u:c'/>")),
        ("<AcquireLicense>", fill("<a>")),
        ("<AcquireLicense>", fill("<a/>")),
        ("<AcquireLicense>", fill("<a></a>")),
        ("<AcquireLicense>", fill("<a '/")),
        ("<AcquireLicense>", fill("</a <")),
        ("<AcquireLicense>", fill("<a b='/'>/")),
        ("<AcquireLicense>", format!("<!--{}", fill("->"))),
        ("<AcquireLicense>", format!("<![CDATA[{}", fill("]>"))),
        ("<AcquireLicense>", fill("<![CDATA[]]>")),
        ("<AcquireLicense><RequestParams><P><LicenseeCerts>", fill("<Certificate/>")),
    ] {
        let before = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'>";
        let message = match place.strip_prefix("<s:Header") {
            Some(_) => format!("{before}{place}{content}"),
            None => format!("{before}<s:Body>{place}{content}").replace(
                "<AcquireLicense>",
                "<AcquireLicense xmlns='http://microsoft.com/DRM/LicensingService'>",
            ),
        };
        let costs = (0..5).map(|_| {
            let begun = Instant::now();
            read_all(message.as_bytes());
            begun.elapsed()
        });
        let cost = costs.min().unwrap_or_default();
        let shown: String = content.chars().take(20).collect();
        println!("{place} {shown:?}: {cost:?}");
        assert!(!measured || cost.as_millis() < 5, "{cost:?}");
    }
}
