//! The request in a whole message: one operation in one `Body`, with its headers.

use super::SoapVersion;
use super::document::{Document, Element};
use super::envelope::Inspected;
use super::malformed::{Malformed, shorten};
use super::operation::Operation;

/// A request that was read whole.
#[derive(Clone, Copy, Debug)]
pub struct Request<'d, 'a> {
    /// What it asks for.
    pub inspected: Inspected,
    /// The operation's element.
    pub element: Element<'d, 'a>,
    envelope: Element<'d, 'a>,
}

impl<'d, 'a> Request<'d, 'a> {
    /// Finds the operation of a message. Stricter than an inspection, which stops at the operation:
    /// there must be one `Body`, with one child.
    ///
    /// # Errors
    /// What of that the message has not.
    pub fn read(document: &'d Document<'a>) -> Result<Self, Malformed> {
        let envelope = document.root();
        let soap = SoapVersion::from_namespace(envelope.namespace())
            .filter(|_| envelope.name() == "Envelope")
            .ok_or_else(|| Malformed::NotAnEnvelope { found: shorten(envelope.name()) })?;
        let in_soap = |child: &Element<'_, '_>| child.namespace() == soap.namespace();
        let mut bodies = envelope.children_named("Body").filter(in_soap);
        let (Some(body), None) = (bodies.next(), bodies.next()) else {
            return Err(Malformed::Misplaced {
                found: "Envelope".to_owned(),
                place: "message",
                expected: "an Envelope with one Body",
            });
        };
        let mut children = body.children();
        let element = children.next().ok_or(Malformed::NoOperation)?;
        if let Some(second) = children.next() {
            let found = shorten(second.name());
            return Err(Malformed::Misplaced { found, place: "Body", expected: "one operation" });
        }
        let (name, namespace) = (element.name(), element.namespace());
        let unknown = || Malformed::UnknownOperation { name: shorten(name), namespace: shorten(namespace) };
        let operation = Operation::from_element(namespace, name).ok_or_else(unknown)?;
        let namespace =
            operation.namespaces().iter().find(|known| **known == namespace).ok_or_else(unknown)?;
        Ok(Request { inspected: Inspected { soap, operation, namespace }, element, envelope })
    }

    /// A header of the operation's namespace.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Element<'d, 'a>> {
        let headers = self.envelope.children_named("Header").flat_map(Element::children);
        headers.into_iter().find(|h| h.name() == name && h.namespace() == self.inspected.namespace)
    }
}
