//! A whole message as a tree: for the few messages that are answered here. Its memory is bounded
//! by the limits and the size of the message; nothing in it recurses.

use super::malformed::Malformed;
use super::scanner::{Limits, Scanner, Token, readable};
use std::borrow::Cow;

/// A parsed message.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Debug)]
struct Node<'a> {
    namespace: &'a str,
    name: &'a str,
    text: Cow<'a, str>,
    first_child: Option<usize>,
    next_sibling: Option<usize>,
}

/// An element of a [`Document`].
#[derive(Clone, Copy, Debug)]
pub struct Element<'d, 'a> {
    document: &'d Document<'a>,
    index: usize,
}

impl<'a> Document<'a> {
    /// Reads a whole message.
    ///
    /// # Errors
    /// The first thing that is wrong with it, or past a limit.
    pub fn parse(message: &'a [u8], limits: &Limits) -> Result<Self, Malformed> {
        if message.is_empty() {
            return Err(Malformed::Empty);
        }
        let (text, fault) = readable(message, true);
        if let Some(fault) = fault {
            return Err(fault);
        }
        let mut scanner = Scanner::new(text, *limits);
        let mut builder = Builder::default();
        loop {
            match scanner.next()? {
                Token::Start { namespace, name } => builder.start(namespace, name),
                Token::Text(text) => builder.text(text),
                Token::End => builder.end(),
                Token::Over => return Ok(Document { nodes: builder.nodes }),
            }
        }
    }

    /// The document element.
    #[must_use]
    pub fn root(&self) -> Element<'_, 'a> {
        Element { document: self, index: 0 }
    }
}

impl<'d, 'a> Element<'d, 'a> {
    /// Its namespace; empty for none.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.node().map_or("", |node| node.namespace)
    }

    /// Its name without prefix.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.node().map_or("", |node| node.name)
    }

    /// Its own text, without that of its children.
    #[must_use]
    pub fn text(&self) -> Cow<'d, str> {
        self.node().map_or(Cow::Borrowed(""), |node| Cow::Borrowed(node.text.as_ref()))
    }

    /// Its children, in order.
    pub fn children(self) -> impl Iterator<Item = Element<'d, 'a>> {
        let document = self.document;
        let first = self.node().and_then(|node| node.first_child);
        std::iter::successors(first, |index| document.nodes.get(*index).and_then(|node| node.next_sibling))
            .map(move |index| Element { document, index })
    }

    /// Its children of this name, in order.
    pub fn children_named<'n>(
        self,
        name: &'n str,
    ) -> impl Iterator<Item = Element<'d, 'a>> + use<'d, 'a, 'n> {
        self.children().filter(move |child| child.name() == name)
    }

    /// Its first child of this name.
    #[must_use]
    pub fn child(self, name: &str) -> Option<Element<'d, 'a>> {
        self.children_named(name).next()
    }

    fn node(&self) -> Option<&'d Node<'a>> {
        self.document.nodes.get(self.index)
    }
}

/// What is needed for a message of certificates and licenses: an XrML license is a dozen deep,
/// and one of 8 MiB has some ten thousand elements.
pub const LIMITS: Limits = Limits {
    depth_max: 256,
    elements_max: 200_000,
    attributes_max: 64,
    namespaces_max: 256,
    name_bytes_max: 256,
};

#[derive(Default)]
struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    /// The open elements, each with its last child so far.
    open: Vec<(usize, Option<usize>)>,
}

impl<'a> Builder<'a> {
    fn start(&mut self, namespace: &'a str, name: &'a str) {
        let index = self.nodes.len();
        if let Some((parent, last_child)) = self.open.last_mut() {
            let before = last_child.replace(index);
            let link = match before {
                Some(sibling) => self.nodes.get_mut(sibling).map(|node| &mut node.next_sibling),
                None => self.nodes.get_mut(*parent).map(|node| &mut node.first_child),
            };
            if let Some(link) = link {
                *link = Some(index);
            }
        }
        self.nodes.push(Node {
            namespace,
            name,
            text: Cow::Borrowed(""),
            first_child: None,
            next_sibling: None,
        });
        self.open.push((index, None));
    }

    fn text(&mut self, text: Cow<'a, str>) {
        let node = self.open.last().and_then(|(index, _)| self.nodes.get_mut(*index));
        match node {
            Some(node) if node.text.is_empty() => node.text = text,
            Some(node) => node.text.to_mut().push_str(&text),
            None => {}
        }
    }

    fn end(&mut self) {
        self.open.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_namespaces_and_text() {
        let document = Document::parse(
            b"<a xmlns='n' xmlns:p='m'>1<b>x &amp; &#x41;</b>2<p:b/><c xmlns=''><![CDATA[<]]></c></a>",
            &LIMITS,
        )
        .unwrap();
        let root = document.root();
        assert_eq!((root.namespace(), root.name(), root.text().as_ref()), ("n", "a", "12"));
        let children: Vec<_> =
            root.children().map(|c| (c.namespace(), c.name(), c.text().into_owned())).collect();
        assert_eq!(
            children,
            [("n", "b", "x & A".to_owned()), ("m", "b", String::new()), ("", "c", "<".to_owned())]
        );
        assert_eq!(root.children_named("b").count(), 2);
        assert!(root.child("d").is_none());
    }

    #[test]
    fn refuses_ten_megabytes_of_nesting() {
        let message = b"<a>".repeat(4 << 20);
        assert_eq!(
            Document::parse(&message, &LIMITS).unwrap_err(),
            Malformed::TooMany { max: 256, what: "elements inside one another" }
        );
    }

    #[test]
    fn refuses_too_many_elements_and_what_does_not_end() {
        let message = ["<a>".to_owned(), "<b/>".repeat(200_000), "</a>".to_owned()].concat();
        let error = Document::parse(message.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(error, Malformed::TooMany { max: 200_000, what: "elements" });
        assert_eq!(Document::parse(b"<a><b></b>", &LIMITS).unwrap_err(), Malformed::Unfinished);
        assert_eq!(Document::parse(b"<a/>\xc3", &LIMITS).unwrap_err(), Malformed::NotUtf8 { offset: 4 });
        assert_eq!(Document::parse(b"", &LIMITS).unwrap_err(), Malformed::Empty);
        assert!(Document::parse(b"<a/><b/>", &LIMITS).is_err());
        assert!(Document::parse(b"<a/>x", &LIMITS).is_err());
        assert!(Document::parse(b"<a></b>", &LIMITS).is_err());
        assert!(Document::parse(b"<a/>\n<!-- end -->\n", &LIMITS).is_ok());
    }
}
