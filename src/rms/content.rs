//! Which content a request is about, as far as its first bytes show: for audit records. Nothing is decided by it,
//! and a caller can write there what it likes.

use super::Operation;
use memchr::memmem;

/// What a request says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The id of the content that the first publishing license in it is for.
    pub content_id: Option<String>,
    /// The id of the first rights account certificate in it.
    pub account_certificate_id: Option<String>,
    /// Whether it asks for more than one license or certificate.
    pub is_batched: bool,
}

impl Content {
    /// Looks at a request as far as it was kept. Ids are found in its first 64 KiB: beyond them are only requests
    /// with certificates of unusual size before the license.
    #[must_use]
    pub fn of(operation: Option<Operation>, message: &[u8]) -> Self {
        let (begin, _) = message.split_at(message.len().min(LOOKED_AT_BYTES));
        Content {
            content_id: after(begin, b"<WORK").and_then(id),
            account_certificate_id: after(begin, b"\"Group-Identity-Credential\"").and_then(id),
            is_batched: operation.and_then(item).is_some_and(|item| has_two(message, item)),
        }
    }
}

/// The element of which a batch has more than one.
fn item(operation: Operation) -> Option<&'static [u8]> {
    match operation {
        Operation::AcquireLicense => Some(b"AcquireLicenseParams"),
        Operation::AcquirePreLicense => Some(b"<string"),
        Operation::GetClientLicensorCert => Some(b"GetClientLicensorCertParams"),
        Operation::AcquireIssuanceLicense => Some(b"AcquireIssuanceLicenseParams"),
        Operation::AcquireTemplates
        | Operation::AcquireTemplateInformation
        | Operation::Certify
        | Operation::GetServerInfo
        | Operation::GetLicensorCertificate
        | Operation::FindServiceLocations
        | Operation::FindServiceLocationsForUser => None,
    }
}

/// Whether more than one element of this name begins.
fn has_two(message: &[u8], name: &[u8]) -> bool {
    let begins = |at: &usize| {
        // An end tag has a slash before its name, or before its prefix.
        let before = message.get(..*at).unwrap_or_default();
        let tag = before.rsplit(|byte| *byte == b'<').next().unwrap_or_default();
        name.starts_with(b"<") || !tag.starts_with(b"/")
    };
    memmem::find_iter(message, name).filter(begins).nth(1).is_some()
}

fn after<'m>(message: &'m [u8], mark: &[u8]) -> Option<&'m [u8]> {
    message.get(memmem::find(message, mark)? + mark.len()..)
}

/// The text of the next `ID`, if it follows soon and is no other thing than an id.
fn id(message: &[u8]) -> Option<String> {
    let near = message.get(..NEAR_BYTES).unwrap_or(message);
    let element = after(near, b"<ID")?;
    let (_, text) = element.split_at(element.iter().position(|byte| *byte == b'>')? + 1);
    let text = text.get(..text.iter().position(|byte| *byte == b'<')?)?.trim_ascii();
    let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"{}-._".contains(byte);
    let good = (1..=ID_BYTES_MAX).contains(&text.len()) && text.iter().all(is_id);
    good.then(|| String::from_utf8_lossy(text).into_owned())
}

/// As far as an envelope is inspected.
const LOOKED_AT_BYTES: usize = super::envelope::INSPECTED_BYTES_MAX;
const NEAR_BYTES: usize = 512;
/// A GUID in braces has 38.
const ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_ids_of_content_and_account() {
        let message = b"<XrML><DESCRIPTOR><OBJECT type=\"Group-Identity-Credential\"><ID type=\"MS-GUID\">{f39c5f0b}\
            </ID></OBJECT></DESCRIPTOR></XrML><XrML><WORK>\n <OBJECT><ID type=\"MS-GUID\"> {9257669d-2753} </ID>";
        let content = Content::of(Some(Operation::AcquireLicense), message);
        assert_eq!(content.content_id.as_deref(), Some("{9257669d-2753}"));
        assert_eq!(content.account_certificate_id.as_deref(), Some("{f39c5f0b}"));
        for wrong in ["<WORK><ID>a b</ID>", "<WORK><ID>", "<WORK><ID></ID>", "<WORK>", "<ID>a</ID>"] {
            assert_eq!(Content::of(None, wrong.as_bytes()).content_id, None, "{wrong}");
        }
        let long = [&[b' '; LOOKED_AT_BYTES][..], &message[..]].concat();
        assert_eq!(Content::of(None, &long), Content::default());
    }

    #[test]
    fn more_than_one_item_is_a_batch() {
        let batched = |operation, message: &str| Content::of(Some(operation), message.as_bytes()).is_batched;
        let one = "<q:AcquireLicenseParams a=\"b\"></q:AcquireLicenseParams>";
        assert!(!batched(Operation::AcquireLicense, one));
        assert!(batched(Operation::AcquireLicense, &one.repeat(2)));
        assert!(batched(Operation::AcquireLicense, &format!("{one}<AcquireLicenseParams/>")));
        assert!(!batched(Operation::AcquirePreLicense, "<string>a</string>"));
        assert!(batched(Operation::AcquirePreLicense, "<string>a</string><string>b</string>"));
        assert!(!batched(Operation::AcquireTemplates, "<string>a</string><string>b</string>"));
    }
}
