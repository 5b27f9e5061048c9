//! What an element of a request is, and how much of it there may be.

use crate::rms::RECIPIENTS_MAX;
use crate::rms::malformed::Malformed;

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Envelope,
    Body,
    Operation,
    /// `RequestParams`.
    Params,
    /// An item of it.
    Item,
    Certificates,
    Licensees,
    Licensee,
    Identities,
    IssuanceLicense,
    ApplicationData,
    /// Anything else, with all that is in it.
    Other,
}

impl Place {
    /// Whether nothing in it has a meaning.
    pub(super) fn is_opaque(self) -> bool {
        matches!(self, Place::Licensee | Place::ApplicationData | Place::Other)
    }

    /// Whether so many bytes of content are within the limit.
    pub(super) fn within(self, bytes: usize) -> Result<(), Malformed> {
        let (bytes_max, what) = match self {
            Place::Licensee => (LICENSEE_BYTES_MAX, "certificate in LicenseeCerts"),
            Place::IssuanceLicense => (ISSUANCE_LICENSE_BYTES_MAX, "IssuanceLicense"),
            Place::ApplicationData => (APPLICATION_DATA_BYTES_MAX, "ApplicationData"),
            Place::Envelope
            | Place::Body
            | Place::Operation
            | Place::Params
            | Place::Item
            | Place::Certificates
            | Place::Licensees
            | Place::Identities
            | Place::Other => return Ok(()),
        };
        if bytes > bytes_max { Err(Malformed::TooLong { bytes_max, what }) } else { Ok(()) }
    }
}

/// Whether so many are within a limit.
pub(super) fn at_most(count: usize, max: usize, what: &'static str) -> Result<(), Malformed> {
    if count > max { Err(Malformed::TooMany { max, what }) } else { Ok(()) }
}

/// The name of the element that has the recipients.
pub(super) const IDENTITIES: &[u8] = b"LicenseeIdentities";
/// An XrML license is a dozen deep.
pub(super) const DEPTH_MAX: usize = 256;
/// [MS-RMPR] note 42.
const LICENSEE_BYTES_MAX: usize = 30_720;
/// [MS-RMPR] note 42.
pub(super) const CERTIFICATES_MAX: usize = 100;
/// Exchange asks for 100 recipients at once, and can be set to fewer.
pub(super) const IDENTITIES_MAX: usize = RECIPIENTS_MAX;
/// [MS-RMPR] note 43.
const ISSUANCE_LICENSE_BYTES_MAX: usize = 8 << 20;
/// [MS-RMPR] note 41.
const APPLICATION_DATA_BYTES_MAX: usize = 102_400;
