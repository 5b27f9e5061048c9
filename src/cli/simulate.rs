//! `rmsc simulate`: what is outside, for labs and tests.

mod sign_in;

use super::{Exit, output};
use crate::simulator;
use crate::tasks::Tasks;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// Simulate what is outside.
#[derive(Debug, clap::Subcommand)]
pub enum Simulate {
    Cloud(Cloud),
    SignIn(sign_in::SignInService),
}

/// The rights management service in the cloud.
///
/// It answers every operation with messages of the right shape, marked as simulated, and counts what
/// it is asked: GET /simulator/requests.
///
/// Examples:
///   rmsc simulate cloud --listen 127.0.0.1:18080
///   curl http://127.0.0.1:18080/simulator/requests
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Cloud {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:18080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How long each answer takes, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u32,
}

impl Simulate {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let cloud = match self {
            Simulate::Cloud(cloud) => cloud,
            Simulate::SignIn(sign_in) => return sign_in.run().await,
        };
        let listener = TcpListener::bind(cloud.listen)
            .await
            .with_context(|| format!("cannot listen on {}", cloud.listen))?;
        let tenant_url = format!("http://{}", listener.local_addr()?);
        output::remark(&format!("simulated service at {tenant_url}"));
        let config = simulator::Config {
            tenant_url,
            latency: Duration::from_millis(cloud.latency_ms.into()),
            ..simulator::Config::default()
        };
        let tasks = Tasks::new();
        tokio::select! {
            () = simulator::serve(listener, config, &tasks) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(Exit::Fine)
    }
}
