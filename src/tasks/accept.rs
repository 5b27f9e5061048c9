//! Accepts connections, a task each and so many at once.

use super::Tasks;
use std::future::Future;
use std::io;
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

/// Errors of accept(2) pass. Of one connection they say nothing about the next, which must not wait for it: clients that
/// leave at once would make all others late.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Only a socket that is gone already refuses this, and its first read will tell.
                let _ = stream.set_nodelay(true);
                return (stream, remote);
            }
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a client is gone again"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Without a pause, a process that is out of file descriptors would spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    #[test]
    fn a_client_that_is_gone_holds_up_nobody() {
        let is_passing = |number| is_of_one_connection(&io::Error::from_raw_os_error(number));
        // ECONNABORTED, and what says that there are too many files.
        assert!(is_passing(103));
        assert!(!is_passing(23) && !is_passing(24));
    }

    /// Who waits costs nothing meanwhile, and has its turn as soon as there is a place, whoever else has come and gone.
    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_their_turn() {
        const FLOOD: usize = 50;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tasks, accepted, leave) = (Tasks::new(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let accepting = tasks.clone();
        let converse = {
            let (accepted, leave) = (accepted.clone(), leave.clone());
            move |mut stream: TcpStream, _| {
                let is_first = accepted.fetch_add(1, Ordering::Relaxed) < 2;
                let leave = leave.clone();
                async move {
                    // Those of the flood are gone.
                    let _ = stream.write_all(b"x").await;
                    if is_first {
                        leave.notified().await;
                    }
                }
            }
        };
        tasks.spawn("accepts", async move { accepting.accept("test", listener, 2, converse).await });
        let mut first =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        for stream in &mut first {
            stream.read_exact(&mut [0]).await.unwrap();
        }
        for _ in 0..FLOOD {
            drop(TcpStream::connect(address).await.unwrap());
        }
        let mut good = TcpStream::connect(address).await.unwrap();
        let mut answer = [0];
        assert!(futures::poll!(Box::pin(good.read(&mut answer))).is_pending());
        assert_eq!(accepted.load(Ordering::Relaxed), 2);
        leave.notify_one();
        let answered = tokio::time::timeout(Duration::from_secs(10), good.read_exact(&mut answer)).await;
        answered.expect("it has its turn").unwrap();
        assert_eq!(accepted.load(Ordering::Relaxed), 2 + FLOOD + 1);
        leave.notify_one();
        tasks.drain(Duration::from_secs(10)).await.unwrap();
    }
}
