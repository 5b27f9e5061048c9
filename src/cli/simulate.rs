//! `rmsc simulate`: what is outside, for labs and tests.

mod sign_in;

use super::{Exit, output};
use crate::simulator::{self, Encryption, Faults, Rule};
use crate::tasks::Tasks;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Simulate what is outside.
#[derive(Debug, clap::Subcommand)]
pub enum Simulate {
    Cloud(Cloud),
    SignIn(sign_in::SignInService),
}

/// The rights management service in the cloud, and everything that can go wrong with it.
///
/// It answers every operation with messages of the right shape, signed with a key of its own and marked
/// as simulated, and counts what it is asked: GET /simulator/requests, one by one GET /simulator/arrivals.
///
/// Faults: NAME[=VALUE][,rate=SHARE][,next=N][,operation=WORD]. Names:
///   401 403 404 429[=SECONDS] 500 502 503[=SECONDS] 504
///   redirect[=URL] html empty endless half-closed cut reset silent
///   slow=DURATION latency=DURATION[..DURATION] fault=EXCEPTION refused[=DURATION]
///   encoded-page fault-as-answer
///   certificate-expired certificate-wrong-name certificate-unknown-issuer
/// Those of certificates are for --tls and for no operation; refused has none of rate, next and operation.
/// They are switched while it runs: GET, PUT, POST and DELETE /simulator/faults, as text or JSON.
///
/// Examples:
///   rmsc simulate cloud --listen 127.0.0.1:18080
///   rmsc simulate cloud --fault 503,rate=10% --fault latency=50ms..2s
///   rmsc simulate cloud --tls /tmp/lab --control 127.0.0.1:18081
///   curl http://127.0.0.1:18080/simulator/requests
///   curl -X PUT -d 'html,next=3,operation=certify' http://127.0.0.1:18080/simulator/faults
///   curl -X PUT -d '[{"fault": "429=30", "rate": 0.5}]' http://127.0.0.1:18080/simulator/faults
///   curl -X DELETE http://127.0.0.1:18081/simulator/faults
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Cloud {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:18080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// How long each answer takes, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u32,
    /// What goes wrong from the start; may be repeated.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<String>,
    /// Serve HTTPS; the authority to trust is written to FOLDER/authority.pem.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Where to listen for /simulator/ alone, without TLS, also while the service is refused.
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
}

impl Simulate {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let cloud = match self {
            Simulate::Cloud(cloud) => cloud,
            Simulate::SignIn(sign_in) => return sign_in.run().await,
        };
        let faults = Faults::default();
        let rules: Result<Vec<Rule>, _> = cloud.fault.iter().map(|fault| Rule::parse(fault)).collect();
        let rules = rules.context("--fault")?;
        if cloud.tls.is_none() {
            simulator::check_without_tls(&rules).context("--fault")?;
        }
        faults.replace(rules);
        let listener = listen(cloud.listen).await?;
        let address = listener.local_addr()?;
        let encryption = cloud.tls.as_deref().map(|folder| encryption(folder, address)).transpose()?;
        let scheme = if encryption.is_some() { "https" } else { "http" };
        let config = simulator::Config {
            tenant_url: format!("{scheme}://{address}"),
            latency: Duration::from_millis(cloud.latency_ms.into()),
            faults: Arc::new(faults),
            encryption: encryption.map(Arc::new),
            ..simulator::Config::default()
        };
        let tasks = Tasks::new();
        if let Some(control) = cloud.control {
            let listener = listen(control).await?;
            output::remark(&format!("its control is at http://{}", listener.local_addr()?));
            let (config, inner) = (config.clone(), tasks.clone());
            tasks.spawn(
                "simulator control",
                async move { simulator::control(listener, config, &inner).await },
            );
        }
        output::remark(&format!("simulated service at {}", config.tenant_url));
        tokio::select! {
            () = simulator::serve(listener, config, &tasks) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(Exit::Fine)
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Certificates for the address and for this machine's own name for itself.
fn encryption(folder: &Path, address: SocketAddr) -> anyhow::Result<Encryption> {
    let encryption = Encryption::new(&[address.ip().to_string(), "localhost".to_owned()])?;
    let file = folder.join("authority.pem");
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(&file, encryption.authority_pem())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(encryption)
}
