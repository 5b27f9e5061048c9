//! Accepts connections, a task each and so many at once.

use super::Tasks;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

impl Tasks {
    /// Accepts connections until the tasks drain, and starts a task for each. While `connections_max`
    /// are open, the kernel keeps further clients waiting and nothing of ours is spent on them.
    pub async fn accept<F, Converse>(
        &self,
        name: &'static str,
        listener: TcpListener,
        connections_max: usize,
        converse: F,
    ) where
        F: Fn(TcpStream, SocketAddr) -> Converse,
        Converse: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(connections_max));
        let next = || async {
            let slot = slots.clone().acquire_owned().await;
            let (stream, remote) = accept(&listener).await;
            (slot, stream, remote)
        };
        loop {
            let (slot, stream, remote) = tokio::select! {
                accepted = next() => accepted,
                () = self.draining() => break,
            };
            let conversation = converse(stream, remote);
            self.spawn(name, async move {
                conversation.await;
                drop(slot);
            });
        }
        // Who has connected by now is answered: closing the port would break these off.
        while let Some((stream, remote)) = waiting(&listener).await {
            let Ok(slot) = slots.clone().try_acquire_owned() else { return };
            let conversation = converse(stream, remote);
            self.spawn(name, async move {
                conversation.await;
                drop(slot);
            });
        }
    }
}

/// A connection that is there already.
async fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    tokio::time::timeout(Duration::ZERO, accept(listener)).await.ok()
}

/// Errors of accept(2) pass: a client that is gone again, or too many open files.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Only a socket that is gone already refuses this, and its first read will tell.
                let _ = stream.set_nodelay(true);
                return (stream, remote);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// Without a pause, a process that is out of file descriptors would spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
