//! The envelopes of real clients, and those of attackers.

use super::*;
use crate::rms::namespace;

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// Where the text of a header is.
const HEADER_TEXT: usize = "<s:Envelope xmlns:s=\"\">".len() + SOAP.len() + "<s:Header>".len();
const REQUEST: &str = "<AcquireLicense xmlns=\"http://microsoft.com/DRM/LicensingService\">";

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests/", $name, ".xml"))
    };
}

const GOLDEN: &[(&[u8], Operation, &str)] = &[
    (golden!("exchange_get_server_info"), Operation::GetServerInfo, namespace::SERVER),
    (golden!("exchange_certify"), Operation::Certify, namespace::CERTIFICATION),
    (golden!("exchange_get_client_licensor_cert"), Operation::GetClientLicensorCert, namespace::PUBLISHING),
    (golden!("exchange_acquire_license"), Operation::AcquireLicense, namespace::LICENSING),
    (golden!("exchange_acquire_pre_license"), Operation::AcquirePreLicense, namespace::LICENSING),
    (
        golden!("exchange_acquire_template_information"),
        Operation::AcquireTemplateInformation,
        namespace::TEMPLATE_DISTRIBUTION,
    ),
    (golden!("exchange_acquire_templates"), Operation::AcquireTemplates, namespace::TEMPLATE_DISTRIBUTION),
    (golden!("exchange_find_service_locations"), Operation::FindServiceLocations, namespace::SERVER),
    (golden!("msipc_certify"), Operation::Certify, namespace::CERTIFICATION),
    (golden!("msipc_acquire_license"), Operation::AcquireLicense, namespace::LICENSING),
    (
        golden!("msipc_find_service_locations_for_user"),
        Operation::FindServiceLocationsForUser,
        namespace::SERVICE_LOCATOR,
    ),
    (
        golden!("msdrm_find_service_locations_for_user"),
        Operation::FindServiceLocationsForUser,
        namespace::SERVER,
    ),
    (golden!("msdrm_get_licensor_certificate"), Operation::GetLicensorCertificate, namespace::SERVER),
    (golden!("msdrm_acquire_issuance_license"), Operation::AcquireIssuanceLicense, namespace::PUBLISHING),
];

fn envelope(header: &str, body: &str) -> String {
    format!("<s:Envelope xmlns:s=\"{SOAP}\">{header}<s:Body>{body}</s:Body></s:Envelope>")
}

/// The verdict on a message, which must be the same at whatever byte it was cut: first more bytes
/// are asked for, then the answer stands.
#[track_caller]
fn verdict(message: &[u8]) -> Result<Inspected, Malformed> {
    let whole = inspect(message, true);
    let mut settled = None;
    for bytes in 0..=message.len() {
        let verdict = inspect(&message[..bytes], false);
        match &settled {
            None if verdict != Ok(Inspection::NeedMore) => settled = Some(verdict),
            None => {}
            Some(settled) => assert_eq!(&verdict, settled, "after {bytes} bytes"),
        }
    }
    if let Some(settled) = settled {
        assert_eq!(whole, settled);
    }
    match whole? {
        Inspection::Read(inspected) => Ok(inspected),
        Inspection::NeedMore => panic!("a complete message needs more"),
    }
}

#[track_caller]
fn check_refused(message: impl AsRef<[u8]>, expected: &str) {
    let message = message.as_ref();
    match verdict(message) {
        Ok(inspected) => panic!("read {inspected:?} from {}", String::from_utf8_lossy(message)),
        Err(malformed) => assert_eq!(malformed.to_string(), expected),
    }
}

/// As [`check_refused`], for a message too long to cut at each byte.
#[track_caller]
fn check_refused_whole(message: &str, expected: &str) {
    assert_eq!(inspect(message.as_bytes(), true).unwrap_err().to_string(), expected);
}

#[test]
fn reads_the_envelopes_of_every_client_byte_by_byte() {
    for (message, operation, namespace) in GOLDEN {
        let expected = Inspected { soap: SoapVersion::V1_1, operation: *operation, namespace };
        assert_eq!(verdict(message), Ok(expected), "{operation}");
    }
    assert_eq!(
        verdict(golden!("soap12_acquire_license")),
        Ok(Inspected {
            soap: SoapVersion::V1_2,
            operation: Operation::AcquireLicense,
            namespace: namespace::LICENSING
        })
    );
}

