//! Requests at their limits, in one piece and byte by byte, and what could be read in two ways.

mod cost;

use super::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The verdict on a message, which must be the same in whatever pieces it comes.
#[track_caller]
fn verdict(message: &str) -> Result<usize, Malformed> {
    let read = |piece: usize| {
        let mut passing = Passing::default();
        for bytes in message.as_bytes().chunks(piece) {
            passing.read(bytes)?;
        }
        passing.finish()?;
        Ok(passing.recipients())
    };
    let whole = read(message.len().max(1));
    for piece in [1, 2, 3, 7, 64, 1_000] {
        let pieces = read(piece);
        match (&whole, &pieces) {
            // What is too long is seen before its end.
            (Err(Malformed::NotWellFormed { .. }), Err(_)) => {}
            _ => assert_eq!(pieces, whole, "in pieces of {piece}"),
        }
    }
    whole
}

#[track_caller]
fn check_refused(message: &str, words: &str) {
    match verdict(message) {
        Ok(_) => panic!("taken: {}", message.chars().take(300).collect::<String>()),
        Err(malformed) => assert!(malformed.to_string().contains(words), "{malformed}"),
    }
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"soap\"><s:Header/><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn license(params: &str) -> String {
    envelope(&format!(
        "<AcquireLicense xmlns=\"l\"><RequestParams><AcquireLicenseParams>{params}</AcquireLicenseParams>\
         </RequestParams></AcquireLicense>"
    ))
}

fn list(name: &str, items: &str) -> String {
    format!("<{name} soapenc:arrayType='Certificate[2]'>{items}</{name}>")
}

fn certificate(bytes: usize) -> String {
    format!("<Certificate>{}</Certificate>", "x".repeat(bytes))
}

#[test]
fn takes_the_largest_that_is_allowed_and_not_a_byte_more() {
    for (name, bytes_max) in [("LicenseeCerts", 30_720), ("n:LicenseeCerts", 30_720)] {
        assert_eq!(verdict(&license(&list(name, &certificate(bytes_max)))), Ok(0), "{name}");
        let over = license(&list(name, &certificate(bytes_max + 1)));
        check_refused(&over, "a longer certificate in LicenseeCerts than 30720 bytes");
    }
    let nested =
        |bytes: usize| list("LicenseeCerts", &format!("<Certificate><a b='>'/>{}", "y".repeat(bytes)));
    let nested = |bytes: usize| license(&nested(bytes).replace("</Lic", "</Certificate></Lic"));
    let markup = "<a b='>'/>".len();
    assert_eq!(verdict(&nested(30_720 - markup)), Ok(0));
    check_refused(&nested(30_720 - markup + 1), "30720 bytes");
    let data =
        |bytes: usize| license(&format!("<ApplicationData>{}</ApplicationData>", "<b/>".repeat(bytes / 4)));
    assert_eq!(verdict(&data(102_400)), Ok(0));
    check_refused(&data(102_404), "a longer ApplicationData than 102400 bytes");
}

#[test]
fn a_license_may_have_eight_mebibytes() {
    let license = |bytes| license(&format!("<IssuanceLicense>{}</IssuanceLicense>", certificate(bytes)));
    let mut passing = Passing::default();
    assert_eq!(passing.read(license((8 << 20) - 27).as_bytes()), Ok(()));
    assert_eq!(passing.finish(), Ok(()));
    let over = Passing::default().read(license((8 << 20) - 26).as_bytes());
    assert_eq!(over, Err(Malformed::TooLong { bytes_max: 8 << 20, what: "IssuanceLicense" }));
}

#[test]
fn what_is_too_long_is_refused_before_its_end() {
    let text = license("<ApplicationData>");
    let text = &text[..text.find("<ApplicationData>").unwrap() + "<ApplicationData>".len()];
    let mut passing = Passing::default();
    passing.read(text.as_bytes()).unwrap();
    assert_eq!(passing.read("<a>".repeat(100).as_bytes()), Ok(()));
    assert!(matches!(passing.read(&[b'x'; 102_400]), Err(Malformed::TooLong { .. })));
}

#[test]
fn counts_certificates_and_recipients() {
    let certificates = |count| license(&list("LicenseeCerts", &certificate(3).repeat(count)));
    assert_eq!(verdict(&certificates(100)), Ok(0));
    check_refused(&certificates(101), "more than 100 certificates in one list");
    let chain = |count, bytes| {
        envelope(&format!(
            "<Certify><requestParams><MachineCertificateChain>{}</MachineCertificateChain></requestParams></Certify>",
            certificate(bytes).repeat(count)
        ))
    };
    assert_eq!(verdict(&chain(2, 31_000)), Ok(0), "the limit of one certificate is that of licensees");
    check_refused(&chain(101, 3), "more than 100 certificates in one list");
    let identities =
        |count: usize| license(&list("LicenseeIdentities", &"<string>a@b</string>".repeat(count)));
    assert_eq!(verdict(&identities(100)), Ok(100));
    check_refused(&identities(101), "more than 100 licensee identities");
}

#[test]
fn knows_whether_more_recipients_may_come() {
    let message = license(&list("LicenseeIdentities", "<string>a</string><string>b</string>"));
    let after = |end: usize| {
        let mut passing = Passing::default();
        passing.read(&message.as_bytes()[..end]).unwrap();
        (passing.recipients(), passing.may_have_more_recipients())
    };
    assert_eq!(after(message.find("<LicenseeIdentities").unwrap()), (0, false));
    assert_eq!(after(message.find("<string>b").unwrap()), (1, true));
    assert_eq!(after(message.find("</LicenseeIdentities>").unwrap() + 21), (2, false));
}

