//! Connections to the service whose other end is gone without a word: what nodes send on those that are open now leaves
//! them and never arrives, and new ones work. A firewall that forgets connections does this, a host that loses its power,
//! too. Dropped where the service is: what a node's own rules drop its kernel takes for not sent.

use crate::cluster::Cluster;
use crate::network::Place;
use crate::support::program::run;
use std::fmt::Write as _;
use std::path::Path;

/// Gives those that had no connection.
#[track_caller]
pub fn begin(cluster: &Cluster, numbers: &[usize]) -> Vec<usize> {
    let (mut rules, mut without) = (String::new(), Vec::new());
    for number in numbers {
        let ports = ports(cluster, *number);
        if ports.is_empty() {
            without.push(*number);
            continue;
        }
        let _ = writeln!(rules, "ip saddr {} tcp sport {{ {ports} }} drop", Place::Node(*number).ip());
    }
    let rules =
        format!("table inet chaos {{\nchain in {{\ntype filter hook input priority 0;\n{rules}}}\n}}\n");
    cluster.network.filter(Place::Service, &rules);
    without
}

/// Packets arrive again.
#[track_caller]
pub fn end(cluster: &Cluster) {
    cluster.network.open(Place::Service);
}

/// Of a node's open connections to the service: its own ends.
#[track_caller]
fn ports(cluster: &Cluster, number: usize) -> String {
    let mut command = cluster.network.at(Place::Node(number), Path::new("ss"));
    let service = Place::Service.ip().to_string();
    let ran = run(command.args(["-Htn", "state", "established", "dst", &service]));
    // Two queues, our own end, theirs.
    let own = ran.check_code(0).stdout.lines().filter_map(|line| line.split_whitespace().nth(2));
    let ports: Vec<&str> = own.filter_map(|own| own.rsplit(':').next()).collect();
    ports.join(", ")
}
