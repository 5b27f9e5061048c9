//! Whether an answer that is whole is the one to the question. A device in the way can cut an answer where its length
//! does not tell, or quote the question; neither may be kept for days.

use crate::rms::Operation;
use crate::rms::document::{Document, LIMITS};
use crate::rms::envelope::Inspected;
use http::StatusCode;

/// Checks an answer of this status, from its first byte to its last.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(asked: &Inspected, status: StatusCode, message: &[u8]) -> Result<(), String> {
    let document = Document::parse(message, &LIMITS).map_err(|error| error.to_string())?;
    let root = document.root();
    if (root.namespace(), root.name()) != (asked.soap.namespace(), "Envelope") {
        return Err(format!("it is {:?} and no envelope of the question's SOAP", root.name()));
    }
    let body = root.children().find(|child| (child.namespace(), child.name()) == (root.namespace(), "Body"));
    let mut content = body.ok_or("it has no body")?.children();
    let first = content.next().ok_or("its body is empty")?;
    if content.next().is_some() {
        return Err("its body has more than one element".into());
    }
    let is_fault = (first.namespace(), first.name()) == (root.namespace(), "Fault");
    if status != StatusCode::OK {
        return if is_fault { Ok(()) } else { Err(format!("its status is {status}, and it is no fault")) };
    }
    let name = asked.operation.name();
    if (first.namespace(), first.name()) != (asked.namespace, &*format!("{name}Response")) {
        return Err(format!("it has {:?} in the place of {name}Response", first.name()));
    }
    // Exchange decides by it for as long as its process lives.
    if asked.operation == Operation::GetServerInfo && first.child("GetServerInfoResult").is_none() {
        return Err("it has no result".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rms::{SoapVersion, envelope_around, fault, namespace};

    const RESPONSE: &str = "<GetServerInfoResponse xmlns=\"http://microsoft.com/DRM/ServerService\">\
        <GetServerInfoResult><ServerInfo/></GetServerInfoResult></GetServerInfoResponse>";

    fn asked(operation: Operation) -> Inspected {
        Inspected { soap: SoapVersion::V1_1, operation, namespace: namespace::SERVER }
    }

    fn is_good(status: u16, message: &[u8]) -> bool {
        check(&asked(Operation::GetServerInfo), StatusCode::from_u16(status).unwrap(), message).is_ok()
    }

    #[test]
    fn only_the_whole_answer_to_the_question_is_one() {
        let good = envelope_around(SoapVersion::V1_1, "<h xmlns=\"x\"/>", RESPONSE);
        assert!(is_good(200, &good) && is_good(200, &[&good[..], b"\r\n"].concat()));
        for end in 0..good.len() {
            assert!(!is_good(200, &good[..end]), "{end}");
        }
        assert!(!is_good(200, &[&good[..], b"<p/>"].concat()) && !is_good(500, &good));
        assert!(check(&asked(Operation::GetLicensorCertificate), StatusCode::OK, &good).is_err());
        let fault = fault::unauthorized(SoapVersion::V1_1, "no");
        assert!(is_good(500, &fault) && !is_good(200, &fault));
        for other in [
            envelope_around(SoapVersion::V1_2, "", RESPONSE),
            envelope_around(SoapVersion::V1_1, "", ""),
            envelope_around(SoapVersion::V1_1, "", &RESPONSE.repeat(2)),
            envelope_around(SoapVersion::V1_1, "", &RESPONSE.replace("Result>", "Nothing>")),
            envelope_around(SoapVersion::V1_1, "", &RESPONSE.replace("ServerService", "Other")),
            envelope_around(SoapVersion::V1_1, "", &format!("<echo>{RESPONSE}</echo>")),
            RESPONSE.as_bytes().to_vec(),
            b"<html><body>GetServerInfoResponse</body></html>".to_vec(),
        ] {
            assert!(!is_good(200, &other), "{}", String::from_utf8_lossy(&other));
        }
    }
}
