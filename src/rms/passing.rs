//! Watches the bytes of a request while they pass, and keeps none of them: the limits of what is in a request
//! ([MS-RMPR] notes 41 to 43), one operation in one `Body`, and how many recipients it has.
//!
//! It sees where tags, comments and CDATA sections begin and end, which is all that it takes, in bytes that are UTF-8.
//! What is not well-formed is the service's to refuse: no parser that takes a message reads its tags in another way.

mod name;
mod place;
mod seek;
mod skim;
mod text;

use super::malformed::Malformed;
use memchr::{memchr, memchr3, memmem};
use name::Name;
use place::{CERTIFICATES_MAX, DEPTH_MAX, IDENTITIES_MAX, Place, at_most};
use seek::{end_of, is_end_of_name};
use text::Text;

/// The watch over one request.
#[derive(Debug)]
pub struct Passing {
    state: State,
    text: Text,
    /// How many bytes have passed.
    offset: usize,
    /// Where the last `<` was.
    markup_at: usize,
    /// The last two bytes that have passed.
    before: [u8; 2],
    name: Name,
    /// The open elements, down to the first in which nothing has a meaning.
    open: Vec<Open>,
    /// How many are open in that one.
    inside: usize,
    bodies: usize,
    operations: usize,
    recipients: usize,
}

/// Where in the markup the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// Behind `<`.
    Markup,
    /// Behind `<!` and so many bytes of what it may begin.
    Bang(usize),
    /// In a comment whose content began there.
    Comment(usize),
    /// In a CDATA section.
    CData(usize),
    /// In the name of a start tag.
    Name,
    /// In a start tag, behind its name.
    StartTag,
    /// In the value of an attribute, up to this quote.
    Quoted(u8),
    EndTag,
    /// In the XML declaration.
    Declaration,
    /// In the target of a processing instruction.
    Target,
}

/// An element that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    place: Place,
    /// Where its content begins.
    begin: usize,
    /// How many children it has had.
    children: usize,
}

impl Default for Passing {
    fn default() -> Self {
        Passing {
            state: State::Text,
            text: Text::default(),
            offset: 0,
            markup_at: 0,
            before: [0; 2],
            name: Name::default(),
            open: Vec::with_capacity(16),
            inside: 0,
            bodies: 0,
            operations: 0,
            recipients: 0,
        }
    }
}

