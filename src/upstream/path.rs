//! Whether this node has a way to the service: name, TCP or the web proxy, TLS. It is tried only after a request has met
//! trouble on it, and then again until there is one: what the service answers says nothing about the way.

use super::connect::Dialer;
use super::trouble::{Trouble, When};
use crate::tasks::Tasks;
use http::Uri;
use hyper_rustls::HttpsConnector;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tower::ServiceExt;

/// The way of one node. Clones are the same.
#[derive(Clone)]
pub(super) struct Path {
    shared: Arc<Shared>,
}

struct Shared {
    connector: HttpsConnector<Dialer>,
    service: Uri,
    tasks: Tasks,
    /// Somebody tries it.
    tried: AtomicBool,
    /// A request was answered since it was tried last.
    answered: AtomicBool,
    /// Why there was none when it was tried last.
    cut: watch::Sender<Option<String>>,
}

impl Path {
    pub(super) fn new(connector: HttpsConnector<Dialer>, service: Uri, tasks: Tasks) -> Self {
        let (tried, answered, cut) = (AtomicBool::default(), AtomicBool::default(), watch::Sender::default());
        Path { shared: Arc::new(Shared { connector, service, tasks, tried, answered, cut }) }
    }

    /// Why there is no way, if there is none.
    pub(super) fn cut(&self) -> watch::Receiver<Option<String>> {
        self.shared.cut.subscribe()
    }

    /// The service has answered, whatever it said.
    pub(super) fn answered(&self) {
        self.shared.answered.store(true, Ordering::Relaxed);
        self.shared.cut.send_if_modified(|cut| cut.take().is_some());
    }

    /// A request has met trouble, which may be that of this node alone.
    pub(super) fn troubled(&self, trouble: &Trouble) {
        if trouble.is_of_the_way() && !self.shared.tried.swap(true, Ordering::Relaxed) {
            self.shared.tasks.spawn("way to the service", self.clone().keep_trying());
        }
    }

    async fn keep_trying(self) {
        loop {
            self.shared.answered.store(false, Ordering::Relaxed);
            let cut = match self.attempt().await {
                Ok(()) | Err(Trouble::ProxyLogin) => None,
                Err(trouble) => Some(trouble.to_string()),
            };
            // Requests may wait for longer than a try.
            if cut.is_none() || self.shared.answered.load(Ordering::Relaxed) {
                // First: trouble that comes now is a reason to try again.
                self.shared.tried.store(false, Ordering::Relaxed);
                self.answered();
                return;
            }
            self.shared.cut.send_if_modified(|known| std::mem::replace(known, cut.clone()) != cut);
            let pause = TRY_EVERY.mul_f64(rand::random_range(0.5..1.5));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.tasks.draining() => return,
            }
        }
    }

    /// Goes as far as a request could be sent, and says nothing.
    async fn attempt(&self) -> Result<(), Trouble> {
        let connecting = self.shared.connector.clone().oneshot(self.shared.service.clone());
        match tokio::time::timeout(TRY_TIMEOUT, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Trouble::of(&*error, When::Connecting)),
            Err(_) => Err(Trouble::Unreachable),
        }
    }
}

/// Back in rotation well within 3 s, and nothing that the service would notice.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// A way on which no request could be answered in time is none: a distant service shakes hands within half of it.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
