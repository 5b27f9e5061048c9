//! The WSDL of a service, out of the table of operations: document/literal wrapped, bound to both versions of SOAP.
//! A service whose operations clients know in two namespaces has a port for each.

use super::operation::Operation;
use super::pipeline::Endpoint;
use super::shape::{Count, Field, Kind, Sequence, Words};
use super::write::escape;
use super::{SoapVersion, namespace};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The content type of [`wsdl`].
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// The description of a service ([WSDL 1.1]) at `address`, the URL by which the caller knows it.
#[must_use]
pub fn wsdl(endpoint: Endpoint, address: &str) -> String {
    let ports: Vec<Port> = endpoint.namespaces().into_iter().map(|name| Port::new(endpoint, name)).collect();
    let mut out = String::with_capacity(16 << 10);
    out.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<wsdl:definitions");
    for (prefix, namespace) in PREFIXES {
        put(&mut out, format_args!(" xmlns:{prefix}=\"{namespace}\""));
    }
    for port in &ports {
        put(&mut out, format_args!(" xmlns:{}=\"{}\"", port.prefix, port.namespace));
    }
    let target = ports.first().map_or("", |port| port.namespace);
    put(&mut out, format_args!(" xmlns:tns=\"{target}\" targetNamespace=\"{target}\">\n<wsdl:types>\n"));
    for port in &ports {
        schema(&mut out, port);
    }
    out.push_str("</wsdl:types>\n");
    for port in &ports {
        messages(&mut out, port);
    }
    for port in &ports {
        port_type(&mut out, port);
    }
    for port in &ports {
        for soap in [SoapVersion::V1_1, SoapVersion::V1_2] {
            binding(&mut out, port, soap);
        }
    }
    put(&mut out, format_args!("<wsdl:service name=\"{}\">\n", endpoint.service_name()));
    let address = escape(address);
    for port in &ports {
        for soap in [SoapVersion::V1_1, SoapVersion::V1_2] {
            let (name, prefix) = (port.binding(soap), prefix(soap));
            put(
                &mut out,
                format_args!(
                    "<wsdl:port name=\"{name}\" binding=\"tns:{name}\"><{prefix}:address location=\"{address}\"/>\
                     </wsdl:port>\n"
                ),
            );
        }
    }
    out.push_str("</wsdl:service>\n</wsdl:definitions>\n");
    out
}

/// The operations of one namespace.
struct Port {
    /// `LicenseSoap`.
    name: String,
    namespace: &'static str,
    prefix: &'static str,
    operations: Vec<Operation>,
}

impl Port {
    /// The specification has FindServiceLocationsForUser in the namespace of `Server`, clients have it in another.
    fn new(endpoint: Endpoint, namespace: &'static str) -> Self {
        let second = endpoint.namespaces().first() != Some(&namespace);
        let (base, prefix) = if second && namespace == namespace::SERVER {
            ("Server", "n1")
        } else {
            (endpoint.service_name(), "n0")
        };
        let operations = endpoint.operations().filter(|it| it.namespaces().contains(&namespace)).collect();
        Port { name: format!("{base}Soap"), namespace, prefix, operations }
    }

    fn binding(&self, soap: SoapVersion) -> String {
        match soap {
            SoapVersion::V1_1 => self.name.clone(),
            SoapVersion::V1_2 => format!("{}12", self.name),
        }
    }

    /// What an operation's messages are called: unlike those of another port.
    fn message(&self, operation: Operation) -> String {
        format!("{operation}{}", if self.prefix == "n0" { "Soap" } else { &self.name })
    }
}

fn schema(out: &mut String, port: &Port) {
    put(
        out,
        format_args!(
            "<s:schema elementFormDefault=\"qualified\" targetNamespace=\"{0}\" xmlns:t=\"{0}\">\n",
            port.namespace
        ),
    );
    let mut types = Types::default();
    for operation in &port.operations {
        put(out, format_args!("<s:element name=\"{operation}\"><s:complexType>"));
        sequence(out, operation.request());
        put(
            out,
            format_args!(
                "</s:complexType></s:element>\n<s:element name=\"{operation}Response\"><s:complexType>"
            ),
        );
        let name = format!("{operation}Result");
        out.push_str("<s:sequence>");
        element(out, &name, Count::Optional, operation.result());
        out.push_str("</s:sequence></s:complexType></s:element>\n");
        types.fields(operation.request());
        types.kind(operation.result());
    }
    for sequence_type in types.sequences.values() {
        put(out, format_args!("<s:complexType name=\"{}\">", sequence_type.name));
        sequence(out, sequence_type.fields);
        out.push_str("</s:complexType>\n");
    }
    for words in types.words.values() {
        put(out, format_args!("<s:simpleType name=\"{}\"><s:restriction base=\"s:string\">", words.name));
        for word in words.words {
            put(out, format_args!("<s:enumeration value=\"{word}\"/>"));
        }
        out.push_str("</s:restriction></s:simpleType>\n");
    }
    if port.operations.iter().any(|operation| operation.has_version_data()) {
        out.push_str(VERSION_DATA);
    }
    out.push_str("</s:schema>\n");
}

