//! Signing in over real sockets: where it may lead, and what nobody may see of it.

use super::proxy::WebProxy;
use super::*;
use crate::secret::Secret;
use crate::upstream::cloud::{
    Audience, Credential, Environment, Granted, OAuthConfig, Provider, SignInError,
};

fn oauth(sign_in: &str) -> Config {
    let oauth = OAuthConfig {
        environment: Environment::AzureCloud,
        sign_in: format!("{sign_in}/contoso.com").parse().unwrap(),
        client_id: "connector".into(),
        audience: Audience::Scope("https://aadrm.com/.default".into()),
        scheme: "Bearer".into(),
        path_prefix: "/_wmcs".into(),
        assertions: Vec::new(),
        sign_in_authority: None,
    };
    let hosts = Hosts::new(["127.0.0.1"]);
    Config { kind: Kind::OAuth(Box::new(oauth)), hosts, ..config(sign_in) }
}

async fn token(config: &Config) -> Result<Granted, SignInError> {
    let credential = Credential::ClientSecret(Secret::new("canary & secret".into()));
    let provider = Provider::of(config).unwrap().unwrap();
    assert!(!format!("{provider:?} {credential:?}").contains("canary"));
    provider.token(&credential, OffsetDateTime::now_utc()).await
}

/// A sign-in service that answers one request, and what it was asked.
async fn answers(answer: impl Into<String>) -> (String, tokio::sync::oneshot::Receiver<String>) {
    let ((sender, asked), answer) = (tokio::sync::oneshot::channel(), answer.into());
    let url = server(move |mut stream| async move {
        let mut bytes = vec![0; 4_096];
        let mut length = 0;
        while !String::from_utf8_lossy(&bytes[..length]).contains("client_secret=") {
            length += stream.read(&mut bytes[length..]).await.unwrap();
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = sender.send(String::from_utf8_lossy(&bytes[..length]).into_owned());
    })
    .await;
    (url, asked)
}

const GRANTED: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"access_token\":\"canary-token\",\"expires_in\":\"60\"} ";

#[tokio::test]
async fn asks_as_the_application_for_what_is_set() {
    let (url, asked) = answers(GRANTED).await;
    let granted = token(&oauth(&url)).await.unwrap();
    assert_eq!((&**granted.access.expose(), granted.life), ("canary-token", Duration::from_secs(60)));
    assert!(!format!("{granted:?}").contains("canary"));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /contoso.com/oauth2/v2.0/token HTTP/1.1\r\n"), "{asked}");
    let form = "client_id=connector&scope=https%3A%2F%2Faadrm.com%2F.default&grant_type=client_credentials&\
                client_secret=canary%20%26%20secret";
    assert!(asked.ends_with(form), "{asked}");
}

#[tokio::test]
async fn a_resource_is_asked_for_at_version_1_of_the_endpoints() {
    let (url, asked) = answers(GRANTED).await;
    let mut config = oauth(&url);
    let Kind::OAuth(oauth) = &mut config.kind else { panic!("another kind") };
    oauth.audience = Audience::Resource("https://aadrm.com".into());
    token(&config).await.unwrap();
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /contoso.com/oauth2/token HTTP/1.1\r\n"), "{asked}");
    let form = "client_id=connector&resource=https%3A%2F%2Faadrm.com&grant_type=client_credentials&\
                client_secret=canary%20%26%20secret";
    assert!(asked.ends_with(form), "{asked}");
}

#[tokio::test]
async fn a_sign_in_that_leads_elsewhere_is_not_followed() {
    let redirect = "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (url, _asked) = answers(redirect).await;
    let error = token(&oauth(&url)).await.unwrap_err();
    assert!(matches!(error, SignInError::NoAnswer { status } if status == 307), "{error}");
    let elsewhere = Config { hosts: Hosts::new(Environment::AzureCloud.hosts()), ..oauth(&url) };
    let error = token(&elsewhere).await.unwrap_err();
    let SignInError::Unreachable { trouble, .. } = error else { panic!("{error}") };
    assert_eq!(trouble, Trouble::NotAllowed { host: "127.0.0.1".into() });
}

#[tokio::test]
async fn an_answer_that_is_none_shows_nothing_of_itself() {
    for body in [
        "{\"access_token\":\"canary\",\"expires_in\":true}",
        "canary",
        "{\"access_token\":\"canary\\n\",\"expires_in\":60}",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let (url, _asked) = answers(answer).await;
        let error = token(&oauth(&url)).await.unwrap_err();
        assert!(matches!(error, SignInError::NoAnswer { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn signs_in_through_the_web_proxy() {
    let folder = tempdir("sign-in-proxy");
    let proxy = WebProxy::start(&folder, "BasicAuth svc-rmsc Passw0rd").await;
    let (url, asked) = answers(GRANTED).await;
    let without = Config { proxy: Some(proxy.config(None, &[])), ..oauth(&url) };
    // tinyproxy closes with its answer, and what it has not read takes the answer away at times.
    until("the proxy wants a login", async || {
        matches!(token(&without).await, Err(SignInError::Unreachable { trouble: Trouble::ProxyLogin, .. }))
    })
    .await;
    let login = Some(("svc-rmsc", proxy::password(&folder, "Passw0rd")));
    let with = Config { proxy: Some(proxy.config(login, &[])), ..oauth(&url) };
    token(&with).await.unwrap();
    let asked = asked.await.unwrap().to_lowercase();
    assert!(asked.contains("via: ") && !asked.contains("proxy-authorization"), "{asked}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// What was streamed cannot be sent again, so another token is of no use to it.
#[tokio::test]
async fn a_long_request_waits_for_no_other_token() {
    let long = vec![b'x'; (1 << 20) + 1];
    let length = long.len();
    let url = server(move |mut stream| async move {
        let (mut bytes, mut read) = (vec![0; 64 << 10], 0);
        while read < length {
            read += stream.read(&mut bytes).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let (tokens, mut source) = Tokens::new();
    let token = AccessToken { id: [1; 16], text: Secret::new("canary".into()) };
    source.newest.send_replace(Some(Arc::new(token)));
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    let upstream = Upstream::new(oauth(&url), tokens, metrics, Tasks::new()).unwrap();
    let body = Full::from(long).map_err(|never| match never {}).boxed_unsync();
    let begun = Instant::now();
    let sent = upstream.send(Outgoing { body, ..outgoing(Duration::from_secs(30)) }).await;
    assert_eq!(sent.err().unwrap().trouble, Trouble::TokenRefused);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(source.refused.recv().await, Some([1; 16]));
}
