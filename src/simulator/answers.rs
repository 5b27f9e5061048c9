//! The result of each operation, in the shapes of [MS-RMPR] and [MS-RMSI]: counts and order of the
//! request are kept. What is in a certificate is not looked at.

use super::Config;
use super::certificate::{Kind, Mint};
use super::licensor::Licensor;
use super::service::{Batching, Fault};
use crate::rms::document::Element;
use crate::rms::fault::{self, exception};
use crate::rms::location::service_url;
use crate::rms::request::Request;
use crate::rms::{Operation, escape};

/// What a result is made from.
pub(super) struct Asked<'r, 'd, 'a> {
    pub(super) request: Request<'d, 'a>,
    pub(super) batching: Batching,
    pub(super) entry: &'r str,
    pub(super) config: &'r Config,
    pub(super) licensor: &'r Licensor,
}

/// The content of `…Result`.
pub(super) fn result(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    match asked.request.inspected.operation {
        Operation::Certify => certify(asked),
        Operation::GetClientLicensorCert => client_licensor_certs(asked),
        Operation::AcquireIssuanceLicense => issuance_licenses(asked),
        Operation::AcquireLicense => licenses(asked),
        Operation::AcquirePreLicense => pre_licenses(asked),
        Operation::AcquireTemplateInformation => Ok(template_information(asked.config)),
        Operation::AcquireTemplates => templates(asked),
        Operation::GetServerInfo => server_info(asked),
        Operation::GetLicensorCertificate => Ok(certificate_chain(asked.mint().server_chain())),
        Operation::FindServiceLocations => Ok(locations_for_servers(asked)),
        Operation::FindServiceLocationsForUser => locations_for_user(asked),
    }
}

impl<'d, 'a> Asked<'_, 'd, 'a> {
    fn tenant_url(&self) -> &str {
        self.config.tenant_url.trim_end_matches('/')
    }

    fn mint(&self) -> Mint<'_> {
        Mint { licensor: self.licensor, tenant_url: self.tenant_url() }
    }

    /// The items of `RequestParams`, of which there must be one at least.
    fn params(&self, name: &str) -> Result<Vec<Element<'d, 'a>>, Fault> {
        let params = self.request.element.child("RequestParams");
        let params: Vec<_> = params.into_iter().flat_map(|params| params.children_named(name)).collect();
        if params.is_empty() { Err(missing(name)) } else { Ok(params) }
    }

    /// The types of `ServiceNames`.
    fn service_types(&self) -> Vec<String> {
        let names = self.request.element.children_named("ServiceNames");
        let requests = names.flat_map(|names| names.children_named("ServiceLocationRequest"));
        requests.filter_map(|request| request.child("Type")).map(text_of).collect()
    }
}

/// [MS-RMPR] 3.3.4.1.
fn certify(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let params = asked.request.element.child("requestParams").ok_or_else(|| missing("requestParams"))?;
    if certificates(params.child("MachineCertificateChain")) == 0 {
        return Err(Fault::new(
            exception::VERIFY_MACHINE_CERTIFICATE_CHAIN,
            "the machine certificate chain is empty",
        ));
    }
    // A temporary certificate is asked for with false, whatever the schema's prose says.
    let kind = match params.child("Persistent").map(text_of).as_deref() {
        Some("false" | "0") => Kind::TemporaryRightsAccount,
        _ => Kind::RightsAccount,
    };
    let chain = certificate_chain(&asked.mint().chain(kind, asked.entry));
    Ok(format!(
        "{chain}<Quota><Verified>true</Verified><CurrentConsumption>5</CurrentConsumption>\
         <Maximum>10</Maximum></Quota>"
    ))
}

/// [MS-RMPR] 3.5.4.2: one response for each params.
fn client_licensor_certs(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let mut result = String::new();
    for params in asked.params("GetClientLicensorCertParams")? {
        check_persona(params.child("PersonaCerts"))?;
        let chain = asked.mint().chain(Kind::ClientLicensor, asked.entry);
        result += &response("GetClientLicensorCertResponse", &certificate_chain(&chain));
    }
    Ok(result)
}

/// [MS-RMPR] 3.5.4.1: one response for each params.
fn issuance_licenses(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let mut result = String::new();
    for params in asked.params("AcquireIssuanceLicenseParams")? {
        let unsigned = params.child("UnsignedIssuanceLicense");
        let license = unsigned.and_then(|unsigned| unsigned.child("XrML"));
        let license = license.ok_or_else(|| missing("UnsignedIssuanceLicense"))?;
        if uses_des(license) {
            return Err(Fault::new(exception::UNSUPPORTED_SYMMETRIC_KEY, "DES is not supported"));
        }
        let chain = asked.mint().short_chain(Kind::PublishingLicense, asked.entry);
        result += &response("AcquireIssuanceLicenseResponse", &certificate_chain(&chain));
    }
    Ok(result)
}

