//! A long line between nodes: a TCP proxy of our own between every two of them, which hands on later what it reads, or
//! for a while nothing. Kernels that cannot delay packets can do this.

use crate::cluster::Cluster;
use crate::network::Place;
use crate::support::wait;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// The lines of one node, in both directions.
pub struct Lines {
    delay_ms: Arc<AtomicU64>,
}

impl Lines {
    /// Leads every new connection between a node and the others over a proxy; those that are there are cut.
    #[track_caller]
    pub fn between(cluster: &mut Cluster, number: usize) -> Self {
        let delay_ms = Arc::new(AtomicU64::new(0));
        let others: Vec<usize> = cluster.numbers().into_iter().filter(|other| *other != number).collect();
        for other in &others {
            redirect(cluster, *other, &[(number, proxy(number, &delay_ms))]);
        }
        let to: Vec<(usize, SocketAddr)> =
            others.iter().map(|other| (*other, proxy(*other, &delay_ms))).collect();
        redirect(cluster, number, &to);
        Lines { delay_ms }
    }

    pub fn delay(&self, delay: Duration) {
        let milliseconds = u64::try_from(delay.as_millis()).expect("it is short");
        self.delay_ms.store(milliseconds, Ordering::Relaxed);
    }
}

#[track_caller]
fn redirect(cluster: &Cluster, from: usize, to: &[(usize, SocketAddr)]) {
    let rule = |(number, proxy): &(usize, SocketAddr)| {
        format!("ip daddr {} tcp dport 8700 dnat ip to {proxy}\n", Place::Node(*number).ip())
    };
    let rules: String = to.iter().map(rule).collect();
    let table =
        format!("table inet lines {{\nchain out {{\ntype nat hook output priority -100;\n{rules}}}\n}}\n");
    cluster.network.filter(Place::Node(from), &table);
}

/// Listens for what is meant for a node.
fn proxy(number: usize, delay_ms: &Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind(Place::Clients.address(0)).expect("there are free ports");
    let address = listener.local_addr().expect("it is bound");
    let delay_ms = delay_ms.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(onward) = TcpStream::connect(Place::Node(number).address(8_700)) else { continue };
            let (Ok(back), Ok(onward_back)) = (stream.try_clone(), onward.try_clone()) else { continue };
            carry(stream, onward, &delay_ms);
            carry(onward_back, back, &delay_ms);
        }
    });
    address
}

/// One direction: what was read is written so much later.
fn carry(mut from: TcpStream, mut to: TcpStream, delay_ms: &Arc<AtomicU64>) {
    let (sender, late): (_, Receiver<(Instant, Vec<u8>)>) = sync_channel(PIECES_MAX);
    let delay_ms = delay_ms.clone();
    let _ = to.set_nodelay(true);
    std::thread::spawn(move || {
        let mut piece = vec![0; 1 << 14];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
            let bytes = piece.get(..read).unwrap_or_default().to_vec();
            if sender.send((due, bytes)).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in late {
            wait::until_moment(due);
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

const PIECES_MAX: usize = 1_024;
