//! What is answered to GET: pages for people, and the tenant's URL for the configuration script.

use super::pipeline::{Endpoint, EndpointKind};
use super::write::escape;
use std::fmt::Write;

/// The content type of [`page`].
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// The content type of [`tenant_url`].
pub const TENANT_URL_CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// The page of a service or directory. MSDRM opens it before it uses the service, and
/// administrators look for the service's name in it: it must be cheap and need no upstream.
#[must_use]
pub fn page(endpoint: Endpoint, node: &str, version: &str) -> String {
    let (name, node, version) = (endpoint.service_name(), escape(node), escape(version));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{name}</title></head>\n\
         <body>\n<h1>{name}</h1>\n<p>The Rights Management connector is operational.</p>\n"
    );
    match endpoint.kind() {
        EndpointKind::Service => {
            page.push_str("<p>Operations, by SOAP over POST:</p>\n<ul>\n");
            for operation in endpoint.operations() {
                // Writing to a string cannot fail.
                let _ = writeln!(page, "<li>{operation}</li>");
            }
            page.push_str("</ul>\n");
        }
        EndpointKind::Directory => {
            page.push_str("<p>Services:</p>\n<ul>\n");
            for service in Endpoint::ALL {
                let below = service.path().strip_prefix(endpoint.path()).and_then(|p| p.strip_prefix('/'));
                if let Some(below) = below {
                    let _ = writeln!(page, "<li><a href=\"{}\">{below}</a></li>", service.path());
                }
            }
            page.push_str("</ul>\n");
        }
        EndpointKind::TenantUrl => {}
    }
    let _ = writeln!(page, "<p>Node {node}, version {version}.</p>\n</body>\n</html>");
    page
}

/// The body of `GetRmsoUri.aspx`: the tenant's URL and nothing else, not even a line end. The
/// script appends paths to it.
#[must_use]
pub fn tenant_url(url: &str) -> &str {
    url.trim().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_page_names_the_service_its_operations_and_the_node() {
        let text = page(Endpoint::ServerCertification, "n1<b>", "0.1.0");
        for expected in
            ["ServerCertificationWebService", "<li>Certify</li>", "operational", "n1&lt;b&gt;", "0.1.0"]
        {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert!(page(Endpoint::License, "", "").contains("<li>AcquirePreLicense</li>"));
    }

    #[test]
    fn a_directory_page_links_its_services() {
        let text = page(Endpoint::LicensingDirectory, "n1", "0.1.0");
        assert_eq!(text.matches("<a href=\"/_wmcs/licensing/").count(), 5);
        assert!(!text.contains("/_wmcs/certification"));
    }

    #[test]
    fn the_tenant_url_is_bare() {
        assert_eq!(tenant_url("https://t.example.net/\n"), "https://t.example.net");
        assert_eq!(tenant_url("https://t.example.net"), "https://t.example.net");
    }
}
