//! How long each part of a conversation with a client may take: whoever lets us wait holds a place that others need.

use std::time::Duration;

/// From a request's first byte to the end of its head; the handshake of TLS has as long.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a client may let the bytes of a body be waited for, in all; a LAN brings 16 MiB in far less.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// In bytes a second: whoever sends so fast earns the time that it takes. A branch office has more.
pub(super) const BODY_RATE_MIN: u32 = 128 << 10;
/// A client that reads at all takes something of its answer in that time.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may stay without a next request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// For how long, and how many bytes, what a client still sends is read after its last answer: it must see that answer,
/// and not a reset.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const LINGER_BYTES_MAX: usize = 16 << 20;
/// Before a client is turned away that comes when there is no room, what it has sent already is read.
pub(super) const TURNED_AWAY_TIMEOUT: Duration = Duration::from_millis(20);