#[test]
fn what_is_too_long_is_seen_inside_whatever_it_is() {
    for begin in ["<![CDATA[", "<!-- ", "<a b='", "<a b=\"", "<a/><a><b c='"] {
        let message = license(&format!("<ApplicationData>{begin}{}", "x".repeat(1 << 20)));
        let mut passing = Passing::default();
        let mut pieces = message.as_bytes().chunks(4_096);
        let read = pieces.position(|piece| passing.read(piece).is_err()).expect("it is far over the limit");
        assert!((25..28).contains(&read), "{begin}: {read}");
    }
    // The tag itself is no content of its element.
    let attribute = "x".repeat(110_000);
    assert_eq!(verdict(&license(&format!("<ApplicationData a='{attribute}'>x</ApplicationData>"))), Ok(0));
}

#[test]
fn refuses_what_is_no_text() {
    check_refused(&license("\0"), "a character that XML forbids");
    let mut bytes = license("<a>#</a>").into_bytes();
    for byte in &mut bytes {
        if *byte == b'#' {
            *byte = 0xff;
        }
    }
    let mut passing = Passing::default();
    assert!(matches!(passing.read(&bytes), Err(Malformed::NotUtf8 { .. })));
}

#[test]
fn tags_are_where_a_parser_sees_them() {
    for hidden in [
        "<!-- <a> </b> > -->",
        "<!-->-->",
        "<!--->-->",
        "<![CDATA[ </Body> <x> ]] > ]>]]>",
        "<![CDATA[]]>",
        "<a b='></RequestParams>' c=\"'/>\"/>",
        "<a b = '/' >/</a>",
        "<a\n/>",
        "&lt;x&gt;",
        "]]",
        "\u{e9}<é:ü xmlns:é='x'>\u{20ac}</é:ü>",
    ] {
        assert_eq!(verdict(&license(hidden)), Ok(0), "{hidden}");
    }
}

/// What is read by many bytes at once is read as it is byte by byte.
#[test]
fn whatever_it_is_it_is_read_alike_in_whatever_pieces() {
    const PARTS: [&str; 30] = [
        "<a>",
        "</a>",
        "<a/>",
        "<a",
        "/>",
        ">",
        "<",
        "<!--",
        "-->",
        "--",
        "-",
        "<!-->",
        "x",
        " b='",
        "'",
        "\"",
        "/",
        "<![CDATA[",
        "]]>",
        "]",
        ":",
        "<RequestParams>",
        "</q:RequestParams>",
        "<LicenseeIdentities>",
        "<q:LicenseeIdentities a='>'>",
        "<LicenseeCerts/>",
        "<IssuanceLicense>",
        "<ApplicationData>",
        "<Body/>",
        "<?x?>",
    ];
    let (mut rng, mut taken, mut refused) = (SmallRng::seed_from_u64(1), 0, 0);
    for _ in 0..8_000 {
        let parts: String =
            (0..rng.random_range(1..12)).map(|_| PARTS[rng.random_range(0..PARTS.len())]).collect();
        let inside = license(&format!("<ApplicationData><a>{parts}</a></ApplicationData>"));
        let body = license("").replace("<s:Body>", &format!("<s:Body>{parts}"));
        let operation = license("").replace("<RequestParams>", &format!("{parts}<RequestParams>"));
        let identities = license(&format!("<LicenseeIdentities>{parts}</LicenseeIdentities>"));
        for message in [inside, license(&parts), body, operation, identities] {
            match verdict(&message) {
                Ok(recipients) => {
                    taken += 1;
                    assert!(recipients == 0 || Passing::may_have_recipients(message.as_bytes()), "{message}");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} {refused}");
}

#[test]
fn an_empty_element_is_as_deep_as_any() {
    let nested = |inner: &str| {
        // Envelope, Body, the operation, its parameters, an item, and this.
        let (begin, end) = ("<a>".repeat(DEPTH_MAX - 5), "</a>".repeat(DEPTH_MAX - 5));
        license(&format!("{begin}{inner}{end}"))
    };
    assert_eq!(verdict(&nested("x")), Ok(0));
    check_refused(&nested("<a/>"), "more than 256 elements inside one another");
}

#[test]
fn refuses_a_second_reading() {
    let good = license("");
    for (from, to, words) in [
        ("</s:Body>", "</s:Body><s:Body/>", "\"Body\" in its Envelope"),
        ("</s:Body>", "</s:Body><!-- --><s:Header/>", "\"Header\" in its Envelope"),
        ("</s:Body>", "<x/></s:Body>", "\"x\" in its Body"),
        ("</s:Body>", "<AcquirePreLicense/></s:Body>", "\"AcquirePreLicense\" in its Body"),
        ("</s:Envelope>", "</s:Envelope><s:Envelope/>", "a second document element"),
        ("</s:Envelope>", "</s:Envelope></s:Envelope>", "an end tag without its start"),
        ("<RequestParams>", "<RequestParams><!DOCTYPE a>", "DOCTYPE"),
        ("<RequestParams>", "<RequestParams><!doctype a>", "DOCTYPE"),
        ("<RequestParams>", "<RequestParams><!ENTITY a 'b'>", "neither comment nor CDATA"),
        ("<RequestParams>", "<RequestParams><!-x>", "neither comment nor CDATA"),
        ("<RequestParams>", "<RequestParams><![CDA[]]>", "neither comment nor CDATA"),
        ("<RequestParams>", "<RequestParams><?php x?>", "processing instruction \"php\""),
        ("</s:Envelope>", "", "ends before"),
        ("</s:Envelope>", "</s:Envelope><!-- ", "ends before"),
    ] {
        check_refused(&good.replace(from, to), words);
    }
    check_refused("", "ends before");
    let deep = license(&"<a>".repeat(300));
    check_refused(&deep, "more than 256 elements inside one another");
}
