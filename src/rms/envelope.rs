//! Reads a SOAP envelope up to its operation: the first child of `Body`, and no further.

use super::SoapVersion;
use super::malformed::{Malformed, shorten};
use super::operation::Operation;
use super::scanner::{Limits, Scanner, Token, readable};

/// What an envelope asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The version of the envelope.
    pub soap: SoapVersion,
    /// The first child of `Body`.
    pub operation: Operation,
    /// The namespace of that child: one of the operation's.
    pub namespace: &'static str,
}

/// How far the inspection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// The operation was read.
    Read(Inspected),
    /// The bytes so far are good, and end before the operation.
    NeedMore,
}

/// How many bytes of a message are read to find its operation. What follows is not looked at.
pub const INSPECTED_BYTES_MAX: usize = 64 << 10;

/// Reads the first bytes of a message up to the first child of `Body` ([SOAP 1.1] 4).
/// `complete` says that `prefix` is the whole message. The verdict does not depend on how many
/// bytes follow the operation in `prefix`. Ask again with many more, not after each one: every call begins at the
/// beginning.
///
/// # Errors
/// What is wrong with the message; [`Malformed::TooFar`] when there is no operation in the first
/// [`INSPECTED_BYTES_MAX`] bytes.
pub fn inspect(prefix: &[u8], complete: bool) -> Result<Inspection, Malformed> {
    if prefix.is_empty() && complete {
        return Err(Malformed::Empty);
    }
    let inspected = prefix.get(..INSPECTED_BYTES_MAX).unwrap_or(prefix);
    let complete = complete && inspected.len() == prefix.len();
    let (text, fault) = readable(inspected, complete);
    // Text and tags that may go on behind the cut are not judged.
    let whole = complete && fault.is_none();
    let text = if whole { text } else { text.rfind('>').map_or("", |end| text.get(..=end).unwrap_or(text)) };
    match read(&mut Scanner::new(text, LIMITS)) {
        Ok(inspected) => Ok(Inspection::Read(inspected)),
        Err(Malformed::Unfinished) => match fault {
            Some(fault) => Err(fault),
            None if complete => Err(Malformed::Unfinished),
            None if inspected.len() == INSPECTED_BYTES_MAX => {
                Err(Malformed::TooFar { bytes_max: INSPECTED_BYTES_MAX })
            }
            None => Ok(Inspection::NeedMore),
        },
        Err(malformed) => Err(malformed),
    }
}

fn read(scanner: &mut Scanner<'_>) -> Result<Inspected, Malformed> {
    let soap = open_envelope(scanner)?;
    let mut headers = 0;
    let mut actions = Vec::new();
    loop {
        let (namespace, name) = match child(scanner, "Envelope")? {
            Some(element) => element,
            None => {
                return Err(Malformed::Misplaced {
                    found: "</Envelope>".to_owned(),
                    place: "Envelope",
                    expected: "a Body",
                });
            }
        };
        match name {
            "Header" if namespace == soap.namespace() && headers == 0 => {
                headers += 1;
                read_header(scanner, &mut actions)?;
            }
            "Body" if namespace == soap.namespace() => {
                let inspected = read_body(scanner, soap)?;
                return check_actions(&inspected, &actions).map(|()| inspected);
            }
            _ => {
                return Err(Malformed::Misplaced {
                    found: shorten(name),
                    place: "Envelope",
                    expected: "at most one Header and then the Body",
                });
            }
        }
    }
}

fn open_envelope(scanner: &mut Scanner<'_>) -> Result<SoapVersion, Malformed> {
    let Token::Start { namespace, name } = scanner.next()? else { return Err(Malformed::Unfinished) };
    match SoapVersion::from_namespace(namespace) {
        Some(soap) if name == "Envelope" => Ok(soap),
        _ => Err(Malformed::NotAnEnvelope { found: shorten(&format!("{{{namespace}}}{name}")) }),
    }
}

fn read_body(scanner: &mut Scanner<'_>, soap: SoapVersion) -> Result<Inspected, Malformed> {
    let (namespace, name) = child(scanner, "Body")?.ok_or(Malformed::NoOperation)?;
    let unknown = || Malformed::UnknownOperation { name: shorten(name), namespace: shorten(namespace) };
    let operation = Operation::from_element(namespace, name).ok_or_else(unknown)?;
    let namespace = operation.namespaces().iter().find(|known| **known == namespace).ok_or_else(unknown)?;
    Ok(Inspected { soap, operation, namespace })
}

/// The next child element, or nothing where the parent ends.
fn child<'a>(
    scanner: &mut Scanner<'a>,
    place: &'static str,
) -> Result<Option<(&'a str, &'a str)>, Malformed> {
    loop {
        match scanner.next()? {
            Token::Start { namespace, name } => return Ok(Some((namespace, name))),
            Token::End | Token::Over => return Ok(None),
            Token::Text(text) if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => {}
            Token::Text(_) => return Err(Malformed::Text { place }),
        }
    }
}

/// Reads the blocks of the header, and keeps what WS-Addressing says the action is: a service may go by that.
fn read_header(scanner: &mut Scanner<'_>, actions: &mut Vec<String>) -> Result<(), Malformed> {
    let outside = scanner.depth().saturating_sub(1);
    while scanner.depth() > outside {
        if let Token::Start { namespace, name } = scanner.next()? {
            if name == "Action" && is_addressing(namespace) {
                actions.push(text(scanner)?);
            } else {
                skip(scanner)?;
            }
        }
    }
    Ok(())
}

fn is_addressing(namespace: &str) -> bool {
    // Of 2003, 2004 and 2005; one with a reference in it could be any.
    namespace.ends_with("/addressing") || namespace.contains('&')
}

/// The text of the element that just began, without that of elements in it.
fn text(scanner: &mut Scanner<'_>) -> Result<String, Malformed> {
    let outside = scanner.depth().saturating_sub(1);
    let mut found = String::new();
    while scanner.depth() > outside {
        match scanner.next()? {
            Token::Text(text) => found.push_str(&text),
            Token::Start { name, .. } => {
                return Err(Malformed::Misplaced { found: shorten(name), place: "Action", expected: "text" });
            }
            Token::End | Token::Over => {}
        }
    }
    Ok(found)
}

fn check_actions(inspected: &Inspected, actions: &[String]) -> Result<(), Malformed> {
    let expected = inspected.operation.action(inspected.namespace);
    match actions.iter().find(|action| action.trim() != expected) {
        Some(action) => Err(Malformed::WrongAction { action: shorten(action), expected }),
        None => Ok(()),
    }
}

/// Reads over the element that just began.
fn skip(scanner: &mut Scanner<'_>) -> Result<(), Malformed> {
    let outside = scanner.depth().saturating_sub(1);
    while scanner.depth() > outside {
        scanner.next()?;
    }
    Ok(())
}

/// Real clients stay below a quarter of each.
const LIMITS: Limits = Limits {
    depth_max: 64,
    // The inspected bytes bound it already.
    elements_max: INSPECTED_BYTES_MAX,
    attributes_max: 64,
    namespaces_max: 64,
    name_bytes_max: 256,
};

#[cfg(test)]
mod tests;
