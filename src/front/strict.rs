//! What may come to the HTTP parser at all: requests that can be read in one way only. A parser that forgives lets
//! two programs on the way read the same bytes as different requests; here each such request is refused.
//!
//! [`Gate`] is pure: it is shown bytes, says how many of them may pass, and what is wrong with those behind. It looks
//! at every byte of a head and counts those of a body, so it always knows where the next head begins.

mod body;
mod head;
mod kind;
mod stream;

pub(super) use head::{HEAD_BYTES_MAX, HEADERS_MAX};
pub(super) use kind::Kind;
pub(super) use stream::{Conversation, Long, Strict};

use body::Framing;
use head::{Head, Read};

/// Follows one connection, from its first byte on.
#[derive(Debug, Default)]
pub(super) struct Gate {
    at: At,
    /// How many heads have passed.
    heads: usize,
}

#[derive(Debug)]
enum At {
    Head(Head),
    Body(Framing),
    Refused,
}

/// What is known of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    /// So many from the first on may pass.
    pub(super) pass: usize,
    /// What is wrong behind them. Without it, what does not pass is the beginning of a head.
    pub(super) refused: Option<Refused>,
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A request that has not begun for the parser.
    Head(Kind),
    /// One that is being read.
    Body(Kind),
}

impl Default for At {
    fn default() -> Self {
        At::Head(Head::default())
    }
}

impl Gate {
    /// Looks at bytes, the first of which is the first that has not passed yet: those of a head that is not whole are
    /// shown again, with more behind them. A wish for another protocol is made
    /// illegible in them.
    pub(super) fn look(&mut self, bytes: &mut [u8]) -> Looked {
        let mut pass = 0;
        loop {
            let rest = bytes.get_mut(pass..).unwrap_or_default();
            if rest.is_empty() {
                return Looked { pass, refused: None };
            }
            match &mut self.at {
                At::Head(head) => match head.read(rest) {
                    Ok(Read::More) => return Looked { pass, refused: None },
                    Ok(Read::Whole { bytes, framing }) => {
                        pass += bytes;
                        self.heads += 1;
                        self.at = framing.map_or_else(At::default, At::Body);
                    }
                    Err(kind) => return self.refuse(pass, Refused::Head(kind)),
                },
                At::Body(framing) => match framing.read(rest) {
                    Ok(read) => {
                        pass += read;
                        if framing.is_over() {
                            self.at = At::default();
                        }
                    }
                    Err(kind) => return self.refuse(pass, Refused::Body(kind)),
                },
                At::Refused => return Looked { pass, refused: None },
            }
        }
    }

    /// Whether a request's body is on its way.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.at, At::Body(_))
    }

    /// How many heads have passed.
    pub(super) fn heads(&self) -> usize {
        self.heads
    }

    fn refuse(&mut self, pass: usize, refused: Refused) -> Looked {
        self.at = At::Refused;
        Looked { pass, refused: Some(refused) }
    }
}

#[cfg(test)]
mod tests;
