//! TCP connections to the service, or to the web proxy before it. Where the other end is gone without a word (a host
//! that lost its power, a firewall that forgot), the kernel sends again for a quarter of an hour; a line breaks as soon
//! as it is known that nothing arrives. A service that is slow acknowledges what it is sent, and has its time.

use super::kernel::{self, Ends, Standing};
use crate::tasks::Tasks;
use futures::task::AtomicWaker;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
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
    /// The kernel's table cannot be read, which was said.
    unreadable: AtomicBool,
    tasks: Tasks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    since: Instant,
    /// In so many pieces by now.
    pieces: u64,
}

/// A line that has waited for an answer, and what it had sent when it was looked at.
struct Silent {
    line: Arc<Watched>,
    asked: Asked,
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
            unreadable: AtomicBool::new(false),
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
        let canonical = |mut end: SocketAddr| {
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
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = self.shared.tasks.draining() => return,
                }
                let silent: Vec<_> = self.waiting_for(SILENT_AFTER).collect();
                if silent.is_empty() {
                    continue;
                }
                match kernel::standings().await {
                    Ok(standings) => {
                        self.shared.unreadable.store(false, Ordering::Relaxed);
                        self.judge(silent, &standings).await;
                    }
                    Err(error) if !self.shared.unreadable.swap(true, Ordering::Relaxed) => {
                        tracing::warn!(%error, "nobody can tell whether connections to the service are gone");
                    }
                    Err(_) => {}
                }
            }
        }
    }

    /// Gives up the lines on which nothing arrives, if a new one would reach their other end: otherwise whatever is in
    /// the way may go, and what was sent arrives yet.
    async fn judge(&self, silent: Vec<Silent>, standings: &HashMap<Ends, Standing>) {
        let mut gone = Vec::new();
        for line in silent {
            match standings.get(&line.line.ends) {
                Some(standing) if standing.is_gone() => gone.push(line),
                // The service has its time: the table is long, and is not read for it until more is sent.
                Some(standing) if standing.has_arrived() => line.line.arrived(line.asked),
                _ => {}
            }
        }
        let others: BTreeSet<SocketAddr> = gone.iter().map(|line| line.line.ends.1).collect();
        for other in others {
            if reaches(other).await {
                gone.iter().filter(|line| line.line.ends.1 == other).for_each(|line| self.give_up(line));
            }
        }
    }

    fn give_up(&self, Silent { line, asked }: &Silent) {
        if !line.still_waits(*asked) {
            return;
        }
        tracing::info!(remote = %line.ends.1, "the other end of a connection is gone");
        self.shared.given_up.fetch_add(1, Ordering::Relaxed);
        line.gone.store(true, Ordering::Relaxed);
        line.reader.wake();
    }

    /// Those that have waited for an answer for longer.
    fn waiting_for(&self, longer: Duration) -> impl Iterator<Item = Silent> + use<> {
        let all = self.shared.all.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = all.iter().filter_map(Weak::upgrade).filter_map(|line| {
            let asked = *line.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = asked.filter(|asked| asked.since.elapsed() >= longer)?;
            (!line.gone.load(Ordering::Relaxed)).then_some(Silent { line, asked })
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

    /// All of that has: what was sent since is not meant.
    fn arrived(&self, asked: Asked) {
        let mut now = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == Some(asked) {
            *now = None;
        }
    }

    fn still_waits(&self, asked: Asked) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) == Some(asked)
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
        }
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        match (&polled, &self.watched) {
            (Poll::Ready(_), Some(watched)) => watched.answered(),
            (Poll::Pending, Some(watched)) => watched.check()?,
            (_, None) => {}
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

/// Whether a new connection would.
async fn reaches(other: SocketAddr) -> bool {
    matches!(tokio::time::timeout(REACHES_WITHIN, TcpStream::connect(other)).await, Ok(Ok(_)))
}

/// Nobody is looked at that answers within this.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// The kernel's table is read so often while somebody is silent of whom nobody knows whether all has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Less than what the kernel takes to ask a second time.
const REACHES_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::super::tests::until;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A line, its ends, who is at the other one, and who takes new ones there.
    async fn line(lines: &Lines) -> (Line, Ends, TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let line = lines.add(stream);
        let ends = line.watched.as_ref().unwrap().ends;
        let other = listener.accept().await.unwrap().0;
        (line, ends, other, listener)
    }

    fn waiting(lines: &Lines) -> Vec<Silent> {
        lines.waiting_for(Duration::ZERO).collect()
    }

    #[tokio::test]
    async fn a_line_breaks_when_nothing_arrives_and_nobody_looks_at_one_that_is_answered() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, mut other, _listener) = line(&lines).await;
        assert!(waiting(&lines).is_empty());
        line.write_all(b"request").await.unwrap();
        lines.judge(waiting(&lines), &[(ends, Standing::FULL)].into()).await;
        lines.judge(waiting(&lines), &HashMap::new()).await;
        let before = waiting(&lines);
        other.write_all(b"answer").await.unwrap();
        line.read_exact(&mut [0; 6]).await.unwrap();
        assert!(waiting(&lines).is_empty());
        line.write_all(b"request").await.unwrap();
        // That was another request.
        lines.judge(before, &[(ends, Standing::GONE)].into()).await;
        assert_eq!(lines.given_up(), 0);
        let silent = waiting(&lines);
        let judged = async { lines.judge(silent, &[(ends, Standing::GONE)].into()).await };
        let mut byte = [0];
        let (read, ()) = tokio::join!(line.read(&mut byte), judged);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(lines.given_up(), 1);
        assert!(waiting(&lines).is_empty());
        // An answer that is there is read.
        other.write_all(b"a").await.unwrap();
        line.stream.readable().await.unwrap();
        assert_eq!(line.read(&mut byte).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn who_cannot_be_reached_anew_either_may_come_back() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, mut other, listener) = line(&lines).await;
        drop(listener);
        line.write_all(b"request").await.unwrap();
        lines.judge(waiting(&lines), &[(ends, Standing::GONE)].into()).await;
        assert_eq!((lines.given_up(), waiting(&lines).len()), (0, 1));
        other.write_all(b"answer").await.unwrap();
        line.read_exact(&mut [0; 6]).await.unwrap();
    }

    /// As the kernel itself says.
    #[tokio::test]
    async fn nobody_looks_at_one_where_all_has_arrived_until_more_is_sent() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, _other, _listener) = line(&lines).await;
        line.write_all(b"request").await.unwrap();
        until("it has arrived", async || kernel::standings().await.unwrap()[&ends].has_arrived()).await;
        let standings = kernel::standings().await.unwrap();
        let before = waiting(&lines);
        line.write_all(b"more").await.unwrap();
        lines.judge(before, &standings).await;
        assert_eq!(waiting(&lines).len(), 1, "nobody knows of what was sent since");
        lines.judge(waiting(&lines), &standings).await;
        assert!(waiting(&lines).is_empty());
        line.write_all(b"and more").await.unwrap();
        assert_eq!(waiting(&lines).len(), 1);
    }

    /// As the kernel itself says.
    #[tokio::test]
    async fn who_has_no_room_is_slow_and_not_gone() {
        let lines = Lines::new(Tasks::new());
        let (mut line, ends, _other, _listener) = line(&lines).await;
        let bytes = vec![0; 1 << 20];
        while tokio::time::timeout(Duration::from_millis(100), line.write(&bytes)).await.is_ok() {}
        until("the kernel asks for room", async || kernel::standings().await.unwrap()[&ends].is_full()).await;
        let standings = kernel::standings().await.unwrap();
        lines.judge(waiting(&lines), &standings).await;
        assert_eq!((standings[&ends].is_gone(), lines.given_up()), (false, 0));
    }
}
