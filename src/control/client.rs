//! The other end of the admin port: what the command line and the lab call it with.

use super::Context;
use crate::proto::control::v1::administrators_client::AdministratorsClient;
use crate::proto::control::v1::authorizations_client::AuthorizationsClient;
use crate::proto::control::v1::backups_client::BackupsClient;
use crate::proto::control::v1::balance_client::BalanceClient;
use crate::proto::control::v1::certificates_client::CertificatesClient;
use crate::proto::control::v1::cloud_client::CloudClient;
use crate::proto::control::v1::cluster_client::ClusterClient;
use crate::proto::control::v1::directory_client::DirectoryClient;
use crate::proto::control::v1::kerberos_keys_client::KerberosKeysClient;
use crate::proto::control::v1::nodes_client::NodesClient;
use crate::proto::control::v1::tokens_client::TokensClient;
use crate::tls::{self, Files, MemberClient, Membership};
use hyper_util::rt::TokioIo;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Why no node could be called.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The context file cannot be read.
    #[error("cannot read the context {path}; name it with --context or RMSC_CONTEXT")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The context file is not one.
    #[error("{path} is not a context file; it has endpoints, authority, certificate and key")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: toml::de::Error,
    },
    /// A certificate is unusable.
    #[error("cannot use the administrator's certificate")]
    Tls(#[from] tls::LoadError),
    /// No node answered.
    #[error(
        "no node answers at {}; check that one runs there, that these are admin addresses (endpoints in the context, or \
         --endpoint), and that firewalls let this host come to them",
        tried.join(", ")
    )]
    Nobody {
        /// Each address, and what came of it.
        tried: Vec<String>,
    },
    /// The context has no address.
    #[error(
        "the context names no endpoint: write the nodes' admin addresses into endpoints, or use --endpoint"
    )]
    NoEndpoint,
}

/// A connection to one node's admin port.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to the first node that answers. All are asked twice: one may just be starting, or have much to do.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(context: &Context) -> Result<Self, ConnectError> {
        Self::connect_for(context, CALL_TIMEOUT).await
    }

    /// The same for calls that may take longer.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_for(context: &Context, call_timeout: Duration) -> Result<Self, ConnectError> {
        let files = Files { certificate: context.certificate.clone(), key: context.key.clone() };
        let member = Membership::load(&files, &context.authority)?.client();
        let mut tried = Vec::new();
        for attempt in 1..=ATTEMPTS {
            tried.clear();
            for address in &context.endpoints {
                match channel(address, member.clone(), call_timeout).await {
                    Ok(channel) => return Ok(Client { channel }),
                    Err(error) => tried.push(format!("{address} ({})", reason(&error))),
                }
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Err(if tried.is_empty() { ConnectError::NoEndpoint } else { ConnectError::Nobody { tried } })
    }

    /// The table of authorized accounts.
    #[must_use]
    pub fn authorizations(&self) -> AuthorizationsClient<Channel> {
        AuthorizationsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Who may administer.
    #[must_use]
    pub fn administrators(&self) -> AdministratorsClient<Channel> {
        AdministratorsClient::new(self.channel.clone())
    }

    /// What lets nodes in.
    #[must_use]
    pub fn tokens(&self) -> TokensClient<Channel> {
        TokensClient::new(self.channel.clone())
    }

    /// How the connector signs in at the cloud.
    #[must_use]
    pub fn cloud(&self) -> CloudClient<Channel> {
        CloudClient::new(self.channel.clone())
    }

    /// What Kerberos tickets are opened with.
    #[must_use]
    pub fn kerberos_keys(&self) -> KerberosKeysClient<Channel> {
        KerberosKeysClient::new(self.channel.clone())
    }

    /// How requests are spread.
    #[must_use]
    pub fn balance(&self) -> BalanceClient<Channel> {
        BalanceClient::new(self.channel.clone())
    }

    /// The certificate that calling servers see.
    #[must_use]
    pub fn certificates(&self) -> CertificatesClient<Channel> {
        CertificatesClient::new(self.channel.clone())
    }

    /// Copies of everything.
    #[must_use]
    pub fn backups(&self) -> BackupsClient<Channel> {
        BackupsClient::new(self.channel.clone())
    }

    /// The cluster as such.
    #[must_use]
    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    /// Accounts and groups.
    #[must_use]
    pub fn directory(&self) -> DirectoryClient<Channel> {
        DirectoryClient::new(self.channel.clone())
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> NodesClient<Channel> {
        NodesClient::new(self.channel.clone())
    }
}

/// What went wrong, without the words of the library about itself.
fn reason(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.to_string().as_str() {
        "deadline has elapsed" | "operation timed out" => {
            format!("no answer for {} s", CONNECT_TIMEOUT.as_secs())
        }
        words if words.contains("UnknownIssuer") => {
            "the node there is of another cluster than the context: use the context of that one".into()
        }
        words => words.to_owned(),
    }
}

async fn channel(
    address: &str,
    member: MemberClient,
    call_timeout: Duration,
) -> Result<Channel, tonic::transport::Error> {
    let target = address.to_owned();
    let connector = service_fn(move |_| {
        let (member, target) = (member.clone(), target.clone());
        async move { member.connect(&target).await.map(|(stream, _)| TokioIo::new(stream)) }
    });
    // The scheme is that of HTTP/2 inside our own TLS; the connector ignores the address.
    Endpoint::from_static("http://node.rmsc.internal")
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(call_timeout)
        .connect_with_connector(connector)
        .await
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(200);
/// A write waits up to 5 s for a leader, and a node that is put back has half a minute to be ready.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A table of a million entries of 150 bytes.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
