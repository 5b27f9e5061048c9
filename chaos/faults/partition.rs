//! Packets between nodes are dropped, in both directions or in one, all of them or those of a port. The clients and the
//! service are reached all the time: a partition of a network that is cut between two racks. Or the reverse: callers do
//! not reach the front of a node, and the nodes reach each other.

use crate::cluster::Cluster;
use crate::network::Place;
use std::fmt::Write as _;

/// Which packets of a node are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Both,
    /// It hears, and cannot speak.
    Out,
    /// It speaks, and cannot hear.
    In,
}

/// Which ports are concerned, theirs and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    All,
    /// Of nodes among each other: Raft and the hop.
    Peer,
    /// All but that one.
    AllButPeer,
}

/// Cuts a node off from others.
#[track_caller]
pub fn cut(cluster: &Cluster, number: usize, from: &[usize], direction: Direction, ports: Ports) {
    let drops = |side: &str| {
        from.iter().fold(String::new(), |mut rules, other| {
            let ip = Place::Node(*other).ip();
            let _ = match ports {
                Ports::All => writeln!(rules, "ip {side} {ip} drop"),
                Ports::Peer => {
                    writeln!(rules, "ip {side} {ip} tcp dport 8700 drop\nip {side} {ip} tcp sport 8700 drop")
                }
                Ports::AllButPeer => {
                    writeln!(rules, "ip {side} {ip} tcp dport != 8700 tcp sport != 8700 drop")
                }
            };
            rules
        })
    };
    let mut rules = String::from("table inet chaos {\n");
    if direction != Direction::Out {
        let _ = writeln!(rules, "chain in {{\ntype filter hook input priority 0;\n{}}}", drops("saddr"));
    }
    if direction != Direction::In {
        let _ = writeln!(rules, "chain out {{\ntype filter hook output priority 0;\n{}}}", drops("daddr"));
    }
    rules.push_str("}\n");
    cluster.network.filter(Place::Node(number), &rules);
}

/// What becomes of what is sent to a port that is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: nobody answers.
    Silent,
    /// Each packet is answered with a reset.
    Refused,
}

/// Cuts the front's port of a node off from callers, and nothing else.
#[track_caller]
pub fn cut_front(cluster: &Cluster, number: usize, cut: Cut) {
    let ip = Place::Clients.ip();
    let (in_rule, out_rule) = match cut {
        Cut::Silent => ("drop", format!("ip daddr {ip} tcp sport 443 drop")),
        Cut::Refused => ("reject with tcp reset", String::new()),
    };
    let rules = format!(
        "table inet chaos {{\nchain in {{\ntype filter hook input priority 0;\nip saddr {ip} tcp dport 443 {in_rule}\n}}\n\
         chain out {{\ntype filter hook output priority 0;\n{out_rule}\n}}\n}}\n"
    );
    cluster.network.filter(Place::Node(number), &rules);
}

/// Undoes what was done to a node's packets.
#[track_caller]
pub fn heal(cluster: &Cluster, number: usize) {
    cluster.network.open(Place::Node(number));
}
