//! A calling server of the sample traffic: HTTPS, then requests, each with a proof of its own.

use crate::identity::kerberos_client::{self, ServiceTicket};
use crate::identity::ntlm_client::{Credentials, Nonces, NtlmClient, Server};
use crate::identity::{ChannelBinding, nt_hash};
use crate::secret::Secret;
use crate::tls::ServiceClient;
use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use time::OffsetDateTime;

/// One request.
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) soap_action: &'a str,
    pub(super) body: Bytes,
}

/// An authenticated connection to one front.
pub(super) struct Session {
    sender: http1::SendRequest<Full<Bytes>>,
    binding: ChannelBinding,
    proof: Proof,
    host: String,
}

/// What the server proves itself with.
pub(super) enum Proof {
    Ntlm(Credentials),
    Kerberos(Arc<ServiceTicket>),
}

impl Proof {
    /// By NTLM, with a password. `account` is `DOMAIN\name`.
    pub(super) fn password(account: &str, password: &Secret<String>) -> anyhow::Result<Self> {
        let (domain, user) = account.split_once('\\').context("an account name without a domain")?;
        Ok(Proof::Ntlm(Credentials {
            domain: domain.into(),
            user: user.into(),
            nt_hash: nt_hash(password.expose()),
            workstation: user.trim_end_matches('$').to_uppercase(),
        }))
    }
}

impl Session {
    /// Connects; the first request authenticates. The connection runs in a task of its own.
    pub(super) async fn open(
        tls: &ServiceClient,
        address: SocketAddr,
        proof: Proof,
        spawn: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
    ) -> anyhow::Result<Self> {
        let (stream, leaf) = tls.connect(&address.to_string(), "localhost").await?;
        let binding = ChannelBinding::of_certificate(&leaf)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn(Box::pin(async move {
            // What the connection ended with, the requests on it tell.
            let _ = connection.await;
        }));
        Ok(Session { sender, binding, proof, host: address.to_string() })
    }

    /// Sends a request and reads its answer whole: status and bytes.
    pub(super) async fn call(&mut self, call: &Call<'_>) -> anyhow::Result<(StatusCode, Bytes)> {
        let token = match &self.proof {
            Proof::Kerberos(ticket) => {
                let moment =
                    kerberos_client::Moment { confounder: rand::random(), now: OffsetDateTime::now_utc() };
                let token = ticket.token(Some(&self.binding), moment);
                format!("Negotiate {}", STANDARD.encode(token))
            }
            Proof::Ntlm(credentials) => {
                let client = NtlmClient::new(credentials.clone());
                self.handshake(call, client).await?
            }
        };
        let response = self.send(call, &token, call.body.clone()).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == StatusCode::UNAUTHORIZED {
            bail!("not authenticated");
        }
        Ok((status, body))
    }

    /// NEGOTIATE and CHALLENGE: gives the value of `Authorization` that goes with the request itself.
    async fn handshake(&mut self, call: &Call<'_>, client: NtlmClient) -> anyhow::Result<String> {
        let negotiate = format!("NTLM {}", STANDARD.encode(client.negotiate()));
        let response = self.send(call, &negotiate, Bytes::new()).await?;
        let challenge = response
            .headers()
            .get(header::WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("NTLM "))
            .and_then(|token| STANDARD.decode(token).ok())
            .context("the front gave no NTLM challenge")?;
        response.into_body().collect().await?;
        let nonces = Nonces { client_challenge: rand::random(), session_key: Secret::new(rand::random()) };
        let server = Server { target: "HTTP/localhost", binding: Some(&self.binding) };
        let token = client.authenticate(&challenge, &nonces, server)?;
        Ok(format!("NTLM {}", STANDARD.encode(token)))
    }

    async fn send(
        &mut self,
        call: &Call<'_>,
        token: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::post(call.path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "text/xml; charset=utf-8")
            .header("SOAPAction", call.soap_action)
            .header(header::USER_AGENT, "rmsc-lab")
            .header(header::AUTHORIZATION, token);
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }
}
