//! A narrow line: what a node sends to the others leaves at 1 Mbit/s, through a bucket of tokens, and what has no room in
//! the queue before it is lost, as at the modem of a branch office. What it sends to callers and to the service leaves
//! as ever: their requests alone would fill the line.

use crate::cluster::Cluster;
use crate::network::Place;
use crate::support::program::run;
use std::path::Path;
use std::time::Duration;

/// What went over a narrow line.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    bytes: u64,
    /// Packets that had no room.
    lost: u64,
}

impl Sent {
    /// Whether the line carried what it can in this time, and there was more to carry.
    pub fn was_full(&self, span: Duration) -> bool {
        let most = LINE_BYTES_PER_SECOND * span.as_secs_f64();
        self.lost > 0 && (0.75..1.25).contains(&(self.bytes as f64 / most))
    }
}

/// Narrows the line from a node to all others.
#[track_caller]
pub fn begin(cluster: &Cluster, number: usize) {
    // What belongs to none of its classes htb sends at once.
    tc(cluster, number, "qdisc add dev eth0 root handle 1: htb");
    tc(cluster, number, "class add dev eth0 parent 1: classid 1:1 htb rate 1gbit quantum 60000");
    tc(cluster, number, "qdisc add dev eth0 parent 1:1 tbf rate 1mbit burst 16kb latency 400ms");
    for other in cluster.numbers().into_iter().filter(|other| *other != number) {
        let to = format!("u32 match ip dst {}/32", Place::Node(other).ip());
        tc(cluster, number, &format!("filter add dev eth0 parent 1: protocol ip prio 1 {to} flowid 1:1"));
    }
}

/// Makes it as wide as before, and tells what it has carried.
#[track_caller]
pub fn end(cluster: &Cluster, number: usize) -> Sent {
    let said = tc(cluster, number, "-s qdisc show dev eth0");
    tc(cluster, number, "qdisc del dev eth0 root");
    // Sent 640355 bytes 1003 pkt (dropped 247, overlimits 1391 requeues 0)
    let bucket = said.split("qdisc ").find(|part| part.starts_with("tbf")).unwrap_or_default();
    let after = |word: &str| {
        let mut words = bucket.split([' ', '(', ',']).skip_while(|found| *found != word).skip(1);
        words.next().and_then(|number| number.parse().ok()).unwrap_or_default()
    };
    Sent { bytes: after("Sent"), lost: after("dropped") }
}

#[track_caller]
fn tc(cluster: &Cluster, number: usize, words: &str) -> String {
    let mut command = cluster.network.at(Place::Node(number), Path::new("tc"));
    let ran = run(command.args(words.split(' ')));
    ran.check_code(0);
    ran.stdout
}

const LINE_BYTES_PER_SECOND: f64 = 1e6 / 8.0;
