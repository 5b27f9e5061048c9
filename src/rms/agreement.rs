//! Whether path, content type, action and body of a request name the same operation. A request
//! that says two things is refused: whoever reads the other one would do something else.

use super::SoapVersion;
use super::envelope::Inspected;
use super::malformed::{Malformed, shorten};
use super::pipeline::Endpoint;

/// The `Content-Type` of a SOAP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// The version that the media type belongs to.
    pub soap: SoapVersion,
    /// The `action` parameter ([SOAP 1.2] part 2, appendix A).
    pub action: Option<String>,
}

/// A content type that is not SOAP in UTF-8, or says more than that: to be answered with 415.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the content type is {found:?}; text/xml or application/soap+xml in UTF-8 is understood, with charset and action \
     and nothing else"
)]
pub struct UnsupportedContentType {
    found: String,
}

/// Reads the value of `Content-Type`. Services take it apart in other ways (at every semicolon, by the beginning of a
/// name), so a parameter that nobody needs is refused: one of them could read another charset out of it.
///
/// # Errors
/// [`UnsupportedContentType`] for any other media type, charset or parameter, and for none.
pub fn content_type(value: Option<&str>) -> Result<ContentType, UnsupportedContentType> {
    let value = value.unwrap_or_default();
    let unsupported = || UnsupportedContentType { found: shorten(value) };
    let mut parts = split_outside_quotes(value).into_iter();
    let media_type = parts.next().unwrap_or_default().trim();
    let soap = [SoapVersion::V1_1, SoapVersion::V1_2]
        .into_iter()
        .find(|soap| media_type.eq_ignore_ascii_case(soap.media_type()))
        .ok_or_else(unsupported)?;
    let (mut action, mut charset) = (None, None);
    for parameter in parts.map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(unsupported)?;
        let value = unquote(value);
        let seen_before = match name.to_ascii_lowercase().as_str() {
            "charset" if value.eq_ignore_ascii_case("utf-8") => charset.replace(()).is_some(),
            "action" => action.replace(value.to_owned()).is_some(),
            _ => true,
        };
        if seen_before {
            return Err(unsupported());
        }
    }
    Ok(ContentType { soap, action })
}

/// What a service is told about an inspected envelope: `Content-Type`, and `SOAPAction` or nothing. It is written anew,
/// so that no service can find something in it that was not looked at.
#[must_use]
pub fn headers_of(inspected: &Inspected) -> (String, String) {
    let (soap, action) = (inspected.soap, inspected.operation.action(inspected.namespace));
    match soap {
        SoapVersion::V1_1 => (soap.content_type().to_owned(), format!("\"{action}\"")),
        SoapVersion::V1_2 => (format!("{}; action=\"{action}\"", soap.content_type()), String::new()),
    }
}

/// Checks that an inspected envelope belongs to the path and headers it came with.
/// `soap_action` is the value of that header, quoted or not. SOAP 1.1 must have it; SOAP 1.2
/// may have none, and may have its action in the content type.
///
/// # Errors
/// The first disagreement.
pub fn check_agreement(
    endpoint: Endpoint,
    soap_action: Option<&str>,
    content_type: &ContentType,
    inspected: &Inspected,
) -> Result<(), Malformed> {
    let operation = inspected.operation;
    if !operation.endpoints().contains(&endpoint) {
        return Err(Malformed::WrongEndpoint { operation: operation.name(), path: endpoint.path() });
    }
    if content_type.soap != inspected.soap {
        return Err(Malformed::WrongVersion { media_type: content_type.soap.media_type() });
    }
    let header = soap_action.map(unquote).filter(|action| !action.is_empty());
    if header.is_none() && inspected.soap == SoapVersion::V1_1 {
        return Err(Malformed::NoAction);
    }
    let expected = operation.action(inspected.namespace);
    for action in header.into_iter().chain(content_type.action.as_deref()) {
        if action != expected {
            return Err(Malformed::WrongAction { action: shorten(action), expected });
        }
    }
    Ok(())
}

/// Parameters are separated by semicolons; one inside quotes belongs to the value.
fn split_outside_quotes(value: &str) -> Vec<&str> {
    let mut quoted = false;
    value
        .split(|c| {
            quoted ^= c == '"';
            c == ';' && !quoted
        })
        .collect()
}

