//! What the catalogue says about answers of the service that no calling server may get.

use super::{Description, Level};

/// What is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadAnswers {
    /// The service does not take the connector: 401 or 403.
    Denied,
    /// It does not know the request, or sends it elsewhere.
    OtherService,
    /// It asks for fewer requests: 429.
    Throttled,
    /// It fails: 5xx without a SOAP fault.
    OutOfOrder,
    /// They are no messages: pages, or empty.
    NoMessages,
    /// They do not come to a good end: too long, broken off, or standing still.
    Unfinished,
    /// They are our own: the request came back.
    Loop,
}

impl BadAnswers {
    /// The row of the catalogue.
    pub(super) const fn description(self) -> Description {
        let (number, words, remedy) = match self {
            BadAnswers::Denied => (
                4090,
                "the service does not let the connector in",
                "read the reason; log the connector in again, or have its rights checked at the service",
            ),
            BadAnswers::OtherService => (
                4091,
                "the service does not answer as a rights management service does",
                "compare upstream.url with the service's own: GetRmsoUri.aspx, or its administrator",
            ),
            BadAnswers::Throttled => (
                4092,
                "the service asks for fewer requests",
                "the callers are told so and come again; if it lasts, see which of them asks so often",
            ),
            BadAnswers::OutOfOrder => (
                4093,
                "the service is out of order",
                "see the health page of the service; the callers try again by themselves",
            ),
            BadAnswers::NoMessages => (
                4094,
                "something answers in the place of the service",
                "exempt the service's hosts from TLS inspection and from pages that ask for a login",
            ),
            BadAnswers::Loop => (
                4097,
                "a request has come back to the connector that sent it: its upstream leads to itself",
                "see upstream.url of this cluster, and of each connector that it names in turn",
            ),
            BadAnswers::Unfinished => (
                4095,
                "answers of the service do not come to a good end",
                "read the reason; look at the line and at devices on the way to the service",
            ),
        };
        Description { number, level: Level::Warning, words, remedy }
    }
}