/// The named types of a schema, each once.
#[derive(Default)]
struct Types {
    sequences: BTreeMap<&'static str, &'static Sequence>,
    words: BTreeMap<&'static str, &'static Words>,
}

impl Types {
    fn fields(&mut self, fields: &[Field]) {
        for field in fields {
            self.kind(field.kind);
        }
    }

    /// The shapes are not recursive, and a handful of levels deep.
    fn kind(&mut self, kind: Kind) {
        match kind {
            Kind::Sequence(found) => {
                self.sequences.insert(found.name, found);
                self.fields(found.fields);
            }
            Kind::Word(words) => {
                self.words.insert(words.name, words);
            }
            Kind::Text | Kind::Boolean | Kind::Number | Kind::Any => {}
        }
    }
}

fn sequence(out: &mut String, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    out.push_str("<s:sequence>");
    for field in fields {
        element(out, field.name, field.count, field.kind);
    }
    out.push_str("</s:sequence>");
}

fn element(out: &mut String, name: &str, count: Count, kind: Kind) {
    let count = match count {
        Count::One => "minOccurs=\"1\" maxOccurs=\"1\"",
        Count::Optional => "minOccurs=\"0\" maxOccurs=\"1\"",
        Count::Many => "minOccurs=\"0\" maxOccurs=\"unbounded\"",
        Count::ManyOrNil => "minOccurs=\"0\" maxOccurs=\"unbounded\" nillable=\"true\"",
    };
    let type_name = match kind {
        Kind::Text => "s:string".to_owned(),
        Kind::Boolean => "s:boolean".to_owned(),
        Kind::Number => "s:int".to_owned(),
        Kind::Word(words) => format!("t:{}", words.name),
        Kind::Sequence(sequence) => format!("t:{}", sequence.name),
        Kind::Any => {
            put(
                out,
                format_args!(
                    "<s:element name=\"{name}\" {count}><s:complexType mixed=\"true\"><s:sequence>\
                     <s:any minOccurs=\"0\" processContents=\"lax\"/></s:sequence></s:complexType></s:element>"
                ),
            );
            return;
        }
    };
    put(out, format_args!("<s:element name=\"{name}\" {count} type=\"{type_name}\"/>"));
}

fn messages(out: &mut String, port: &Port) {
    for operation in &port.operations {
        let (name, prefix) = (port.message(*operation), port.prefix);
        for (direction, element) in [("In", format!("{operation}")), ("Out", format!("{operation}Response"))]
        {
            put(
                out,
                format_args!(
                    "<wsdl:message name=\"{name}{direction}\"><wsdl:part name=\"parameters\" \
                     element=\"{prefix}:{element}\"/></wsdl:message>\n"
                ),
            );
        }
        if operation.has_version_data() {
            put(
                out,
                format_args!(
                    "<wsdl:message name=\"{name}VersionData\"><wsdl:part name=\"VersionData\" \
                     element=\"{prefix}:VersionData\"/></wsdl:message>\n"
                ),
            );
        }
    }
}

fn port_type(out: &mut String, port: &Port) {
    put(out, format_args!("<wsdl:portType name=\"{}\">\n", port.name));
    for operation in &port.operations {
        let message = port.message(*operation);
        put(
            out,
            format_args!(
                "<wsdl:operation name=\"{operation}\"><wsdl:input message=\"tns:{message}In\"/>\
                 <wsdl:output message=\"tns:{message}Out\"/></wsdl:operation>\n"
            ),
        );
    }
    out.push_str("</wsdl:portType>\n");
}

fn binding(out: &mut String, port: &Port, soap: SoapVersion) {
    let (prefix, name) = (prefix(soap), port.binding(soap));
    put(
        out,
        format_args!(
            "<wsdl:binding name=\"{name}\" type=\"tns:{}\">\
             <{prefix}:binding transport=\"http://schemas.xmlsoap.org/soap/http\" style=\"document\"/>\n",
            port.name
        ),
    );
    for operation in &port.operations {
        let action = operation.action(port.namespace);
        put(
            out,
            format_args!(
                "<wsdl:operation name=\"{operation}\">\
                 <{prefix}:operation soapAction=\"{action}\" style=\"document\"/>"
            ),
        );
        let mut parts = format!("<{prefix}:body use=\"literal\"/>");
        if operation.has_version_data() {
            let message = port.message(*operation);
            put(
                &mut parts,
                format_args!(
                    "<{prefix}:header message=\"tns:{message}VersionData\" part=\"VersionData\" use=\"literal\"/>"
                ),
            );
        }
        put(
            out,
            format_args!(
                "<wsdl:input>{parts}</wsdl:input><wsdl:output>{parts}</wsdl:output></wsdl:operation>\n"
            ),
        );
    }
    out.push_str("</wsdl:binding>\n");
}

