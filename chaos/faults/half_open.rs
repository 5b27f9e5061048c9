//! Connections to the service whose other end is gone without a word: what a node sends on those that are open now is
//! dropped, and new ones work. A firewall that forgets connections does this.

use crate::cluster::Cluster;
use crate::network::Place;
use crate::support::program::run;
use std::path::Path;

#[track_caller]
pub fn begin(cluster: &Cluster, number: usize) -> usize {
    let place = Place::Node(number);
    let service = Place::Service.ip();
    let mut command = cluster.network.at(place, Path::new("ss"));
    let ran = run(command.args(["-Htn", "state", "established", "dst", &service.to_string()]));
    // Two queues, our own end, theirs.
    let own = ran.check_code(0).stdout.lines().filter_map(|line| line.split_whitespace().nth(2));
    let ports: Vec<&str> = own.filter_map(|own| own.rsplit(':').next()).collect();
    if ports.is_empty() {
        return 0;
    }
    let ports_shown = ports.join(", ");
    let rules = format!(
        "table inet chaos {{\nchain out {{\ntype filter hook output priority 0;\n\
         ip daddr {service} tcp sport {{ {ports_shown} }} drop\n}}\n}}\n"
    );
    cluster.network.filter(place, &rules);
    ports.len()
}