/// [MS-RMPR] 3.4.4.1: the same count and order; a later params may leave its license out and
/// means the last one.
fn licenses(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let all = asked.params("AcquireLicenseParams")?;
    check_batch(asked, all.len())?;
    let mut inherited = false;
    let mut result = String::new();
    for (index, params) in all.iter().enumerate() {
        inherited |= certificates(params.child("IssuanceLicense")) > 0;
        let refused = if inherited {
            check_persona(params.child("LicenseeCerts")).err()
        } else {
            Some(Fault::new(exception::INVALID_RIGHTS_LABEL_SIGNATURE, "there is no issuance license"))
        };
        let chain = match refused {
            None => asked.mint().chain(Kind::UseLicense, asked.entry),
            Some(fault) if all.len() == 1 || !inherited => return Err(fault),
            Some(fault) => failed_item("AcquireLicenseException", &fault, index),
        };
        let chain = certificate_chain(&chain);
        result += &response("AcquireLicenseResponse", &format!("{chain}<ReferenceCertificates/>"));
    }
    Ok(result)
}

/// [MS-RMSI] 3.5.4.1: `Licenses` has one item for each identity, at the same index.
fn pre_licenses(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let all = asked.params("AcquirePreLicenseParams")?;
    check_batch(asked, all.len())?;
    let mut inherited = false;
    let mut result = String::new();
    for params in all {
        inherited |= certificates(params.child("IssuanceLicense")) > 0;
        if !inherited {
            return Err(Fault::new(
                exception::INVALID_RIGHTS_LABEL_SIGNATURE,
                "there is no issuance license",
            ));
        }
        let identities = params.child("LicenseeIdentities");
        let identities = identities.into_iter().flat_map(|identities| identities.children_named("string"));
        let mut items = String::new();
        for (index, identity) in identities.map(text_of).enumerate() {
            items += &match is_known(&identity) {
                true => asked.mint().wrapped(Kind::UseLicense, &identity),
                false => {
                    let fault = Fault::new(exception::INVALID_LICENSEE, format!("{identity:?} is not known"));
                    failed_item("AcquirePreLicenseException", &fault, index)
                }
            };
        }
        let chain = certificate_chain(asked.mint().server_chain());
        let item = format!("<Licenses>{items}</Licenses>{chain}<ReferenceCertificates/>");
        result += &response("AcquirePreLicenseResponse", &item);
    }
    Ok(result)
}

/// [MS-RMPR] 3.4.4.2.
fn template_information(config: &Config) -> String {
    let hashes: String = (1..=config.templates)
        .map(|number| format!("<GuidHash>{}</GuidHash>", guid_and_hash(&template_guid(number))))
        .collect();
    format!(
        "<ServerPublicKey>c2ltdWxhdGVk</ServerPublicKey><GuidHashCount>{}</GuidHashCount>{hashes}",
        config.templates
    )
}

/// [MS-RMPR] 3.4.4.3: an unknown guid comes back without a template.
fn templates(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let guids = asked.request.element.children_named("guids");
    let guids: Vec<String> = guids.flat_map(|guids| guids.children_named("string")).map(text_of).collect();
    if guids.len() > TEMPLATES_MAX {
        return Err(Fault::new(exception::UNSPECIFIED, format!("{} templates at once", guids.len())));
    }
    let known =
        |guid: &String| (1..=asked.config.templates).any(|n| template_guid(n).eq_ignore_ascii_case(guid));
    let mut result = String::new();
    for guid in guids {
        let item = if known(&guid) {
            let template = asked.mint().xrml(Kind::Template, &guid);
            format!("{}<Template>{}</Template>", guid_and_hash(&guid), escape(&template))
        } else {
            format!("<Guid>{}</Guid>", escape(&guid))
        };
        result += &format!("<GuidTemplate>{item}</GuidTemplate>");
    }
    Ok(result)
}

/// [MS-RMPR] 3.7.4.3. Exchange needs the three features, as text.
fn server_info(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let requests = asked.request.element.child("requests").ok_or_else(|| missing("requests"))?;
    let mut result = String::new();
    for request in requests.children_named("ServerInfoRequest") {
        let kind = request.child("Type").map(text_of).unwrap_or_default();
        let additional = request.child("AdditionalInfo").map(text_of).unwrap_or_default();
        let tenant_url = asked.tenant_url();
        let answer = match kind.as_str() {
            "VersionInfo" => "<VersionInfo Version=\"6.3.0.0\"/>".to_owned(),
            "ServerFeatureInfo" => "<ServerFeatureInfo><Feature Name=\"CryptoMode\" Value=\"2\"/>\
                 <Feature Name=\"ServerCertificationSharedIdentity\" Value=\"true\"/>\
                 <Feature Name=\"MultiForestAcquirePreLicense\" Value=\"true\"/></ServerFeatureInfo>"
                .to_owned(),
            "ServerLicensorCertificate" => {
                let mint = asked.mint();
                let chain = mint.server_chain();
                format!("<ServerLicensorCertificateChain>{chain}</ServerLicensorCertificateChain>")
            }
            "ServiceLocations" => {
                let locations = ["CertificationService", "LicensingService"].map(|service| {
                    let url = service_url(tenant_url, service).ok().flatten().unwrap_or_default();
                    format!("<ServiceLocation Type=\"{service}\" Url=\"{}\"/>", escape(&url))
                });
                format!(
                    "<ServiceLocations>{}<ServiceLocation Type=\"ActivationService\" Url=\"\"/></ServiceLocations>",
                    locations.concat()
                )
            }
            _ => return Err(Fault::new(exception::ARGUMENT_NULL, format!("the type {kind:?} is not known"))),
        };
        result += &format!(
            "<ServerInfoRequest Type=\"{kind}\" AdditionalInfo=\"{}\">{answer}</ServerInfoRequest>",
            escape(&additional)
        );
    }
    Ok(format!("<Results xmlns=\"\">{result}</Results>"))
}

