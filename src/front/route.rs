//! Method, path and query to what is meant. Pure.

use crate::rms::{self, Endpoint, EndpointKind};
use http::Method;

/// What a request is, as far as its first line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A SOAP message for an endpoint.
    Soap(Endpoint),
    /// Somebody reads an endpoint's page.
    Page(Endpoint),
    /// Somebody asks for a service's WSDL.
    Wsdl(Endpoint),
    /// The path is none of the protocol's.
    NotFound,
    /// The path is, but not with this method; these may be used.
    MethodNotAllowed(&'static str),
}

/// Finds out what is meant. Any other query than `wsdl` means nothing.
#[must_use]
pub fn route(method: &Method, path: &str, query: Option<&str>) -> Route {
    let Some(endpoint) = rms::route(path) else { return Route::NotFound };
    let takes_soap = endpoint.kind() == EndpointKind::Service;
    match *method {
        Method::GET | Method::HEAD if takes_soap && query.is_some_and(asks_for_wsdl) => Route::Wsdl(endpoint),
        Method::GET | Method::HEAD => Route::Page(endpoint),
        Method::POST if takes_soap => Route::Soap(endpoint),
        _ if takes_soap => Route::MethodNotAllowed("GET, HEAD, POST"),
        _ => Route::MethodNotAllowed("GET, HEAD"),
    }
}

fn asks_for_wsdl(query: &str) -> bool {
    query.eq_ignore_ascii_case("wsdl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, path: &str, expected: impl FnOnce(Endpoint) -> Route) {
        let endpoint = rms::route(path).unwrap();
        assert_eq!(route(method, path, None), expected(endpoint), "{method} {path}");
    }

    #[test]
    fn a_service_has_a_description_and_a_directory_has_none() {
        let (license, directory) = ("/_wmcs/licensing/license.asmx", "/_wmcs/licensing/");
        for method in [Method::GET, Method::HEAD] {
            for query in ["wsdl", "WSDL", "Wsdl"] {
                assert_eq!(route(&method, license, Some(query)), Route::Wsdl(Endpoint::License));
                let page = Route::Page(Endpoint::LicensingDirectory);
                assert_eq!(route(&method, directory, Some(query)), page);
            }
            for query in ["", "disco", "op=AcquireLicense", "wsdl=1", "wsdl&x"] {
                assert_eq!(route(&method, license, Some(query)), Route::Page(Endpoint::License), "{query}");
            }
        }
        assert_eq!(route(&Method::POST, license, Some("wsdl")), Route::Soap(Endpoint::License));
    }

    #[test]
    fn knows_soap_from_pages_in_any_case() {
        check(&Method::POST, "/_WMCS/Licensing/LICENSE.asmx", Route::Soap);
        check(&Method::GET, "/_wmcs/certification/ServerCertification.asmx", Route::Page);
        check(&Method::HEAD, "/_wmcs/licensing/", Route::Page);
        check(&Method::POST, "/_wmcs/GetRmsoUri.aspx", |_| Route::MethodNotAllowed("GET, HEAD"));
        check(&Method::PUT, "/_wmcs/licensing/license.asmx", |_| Route::MethodNotAllowed("GET, HEAD, POST"));
    }

    /// Other spellings of a path that some servers take for the same.
    fn variants(path: &str) -> Vec<String> {
        let last = path.rfind('/').expect("a path has a slash");
        let (folder, name) = path.split_at(last);
        let name = name.trim_start_matches('/');
        let mut variants: Vec<String> = [
            "//", "/x/..", "/..", "/%2e", "/.;", "/%00", "/ ", "%20", "%2f", "%5c", "\\", ";", ";a=b", "%3b",
            ".", "..", "%00", "%0d%0a", "::$DATA", "%3fwsdl", "~1", "\u{0}", "*", "+",
        ]
        .iter()
        .map(|behind| format!("{path}{behind}"))
        .collect();
        for between in [
            "//", "/./", "/x/../", "/%2e/", "/;/", "\\", "%2f", "%2F", "%5c", "%252f", "/%2e%2e/", "\u{2215}",
        ] {
            variants.push(format!("{folder}{between}{name}"));
            variants.push(path.replacen('/', between, 1));
            variants.push(path.replace('/', between));
        }
        variants.extend([
            path.replace('_', "%5f"),
            path.replace('_', "%255f"),
            path.replace('i', "%69"),
            path.replace('i', "\u{131}"),
            path.replace('s', "\u{17f}"),
            path.replace('c', "\u{ff43}"),
            path.trim_start_matches('/').to_owned(),
            format!("/_wmcs{path}"),
            format!(" {path}"),
            format!("/%20{path}"),
            path.get(..path.len() - 1).unwrap_or_default().to_owned(),
        ]);
        variants
    }

    #[test]
    fn knows_no_other_spelling_of_a_path() {
        let all: std::collections::BTreeSet<String> =
            Endpoint::ALL.iter().flat_map(|endpoint| variants(endpoint.path())).collect();
        assert!(all.len() >= 600, "{}", all.len());
        for path in all {
            for method in [Method::GET, Method::POST] {
                assert_eq!(route(&method, &path, None), Route::NotFound, "{path:?}");
            }
        }
    }

    #[test]
    fn knows_no_other_path() {
        for path in [
            "",
            "/",
            "*",
            "/_wmcs",
            "/_wmcs/",
            "/_wmcs/admin/admin.asmx",
            "/_wmcs/decommission/decommission.asmx",
            "/_wmcs/licensing/%2e%2e/license.asmx",
            "/_wmcs/certification/license.asmx",
            "/_wmcs/licensing/certification.asmx",
            "/_wmcs/licensing/license.asmx/",
            "/_wmcs/licensing/license.asmx/AcquireLicense",
            "/_wmcs/licensing//",
            "/_wmcs/GetRmsoUri.aspx/",
            "/livez",
            "/readyz",
            "/metrics",
        ] {
            assert_eq!(route(&Method::GET, path, None), Route::NotFound, "{path}");
        }
    }
}
