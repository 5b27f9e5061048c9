//! A service that takes everything, reads as late as it can, and answers the same to all: little, or much.

use super::wait::PATIENCE;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    envelopes: AtomicUsize,
    changed: Condvar,
    when: When,
    answer_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    relays: Mutex<BTreeSet<String>>,
    lines: Mutex<BTreeSet<String>>,
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
            envelopes: AtomicUsize::new(0),
            changed: Condvar::new(),
            when,
            answer_bytes: AtomicU64::new(TAKEN.len() as u64),
            sent_bytes: AtomicU64::new(0),
            relays: Mutex::default(),
            lines: Mutex::default(),
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

    /// Answers are so long from now on.
    pub fn answer_with(&self, bytes: u64) {
        self.shared.answer_bytes.store(bytes, Ordering::SeqCst);
    }

    /// How much was answered so far, all in all.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::SeqCst)
    }

    /// The names of the nodes that have asked.
    pub fn relays(&self) -> Vec<String> {
        self.shared.relays.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Every line of every head that has come, in small letters.
    pub fn lines(&self) -> BTreeSet<String> {
        self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests have begun.
    pub fn arrived(&self) -> usize {
        *self.shared.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of them have come to their end.
    pub fn whole(&self) -> usize {
        self.shared.whole.load(Ordering::SeqCst)
    }

    /// How many envelopes have come to their end, whatever was to follow them.
    pub fn envelopes(&self) -> usize {
        self.shared.envelopes.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some((length, relay)) = head(&mut stream, &self.lines)? {
            self.relays.lock().unwrap_or_else(PoisonError::into_inner).extend(relay);
            self.hold();
            let mut message = Message { end: Vec::new(), envelopes: &self.envelopes };
            if io::copy(&mut stream.by_ref().take(length), &mut message)? < length {
                return Ok(());
            }
            self.whole.fetch_add(1, Ordering::SeqCst);
            let bytes = self.answer_bytes.load(Ordering::SeqCst);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {bytes}\r\n\r\n"
            );
            stream.get_mut().write_all(head.as_bytes())?;
            for block in blocks(bytes) {
                stream.get_mut().write_all(&block)?;
                self.sent_bytes.fetch_add(block.len() as u64, Ordering::SeqCst);
            }
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

/// Takes a message, and sees the end of its envelope.
struct Message<'a> {
    /// The last bytes so far.
    end: Vec<u8>,
    envelopes: &'a AtomicUsize,
}

impl Write for Message<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.end.extend_from_slice(bytes);
        let ends = self.end.windows(ENVELOPE_END.len()).filter(|window| *window == ENVELOPE_END).count();
        self.envelopes.fetch_add(ends, Ordering::SeqCst);
        self.end.drain(..self.end.len().saturating_sub(ENVELOPE_END.len() - 1));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer of this length.
pub fn answer(bytes: u64) -> Vec<u8> {
    let mut answer = Vec::new();
    blocks(bytes).for_each(|block| answer.extend_from_slice(&block));
    answer
}

/// The same piece by piece, none of which is like another.
fn blocks(bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let wanted = usize::try_from(bytes).expect("it fits into memory");
    (0..wanted.div_ceil(BLOCK_BYTES)).map(move |number| {
        let begin = if number == 0 { TAKEN.to_owned() } else { format!("<block number=\"{number}\"/>") };
        let mut block = begin.into_bytes();
        block.resize(BLOCK_BYTES.min(wanted - number * BLOCK_BYTES), b'.');
        block
    })
}

/// Reads the head of a request, up to its body of this length, and who relays it; nothing at the end of the connection.
fn head(
    stream: &mut impl BufRead,
    lines: &Mutex<BTreeSet<String>>,
) -> io::Result<Option<(u64, Option<String>)>> {
    let (mut length, mut relay) = (0, None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        lines.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone());
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if let Some(value) = line.strip_prefix("x-rmsc-relay-node:") {
            relay = Some(value.trim().to_owned());
        }
        if line.is_empty() {
            return Ok(Some((length, relay)));
        }
    }
}

/// The start tag has attributes.
const ENVELOPE_END: &[u8] = b"Envelope>";
const TAKEN: &str = "<taken>";
const BLOCK_BYTES: usize = 1 << 16;