impl Passing {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// The first thing that is over its limit, or that could be read as a second operation.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.text.read(bytes, self.offset)?;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest)?;
        }
        // Not only at its end: what is too long need not pass to its end.
        let content_end = match self.state {
            State::Text | State::Comment(_) | State::CData(_) | State::Quoted(_) => self.offset,
            _ => self.markup_at,
        };
        // Of the element whose tag this is, nothing has come yet.
        let in_own_tag = matches!(self.state, State::Quoted(_)) && self.inside == 0;
        let mut open = self.open.iter().take(self.open.len() - usize::from(in_own_tag));
        open.try_for_each(|open| open.place.within(content_end.saturating_sub(open.begin)))
    }

    /// Says that there are no more bytes.
    ///
    /// # Errors
    /// The message is not at its end.
    pub fn finish(&self) -> Result<(), Malformed> {
        self.text.finish(self.offset)?;
        if self.operations == 0 || !self.open.is_empty() || self.state != State::Text {
            return Err(Malformed::Unfinished);
        }
        Ok(())
    }

    /// Whether all of its operation has passed: nothing that has a meaning can follow.
    #[must_use]
    pub fn has_operation(&self) -> bool {
        self.operations > 0 && self.open.iter().all(|open| open.place != Place::Operation)
    }

    /// How many recipients the request has, as far as it has passed.
    #[must_use]
    pub fn recipients(&self) -> usize {
        self.recipients
    }

    /// Whether a request with these bytes may have recipients: their list's name is written in one way only.
    #[must_use]
    pub fn may_have_recipients(bytes: &[u8]) -> bool {
        memmem::find(bytes, place::IDENTITIES).is_some()
    }

    /// Whether it is in the middle of its recipients.
    #[must_use]
    pub fn may_have_more_recipients(&self) -> bool {
        self.open.iter().any(|open| open.place == Place::Identities)
    }

    /// Goes to the next place that counts; gives how many bytes that were.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        if self.state == State::Text && !self.open.is_empty() {
            let skimmed = self.skim(rest)?;
            if !skimmed.is_empty() {
                self.pass(skimmed);
                return Ok(skimmed.len());
            }
        }
        let found = match self.state {
            State::Text => memchr(b'<', rest),
            State::StartTag => memchr3(b'>', b'"', b'\'', rest),
            State::Quoted(quote) => memchr(quote, rest),
            State::Comment(_) => end_of(*b"--", self.before, rest),
            State::CData(_) => end_of(*b"]]", self.before, rest),
            State::EndTag | State::Declaration => memchr(b'>', rest),
            State::Name | State::Target => rest.iter().position(|byte| is_end_of_name(*byte)),
            State::Markup | State::Bang(_) => Some(0),
        };
        let passed = rest.get(..found.unwrap_or(rest.len())).unwrap_or(rest);
        if matches!(self.state, State::Name | State::Target) {
            self.name.push(passed);
        }
        self.pass(passed);
        let Some(byte) = found.and_then(|at| rest.get(at)) else { return Ok(passed.len()) };
        self.meet(*byte)?;
        self.pass(&[*byte]);
        Ok(passed.len() + 1)
    }

    fn is_in_opaque(&self) -> bool {
        self.open.last().is_some_and(|open| open.place.is_opaque())
    }

    /// One more element inside the opaque one.
    fn deeper(&mut self) -> Result<(), Malformed> {
        self.inside += 1;
        at_most(self.open.len() + self.inside, DEPTH_MAX, "elements inside one another")
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.offset += bytes.len();
        match bytes {
            [] => {}
            [one] => self.before = [self.before[1], *one],
            [.., first, second] => self.before = [*first, *second],
        }
    }

    /// Takes the byte that was looked for.
    fn meet(&mut self, byte: u8) -> Result<(), Malformed> {
        let behind = self.offset + 1;
        self.state = match self.state {
            State::Text => {
                self.markup_at = self.offset;
                State::Markup
            }
            State::Markup => self.markup(byte)?,
            State::Bang(seen) => self.bang(byte, seen)?,
            State::Comment(begin) if self.before == *b"--" && self.offset >= begin + 2 => State::Text,
            State::CData(begin) if self.before == *b"]]" && self.offset >= begin + 2 => State::Text,
            State::Name if byte == b':' => {
                self.name.clear();
                State::Name
            }
            State::Name => {
                self.start(behind)?;
                if byte == b'>' { self.started(behind) } else { State::StartTag }
            }
            State::StartTag if byte == b'>' => self.started(behind),
            State::StartTag => State::Quoted(byte),
            State::Quoted(_) => State::StartTag,
            State::EndTag => {
                self.end()?;
                State::Text
            }
            State::Declaration => State::Text,
            State::Target => return Err(Malformed::ProcessingInstruction { target: self.name.shown() }),
            same @ (State::Comment(_) | State::CData(_)) => same,
        };
        Ok(())
    }

    /// What `<` begins.
    fn markup(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match byte {
            b'/' => State::EndTag,
            b'!' => State::Bang(0),
            b'?' if self.offset <= DECLARATION_WITHIN => State::Declaration,
            b'?' => {
                self.name.clear();
                State::Target
            }
            _ if self.is_in_opaque() => {
                // Its name tells nothing.
                self.deeper()?;
                State::StartTag
            }
            _ => {
                self.name.begin(byte);
                State::Name
            }
        })
    }

    /// What `<!` begins: a comment or a CDATA section, or else a document type.
    fn bang(&self, byte: u8, seen: usize) -> Result<State, Malformed> {
        let behind = self.offset + 1;
        match (seen, byte) {
            (0, b'-') => Ok(State::Bang(1)),
            (1, b'-') if self.before[1] == b'-' => Ok(State::Comment(behind)),
            (0, b'D' | b'd') => Err(Malformed::Doctype),
            (_, byte) if self.before[1] != b'-' && CDATA.get(seen) == Some(&byte) => {
                Ok(if seen + 1 == CDATA.len() { State::CData(behind) } else { State::Bang(seen + 1) })
            }
            _ => Err(Malformed::not_well_formed(self.offset, "\"<!\" with neither comment nor CDATA")),
        }
    }

    /// An element begins, whose name is known now.
    fn start(&mut self, begin: usize) -> Result<(), Malformed> {
        let Some(parent) = self.open.last_mut() else {
            if self.bodies > 0 {
                return Err(Malformed::not_well_formed(self.offset, "a second document element"));
            }
            self.open.push(Open { place: Place::Envelope, begin, children: 0 });
            return Ok(());
        };
        parent.children += 1;
        let (parent, children) = (parent.place, parent.children);
        let place = self.place(parent, children)?;
        self.open.push(Open { place, begin, children: 0 });
        Ok(())
    }

    /// What an element is, by its name and by what it is in. Prefixes are not looked at: an element of another
    /// namespace that is called alike is held to the same limit.
    fn place(&mut self, parent: Place, children: usize) -> Result<Place, Malformed> {
        let name = self.name.as_bytes();
        Ok(match parent {
            Place::Envelope if self.bodies > 0 => return Err(self.misplaced("Envelope", "nothing more")),
            Place::Envelope if name == b"Body" => {
                self.bodies += 1;
                Place::Body
            }
            Place::Body if self.operations > 0 => return Err(self.misplaced("Body", "one operation")),
            Place::Body => {
                self.operations += 1;
                Place::Operation
            }
            Place::Operation => match name {
                b"RequestParams" | b"requestParams" => Place::Params,
                _ => Place::Other,
            },
            Place::Params => match name {
                b"MachineCertificateChain" => Place::Certificates,
                _ => Place::Item,
            },
            Place::Item => match name {
                b"LicenseeCerts" => Place::Licensees,
                b"PersonaCerts" => Place::Certificates,
                place::IDENTITIES => Place::Identities,
                b"IssuanceLicense" => Place::IssuanceLicense,
                b"ApplicationData" => Place::ApplicationData,
                _ => Place::Other,
            },
            Place::Licensees | Place::Certificates | Place::IssuanceLicense => {
                at_most(children, CERTIFICATES_MAX, "certificates in one list")?;
                if parent == Place::Licensees { Place::Licensee } else { Place::Other }
            }
            Place::Identities => {
                at_most(children, IDENTITIES_MAX, "licensee identities")?;
                self.recipients += 1;
                Place::Other
            }
            Place::Envelope | Place::Licensee | Place::ApplicationData | Place::Other => Place::Other,
        })
    }

    /// A start tag is at its end.
    fn started(&mut self, begin: usize) -> State {
        match (self.before[1], self.inside) {
            (b'/', 0) => drop(self.open.pop()),
            (b'/', _) => self.inside -= 1,
            (_, 0) => {
                if let Some(open) = self.open.last_mut() {
                    open.begin = begin;
                }
            }
            (_, _) => {}
        }
        State::Text
    }

    /// An end tag is at its end. Which element it names is not looked at.
    fn end(&mut self) -> Result<(), Malformed> {
        if self.inside > 0 {
            self.inside -= 1;
            return Ok(());
        }
        let unmatched = Malformed::not_well_formed(self.offset, "an end tag without its start");
        let open = self.open.pop().ok_or(unmatched)?;
        open.place.within(self.markup_at.saturating_sub(open.begin))
    }

    fn misplaced(&self, place: &'static str, expected: &'static str) -> Malformed {
        Malformed::Misplaced { found: self.name.shown(), place, expected }
    }
}

const CDATA: &[u8] = b"[CDATA[";
/// A byte order mark goes before the XML declaration, and nothing else.
const DECLARATION_WITHIN: usize = 4;

#[cfg(test)]
mod tests;
