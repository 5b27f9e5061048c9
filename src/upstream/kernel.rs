//! What the kernel knows of TCP connections: whether what was sent arrives. From `/proc/self/net/tcp`, which needs no
//! right that a hardened service lacks, and no `unsafe`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A connection's own end and the other one.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// How a connection fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Bytes that the other end has not acknowledged.
    unacknowledged: u64,
    /// What the kernel waits for before it sends again.
    timer: u64,
    /// How often it has sent the oldest of them again in vain.
    retransmits: u64,
}

impl Standing {
    /// Whether nothing arrives at the other end. Who only has no room for more acknowledges what came before, and is
    /// asked again and again whether there is some now: that is another timer.
    pub(super) fn is_gone(self) -> bool {
        self.unacknowledged > 0 && self.timer == RETRANSMIT_TIMER && self.retransmits >= RETRANSMITS
    }

    /// Whether all that was sent is at the other end.
    pub(super) fn has_arrived(self) -> bool {
        self.unacknowledged == 0
    }
}

#[cfg(test)]
impl Standing {
    pub(super) const GONE: Self = Standing { unacknowledged: 1, timer: 1, retransmits: 2 };
    pub(super) const FULL: Self = Standing { timer: 4, ..Self::GONE };

    /// Whether the kernel waits for room at the other end.
    pub(super) fn is_full(self) -> bool {
        self.timer == Self::FULL.timer
    }
}

/// All connections of this host's network.
pub(super) async fn standings() -> io::Result<HashMap<Ends, Standing>> {
    // With many connections it is long.
    let table = tokio::task::spawn_blocking(|| {
        let mut found = read(&fs::read_to_string("/proc/self/net/tcp")?);
        // Where there is no IPv6 there is no such file.
        found.extend(read(&fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default()));
        Ok(found)
    });
    table.await.map_err(io::Error::other)?
}

fn read(table: &str) -> HashMap<Ends, Standing> {
    table.lines().skip(1).filter_map(line).collect()
}

/// `sl local remote state unsent:unread timer:when retransmits …`, in hexadecimal digits.
fn line(line: &str) -> Option<(Ends, Standing)> {
    let mut words = line.split_whitespace().skip(1);
    let ends = (address(words.next()?)?, address(words.next()?)?);
    let (unacknowledged, _) = words.nth(1)?.split_once(':')?;
    let (timer, _) = words.next()?.split_once(':')?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let retransmits = number(words.next()?)?;
    Some((ends, Standing { unacknowledged: number(unacknowledged)?, timer: number(timer)?, retransmits }))
}

/// Words of four bytes as they lie in memory, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = (0..ip.len()).step_by(8).map(|at| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

/// Of `tcp_diag`: the kernel waits for an acknowledgement. Four would be: for room at the other end.
const RETRANSMIT_TIMER: u64 = 1;
/// The first time is after a fifth of a second at least, the second after three of them: a packet is lost now and then,
/// and three times in a row hardly ever.
const RETRANSMITS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n   \
                     1: 0B004D0A:9C40 02004D0A:46A0 01 00000A2F:00000000 01:0000003C 00000003     0\n   \
                     2: short\n";
        let found = read(table);
        let ends = ("10.77.0.11:40000".parse().unwrap(), "10.77.0.2:18080".parse().unwrap());
        assert_eq!(found.len(), 2);
        assert_eq!(found[&ends], Standing { unacknowledged: 0xA2F, timer: 1, retransmits: 3 });
        let six = "\n 0: 0000000000000000FFFF00000100007F:0050 00000000000000000000000001000000:0051 01 \
                   00000000:00000000 00:00000000 00000000 0\n";
        let ends = ("127.0.0.1:80".parse().unwrap(), "[::1]:81".parse().unwrap());
        assert_eq!(read(six).get(&ends), Some(&Standing::default()));
    }

    #[test]
    fn only_who_acknowledges_nothing_is_gone() {
        let gone = Standing::GONE;
        assert!(gone.is_gone());
        // A packet was lost.
        assert!(!Standing { retransmits: 1, ..gone }.is_gone());
        // There is no room.
        assert!(!Standing { timer: 4, retransmits: 9, ..gone }.is_gone());
        // Everything has arrived.
        assert!(!Standing { unacknowledged: 0, ..gone }.is_gone());
    }
}
