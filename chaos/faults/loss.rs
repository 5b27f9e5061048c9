//! A bad line between a node and the others: a share of the packets is lost, in both directions.

use crate::cluster::Cluster;
use crate::network::Place;

#[track_caller]
pub fn begin(cluster: &Cluster, number: usize, percent: u32) {
    let nodes = "ip saddr 10.77.0.11-10.77.0.15";
    let back = nodes.replace("saddr", "daddr");
    let lose = format!("numgen random mod 100 < {percent} drop");
    let rules = format!(
        "table inet chaos {{\nchain in {{\ntype filter hook input priority 0;\n{nodes} {lose}\n}}\n\
         chain out {{\ntype filter hook output priority 0;\n{back} {lose}\n}}\n}}\n"
    );
    cluster.network.filter(Place::Node(number), &rules);
}
