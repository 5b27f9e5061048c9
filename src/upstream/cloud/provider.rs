//! Signing in (RFC 6749 4.4 and 6, RFC 7523, RFC 8628): one request to the sign-in service, and what it grants.

use super::super::connect::{Dialer, connector};
use super::super::pool::{HttpClient, client};
use super::super::proxy::Proxy;
use super::super::trouble::{Trouble, When};
use super::super::{Body, Config, Kind};
use super::answers::{asked, granted, refusal};
use super::form::Form;
use super::{Audience, OAuthConfig};
use crate::secret::Secret;
use crate::tls::{self, AssertionKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;

/// What the connector proves itself with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A secret of the application.
    ClientSecret(Secret<String>),
    /// A certificate of the application.
    Certificate(AssertionKey),
    /// What a person's sign-in left, for the next token.
    RefreshToken(Secret<String>),
}

/// What the sign-in service grants.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The token.
    pub access: Secret<String>,
    /// For how long it can be used.
    pub life: Duration,
    /// For the next one, if that is how it goes on.
    pub refresh: Option<Secret<String>>,
}

/// What a person is asked to do.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where to go.
    pub address: String,
    /// What to type there.
    pub user_code: String,
    /// How often to ask whether it was done.
    pub every: Duration,
    /// For how long it can be done.
    pub life: Duration,
    pub(super) device_code: Secret<String>,
}

/// There is no token.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The sign-in service cannot be reached.
    #[error("the sign-in service {host}: {trouble}")]
    Unreachable {
        /// Its host.
        host: String,
        /// What went wrong.
        trouble: Trouble,
    },
    /// It says no.
    #[error("the sign-in service refuses: {error}: {description}")]
    Refused {
        /// Its word for it.
        error: String,
        /// Its sentence.
        description: String,
    },
    /// Its answer is none that is known.
    #[error("the sign-in service answers {status}, and not as such a service does")]
    NoAnswer {
        /// The status.
        status: StatusCode,
    },
    /// The person has not signed in yet.
    #[error("nobody has signed in with the code yet")]
    Pending,
    /// The same, and it was asked too often (RFC 8628 3.5).
    #[error("nobody has signed in with the code yet, and the sign-in service wants to be asked less often")]
    TooOften,
    /// A token that no change of the cluster could hold.
    #[error("the sign-in service gives a token of {bytes} bytes; at most {bytes_max} can be kept")]
    TooLarge {
        /// Together with what the next one is got with.
        bytes: usize,
        /// How many can be kept.
        bytes_max: usize,
    },
    /// The system has no random numbers.
    #[error("the assertion cannot be signed")]
    Unsigned,
}

/// The sign-in service of this connector's cloud. Clones share its connections.
#[derive(Clone)]
pub struct Provider {
    client: HttpClient,
    dialer: Dialer,
    config: Arc<OAuthConfig>,
    /// The host and the port of the service that tokens are for.
    service: String,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("sign_in", &self.config.sign_in).finish_non_exhaustive()
    }
}

impl Provider {
    /// The sign-in service of a service that needs one.
    ///
    /// # Errors
    /// The authority's file is unusable.
    pub fn of(config: &Config) -> Result<Option<Self>, tls::LoadError> {
        let Kind::OAuth(oauth) = &config.kind else { return Ok(None) };
        let proxy = config.proxy.clone().map(|config| Arc::new(Proxy::new(config)));
        let dialer = Dialer::new(proxy, config.hosts.clone());
        let roots = tls::Roots::of(oauth.sign_in_authority.as_deref());
        let client = client(connector(dialer.clone(), tls::service_client(roots)?));
        let base = &config.base;
        let port = base.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let service = format!("{}{port}", base.host().unwrap_or_default().to_ascii_lowercase());
        Ok(Some(Provider { client, dialer, config: Arc::new((**oauth).clone()), service }))
    }

    /// What a login here is good for: where one signs in, the application, what tokens are asked for, the service.
    #[must_use]
    pub fn settings(&self) -> [String; 4] {
        let OAuthConfig { sign_in, client_id, audience, .. } = &*self.config;
        let audience = match audience {
            Audience::Scope(scope) => format!("scope={scope}"),
            Audience::Resource(resource) => format!("resource={resource}"),
        };
        [sign_in.to_string(), client_id.clone(), audience, self.service.clone()]
    }

