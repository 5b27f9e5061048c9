//! Reads XML token by token, within limits and stricter than `quick-xml` alone. No recursion,
//! no entity expansion, no allocation that grows with anything but the depth.

use super::malformed::{Malformed, shorten};
use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::{BytesRef, Event};
use std::borrow::Cow;

/// How much of each thing a message may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Elements inside one another.
    pub depth_max: usize,
    /// Elements in all.
    pub elements_max: usize,
    /// Attributes of one element, declarations included.
    pub attributes_max: usize,
    /// Namespace declarations in scope.
    pub namespaces_max: usize,
    /// Bytes of one name.
    pub name_bytes_max: usize,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An element begins. Namespaces are as written: one with a reference in it matches no known one.
    Start { namespace: &'a str, name: &'a str },
    /// The element that began last ends.
    End,
    /// Text, with its references resolved.
    Text(Cow<'a, str>),
    /// The document is over.
    Over,
}

pub(super) struct Scanner<'a> {
    reader: Reader<&'a [u8]>,
    input: &'a str,
    limits: Limits,
    scopes: Vec<Scope<'a>>,
    depth: usize,
    elements: usize,
    /// An element without content is told as a start and an end.
    end_owed: bool,
}

/// One namespace declaration, and the depth at which it ends.
struct Scope<'a> {
    depth: usize,
    prefix: &'a str,
    namespace: &'a str,
}

impl<'a> Scanner<'a> {
    /// Reads `input`, which has no byte order mark and no forbidden characters any more
    /// (see [`readable`]).
    pub(super) fn new(input: &'a str, limits: Limits) -> Self {
        let mut reader = Reader::from_str(input);
        reader.config_mut().enable_all_checks(true);
        Scanner { reader, input, limits, scopes: Vec::new(), depth: 0, elements: 0, end_owed: false }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The next token; [`Malformed::Unfinished`] when the input ends inside the document.
    pub(super) fn next(&mut self) -> Result<Token<'a>, Malformed> {
        if self.end_owed {
            self.end_owed = false;
            return Ok(self.end());
        }
        loop {
            let offset = self.offset();
            let event = self.reader.read_event().map_err(|error| refusal(&error, offset))?;
            match event {
                Event::Start(start) => return self.start(self.raw_tag(start.len(), 1), start.name().0.len()),
                Event::Empty(start) => {
                    self.end_owed = true;
                    return self.start(self.raw_tag(start.len(), 2), start.name().0.len());
                }
                Event::End(_) => return Ok(self.end()),
                Event::Text(text) => {
                    let text = text.into_inner();
                    if text.contains("]]>") {
                        return Err(Malformed::not_well_formed(offset, "\"]]>\" in text"));
                    }
                    if let Some(token) = self.text(text, offset)? {
                        return Ok(token);
                    }
                }
                Event::CData(text) if self.depth > 0 => return Ok(Token::Text(text.into_inner())),
                Event::GeneralRef(reference) if self.depth > 0 => {
                    return Ok(Token::Text(Cow::Owned(resolve(&reference, offset)?.to_string())));
                }
                Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(Malformed::not_well_formed(offset, "text outside the document element"));
                }
                Event::Comment(_) => {}
                Event::Decl(declaration) => check_declaration(&declaration, offset)?,
                Event::PI(instruction) => {
                    return Err(Malformed::ProcessingInstruction { target: shorten(instruction.target()) });
                }
                Event::DocType(_) => return Err(Malformed::Doctype),
                Event::Eof => return self.over(),
            }
        }
    }

    fn offset(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The content of the tag that was just read, out of our own input, which outlives the event.
    fn raw_tag(&self, content_bytes: usize, closing_bytes: usize) -> &'a str {
        let end = self.offset().saturating_sub(closing_bytes);
        let input = self.input;
        input.get(end.saturating_sub(content_bytes)..end).unwrap_or_default()
    }

    fn text(&self, text: Cow<'a, str>, offset: usize) -> Result<Option<Token<'a>>, Malformed> {
        if self.depth > 0 {
            return Ok(Some(Token::Text(text)));
        }
        if !text.bytes().all(is_white) {
            return Err(Malformed::not_well_formed(offset, "text outside the document element"));
        }
        Ok(None)
    }

    fn over(&self) -> Result<Token<'a>, Malformed> {
        if self.depth > 0 || self.elements == 0 {
            return Err(Malformed::Unfinished);
        }
        Ok(Token::Over)
    }

    fn end(&mut self) -> Token<'a> {
        while self.scopes.last().is_some_and(|scope| scope.depth == self.depth) {
            self.scopes.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        Token::End
    }

    fn start(&mut self, tag: &'a str, name_bytes: usize) -> Result<Token<'a>, Malformed> {
        if self.depth == 0 && self.elements > 0 {
            return Err(Malformed::not_well_formed(self.offset(), "a second document element"));
        }
        self.depth = within(self.depth + 1, self.limits.depth_max, "elements inside one another")?;
        self.elements = within(self.elements + 1, self.limits.elements_max, "elements")?;
        let (name, rest) = tag.split_at_checked(name_bytes).unwrap_or_default();
        let attributes = attributes(rest, self.offset(), self.limits.attributes_max)?;
        self.declare(&attributes)?;
        let (prefix, name) = self.split(name)?;
        for (attribute, _) in &attributes {
            let (prefix, _) = self.split(attribute)?;
            if !prefix.is_empty() && prefix != "xmlns" {
                self.resolve_prefix(prefix)?;
            }
        }
        Ok(Token::Start { namespace: self.resolve_prefix(prefix)?, name })
    }

    fn declare(&mut self, attributes: &[(&'a str, &'a str)]) -> Result<(), Malformed> {
        for (name, namespace) in attributes {
            let prefix = match name.split_once(':') {
                None if *name == "xmlns" => "",
                Some(("xmlns", prefix)) => prefix,
                _ => continue,
            };
            let reserved = matches!(prefix, "xml" | "xmlns") || matches!(*namespace, XML | XMLNS);
            if reserved && (prefix, *namespace) != ("xml", XML) {
                return Err(Malformed::not_well_formed(self.offset(), "a reserved namespace is declared"));
            }
            if namespace.is_empty() && !prefix.is_empty() {
                return Err(Malformed::not_well_formed(self.offset(), "a prefix for no namespace"));
            }
            self.scopes.push(Scope { depth: self.depth, prefix, namespace });
            within(self.scopes.len(), self.limits.namespaces_max, "namespaces")?;
        }
        Ok(())
    }

    /// A qualified name as prefix (or nothing) and local name, both checked.
    fn split(&self, name: &'a str) -> Result<(&'a str, &'a str), Malformed> {
        if name.len() > self.limits.name_bytes_max {
            return Err(Malformed::NameTooLong { bytes_max: self.limits.name_bytes_max });
        }
        let (prefix, local) = name.split_once(':').map_or((None, name), |(p, l)| (Some(p), l));
        if !is_name(local) || !prefix.is_none_or(is_name) {
            return Err(Malformed::not_well_formed(self.offset(), "a name that is none"));
        }
        Ok((prefix.unwrap_or_default(), local))
    }

    fn resolve_prefix(&self, prefix: &str) -> Result<&'a str, Malformed> {
        let declared = self.scopes.iter().rev().find(|scope| scope.prefix == prefix);
        match declared {
            Some(scope) => Ok(scope.namespace),
            None if prefix.is_empty() => Ok(""),
            None if prefix == "xml" => Ok(XML),
            None => Err(Malformed::not_well_formed(self.offset(), "a prefix that is not declared")),
        }
    }
}