/// [MS-RMPRS] 3.2.4.1: every type comes back; what there is not has an empty URL.
fn locations_for_servers(asked: &Asked<'_, '_, '_>) -> String {
    let location = |service: String| {
        let url = service_url(asked.tenant_url(), &service).ok().flatten().unwrap_or_default();
        location(&service, &format!("<URL>{}</URL>", escape(&url)))
    };
    asked.service_types().into_iter().map(location).collect()
}

/// [MS-RMPR] 3.7.4.2: what there is not has no URL; what cannot be is a fault.
fn locations_for_user(asked: &Asked<'_, '_, '_>) -> Result<String, Fault> {
    let mut result = String::new();
    for service in asked.service_types() {
        let url = service_url(asked.tenant_url(), &service)
            .map_err(|bad| Fault::new(exception::INVALID_OPERATION, bad.to_string()))?;
        let url = url.map(|url| format!("<URL>{}</URL>", escape(&url))).unwrap_or_default();
        result += &location(&service, &url);
    }
    Ok(result)
}

/// One params in version 1.0.0.0; later as many as there are.
fn check_batch(asked: &Asked<'_, '_, '_>, params: usize) -> Result<(), Fault> {
    match asked.batching {
        Batching::One if params > 1 => {
            Err(Fault::new(exception::ARGUMENT_NULL, "version 1.0.0.0 has one set of parameters"))
        }
        Batching::One | Batching::Many => Ok(()),
    }
}

fn check_persona(certs: Option<Element<'_, '_>>) -> Result<(), Fault> {
    match certificates(certs) {
        0 => Err(Fault::new(exception::INVALID_PERSONA_SIGNATURE, "there is no rights account certificate")),
        _ => Ok(()),
    }
}

fn certificates(array: Option<Element<'_, '_>>) -> usize {
    array.map_or(0, |array| array.children_named("Certificate").count())
}

/// A stand-in for a license that could not be made ([MS-RMPR] 3.4.4.1, [MS-RMSI] 3.5.4.1).
fn failed_item(name: &str, fault: &Fault, index: usize) -> String {
    let text = fault::text(fault.exception, &fault.text);
    format!(
        "<Certificate><{name}><ExceptionString>{}</ExceptionString><batchindex>{index}</batchindex>\
         </{name}></Certificate>",
        escape(&text)
    )
}

/// Recipients are e-mail addresses or SIDs; anything at `unknown.` is nobody.
fn is_known(identity: &str) -> bool {
    identity.starts_with("S-1-")
        || identity.split_once('@').is_some_and(|(_, host)| !host.starts_with("unknown."))
}

fn uses_des(license: Element<'_, '_>) -> bool {
    let mut open = vec![license];
    while let Some(element) = open.pop() {
        if element.name() == "ALGORITHM" && element.text().trim() == "DES" {
            return true;
        }
        open.extend(element.children());
    }
    false
}

fn guid_and_hash(guid: &str) -> String {
    format!("<Guid>{}</Guid><Hash>c2ltdWxhdGVk</Hash>", escape(guid))
}

/// The guid of the simulated template with this number, from 1.
fn template_guid(number: u32) -> String {
    format!("{{5f2c0a51-73d4-4c5e-9d2b-4f1c{number:08x}}}")
}

fn certificate_chain(certificates: &str) -> String {
    format!("<CertificateChain>{certificates}</CertificateChain>")
}

fn response(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

fn location(service: &str, url: &str) -> String {
    format!("<ServiceLocationResponse>{url}<Type>{}</Type></ServiceLocationResponse>", escape(service))
}

fn missing(name: &str) -> Fault {
    Fault::new(exception::ARGUMENT_NULL, format!("{name} is missing"))
}

fn text_of(element: Element<'_, '_>) -> String {
    element.text().trim().to_owned()
}

/// What clients ask for at once.
const TEMPLATES_MAX: usize = 25;