    /// Gets a token.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn token(&self, credential: &Credential, now: OffsetDateTime) -> Result<Granted, SignInError> {
        let url = self.url("token");
        let mut form = Form::new(&self.config.client_id);
        match credential {
            Credential::ClientSecret(secret) => {
                form.audience(&self.config.audience, None);
                form.add("grant_type", "client_credentials").secret("client_secret", secret);
            }
            Credential::Certificate(key) => {
                let assertion = assertion(key, &self.config.client_id, &url, now)?;
                form.audience(&self.config.audience, None);
                form.add("grant_type", "client_credentials")
                    .add("client_assertion_type", ASSERTION_TYPE)
                    .secret("client_assertion", &assertion);
            }
            Credential::RefreshToken(token) => {
                form.audience(&self.config.audience, Some(OFFLINE));
                form.add("grant_type", "refresh_token").secret("refresh_token", token);
            }
        }
        granted(&self.post(&url, form).await?)
    }

    /// Begins a person's sign-in.
    ///
    /// # Errors
    /// [`SignInError`].
    pub async fn ask_person(&self) -> Result<Asked, SignInError> {
        let mut form = Form::new(&self.config.client_id);
        form.audience(&self.config.audience, Some(OFFLINE));
        let answer = self.post(&self.url("devicecode"), form).await?;
        asked(&answer)
    }

    /// Whether the person has signed in, and what that grants.
    ///
    /// # Errors
    /// [`SignInError::Pending`]: not yet.
    pub async fn has_signed_in(&self, asked: &Asked) -> Result<Granted, SignInError> {
        let mut form = Form::new(&self.config.client_id);
        form.add("grant_type", DEVICE_GRANT).secret("device_code", &asked.device_code);
        match self.post(&self.url("token"), form).await {
            Err(SignInError::Refused { error, .. }) if error == "authorization_pending" => {
                Err(SignInError::Pending)
            }
            Err(SignInError::Refused { error, .. }) if error == "slow_down" => Err(SignInError::TooOften),
            answer => granted(&answer?),
        }
    }

    fn url(&self, what: &str) -> String {
        let version = match self.config.audience {
            Audience::Scope(_) => "/v2.0",
            Audience::Resource(_) => "",
        };
        format!("{}/oauth2{version}/{what}", self.config.sign_in.to_string().trim_end_matches('/'))
    }

    async fn post(&self, url: &str, form: Form) -> Result<Secret<Vec<u8>>, SignInError> {
        let host = self.config.sign_in.host().unwrap_or_default().to_owned();
        let failed = |trouble| SignInError::Unreachable { host: host.clone(), trouble };
        let unsendable = |error: http::Error| failed(Trouble::Unsendable { reason: error.to_string() });
        let body: Body = Full::new(form.bytes()).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(body)
            .map_err(unsendable)?;
        let proxied = self.dialer.proxy_that_reads(request.uri()).is_some();
        super::super::log_in_at_proxy(&self.dialer, &mut request).map_err(&failed)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                let when = if error.is_connect() { When::Connecting } else { When::Connected };
                failed(Trouble::of(&error, when))
            })?;
            if super::super::is_of_proxy(&response, proxied) {
                return Err(failed(Trouble::ProxyLogin));
            }
            let status = response.status();
            let read = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = read.map_err(|_| failed(Trouble::Lost))?.to_bytes();
            Ok((status, Secret::new(Vec::from(body))))
        };
        let (status, body) = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| failed(Trouble::TimedOut { waited: TIMEOUT }))??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(refusal(status, &body, &form))
    }
}

impl SignInError {
    /// Whether the same again may go well later.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            SignInError::Unreachable { .. }
            | SignInError::Pending
            | SignInError::TooOften
            | SignInError::Unsigned => true,
            SignInError::TooLarge { .. } => false,
            SignInError::NoAnswer { status } => status.is_server_error() || status.as_u16() == 429,
            SignInError::Refused { error, .. } => {
                matches!(error.as_str(), "temporarily_unavailable" | "server_error")
            }
        }
    }
}

/// RFC 7523 3: who, to whom, for how long, and a number that makes it the only one.
fn assertion(
    key: &AssertionKey,
    client_id: &str,
    url: &str,
    now: OffsetDateTime,
) -> Result<Secret<String>, SignInError> {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(serde_json::json!({
        "alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(key.thumbprint()),
    }));
    let now = now.unix_timestamp();
    let claims = encode(serde_json::json!({
        "iss": client_id, "sub": client_id, "aud": url, "iat": now, "nbf": now - 60, "exp": now + 600,
        "jti": format!("{:032x}", rand::random::<u128>()),
    }));
    let text = format!("{head}.{claims}");
    let signature = key.sign(text.as_bytes()).ok_or(SignInError::Unsigned)?;
    Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Asks for what the next token is got with.
const OFFLINE: &str = "offline_access";
/// Such a service answers within a second.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A token has a few KiB.
const ANSWER_BYTES_MAX: usize = 256 << 10;