#[test]
fn reads_unusual_but_good_envelopes() {
    let body = format!("<!-- -->\n<![CDATA[ ]]>{REQUEST}");
    for message in [
        envelope("", &body),
        envelope("", &format!("{REQUEST}</AcquireLicense>")),
        envelope("<s:Header/>", REQUEST),
        envelope("<s:Header>text &amp; &#x20AC; <a b='&lt;&#9;' xml:lang='en'/></s:Header>", REQUEST),
        format!("\u{feff}{}", envelope("", REQUEST)),
        format!("<?xml version='1.0' encoding='UTF-8' standalone=\"yes\"?>\n{}", envelope("", REQUEST)),
        format!("<!-- before -->\r\n{}", envelope("", REQUEST)),
        envelope("", "<é:AcquireLicense xmlns:é='http://microsoft.com/DRM/LicensingService'/>"),
        // Nothing behind the operation is looked at.
        envelope("", &format!("{REQUEST}<\u{1}& <!DOCTYPE")),
    ] {
        assert_eq!(
            verdict(message.as_bytes()).map(|i| i.operation),
            Ok(Operation::AcquireLicense),
            "{message}"
        );
    }
}

#[test]
fn asks_for_more_or_says_that_there_is_none() {
    assert_eq!(inspect(b"", false), Ok(Inspection::NeedMore));
    assert_eq!(inspect(b"", true), Err(Malformed::Empty));
    assert_eq!(inspect(b"  ", true), Err(Malformed::Unfinished));
    assert_eq!(inspect(b"<a>\xc3", false), Err(Malformed::NotAnEnvelope { found: "{}a".to_owned() }));
    assert_eq!(inspect(b"<!-- \xc3", false), Ok(Inspection::NeedMore));
    assert_eq!(inspect(b"<!-- \xc3", true), Err(Malformed::NotUtf8 { offset: 5 }));
    let message = envelope("", REQUEST);
    let cut = message.find(REQUEST).unwrap() + REQUEST.len();
    assert_eq!(inspect(&message.as_bytes()[..cut - 1], false), Ok(Inspection::NeedMore));
    assert_eq!(inspect(&message.as_bytes()[..cut - 1], true), Err(Malformed::Unfinished));
    assert!(matches!(inspect(&message.as_bytes()[..cut], false), Ok(Inspection::Read(_))));
}

#[test]
fn reads_no_further_than_its_bound() {
    let header = |bytes: usize| format!("<s:Header>{}</s:Header>", "x".repeat(bytes));
    let base = envelope(&header(0), "").find("</s:Body>").unwrap() + REQUEST.len();
    let fits = envelope(&header(INSPECTED_BYTES_MAX - base), REQUEST);
    assert!(matches!(inspect(fits.as_bytes(), true), Ok(Inspection::Read(_))));
    let too_far = envelope(&header(INSPECTED_BYTES_MAX - base + 1), REQUEST);
    let expected = "the operation does not begin within the first 65536 bytes of the message";
    for complete in [false, true] {
        assert_eq!(inspect(too_far.as_bytes(), complete).unwrap_err().to_string(), expected);
    }
    let cut = &too_far.as_bytes()[..INSPECTED_BYTES_MAX - 1];
    assert_eq!(inspect(cut, false), Ok(Inspection::NeedMore));
}

#[test]
fn refuses_document_types() {
    let doctype = "the message has a DOCTYPE, which SOAP forbids";
    for dtd in [
        "<!DOCTYPE x>",
        "<!DOCTYPE s:Envelope SYSTEM \"http://attacker.example/x.dtd\">",
        "<!DOCTYPE x [<!ENTITY a \"b\"><!ENTITY c \"&a;&a;&a;\">]>",
        "<!DOCTYPE x [<!ENTITY % p SYSTEM 'file:///etc/passwd'> %p;]>",
        "<!doctype x>",
    ] {
        check_refused(format!("{dtd}{}", envelope("", REQUEST)), doctype);
        check_refused(format!("<?xml version='1.0'?>{dtd}{}", envelope("", REQUEST)), doctype);
        check_refused(envelope(dtd, REQUEST), doctype);
    }
    check_refused(format!("<!DOCTYPE x [{}", envelope("", REQUEST)), doctype);
}

