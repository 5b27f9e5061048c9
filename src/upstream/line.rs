//! TCP connections to the service, or to the web proxy before it. Where the other end is gone without a word (a host
//! that lost its power, a firewall that forgot), the kernel sends again for a quarter of an hour; a line breaks as soon
//! as it is known that nothing arrives. A service that is slow acknowledges what it is sent, and has its time.

use super::kernel::{self, Ends, Standing};
use crate::tasks::Tasks;
use futures::task::AtomicWaker;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection that is looked after while it waits for an answer.
pub(super) struct Line {
    stream: TcpStream,
    watched: Option<Arc<Watched>>,
}

/// Looks after lines. Clones look after the same ones.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    all: Mutex<Vec<Weak<Watched>>>,
    /// Something was asked.
    asked: Notify,
    given_up: AtomicU64,
    /// Somebody looks.
    looked_after: AtomicBool,
    tasks: Tasks,
}

#[derive(Clone, Copy)]
struct Asked {
    since: Instant,
    /// In so many pieces by now.
    pieces: u64,
}

/// A line that has waited for an answer, and what it had sent when it was looked at.
struct Silent {
    line: Arc<Watched>,
    pieces: u64,
}

struct Watched {
    ends: Ends,
    /// What was sent that nothing has come back for, and that has perhaps not arrived.
    asked: Mutex<Option<Asked>>,
    gone: AtomicBool,
    reader: AtomicWaker,
    lines: Lines,
}

impl Lines {
    /// Looks after lines until the tasks drain.
    pub(super) fn new(tasks: Tasks) -> Self {
        let shared = Shared {
            all: Mutex::default(),
            asked: Notify::new(),
            given_up: AtomicU64::new(0),
            looked_after: AtomicBool::new(false),
            tasks,
        };
        Lines { shared: Arc::new(shared) }
    }

    /// How many were given up so far. Where one is, others of the same time may be, too.
    pub(super) fn given_up(&self) -> u64 {
        self.shared.given_up.load(Ordering::Relaxed)
    }

    /// Looks after this one, too.
    pub(super) fn add(&self, stream: TcpStream) -> Line {
        let ends = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?)));
        // It is gone already, and the first read tells.
        let Ok((own, other)) = ends else { return Line::alone(stream) };
        let canonical = |mut end: std::net::SocketAddr| {
            end.set_ip(end.ip().to_canonical());
            end
        };
        let watched = Arc::new(Watched {
            ends: (canonical(own), canonical(other)),
            asked: Mutex::default(),
            gone: AtomicBool::new(false),
            reader: AtomicWaker::new(),
            lines: self.clone(),
        });
        let mut all = self.shared.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|line| line.strong_count() > 0);
        all.push(Arc::downgrade(&watched));
        drop(all);
        if !self.shared.looked_after.swap(true, Ordering::Relaxed) {
            self.shared.tasks.spawn("lines to the service", self.clone().look());
        }
        Line { stream, watched: Some(watched) }
    }

    async fn look(self) {
        loop {
            tokio::select! {
                () = self.shared.asked.notified() => {}
                () = self.shared.tasks.draining() => return,
            }
            while self.waiting_for(Duration::ZERO).next().is_some() {
                tokio::time::sleep(LOOK_EVERY).await;
                let silent: Vec<_> = self.waiting_for(SILENT_AFTER).collect();
                if silent.is_empty() {
                    continue;
                }
                match kernel::standings().await {
                    Ok(standings) => self.judge(&silent, &standings),
                    Err(error) => tracing::debug!(%error, "nobody knows whether lines are gone"),
                }
            }
        }
    }

    fn judge(&self, silent: &[Silent], standings: &HashMap<Ends, Standing>) {
        for Silent { line, pieces } in silent {
            match standings.get(&line.ends) {
                Some(standing) if standing.is_gone() => {
                    tracing::info!(remote = %line.ends.1, "the other end of a connection is gone");
                    self.shared.given_up.fetch_add(1, Ordering::Relaxed);
                    line.gone.store(true, Ordering::Relaxed);
                    line.reader.wake();
                }
                // The service has its time: the table is long, and is not read for it until more is sent.
                Some(standing) if standing.has_arrived() => line.arrived(*pieces),
                _ => {}
            }
        }
    }

    /// Those that have waited for an answer for longer.
    fn waiting_for(&self, longer: Duration) -> impl Iterator<Item = Silent> + use<> {
        let all = self.shared.all.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.iter().filter_map(Weak::upgrade).filter_map(|line| {
            let asked = *line.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = asked.filter(|asked| asked.since.elapsed() >= longer)?;
            (!line.gone.load(Ordering::Relaxed)).then_some(Silent { line, pieces: asked.pieces })
        });
        waiting.collect::<Vec<_>>().into_iter()
    }
}