fn prefix(soap: SoapVersion) -> &'static str {
    match soap {
        SoapVersion::V1_1 => "soap",
        SoapVersion::V1_2 => "soap12",
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

const PREFIXES: [(&str, &str); 4] = [
    ("wsdl", "http://schemas.xmlsoap.org/wsdl/"),
    ("s", "http://www.w3.org/2001/XMLSchema"),
    ("soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
    ("soap12", "http://schemas.xmlsoap.org/wsdl/soap12/"),
];
/// [MS-RMPR] 2.2.4.2.
const VERSION_DATA: &str = "<s:element name=\"VersionData\" type=\"t:VersionData\"/>\n\
     <s:complexType name=\"VersionData\"><s:sequence>\
     <s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"MinimumVersion\" type=\"s:string\"/>\
     <s:element minOccurs=\"0\" maxOccurs=\"1\" name=\"MaximumVersion\" type=\"s:string\"/>\
     </s:sequence><s:anyAttribute/></s:complexType>\n";

#[cfg(test)]
mod tests {
    use super::super::document::{Document, Element, LIMITS};
    use super::*;
    use crate::rms::EndpointKind;
    use std::collections::BTreeSet;

    const ADDRESS: &str = "http://rms.example/_wmcs/a.asmx?b&c";

    fn services() -> impl Iterator<Item = Endpoint> {
        Endpoint::ALL.into_iter().filter(|endpoint| endpoint.kind() == EndpointKind::Service)
    }

    fn attribute<'t>(text: &'t str, before: &str) -> Vec<&'t str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn each_service_describes_its_operations_in_both_versions() {
        for endpoint in services() {
            let text = wsdl(endpoint, ADDRESS);
            let document = Document::parse(text.as_bytes(), &LIMITS).unwrap();
            let bindings: Vec<Element<'_, '_>> = document.root().children_named("binding").collect();
            assert_eq!(bindings.len(), 2 * endpoint.namespaces().len(), "{endpoint:?}");
            for binding in bindings {
                assert_eq!(binding.children_named("operation").count(), endpoint.operations().count());
            }
            for operation in endpoint.operations() {
                for namespace in operation.namespaces() {
                    let action = format!("soapAction=\"{}\"", operation.action(namespace));
                    assert_eq!(text.matches(&action).count(), 2, "{endpoint:?} {action}");
                }
            }
            let locations = attribute(&text, "location=\"");
            assert_eq!(locations.len(), 2 * endpoint.namespaces().len());
            assert!(locations.iter().all(|it| *it == "http://rms.example/_wmcs/a.asmx?b&amp;c"));
        }
    }

    #[test]
    fn every_type_that_is_used_is_there_once() {
        for endpoint in services() {
            let text = wsdl(endpoint, ADDRESS);
            for schema in text.split("<s:schema").skip(1) {
                let schema = schema.split("</s:schema>").next().unwrap();
                let used: BTreeSet<_> = attribute(schema, "type=\"t:").into_iter().collect();
                let mut defined = attribute(schema, "<s:complexType name=\"");
                defined.extend(attribute(schema, "<s:simpleType name=\""));
                assert_eq!(used, defined.iter().copied().collect(), "{endpoint:?}");
                assert_eq!(defined.len(), used.len(), "{endpoint:?}: {defined:?}");
            }
        }
    }

    #[test]
    fn ports_have_the_names_that_are_known() {
        for (endpoint, names) in [
            (Endpoint::ServerCertification, vec!["ServerCertificationWebServiceSoap"]),
            (Endpoint::Certification, vec!["CertificationWebServiceSoap"]),
            (Endpoint::License, vec!["LicenseSoap"]),
            (Endpoint::Publish, vec!["PublishSoap"]),
            (Endpoint::TemplateDistribution, vec!["TemplateDistributionWebServiceSoap"]),
            (Endpoint::LicensingServer, vec!["ServerSoap"]),
            (Endpoint::CertificationServiceLocator, vec!["ServiceLocatorSoap", "ServerSoap"]),
        ] {
            let text = wsdl(endpoint, ADDRESS);
            let expected: Vec<String> =
                names.iter().flat_map(|n| [(*n).to_owned(), format!("{n}12")]).collect();
            assert_eq!(attribute(&text, "<wsdl:port name=\""), expected, "{endpoint:?}");
            assert_eq!(attribute(&text, "<wsdl:binding name=\""), expected, "{endpoint:?}");
        }
    }

    #[test]
    fn only_get_server_info_has_no_version_data() {
        let text = wsdl(Endpoint::LicensingServer, ADDRESS);
        assert_eq!(text.matches("<soap:header").count(), 2 * 2);
        assert!(!text.contains("GetServerInfoSoapVersionData"));
        assert!(text.contains("GetLicensorCertificateSoapVersionData"));
    }
}
