//! The RMS service, simulated: answers of the documented shapes with certificates of a key of its own, a
//! record of who sent what, and everything that can go wrong with a service, switched on and off while it
//! runs. It checks no signatures.

pub mod sample;

mod answers;
mod certificate;
mod counts;
mod encryption;
mod fault;
mod faults;
mod inspection;
mod journal;
mod licensor;
mod service;
mod sign_in;
mod spoil;
#[cfg(test)]
mod tests;
mod web;
mod wire;

pub use counts::{Counts, Seen, Snapshot};
pub use encryption::{Encryption, EncryptionError};
pub use fault::{BadFault, Rule, check_without_tls, names as fault_names};
pub use faults::Faults;
pub use journal::Arrived;
pub use licensor::Licensor;
pub use sign_in::{CLIENT_SECRET, SignIn, SignInConfig};

use crate::tasks::Tasks;
use faults::Listening;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::debug;
use wire::{Cut, Wire};

/// What the simulated service is told.
#[derive(Clone)]
pub struct Config {
    /// The tenant's URL: in certificates, templates and service locations.
    pub tenant_url: String,
    /// How long each answer takes longer than the work it is.
    pub latency: Duration,
    /// How many templates there are.
    pub templates: u32,
    /// Where requests are recorded; keep a clone to read them.
    pub counts: Arc<Counts>,
    /// What goes wrong; keep a clone to switch it.
    pub faults: Arc<Faults>,
    /// The certificates to show; without them there is no TLS.
    pub encryption: Option<Arc<Encryption>>,
    /// The keys that certificates and licenses are signed with.
    pub licensor: Arc<Licensor>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tenant_url: "https://simulated.rms.example.net".to_owned(),
            latency: Duration::ZERO,
            templates: 3,
            counts: Arc::default(),
            faults: Arc::default(),
            encryption: None,
            licensor: Arc::default(),
        }
    }
}

/// Which paths a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paths {
    /// Those of the service and `/simulator/…`.
    All,
    /// `/simulator/…` alone; it is never refused and has no TLS.
    Control,
}

/// Serves until `tasks` is told to drain: then it takes no more connections, and those that are
/// open end after their request.
pub async fn serve(listener: TcpListener, config: Config, tasks: &Tasks) {
    let config = Arc::new(config);
    let warm = Arc::clone(&config);
    // It takes a moment, and requests that come meanwhile wait for what they need alone.
    drop(tokio::task::spawn_blocking(move || warm.licensor.warm()));
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut changed = config.faults.watch();
    while !tasks.is_draining() {
        changed.mark_unchanged();
        match config.faults.listening() {
            Listening::Yes => {
                let open = match listener.take() {
                    Some(open) => open,
                    None => match TcpListener::bind(address).await {
                        Ok(open) => open,
                        Err(error) => return tracing::error!(%error, %address, "cannot listen again"),
                    },
                };
                tokio::select! {
                    () = accept(open, &config, Paths::All, tasks) => {}
                    () = refuses(&config.faults, &mut changed) => {}
                }
            }
            Listening::No(until) => {
                listener = None;
                config.counts.fault("refused");
                tokio::select! {
                    () = elapsed(until) => {}
                    _ = changed.changed() => {}
                    () = tasks.draining() => {}
                }
            }
        }
    }
}

/// Serves what `/simulator/…` has, also while nobody listens for the service itself.
pub async fn control(listener: TcpListener, config: Config, tasks: &Tasks) {
    let config = Arc::new(config);
    accept(listener, &config, Paths::Control, tasks).await;
}

async fn accept(listener: TcpListener, config: &Arc<Config>, paths: Paths, tasks: &Tasks) {
    let accepted = |stream, _: SocketAddr| {
        let (config, tasks) = (Arc::clone(config), tasks.clone());
        async move { connection(stream, config, paths, &tasks).await }
    };
    tasks.accept("simulator connection", listener, CONNECTIONS_MAX, accepted).await;
}

/// Waits until nobody is to listen any more.
async fn refuses(faults: &Faults, changed: &mut watch::Receiver<u64>) {
    while faults.listening() == Listening::Yes {
        if changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn elapsed(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

async fn connection(stream: TcpStream, config: Arc<Config>, paths: Paths, tasks: &Tasks) {
    if paths == Paths::All && config.faults.listening() != Listening::Yes {
        // It came in the moment before the port was closed.
        return;
    }
    let cut = Cut::default();
    let wire = Wire::new(stream, cut.clone());
    match &config.encryption {
        Some(encryption) if paths == Paths::All => {
            let certificate = config.faults.certificate();
            if certificate != fault::Certificate::Good {
                config.counts.fault(&certificate.to_string());
            }
            match encryption.server(certificate).accept(wire).await {
                Ok(stream) => converse(stream, cut, &config, paths, tasks).await,
                Err(error) => debug!(%error, "a handshake with the simulated service failed"),
            }
        }
        _ => converse(wire, cut, &config, paths, tasks).await,
    }
}

async fn converse<S>(stream: S, cut: Cut, config: &Arc<Config>, paths: Paths, tasks: &Tasks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut changed = config.faults.watch();
    let answer = service_fn(|request| web::answer(request, Arc::clone(config), paths, cut.clone()));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    let mut ends = false;
    let result = loop {
        tokio::select! {
            result = connection.as_mut() => break result,
            () = tasks.draining() => {
                connection.as_mut().graceful_shutdown();
                // Some faults never let go.
                break tokio::time::timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()));
            }
            _ = changed.changed(), if !ends && paths == Paths::All => {
                ends = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection of the simulated service broke");
    }
}

/// Enough for a cluster under test; more wait in the backlog.
const CONNECTIONS_MAX: usize = 4_096;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
