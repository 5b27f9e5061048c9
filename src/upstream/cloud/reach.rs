//! Tries the way to hosts of the cloud: name, TCP or the web proxy, TLS. Nothing is said to them.

use super::super::connect::Dialer;
use super::super::hosts::Hosts;
use super::super::proxy::Proxy;
use super::super::trouble::{Trouble, When};
use super::super::{Config, Kind};
use super::{Environment, OAuthConfig};
use crate::tls;
use http::Uri;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The service, and where one signs in.
    Service,
    /// All hosts that a firewall must let through.
    Endpoints,
    /// Where one signs in, in every cloud.
    Clouds,
}

/// What came of one host.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is for.
    pub purpose: &'static str,
    /// It is a whole domain, which cannot be tried.
    pub domain: bool,
    /// There is a way, and it is to be trusted.
    pub reached: bool,
    /// How long it took.
    pub took: Duration,
    /// Who issued its certificate.
    pub issuer: String,
    /// What is wrong.
    pub reason: String,
}

/// Tries the way. Clones go the same way.
#[derive(Clone)]
pub struct Reach {
    config: Arc<Config>,
    service: tls::ServiceClient,
    sign_in: tls::ServiceClient,
    proxy: Option<Arc<Proxy>>,
}

impl Reach {
    /// From this node.
    ///
    /// # Errors
    /// An authority's file is unusable.
    pub fn new(config: &Config) -> Result<Self, tls::LoadError> {
        let sign_in = match &config.kind {
            Kind::OAuth(oauth) => oauth.sign_in_authority.as_deref(),
            Kind::Simulated | Kind::AdRms(_) | Kind::Chained(_) => None,
        };
        let proxy = config.proxy.clone().map(|config| Arc::new(Proxy::new(config)));
        Ok(Reach {
            service: tls::ServiceClient::trusting(config.roots())?,
            sign_in: tls::ServiceClient::trusting(tls::Roots::of(sign_in))?,
            config: Arc::new(config.clone()),
            proxy,
        })
    }

    /// The web proxy that may be between.
    #[must_use]
    pub fn proxy(&self) -> Option<String> {
        self.config.proxy.as_ref().map(|proxy| proxy.url.to_string())
    }

    /// Tries all hosts of a purpose.
    pub async fn try_all(&self, purpose: Purpose, oauth: Option<&OAuthConfig>) -> Vec<Reached> {
        let service = (self.config.base.clone(), SERVICE, &self.service);
        let sign_in = oauth.map(|oauth| (oauth.sign_in.clone(), SIGN_IN, &self.sign_in));
        let own = std::iter::once(service).chain(sign_in);
        let wanted: Vec<_> = match purpose {
            Purpose::Service | Purpose::Endpoints => own.collect(),
            Purpose::Clouds => Environment::ALL
                .into_iter()
                .filter_map(|cloud| Some((cloud.sign_in_host()?, cloud.word())))
                .filter_map(|(host, word)| {
                    Some((format!("https://{host}").parse().ok()?, word, &self.sign_in))
                })
                .collect(),
        };
        let tried = wanted.into_iter().map(|(uri, what, tls)| self.attempt(uri, what, tls));
        let mut reached = futures::future::join_all(tried).await;
        if purpose == Purpose::Endpoints {
            let more = self.config.hosts.names().iter();
            let more =
                more.filter(|name| !reached.iter().any(|it| it.host == **name)).map(|name| unproven(name));
            let more: Vec<_> = more.collect();
            reached.extend(more);
        }
        reached
    }

    async fn attempt(&self, uri: Uri, purpose: &'static str, tls: &tls::ServiceClient) -> Reached {
        let host = uri.host().unwrap_or_default().to_owned();
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        // An administrator asks for just this host.
        let dialer = Dialer::new(self.proxy.clone(), Hosts::new([&host]));
        let begun = Instant::now();
        let attempt = async {
            let tcp = dialer.dial(&uri).await.map_err(|error| Trouble::of(&*error, When::Connecting))?;
            if !https {
                return Ok(String::new());
            }
            let name = host.trim_matches(['[', ']']);
            let (_, leaf) =
                tls.over(tcp, name).await.map_err(|error| Trouble::of(&error, When::Connecting))?;
            Ok(tls::issuer(&leaf))
        };
        let result = tokio::time::timeout(TIMEOUT, attempt).await;
        let result = result.unwrap_or(Err(Trouble::TimedOut { waited: TIMEOUT }));
        let took = begun.elapsed();
        let (reached, issuer, reason) = match result {
            Ok(issuer) => (true, issuer, String::new()),
            Err(trouble) => (false, String::new(), trouble.to_string()),
        };
        Reached { host, port, purpose, domain: false, reached, took, issuer, reason }
    }
}

fn unproven(name: &str) -> Reached {
    Reached {
        host: name.strip_prefix('.').map_or_else(|| name.to_owned(), |domain| format!("*.{domain}")),
        port: 443,
        purpose: "allowed",
        domain: true,
        reached: false,
        took: Duration::ZERO,
        issuer: String::new(),
        reason: String::new(),
    }
}

const SERVICE: &str = "service";
const SIGN_IN: &str = "sign-in";
const TIMEOUT: Duration = Duration::from_secs(10);
