//! Connections that are kept for the next requests.

use super::Body;
use super::connect::Dialer;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A client of the service; it reads HTTP.
pub(super) type HttpClient = Client<HttpsConnector<Dialer>, Body>;

/// The connections of one node. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    connector: HttpsConnector<Dialer>,
    dialer: Dialer,
    /// With how many lines had been given up when it was made.
    kept: Arc<Mutex<(u64, HttpClient)>>,
}

impl Pool {
    pub(super) fn new(connector: HttpsConnector<Dialer>, dialer: Dialer) -> Self {
        let kept = Arc::new(Mutex::new((dialer.given_up(), client(connector.clone()))));
        Pool { connector, dialer, kept }
    }

    /// The client for an attempt. After the first one it has a new connection: what was lost may have been lost on one
    /// that was kept, and others are as old. For the same reason none is used that was idle when a line was given up.
    pub(super) fn client(&self, attempt: u32) -> HttpClient {
        if attempt > 1 {
            return client(self.connector.clone());
        }
        let given_up = self.dialer.given_up();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != given_up {
            *kept = (given_up, client(self.connector.clone()));
        }
        kept.1.clone()
    }
}

/// A client whose connections are kept for the next requests.
pub(super) fn client(connector: HttpsConnector<Dialer>) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        // Retries belong to the front alone, where they have a budget.
        .retry_canceled_requests(false)
        .build(connector)
}

/// Below the idle time-outs of common servers, so that they rarely close a connection under a request.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections kept for the next requests; more may be open while they are used.
const POOL_IDLE_MAX: usize = 64;