/// The part of `bytes` that can be read as XML characters, without a byte order mark, and
/// what ends it. Bytes that may continue a character at the very end are no fault unless `complete`.
pub(super) fn readable(bytes: &[u8], complete: bool) -> (&str, Option<Malformed>) {
    let marked = bytes.starts_with(BYTE_ORDER_MARK);
    let skipped = if marked { BYTE_ORDER_MARK.len() } else { 0 };
    let bytes = bytes.get(skipped..).unwrap_or_default();
    let (text, mut fault) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let offset = error.valid_up_to();
            let valid = bytes.get(..offset).and_then(|valid| std::str::from_utf8(valid).ok());
            let cut = error.error_len().is_none() && !complete;
            let fault = (!cut).then_some(Malformed::NotUtf8 { offset: skipped + offset });
            (valid.unwrap_or_default(), fault)
        }
    };
    // A second mark would be skipped by quick-xml, and is a forbidden place for text anyway.
    let forbidden = if text.starts_with('\u{feff}') { Some(0) } else { text.find(|c| !is_char(c)) };
    let Some(offset) = forbidden else { return (text, fault) };
    fault = Some(Malformed::Character { offset: skipped + offset });
    (text.get(..offset).unwrap_or_default(), fault)
}

fn refusal(error: &Error, offset: usize) -> Malformed {
    let reason = match error {
        Error::Syntax(SyntaxError::UnclosedDoctype) => return Malformed::Doctype,
        Error::Syntax(SyntaxError::InvalidBangMarkup) => "\"<!\" with neither comment nor CDATA",
        Error::Syntax(_) => return Malformed::Unfinished,
        Error::IllFormed(IllFormedError::MissingDoctypeName) => return Malformed::Doctype,
        Error::IllFormed(IllFormedError::MismatchedEndTag { .. }) => "an end tag of another element",
        Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => "an end tag without its start",
        Error::IllFormed(IllFormedError::DoubleHyphenInComment) => "\"--\" in a comment",
        Error::IllFormed(IllFormedError::UnclosedReference) => "\"&\" without a reference",
        _ => "a tag that is none",
    };
    Malformed::not_well_formed(offset, reason)
}

