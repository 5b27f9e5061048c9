//! The simulated service over a real socket: what each operation answers, counted and named.

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/requests/", $name, ".xml"))
    };
}

mod operations;
mod refusals;
mod web;

use super::*;
use crate::rms::document::{Document, Element, LIMITS};
use crate::rms::{Operation, SoapVersion, namespace};
use std::net::SocketAddr;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SCHEMA: &str = "xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"";

struct Service {
    address: SocketAddr,
    counts: Arc<Counts>,
    tasks: Tasks,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// A run has its own keys; they take a while to make where nothing is optimized.
static LICENSOR: LazyLock<Arc<Licensor>> = LazyLock::new(Arc::default);

async fn start() -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
    let config = Config { licensor: Arc::clone(&LICENSOR), ..Config::default() };
    let (counts, inner) = (Arc::clone(&config.counts), tasks.clone());
    tasks.spawn("simulator", async move { serve(listener, config, &inner).await });
    Service { address, counts, tasks }
}

impl Service {
    async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("{head}\r\nHost: s\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: answer[split + 4..].to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1"), b"").await
    }

    async fn post(&self, path: &str, action: &str, headers: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"{action}\"{headers}"
        );
        self.send(&head, body.as_bytes()).await
    }

    /// Calls an operation at its first path with its action in this namespace.
    async fn call(&self, operation: Operation, namespace: &str, body: &str) -> Answer {
        let path = operation.endpoints()[0].path();
        self.post(path, &operation.action(namespace), "\r\nx-rmsc-entry-sid: S-1-5-21-7", body).await
    }

    /// Calls with a golden request, changed.
    async fn change(&self, operation: Operation, body: &str, from: &str, to: &str) -> Answer {
        assert!(body.contains(from), "{from}");
        self.call(operation, operation.namespaces()[0], &body.replace(from, to)).await
    }
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    fn check_fault(&self, exception: &str) {
        assert_eq!(self.status, 500, "{}", self.text());
        assert!(self.head.contains("content-type: text/xml; charset=utf-8"), "{}", self.head);
        let document = Document::parse(&self.body, &LIMITS).unwrap();
        let fault = down(&document, &["Body", "Fault", "faultstring"]);
        let expected = format!(
            "System.Web.Services.Protocols.SoapException: Server was unable to process request. ---> {exception}: "
        );
        assert!(fault.text().starts_with(&expected), "{}", fault.text());
    }

    /// The answer's tree, after the checks that every good answer passes.
    #[track_caller]
    fn parse(&self, operation: Operation, namespace: &str) -> Document<'_> {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(self.head.contains("content-type: text/xml; charset=utf-8"), "{}", self.head);
        let document = Document::parse(&self.body, &LIMITS).unwrap();
        assert_eq!(document.root().namespace(), SoapVersion::V1_1.namespace());
        let response = down(&document, &["Body"]).children().next().unwrap();
        assert_eq!(response.name(), format!("{operation}Response"));
        assert_eq!(response.namespace(), namespace);
        let header = document.root().child("Header");
        assert_eq!(header.is_some(), operation.has_version_data());
        if let Some(header) = header {
            let version = header.child("VersionData").unwrap();
            assert_eq!(version.namespace(), namespace);
            assert_eq!(version.child("MinimumVersion").unwrap().text(), "1.0.0.0");
            assert_eq!(version.child("MaximumVersion").unwrap().text(), "1.2.0.0");
        }
        document
    }
}

#[track_caller]
fn down<'d, 'a>(document: &'d Document<'a>, path: &[&str]) -> Element<'d, 'a> {
    below(document.root(), path)
}

#[track_caller]
fn below<'d, 'a>(mut element: Element<'d, 'a>, path: &[&str]) -> Element<'d, 'a> {
    for name in path {
        element = element.child(name).unwrap_or_else(|| panic!("no {name} in {}", element.name()));
    }
    element
}

/// What the certificates of a chain say that they are, in order; each as the clients want it.
#[track_caller]
fn chain(array: Element<'_, '_>) -> Vec<String> {
    array
        .children()
        .map(|certificate| {
            assert_eq!(certificate.name(), "Certificate");
            let xrml = certificate.child("XrML").unwrap();
            assert_eq!(xrml.namespace(), "");
            below(xrml, &["BODY", "DESCRIPTOR", "OBJECT", "NAME"]).text().into_owned()
        })
        .collect()
}

fn result<'d, 'a>(document: &'d Document<'a>) -> Element<'d, 'a> {
    let response = down(document, &["Body"]).children().next().unwrap();
    response.children().next().unwrap()
}
