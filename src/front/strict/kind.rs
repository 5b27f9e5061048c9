//! The ways in which a request can be no good HTTP.

/// What is wrong with a request's framing or head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::front) enum Kind {
    /// Lines that do not end in CR LF.
    BareLineEnd,
    /// NUL or another control character.
    ControlCharacter,
    /// The first line is none of HTTP/1.0 or 1.1.
    RequestLine,
    /// It is too long.
    RequestLineTooLong,
    /// A line that goes on with the next one.
    FoldedLine,
    /// A name that is none, or blanks before the colon.
    HeaderName,
    /// One line is too long, or all are.
    HeaderTooLong,
    /// There are too many.
    HeadersTooMany,
    /// No `Host`.
    HostMissing,
    /// A `Host` that is none.
    HostMalformed,
    /// The target names another host than `Host`.
    HostMismatch,
    /// A header that may be there once is there twice.
    Repeated,
    /// A `Content-Length` that is no number.
    LengthMalformed,
    /// A length and an encoding.
    LengthAndEncoding,
    /// An encoding that is not `chunked`.
    EncodingUnknown,
    /// An encoding in HTTP/1.0, which has none.
    EncodingInVersion10,
    /// `Connection` names headers that are not of the connection.
    ConnectionNames,
    /// A chunk's size or end.
    ChunkMalformed,
    /// What follows the last chunk.
    TrailerMalformed,
    /// A head that takes too long to come.
    TooSlow,
    /// A long head for which there is no room: nothing is wrong with it.
    NoRoom,
}

impl Kind {
    /// For metrics.
    pub(in crate::front) fn word(self) -> &'static str {
        match self {
            Kind::BareLineEnd => "bare-line-end",
            Kind::ControlCharacter => "control-character",
            Kind::RequestLine => "request-line",
            Kind::RequestLineTooLong => "request-line-too-long",
            Kind::FoldedLine => "folded-line",
            Kind::HeaderName => "header-name",
            Kind::HeaderTooLong => "header-too-long",
            Kind::HeadersTooMany => "headers-too-many",
            Kind::HostMissing => "host-missing",
            Kind::HostMalformed => "host-malformed",
            Kind::HostMismatch => "host-mismatch",
            Kind::Repeated => "repeated",
            Kind::LengthMalformed => "length-malformed",
            Kind::LengthAndEncoding => "length-and-encoding",
            Kind::EncodingUnknown => "encoding-unknown",
            Kind::EncodingInVersion10 => "encoding-in-version-10",
            Kind::ConnectionNames => "connection-names",
            Kind::ChunkMalformed => "chunk-malformed",
            Kind::TrailerMalformed => "trailer-malformed",
            Kind::TooSlow => "too-slow",
            Kind::NoRoom => "no-room",
        }
    }

    /// For the client and the log.
    pub(in crate::front) fn reason(self) -> &'static str {
        match self {
            Kind::BareLineEnd => "a line does not end in CR LF",
            Kind::ControlCharacter => "a control character in the head",
            Kind::RequestLine => "the first line is no request of HTTP/1.1 or HTTP/1.0",
            Kind::RequestLineTooLong => "the first line is too long",
            Kind::FoldedLine => "a header goes on in the next line",
            Kind::HeaderName => "a header's name is none",
            Kind::HeaderTooLong => "a header is too long, or all together are",
            Kind::HeadersTooMany => "there are too many headers",
            Kind::HostMissing => "there is no Host header",
            Kind::HostMalformed => "the Host header names no host",
            Kind::HostMismatch => "the target and the Host header name different hosts",
            Kind::Repeated => {
                "there is more than one Host, Content-Length, Transfer-Encoding or Authorization header"
            }
            Kind::LengthMalformed => "the Content-Length header is no number",
            Kind::LengthAndEncoding => "there are both Content-Length and Transfer-Encoding headers",
            Kind::EncodingUnknown => "the Transfer-Encoding header is not chunked",
            Kind::EncodingInVersion10 => "HTTP/1.0 has no Transfer-Encoding header",
            Kind::ConnectionNames => "the Connection header names headers that are not the connection's",
            Kind::ChunkMalformed => "a chunk of the body is malformed",
            Kind::TrailerMalformed => "what follows the last chunk is malformed",
            Kind::TooSlow => "the head did not come in time",
            Kind::NoRoom => "there is no room for so long a head",
        }
    }
}
