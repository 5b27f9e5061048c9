//! A service that takes everything, reads as late as it can, and answers the same to all.

use super::wait::PATIENCE;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// It listens until the test process ends.
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    arrived: Mutex<usize>,
    whole: AtomicUsize,
    changed: Condvar,
    when: When,
}

/// When it reads a request's body, and answers.
#[derive(Clone, Copy)]
pub enum When {
    /// Once so many requests have begun.
    Together(usize),
    /// So long after it has begun.
    After(Duration),
}

impl Sink {
    pub fn start(when: When) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            arrived: Mutex::default(),
            whole: AtomicUsize::new(0),
            changed: Condvar::new(),
            when,
        });
        let sink = Sink { address, shared: shared.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A connection ends when the other end is done with it.
                    let _ = shared.serve(stream);
                });
            }
        });
        sink
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests have begun.
    pub fn arrived(&self) -> usize {
        *self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of them have come to their end.
    pub fn whole(&self) -> usize {
        self.shared.whole.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(length) = head(&mut stream)? {
            self.hold();
            if io::copy(&mut stream.by_ref().take(length), &mut io::sink())? < length {
                return Ok(());
            }
            self.whole.fetch_add(1, Ordering::SeqCst);
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: 7\r\n\r\n<taken>";
            stream.get_mut().write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn hold(&self) {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        *arrived += 1;
        self.changed.notify_all();
        // Both only wait; that nobody wakes this one is what is meant.
        let _ = match self.when {
            When::Together(all) => {
                self.changed.wait_timeout_while(arrived, PATIENCE, |arrived| *arrived < all)
            }
            When::After(span) => self.changed.wait_timeout_while(arrived, span, |_| true),
        };
    }
}

/// Reads the head of a request, up to its body of this length; nothing at the end of the connection.
fn head(stream: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
        if line.is_empty() {
            return Ok(length.or(Some(0)));
        }
    }
}