impl Watched {
    fn ask(&self) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *asked {
            Some(asked) => asked.pieces += 1,
            None => {
                *asked = Some(Asked { since: Instant::now(), pieces: 1 });
                self.lines.shared.asked.notify_one();
            }
        }
    }

    /// So many pieces have: nothing that was sent since is meant.
    fn arrived(&self, pieces: u64) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.pieces == pieces) {
            *asked = None;
        }
    }

    fn answered(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn check(&self) -> io::Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing that is sent arrives any more"));
        }
        Ok(())
    }
}

impl Line {
    /// One that nobody looks after.
    pub(super) fn alone(stream: TcpStream) -> Self {
        Line { stream, watched: None }
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(1..)), Some(watched)) = (&polled, &self.watched) {
            watched.ask();
        }
        polled
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(watched) = &self.watched {
            // First: who is given up meanwhile is woken.
            watched.reader.register(context.waker());
            watched.check()?;
        }
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let (Poll::Ready(_), Some(watched)) = (&polled, &self.watched) {
            watched.answered();
        }
        polled
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(polled)
    }
}

/// Nobody is looked at that answers within this.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// The kernel's table is read so often while somebody is silent of whom nobody knows whether all has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::super::tests::until;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A line, its ends, and who is at the other one.
    async fn line(lines: &Lines) -> (Line, Ends, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let line = lines.add(stream);
        let ends = line.watched.as_ref().unwrap().ends;
        (line, ends, listener.accept().await.unwrap().0)
    }

    fn waiting(lines: &Lines) -> Vec<Silent> {
        lines.waiting_for(Duration::ZERO).collect()
    }

    #[tokio::test]
    async fn a_line_breaks_when_nothing_arrives_and_nobody_looks_at_one_that_is_answered() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, mut other) = line(&lines).await;
        assert!(waiting(&lines).is_empty());
        line.write_all(b"request").await.unwrap();
        lines.judge(&waiting(&lines), &[(ends, Standing::FULL)].into());
        lines.judge(&waiting(&lines), &HashMap::new());
        other.write_all(b"answer").await.unwrap();
        line.read_exact(&mut [0; 6]).await.unwrap();
        assert!(waiting(&lines).is_empty());
        line.write_all(b"request").await.unwrap();
        let silent = waiting(&lines);
        let judged = async { lines.judge(&silent, &[(ends, Standing::GONE)].into()) };
        let mut byte = [0];
        let (read, ()) = tokio::join!(line.read(&mut byte), judged);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(lines.given_up(), 1);
        assert!(waiting(&lines).is_empty());
    }

    /// As the kernel itself says.
    #[tokio::test]
    async fn nobody_looks_at_one_where_all_has_arrived_until_more_is_sent() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, _other) = line(&lines).await;
        line.write_all(b"request").await.unwrap();
        until("it has arrived", async || kernel::standings().await.unwrap()[&ends].has_arrived()).await;
        let standings = kernel::standings().await.unwrap();
        let before = waiting(&lines);
        line.write_all(b"more").await.unwrap();
        lines.judge(&before, &standings);
        assert_eq!(waiting(&lines).len(), 1, "nobody knows of what was sent since");
        lines.judge(&waiting(&lines), &standings);
        assert!(waiting(&lines).is_empty());
        line.write_all(b"and more").await.unwrap();
        assert_eq!(waiting(&lines).len(), 1);
    }

    /// As the kernel itself says.
    #[tokio::test]
    async fn who_has_no_room_is_slow_and_not_gone() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, _other) = line(&lines).await;
        let bytes = vec![0; 1 << 20];
        while tokio::time::timeout(Duration::from_millis(100), line.write(&bytes)).await.is_ok() {}
        until("the kernel asks for room", async || kernel::standings().await.unwrap()[&ends].is_full()).await;
        let standings = kernel::standings().await.unwrap();
        lines.judge(&waiting(&lines), &standings);
        assert_eq!((standings[&ends].is_gone(), lines.given_up()), (false, 0));
    }
}