/// Only what the document begins with is its declaration ([XML 1.0] 2.8, production 23).
fn check_declaration(content: &str, offset: usize) -> Result<(), Malformed> {
    let broken = |reason| Err(Malformed::not_well_formed(offset, reason));
    if offset > 0 {
        return broken("an XML declaration that is not at the beginning");
    }
    let declared = attributes(content.strip_prefix("xml").unwrap_or(content), offset, 3)?;
    let mut declared = declared.into_iter().peekable();
    match declared.next() {
        Some(("version", "1.0")) => {}
        Some(("version", _)) => return broken("another XML version than 1.0"),
        _ => return broken("an XML declaration without version"),
    }
    if let Some((_, encoding)) = declared.next_if(|(name, _)| *name == "encoding")
        && !encoding.eq_ignore_ascii_case("utf-8")
    {
        return Err(Malformed::Encoding { encoding: shorten(encoding) });
    }
    declared.next_if(|(name, value)| *name == "standalone" && matches!(*value, "yes" | "no"));
    match declared.next() {
        Some(_) => broken("something else in the XML declaration"),
        None => Ok(()),
    }
}

/// Attributes as written, names not looked at.
fn attributes(mut rest: &str, offset: usize, attributes_max: usize) -> Result<Vec<(&str, &str)>, Malformed> {
    let broken = |reason| Malformed::not_well_formed(offset, reason);
    let mut attributes: Vec<(&str, &str)> = Vec::new();
    loop {
        let next = rest.trim_start_matches(WHITE);
        if next.is_empty() {
            return Ok(attributes);
        }
        if next.len() == rest.len() {
            return Err(broken("no space before an attribute"));
        }
        let (name, value) = next.split_once('=').ok_or(broken("an attribute without a value"))?;
        let name = name.trim_end_matches(WHITE);
        let value = value.trim_start_matches(WHITE);
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.ok_or(broken("an attribute value without quotes"))?;
        let quoted = value.get(1..).and_then(|value| value.split_once(quote));
        let (value, after) = quoted.ok_or(broken("an attribute value without its end"))?;
        if value.contains('<') {
            return Err(broken("\"<\" in an attribute value"));
        }
        check_references(value, offset)?;
        if attributes.iter().any(|(other, _)| *other == name) {
            return Err(broken("an attribute twice"));
        }
        attributes.push((name, value));
        within(attributes.len(), attributes_max, "attributes on one element")?;
        rest = after;
    }
}

fn check_references(value: &str, offset: usize) -> Result<(), Malformed> {
    for after in value.split('&').skip(1) {
        let unclosed = Malformed::not_well_formed(offset, "\"&\" without a reference");
        let (name, _) = after.split_once(';').ok_or(unclosed)?;
        resolve(&BytesRef::new(name), offset)?;
    }
    Ok(())
}

fn resolve(reference: &BytesRef<'_>, offset: usize) -> Result<char, Malformed> {
    let name: &str = reference;
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ if reference.is_char_ref() => {
            let character = reference.resolve_char_ref().ok().flatten().filter(|c| is_char(*c));
            character.ok_or(Malformed::not_well_formed(offset, "a reference to no character"))
        }
        _ => Err(Malformed::Entity { name: shorten(name) }),
    }
}

fn within(count: usize, max: usize, what: &'static str) -> Result<usize, Malformed> {
    if count > max { Err(Malformed::TooMany { max, what }) } else { Ok(count) }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = |c: char| c == '_' || c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic());
    let later = |c: char| first(c) || matches!(c, '-' | '.') || c.is_numeric() || c == '\u{b7}';
    characters.next().is_some_and(first) && characters.all(later)
}

/// [XML 1.0] 2.2, production 2.
fn is_char(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => c >= ' ',
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