#[test]
fn refuses_processing_instructions_and_entities() {
    let stylesheet = "<?xml-stylesheet href='x'?>";
    let expected = "the message has the processing instruction \"xml-stylesheet\", which SOAP forbids";
    check_refused(format!("{stylesheet}{}", envelope("", REQUEST)), expected);
    check_refused(envelope("", &format!("{stylesheet}{REQUEST}")), expected);
    let entity = "the message refers to the entity \"lol9\"; only the five of XML are understood";
    check_refused(envelope("<s:Header>&lol9;</s:Header>", REQUEST), entity);
    check_refused(envelope("<s:Header a='&lol9;'/>", REQUEST), entity);
    let none = |at| format!("the message is not well-formed XML near byte {at}: a reference to no character");
    for reference in ["&#0;", "&#x1F;", "&#xFFFF;", "&#xD800;", "&#x110000;", "&#;", "&#x;"] {
        check_refused(envelope(&format!("<s:Header>{reference}</s:Header>"), REQUEST), &none(HEADER_TEXT));
    }
}

#[test]
fn refuses_other_encodings() {
    for encoding in ["utf-16", "ISO-8859-1", "UTF-7", "ebcdic-cp-us", ""] {
        check_refused(
            format!("<?xml version='1.0' encoding='{encoding}'?>{}", envelope("", REQUEST)),
            &format!("the message is declared as \"{encoding}\"; only UTF-8 is understood"),
        );
    }
    let wide: Vec<u8> = envelope("", REQUEST).encode_utf16().flat_map(u16::to_le_bytes).collect();
    check_refused(&wide, "the message has a character that XML forbids at byte 1");
    let marked = [b"\xff\xfe".to_vec(), wide].concat();
    check_refused(marked, "the message is not UTF-8 at byte 0");
    check_refused(b"\xef\xbb\xbf\xef\xbb\xbf<a/>", "the message has a character that XML forbids at byte 3");
    let header = b"<s:Header>\xe9</s:Header>";
    let message = envelope("@", REQUEST).into_bytes();
    let (before, after) = message.split_at(message.iter().position(|b| *b == b'@').unwrap());
    check_refused(
        [before, header, &after[1..]].concat(),
        &format!("the message is not UTF-8 at byte {HEADER_TEXT}"),
    );
    check_refused(
        envelope("<s:Header>\u{0}</s:Header>", REQUEST),
        &format!("the message has a character that XML forbids at byte {HEADER_TEXT}"),
    );
    // Overlong and surrogate forms hide a "<" from a check that decodes by hand.
    check_refused(
        [before, b"\xc0\xbc", &after[1..]].concat(),
        &format!("the message is not UTF-8 at byte {}", before.len()),
    );
}

#[test]
fn the_declaration_has_one_reading() {
    for declaration in [
        "x=\"encoding='utf-8'\"",
        "encoding='utf-8' encoding='utf-7'",
        "encoding='utf-8' x=''",
        "standalone='yes' encoding='utf-7'",
        "standalone='maybe'",
        "\u{85}encoding='utf-8'",
        "encoding=x'utf-8'",
        "<a/>",
    ] {
        let message = format!("<?xml version='1.0' {declaration}?>{}", envelope("", REQUEST));
        let verdict = verdict(message.as_bytes());
        assert!(matches!(verdict, Err(Malformed::NotWellFormed { .. })), "{declaration}: {verdict:?}");
    }
}

#[test]
fn refuses_more_than_one_reading() {
    let license = "http://microsoft.com/DRM/LicensingService";
    let wrapped = envelope("", &format!("{REQUEST}</AcquireLicense>"));
    let wrapped = format!("<s:Header>{wrapped}</s:Header>");
    check_refused(envelope(&wrapped, "<x/>"), "\"x\" in namespace \"\" is not an operation of this service");
    check_refused(envelope("<s:Body/>", REQUEST), "the Body of the message is empty");
    check_refused(
        envelope(
            &format!("<s:Body>{REQUEST}</AcquireLicense></s:Body>").replace("<s:Body>", "<s:Body> "),
            "",
        )
        .replacen("AcquireLicense", "Other", 1)
        .replacen("/AcquireLicense", "/Other", 1),
        &format!("\"Other\" in namespace \"{license}\" is not an operation of this service"),
    );
    let misplaced = |found: &str| {
        format!(
            "the message has \"{found}\" in its Envelope, where at most one Header and then the Body belongs"
        )
    };
    check_refused(envelope("<s:Header/><s:Header/>", REQUEST), &misplaced("Header"));
    check_refused(envelope("<Header/>", REQUEST), &misplaced("Header"));
    check_refused(envelope("<Body/>", REQUEST), &misplaced("Body"));
    check_refused(envelope("<s:body/>", REQUEST), &misplaced("body"));
    check_refused(envelope("<x/>", REQUEST), &misplaced("x"));
    check_refused(envelope("<s:Envelope/>", REQUEST), &misplaced("Envelope"));
    check_refused(
        envelope(&format!("<t:Body xmlns:t='http://www.w3.org/2003/05/soap-envelope'>{REQUEST}"), ""),
        &misplaced("Body"),
    );
    // A Body inside another element is content of that element.
    check_refused(format!("<s:Envelope xmlns:s='{SOAP}'><x><s:Body>{REQUEST}"), &misplaced("x"));
    check_refused(envelope("text", REQUEST), "the message has text in its Envelope");
    check_refused(envelope("&#120;", REQUEST), "the message has text in its Envelope");
    check_refused(envelope("", &format!("text{REQUEST}")), "the message has text in its Body");
    check_refused(envelope("", &format!("\u{a0}{REQUEST}")), "the message has text in its Body");
    check_refused(
        envelope("", &envelope("", REQUEST)),
        &format!("\"Envelope\" in namespace \"{SOAP}\" is not an operation of this service"),
    );
}

