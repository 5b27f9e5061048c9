//! `rmsc simulate sign-in`: where the connector signs in.

use super::super::{Exit, output, words};
use super::{encryption, listen};
use crate::simulator::{SignIn, SignInConfig};
use crate::tasks::Tasks;
use http::Uri;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A sign-in service that grants tokens, before a simulated service that takes no request without one.
///
/// It takes the secret simulated-secret, any signed assertion, and a person's code once it is approved:
/// POST /simulator/approve. Further orders: down, up, revoke, refuse-all, take-again, lose-refresh,
/// hold (the next question for a token waits) and go.
/// GET /simulator/sign-in shows counts, and what the last request and the last sign-in said.
///
/// Examples:
///   rmsc simulate sign-in --listen 127.0.0.1:18090 --service http://127.0.0.1:18080
///   rmsc simulate sign-in --token-life 30s --path-prefix /_wmcs/oauth2
///   rmsc simulate sign-in --tls /tmp/lab --control 127.0.0.1:18091
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SignInService {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:18090", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The simulated service that requests with a token are handed to.
    #[arg(long, default_value = "http://127.0.0.1:18080", value_name = "URL")]
    service: Uri,
    /// How long a token lives.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = words::duration)]
    token_life: Duration,
    /// The path of the service; elsewhere there is nothing.
    #[arg(long, default_value = "/_wmcs", value_name = "PATH")]
    path_prefix: String,
    /// Serve HTTPS; the authority to trust is written to FOLDER/authority.pem.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Where to listen for /simulator/ alone, without TLS.
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
}

impl SignInService {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let listener = listen(self.listen).await?;
        let address = listener.local_addr()?;
        let encryption = self.tls.as_deref().map(|folder| encryption(folder, address)).transpose()?;
        let scheme = if encryption.is_some() { "https" } else { "http" };
        let sign_in = SignIn::new(SignInConfig {
            service: self.service,
            life: self.token_life,
            path_prefix: self.path_prefix,
            encryption,
        });
        let tasks = Tasks::new();
        if let Some(control) = self.control {
            let listener = listen(control).await?;
            output::remark(&format!("its control is at http://{}", listener.local_addr()?));
            let (sign_in, inner) = (sign_in.clone(), tasks.clone());
            tasks.spawn("sign-in control", async move { sign_in.control(listener, &inner).await });
        }
        output::remark(&format!("simulated sign-in at {scheme}://{address}"));
        tokio::select! {
            () = sign_in.serve(listener, &tasks) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(Exit::Fine)
    }
}
