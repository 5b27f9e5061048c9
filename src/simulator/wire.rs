//! A connection that can be cut in the two ways that HTTP does not know: reset, or closed in one direction.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection, as hyper reads and writes it.
pub(super) struct Wire {
    stream: TcpStream,
    cut: Cut,
}

/// Cuts a connection.
#[derive(Clone, Default)]
pub(super) struct Cut(Arc<AtomicU8>);

impl Cut {
    /// When the connection is closed next, the client's end sees a reset.
    pub(super) fn reset(&self) {
        self.0.store(RESET, Ordering::Release);
    }

    /// Nothing more is sent once what was written is; the client may go on sending.
    pub(super) fn close_sending(&self) {
        self.0.store(HALF, Ordering::Release);
    }

    fn is(&self, cut: u8) -> bool {
        self.0.load(Ordering::Acquire) == cut
    }
}

impl Wire {
    pub(super) fn new(stream: TcpStream, cut: Cut) -> Self {
        Wire { stream, cut }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.cut.is(RESET) {
            // A socket that is gone already needs no reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.is(RESET) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cut.is(HALF) {
            return Pin::new(&mut self.stream).poll_shutdown(context);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

const RESET: u8 = 1;
const HALF: u8 = 2;