#[test]
fn refuses_what_is_no_envelope() {
    let other = |found: &str| format!("the message is not a SOAP 1.1 or 1.2 envelope but \"{found}\"");
    check_refused("<Envelope/>", &other("{}Envelope"));
    check_refused("<html>", &other("{}html"));
    check_refused(format!("<e xmlns='{SOAP}'/>"), &other(&format!("{{{SOAP}}}e")));
    check_refused("<Envelope xmlns='urn:x'/>", &other("{urn:x}Envelope"));
    let no_body = "the message has \"</Envelope>\" in its Envelope, where a Body belongs";
    check_refused(format!("<Envelope xmlns='{SOAP}'/>"), no_body);
    check_refused(
        envelope("", "<Certify/>"),
        "\"Certify\" in namespace \"\" is not an operation of this service",
    );
    check_refused(
        envelope("", "<AcquireContentKey xmlns='http://microsoft.com/DRM/DecommissionService'/>"),
        "\"AcquireContentKey\" in namespace \"http://microsoft.com/DRM/DecommissionService\" \
         is not an operation of this service",
    );
    check_refused_whole(
        "{\"json\": 1}",
        "the message is not well-formed XML near byte 0: text outside the document element",
    );
}

#[test]
fn refuses_what_is_not_well_formed() {
    for (header, reason) in [
        ("<s:Header><a></b>", "an end tag of another element"),
        ("<s:Header></a>", "an end tag of another element"),
        ("<s:Header><a b>", "an attribute without a value"),
        ("<s:Header><a b=c/>", "an attribute value without quotes"),
        ("<s:Header><a b='1'c='2'/>", "no space before an attribute"),
        ("<s:Header><a b='1' b='2'/>", "an attribute twice"),
        ("<s:Header><a b='<'/>", "\"<\" in an attribute value"),
        ("<s:Header><a b='&'/>", "\"&\" without a reference"),
        ("<s:Header>&</s:Header>", "\"&\" without a reference"),
        ("<!-- -- -->", "\"--\" in a comment"),
        ("<!ENTITY a 'b'>", "\"<!\" with neither comment nor CDATA"),
        ("<s:Header>]]></s:Header>", "\"]]>\" in text"),
        ("<s:Header><1a/>", "a name that is none"),
        ("<s:Header><a<b>", "a name that is none"),
        ("<s:Header><a:b:c/>", "a name that is none"),
        ("<s:Header><:a/>", "a name that is none"),
        ("<s:Header>< a/>", "an attribute without a value"),
        ("<s:Header><p:a/>", "a prefix that is not declared"),
        ("<s:Header><a p:b='1'/>", "a prefix that is not declared"),
        ("<s:Header><a xmlns:p=''/>", "a prefix for no namespace"),
        ("<s:Header><a xmlns:xmlns='u'/>", "a reserved namespace is declared"),
        ("<s:Header><a xmlns:xml='u'/>", "a reserved namespace is declared"),
        ("<s:Header><a xmlns:p='http://www.w3.org/2000/xmlns/'/>", "a reserved namespace is declared"),
        ("<?xml version='1.0'?>", "an XML declaration that is not at the beginning"),
    ] {
        match verdict(envelope(header, REQUEST).as_bytes()) {
            Err(Malformed::NotWellFormed { reason: found, .. }) => assert_eq!(found, reason, "{header}"),
            other => panic!("{header}: {other:?}"),
        }
    }
    for (message, reason) in [
        ("x<a/>".to_owned(), "text outside the document element"),
        (
            format!(" <?xml version='1.0'?>{}", envelope("", REQUEST)),
            "an XML declaration that is not at the beginning",
        ),
        (format!("<?xml version='1.1'?>{}", envelope("", REQUEST)), "another XML version than 1.0"),
        (format!("<?xml encoding='utf-8'?>{}", envelope("", REQUEST)), "an XML declaration without version"),
        (format!("<![CDATA[]]>{}", envelope("", REQUEST)), "text outside the document element"),
        (format!("&lt;{}", envelope("", REQUEST)), "text outside the document element"),
    ] {
        match verdict(message.as_bytes()) {
            Err(Malformed::NotWellFormed { reason: found, .. }) => assert_eq!(found, reason, "{message}"),
            other => panic!("{message}: {other:?}"),
        }
    }
}

