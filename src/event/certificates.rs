//! Events about the certificate that calling servers see, by number.

use super::{Description, Level};

/// What there is to know about a certificate: events 4110 to 4116.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certificates {
    /// The front shows another one than before.
    Changed,
    /// Its time comes to its end.
    Expires,
    /// Its time is over.
    Expired,
    /// Clients may refuse it for another reason.
    Fault,
    /// There is none to show.
    Missing,
    /// A new one cannot be used; the one before stays.
    Unusable,
    /// The cluster has none any more: somebody took it away.
    Removed,
}

impl Certificates {
    /// The row of the catalogue.
    #[must_use]
    pub const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            Certificates::Changed => (
                4110,
                "calling servers see another certificate from now on",
                "nothing if it was meant; if not, find out who imported it or changed the file: rmsc cert show",
            ),
            Certificates::Expires => (
                4111,
                "a certificate comes to its end",
                "have the next one issued, and import it: rmsc cert renew; rmsc cert import",
            ),
            Certificates::Expired => (
                4112,
                "a certificate has expired, and who checks it refuses this node",
                "have a new one issued, and import it at once: rmsc cert renew; rmsc cert import",
            ),
            Certificates::Fault => (
                4113,
                "calling servers may refuse the certificate",
                "do what the reason says, and import the new one: rmsc cert import",
            ),
            Certificates::Missing => (
                4114,
                "there is no certificate, and calling servers reach nothing over https",
                "import one for all nodes: rmsc cert import FILE",
            ),
            Certificates::Unusable => (
                4115,
                "a new certificate cannot be used; calling servers see the one before",
                "do what the reason says, then see what each node shows: rmsc cert show",
            ),
            Certificates::Removed => (
                4116,
                "the cluster's certificate was taken away; nodes without a file of their own show none",
                "nothing if it was meant; if not: rmsc cert import FILE",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}