fn unquote(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::super::operation::{Operation, namespace};
    use super::*;

    const LICENSE: Inspected = Inspected {
        soap: SoapVersion::V1_1,
        operation: Operation::AcquireLicense,
        namespace: namespace::LICENSING,
    };
    const ACTION: &str = "http://microsoft.com/DRM/LicensingService/AcquireLicense";

    fn text_xml() -> ContentType {
        content_type(Some("text/xml; charset=utf-8")).unwrap()
    }

    #[test]
    fn takes_the_content_types_of_clients() {
        for value in ["text/xml", "text/xml; charset=utf-8", "Text/XML;charset=\"UTF-8\"", "text/xml;"] {
            assert_eq!(content_type(Some(value)), Ok(ContentType { soap: SoapVersion::V1_1, action: None }));
        }
        let value = format!("application/soap+xml; charset=utf-8; action=\"{ACTION};x\"");
        assert_eq!(
            content_type(Some(&value)),
            Ok(ContentType { soap: SoapVersion::V1_2, action: Some(format!("{ACTION};x")) })
        );
    }

    #[test]
    fn refuses_other_content_types() {
        for value in [
            "",
            "text/plain",
            "application/xml",
            "text/xml2",
            "text/xml, application/soap+xml",
            "text/xml; charset=utf-16",
            "text/xml; charset=utf-8; charset=utf-7",
            "text/xml; charset",
            "application/soap+xml; action=a; action=b",
            "multipart/related; type=\"text/xml\"",
            // What ASP.NET reads as UTF-7, and as an action: it knows no quotes, and looks at how a name begins.
            "text/xml; x=\"; charset=utf-7\"",
            "text/xml; charset =utf-7",
            "text/xml; charsetx=utf-7; charset=utf-8",
            "application/soap+xml; actionx=\"a\"",
            "application/soap+xml; x=\";action=a\"; action=\"b\"",
            "text/xml; charset=utf-8; charset=utf-8",
            "text/xml; boundary=x",
        ] {
            assert!(content_type(Some(value)).is_err(), "{value}");
        }
        let error = content_type(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the content type is \"\"; text/xml or application/soap+xml in UTF-8 is understood, with charset and action \
             and nothing else"
        );
    }

    #[test]
    fn what_the_service_is_told_is_what_was_read() {
        let (content_type, soap_action) = headers_of(&LICENSE);
        assert_eq!(content_type, "text/xml; charset=utf-8");
        assert_eq!(soap_action, format!("\"{ACTION}\""));
        let (content_type, soap_action) = headers_of(&Inspected { soap: SoapVersion::V1_2, ..LICENSE });
        assert_eq!(content_type, format!("application/soap+xml; charset=utf-8; action=\"{ACTION}\""));
        assert_eq!(soap_action, "");
    }

    #[test]
    fn agrees_with_path_and_action() {
        for action in [ACTION.to_owned(), format!("\"{ACTION}\""), format!(" \"{ACTION}\" ")] {
            assert_eq!(check_agreement(Endpoint::License, Some(&action), &text_xml(), &LICENSE), Ok(()));
        }
    }

    #[test]
    fn the_other_version_may_have_no_action_or_have_it_in_the_content_type() {
        let license = Inspected { soap: SoapVersion::V1_2, ..LICENSE };
        let check = |value: &str, header: Option<&str>| {
            check_agreement(Endpoint::License, header, &content_type(Some(value)).unwrap(), &license)
        };
        assert_eq!(check("application/soap+xml", None), Ok(()));
        assert_eq!(check("application/soap+xml", Some("\"\"")), Ok(()));
        assert_eq!(check(&format!("application/soap+xml; action=\"{ACTION}\""), None), Ok(()));
        assert!(matches!(check("application/soap+xml; action=x", None), Err(Malformed::WrongAction { .. })));
        assert!(matches!(
            check(&format!("application/soap+xml; action=\"{ACTION}\""), Some("x")),
            Err(Malformed::WrongAction { .. })
        ));
        assert_eq!(check("text/xml", None), Err(Malformed::WrongVersion { media_type: "text/xml" }));
    }

    #[test]
    fn refuses_what_disagrees() {
        let check = |endpoint, action| check_agreement(endpoint, action, &text_xml(), &LICENSE).unwrap_err();
        assert_eq!(
            check(Endpoint::Publish, Some(ACTION)).to_string(),
            "AcquireLicense is not an operation of /_wmcs/licensing/publish.asmx"
        );
        assert_eq!(check(Endpoint::License, None), Malformed::NoAction);
        assert_eq!(check(Endpoint::License, Some("\"\"")), Malformed::NoAction);
        assert_eq!(
            check(Endpoint::License, Some("\"http://microsoft.com/DRM/LicensingService/AcquirePreLicense\""))
                .to_string(),
            "the request's action is \"http://microsoft.com/DRM/LicensingService/AcquirePreLicense\", \
             but its body asks for \"http://microsoft.com/DRM/LicensingService/AcquireLicense\""
        );
        assert!(matches!(
            check(Endpoint::License, Some(&ACTION.to_lowercase())),
            Malformed::WrongAction { .. }
        ));
    }

    #[test]
    fn the_action_is_in_the_namespace_of_the_body() {
        let inspected = Inspected {
            soap: SoapVersion::V1_1,
            operation: Operation::FindServiceLocationsForUser,
            namespace: namespace::SERVER,
        };
        let check = |action: &str| {
            check_agreement(Endpoint::LicensingServiceLocator, Some(action), &text_xml(), &inspected)
        };
        assert_eq!(check("http://microsoft.com/DRM/ServerService/FindServiceLocationsForUser"), Ok(()));
        assert!(check("http://microsoft.com/DRM/ServiceLocatorService/FindServiceLocationsForUser").is_err());
    }
}
