//! VersionData ([MS-RMPR] 2.2.4.2, 3.1.4.6): what a caller understands, and what a service answers.
//!
//! Whoever answers a request judges its versions, and nobody else: the service may know newer ones than we do, and
//! a fault that it would not have given is final for its callers. So what is sent on is not looked at here.

use super::fault::exception;
use super::request::Request;
use super::write::escape;

/// The versions of one request: `a.b.c.d` each, the first not above the second, and that one known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    maximum: Version,
}

/// Versions to be answered with a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVersion {
    /// One that is no version.
    #[error("{name} is {text:?}, which is no version")]
    Malformed {
        /// Which of the two.
        name: &'static str,
        /// What it is.
        text: String,
    },
    /// The first is above the second.
    #[error("MinimumVersion is above MaximumVersion")]
    Reversed,
    /// Newer than everything that is known here.
    #[error("MaximumVersion is above 1.2.0.0")]
    TooNew,
}

impl BadVersion {
    /// The exception of the fault.
    #[must_use]
    pub fn exception(&self) -> &'static str {
        match self {
            BadVersion::Malformed { .. } | BadVersion::Reversed => exception::MALFORMED_DATA_VERSION,
            BadVersion::TooNew => exception::UNSUPPORTED_DATA_VERSION,
        }
    }
}

impl Versions {
    /// The versions of a request. One without the header, or with an empty one, is taken as 1.0.0.0: it is not specified,
    /// and was seen to be served.
    ///
    /// # Errors
    /// [`BadVersion`].
    pub fn of(request: &Request<'_, '_>) -> Result<Self, BadVersion> {
        let Some(data) = request.header("VersionData") else {
            return Ok(Versions { maximum: OLDEST });
        };
        // Either may be left out, or be nil ([MS-RMPR] 2.2.4.2).
        let version = |name: &'static str, absent: Version| {
            let text = data.child(name).map(|it| it.text().trim().to_owned()).unwrap_or_default();
            if text.is_empty() {
                return Ok(absent);
            }
            parse(&text).ok_or_else(|| BadVersion::Malformed { name, text: super::malformed::shorten(&text) })
        };
        let minimum = version("MinimumVersion", OLDEST)?;
        let maximum = version("MaximumVersion", minimum)?;
        if minimum > maximum {
            return Err(BadVersion::Reversed);
        }
        if maximum > NEWEST {
            return Err(BadVersion::TooNew);
        }
        Ok(Versions { maximum })
    }

    /// Whether one request may ask for several licenses: all that 1.1.0.0 means ([MS-RMPR] note 1).
    #[must_use]
    pub fn allow_batches(self) -> bool {
        self.maximum >= BATCHING
    }
}

/// The VersionData header of an answer ([MS-RMPR] note 1).
#[must_use]
pub fn version_data(namespace: &str) -> String {
    let namespace = escape(namespace);
    format!(
        "<VersionData xmlns=\"{namespace}\"><MinimumVersion>1.0.0.0</MinimumVersion>\
         <MaximumVersion>1.2.0.0</MaximumVersion></VersionData>"
    )
}

fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| {
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| digits)
    });
    let version = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(version)
}

type Version = [u32; 4];

const OLDEST: Version = [1, 0, 0, 0];
const BATCHING: Version = [1, 1, 0, 0];
/// What services answer since Windows Server 2008 R2 SP1.
const NEWEST: Version = [1, 2, 0, 0];

#[cfg(test)]
mod tests {
    use super::super::document::{Document, LIMITS};
    use super::*;

    fn versions(header: &str) -> Result<Versions, BadVersion> {
        let message = format!(
            "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Header>{header}</Header><Body>\
             <AcquireLicense xmlns='http://microsoft.com/DRM/LicensingService'/></Body></Envelope>"
        );
        let document = Document::parse(message.as_bytes(), &LIMITS).unwrap();
        Versions::of(&Request::read(&document).unwrap())
    }

    fn header(minimum: &str, maximum: &str) -> String {
        format!(
            "<VersionData xmlns='http://microsoft.com/DRM/LicensingService'><MinimumVersion>{minimum}\
             </MinimumVersion><MaximumVersion> {maximum} </MaximumVersion></VersionData>"
        )
    }

    #[test]
    fn takes_what_clients_send() {
        for (minimum, maximum, batches) in [
            ("1.0.0.0", "1.0.0.0", false),
            ("1.1.0.0", "1.1.0.0", true),
            ("1.2.0.0", "1.2.0.0", true),
            ("1.0.0.0", "1.2.0.0", true),
        ] {
            assert_eq!(versions(&header(minimum, maximum)).map(Versions::allow_batches), Ok(batches));
        }
        assert_eq!(versions("").map(Versions::allow_batches), Ok(false));
        let without = |name: &str, text: String| text.replace(&format!("{name}>"), "Other>");
        for (header, batches) in [
            (header("", "1.0.0.0"), false),
            (header("1.1.0.0", ""), true),
            (header("", ""), false),
            (without("MinimumVersion", header("1.0.0.0", "1.2.0.0")), true),
            (without("MaximumVersion", header("1.2.0.0", "9")), true),
            (header("", "1.1.0.0").replace("<MinimumVersion>", "<MinimumVersion nil='true'>"), true),
            ("<VersionData xmlns='http://microsoft.com/DRM/LicensingService'/>".to_owned(), false),
        ] {
            assert_eq!(versions(&header).map(Versions::allow_batches), Ok(batches), "{header}");
        }
        let elsewhere = header("9.0.0.0", "9.0.0.0").replace("LicensingService", "PublishingService");
        assert!(versions(&elsewhere).is_ok(), "the header of another service is none");
    }

    #[test]
    fn each_fault_has_its_exception() {
        for (minimum, maximum, exception) in [
            ("1.0.0.0", "1.2.0.1", exception::UNSUPPORTED_DATA_VERSION),
            ("1.0.0.0", "2.0.0.0", exception::UNSUPPORTED_DATA_VERSION),
            ("1.1.0.0", "1.0.0.0", exception::MALFORMED_DATA_VERSION),
            ("3.0.0.0", "2.0.0.0", exception::MALFORMED_DATA_VERSION),
            ("1.0.0", "1.0.0.0", exception::MALFORMED_DATA_VERSION),
            ("1.0.0.0", "1.0.0.0.0", exception::MALFORMED_DATA_VERSION),
            ("1.0.0.0", "+1.0.0.0", exception::MALFORMED_DATA_VERSION),
            ("1.0.0.0", "1.0.0.x", exception::MALFORMED_DATA_VERSION),
            ("1.0.0.0", "1.0.0.99999999999", exception::MALFORMED_DATA_VERSION),
        ] {
            let found = versions(&header(minimum, maximum)).map_err(|bad| bad.exception());
            assert_eq!(found, Err(exception), "{minimum} to {maximum}");
        }
    }
}