#[test]
fn a_namespace_is_what_is_in_scope() {
    // The declaration on a sibling is over when the sibling ends.
    let scoped = format!("<s:Header xmlns:p='{}'/>", namespace::LICENSING);
    check_refused(
        envelope(&scoped, "<p:AcquireLicense/>"),
        &format!(
            "the message is not well-formed XML near byte {}: a prefix that is not declared",
            envelope(&scoped, "<p:AcquireLicense/>").find("/></s:Body").unwrap() + 2
        ),
    );
    // A prefix of SOAP that means something else further in.
    check_refused(
        envelope("", "<s:AcquireLicense xmlns:s='urn:x'/>"),
        "\"AcquireLicense\" in namespace \"urn:x\" is not an operation of this service",
    );
    let rebound = format!("<s:AcquireLicense xmlns:s='{}'/>", namespace::LICENSING);
    assert!(verdict(envelope("", &rebound).as_bytes()).is_ok());
    // A default namespace that is taken back.
    check_refused(
        format!("<Envelope xmlns='{SOAP}'><Body xmlns=''>{REQUEST}"),
        "the message has \"Body\" in its Envelope, where at most one Header and then the Body belongs",
    );
}

#[test]
fn refuses_floods() {
    let deep = envelope(&format!("<s:Header>{}", "<a>".repeat(20_000)), REQUEST);
    check_refused_whole(&deep, "the message has more than 64 elements inside one another");
    let ten_megabytes = "<a>".repeat(4 << 20);
    let deep = "the message has more than 64 elements inside one another";
    check_refused_whole(&envelope(&format!("<s:Header>{ten_megabytes}"), REQUEST), deep);
    let in_body = envelope("", &ten_megabytes);
    check_refused_whole(&in_body, "\"a\" in namespace \"\" is not an operation of this service");
    let attributes: String = (0..5_000).map(|n| format!(" a{n}=''")).collect();
    let many = "the message has more than 64 attributes on one element";
    check_refused_whole(&envelope(&format!("<s:Header{attributes}/>"), REQUEST), many);
    check_refused_whole(&envelope("", &REQUEST.replace('>', &format!("{attributes}>"))), many);
    let declarations: String = (0..33).map(|n| format!(" xmlns:n{n}='u'")).collect();
    check_refused_whole(
        &envelope(&format!("<s:Header{declarations}><a{declarations}/></s:Header>"), REQUEST),
        "the message has more than 64 namespaces",
    );
    let long = "a".repeat(257);
    let name = "the message has a name longer than 256 bytes";
    check_refused_whole(&envelope(&format!("<{long}/>"), REQUEST), name);
    check_refused_whole(&envelope(&format!("<a {long}=''/>"), REQUEST), name);
    check_refused_whole(&envelope(&format!("<a xmlns:{long}='u'/>"), REQUEST), name);
    let comments = "<!---->".repeat(20_000);
    check_refused_whole(
        &envelope(&comments, REQUEST),
        "the operation does not begin within the first 65536 bytes of the message",
    );
}

#[test]
fn takes_as_many_as_the_limits_say() {
    let deep = format!("<s:Header>{}{}</s:Header>", "<a>".repeat(62), "</a>".repeat(62));
    assert!(verdict(envelope(&deep, REQUEST).as_bytes()).is_ok());
    let attributes: String = (0..64).map(|n| format!(" a{n}=''")).collect();
    let header = format!("<s:Header{attributes}/>");
    assert!(inspect(envelope(&header, REQUEST).as_bytes(), true).is_ok());
}

#[test]
fn an_unknown_name_is_shown_short() {
    let namespace = "n".repeat(5_000);
    let message = envelope("", &format!("<x xmlns='{namespace}'/>"));
    let error = inspect(message.as_bytes(), true).unwrap_err().to_string();
    assert!(error.len() < 250, "{error}");
}
