//! Ports of a lab: none that another lab on this machine may take, though a node of this one is down.

use anyhow::{Context as _, bail};
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as Name, UnixListener};

/// A block of ports, which is ours as long as this value lives.
pub(super) struct Ports {
    /// A name without a file, which the system takes back however this process ends.
    _block: UnixListener,
    rest: Range<u16>,
}

impl Ports {
    /// Takes a block that no other lab has.
    ///
    /// # Errors
    /// There are as many labs as there are blocks.
    pub(super) fn take() -> anyhow::Result<Self> {
        let first = rand::random_range(0..BLOCKS);
        for block in (0..BLOCKS).map(|number| (first + number) % BLOCKS) {
            let name = Name::from_abstract_name(format!("rmsc-lab-ports-{block}"))?;
            if let Ok(held) = UnixListener::bind_addr(&name) {
                let begin = FIRST + block * BLOCK;
                return Ok(Ports { _block: held, rest: begin..begin + BLOCK });
            }
        }
        bail!("{BLOCKS} labs run on this machine, and there are no ports for more")
    }

    /// The next one that nobody listens on.
    ///
    /// # Errors
    /// There is none left.
    pub(super) fn next(&mut self) -> anyhow::Result<SocketAddr> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
        self.rest.by_ref().map(address).find(free).context("there is no free port")
    }
}

/// Below those that Linux gives to outgoing connections: one of these could take a node's port while
/// the node does not run.
const FIRST: u16 = 20_000;
/// Nine nodes have 45, and strangers may have some.
const BLOCK: u16 = 96;
const BLOCKS: u16 = 125;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn labs_beside_each_other_share_no_port() {
        let mut labs: Vec<Ports> = (0..20).map(|_| Ports::take().unwrap()).collect();
        let ports = labs.iter_mut().flat_map(|lab| std::iter::repeat_with(|| lab.next().unwrap()).take(45));
        let ports: BTreeSet<SocketAddr> = ports.collect();
        assert_eq!(ports.len(), 20 * 45);
    }
}
