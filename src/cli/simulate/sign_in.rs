//! `rmsc simulate sign-in`: where the connector signs in.

use super::super::{Exit, output, words};
use crate::simulator::SignIn;
use crate::tasks::Tasks;
use anyhow::Context as _;
use http::Uri;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// A sign-in service that grants tokens, before a simulated service that takes no request without one.
///
/// It takes the secret simulated-secret, any signed assertion, and a person's code once it is approved:
/// POST /simulator/approve. Further orders: down, up, revoke, lose-refresh, hold (the next question for a token
/// waits) and go; GET /simulator/sign-in counts.
///
/// Examples:
///   rmsc simulate sign-in --listen 127.0.0.1:18090 --service http://127.0.0.1:18080
///   rmsc simulate sign-in --token-life 30s
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
}

impl SignInService {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        output::remark(&format!("simulated sign-in at http://{}", listener.local_addr()?));
        let tasks = Tasks::new();
        tokio::select! {
            () = SignIn::new(self.service, self.token_life).serve(listener, &tasks) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(Exit::Fine)
    }
}
