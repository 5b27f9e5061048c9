//! Why a request is not one that the service would understand; worded for whoever sent it.

/// A fault in the bytes of a request. The text is meant for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No bytes at all.
    #[error("the request has no body")]
    Empty,
    /// The message ends before the operation is known.
    #[error("the message ends before its operation is complete")]
    Unfinished,
    /// The operation is not where a client writes it.
    #[error("the operation does not begin within the first {bytes_max} bytes of the message")]
    TooFar {
        /// How far was read.
        bytes_max: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("the message is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where.
        offset: usize,
    },
    /// Another encoding is declared.
    #[error("the message is declared as {encoding:?}; only UTF-8 is understood")]
    Encoding {
        /// What was declared.
        encoding: String,
    },
    /// A character that XML 1.0 forbids.
    #[error("the message has a character that XML forbids at byte {offset}")]
    Character {
        /// Where.
        offset: usize,
    },
    /// A rule of XML or of its namespaces is broken.
    #[error("the message is not well-formed XML near byte {offset}: {reason}")]
    NotWellFormed {
        /// About where.
        offset: usize,
        /// Which rule.
        reason: &'static str,
    },
    /// [SOAP 1.1] 3 forbids document types.
    #[error("the message has a DOCTYPE, which SOAP forbids")]
    Doctype,
    /// [SOAP 1.1] 3 forbids processing instructions.
    #[error("the message has the processing instruction {target:?}, which SOAP forbids")]
    ProcessingInstruction {
        /// Its target.
        target: String,
    },
    /// An entity that only a DOCTYPE could declare.
    #[error("the message refers to the entity {name:?}; only the five of XML are understood")]
    Entity {
        /// Its name.
        name: String,
    },
    /// More of something than any real client sends.
    #[error("the message has more than {max} {what}")]
    TooMany {
        /// The limit.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// A part that is longer than the service takes it.
    #[error("the message has a longer {what} than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
        /// Which part.
        what: &'static str,
    },
    /// A name that is too long.
    #[error("the message has a name longer than {bytes_max} bytes")]
    NameTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The document is no SOAP envelope.
    #[error("the message is not a SOAP 1.1 or 1.2 envelope but {found:?}")]
    NotAnEnvelope {
        /// The document element.
        found: String,
    },
    /// An element where SOAP has another.
    #[error("the message has {found:?} in its {place}, where {expected} belongs")]
    Misplaced {
        /// The element.
        found: String,
        /// In which element.
        place: &'static str,
        /// What may be there.
        expected: &'static str,
    },
    /// Text where SOAP has elements only.
    #[error("the message has text in its {place}")]
    Text {
        /// In which element.
        place: &'static str,
    },
    /// `Body` has no child.
    #[error("the Body of the message is empty")]
    NoOperation,
    /// `Body` has a child that is no operation of the service.
    #[error("{name:?} in namespace {namespace:?} is not an operation of this service")]
    UnknownOperation {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// The operation belongs to another path.
    #[error("{operation} is not an operation of {path}")]
    WrongEndpoint {
        /// The operation.
        operation: &'static str,
        /// The path it was sent to.
        path: &'static str,
    },
    /// A SOAP 1.1 message without its action.
    #[error("the request has no SOAPAction, which SOAP 1.1 requires")]
    NoAction,
    /// The action names another operation than the body.
    #[error("the request's action is {action:?}, but its body asks for {expected:?}")]
    WrongAction {
        /// What the header says.
        action: String,
        /// What the body says.
        expected: String,
    },
    /// The content type names the other version of SOAP.
    #[error("the request's content type is {media_type}, but its envelope is of the other SOAP version")]
    WrongVersion {
        /// The content type.
        media_type: &'static str,
    },
}

impl Malformed {
    pub(super) fn not_well_formed(offset: usize, reason: &'static str) -> Self {
        Malformed::NotWellFormed { offset, reason }
    }
}

/// The start of a text that came from outside, for an error.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Enough for every name of the service with its namespace.
const SHOWN_CHARS_MAX: usize = 120;
