//! What an administrator should know about the cluster now, in sentences that say what to do. Pure.

use super::survival::Survivals;
use crate::proto::control::v1 as proto;

/// What the sentences are about.
pub(super) struct Seen<'a> {
    pub(super) nodes: &'a [proto::Node],
    pub(super) survivals: Survivals,
    /// How many entries the table has.
    pub(super) entries: u64,
    /// How old what is shown may be, in milliseconds, if no leader could be asked.
    pub(super) old: Option<Option<u64>>,
}

pub(super) fn of(seen: &Seen<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    match seen.old {
        Some(Some(age_ms)) => warnings
            .push(format!("no leader could be asked: this is what one node knew {} s ago", age_ms / 1_000)),
        Some(None) => warnings.push("no leader could be asked: this is what one node knew last".into()),
        None => {}
    }
    warnings.extend(seen.nodes.iter().filter_map(about_node));
    warnings.extend(seen.nodes.iter().filter_map(about_seal_key));
    warnings.extend(seen.nodes.iter().filter_map(about_ntlm));
    warnings.extend(seen.nodes.iter().filter_map(about_directory));
    warnings.extend(seen.nodes.iter().filter_map(about_winbind));
    warnings.extend(seen.nodes.iter().filter_map(about_account));
    warnings.extend(seen.nodes.iter().filter_map(about_settings));
    warnings.extend(seen.nodes.iter().filter_map(about_hamper));
    warnings.extend(seen.nodes.iter().flat_map(about_certificates));
    warnings.extend(about_voters(seen.nodes, seen.survivals.changes));
    if seen.entries == 0 {
        warnings.push("the table is empty, so nobody is served: rmsc authz add".into());
    }
    warnings
}

fn about_node(node: &proto::Node) -> Option<String> {
    let name = &node.name;
    if !node.leaving.is_empty() {
        return Some(format!("{name} is leaving the cluster, removed by {}", node.leaving));
    }
    match (&node.drained, node.witness) {
        (_, true) => (!node.up).then(|| format!("{name}, a witness, does not answer")),
        (Some(drained), false) => Some(format!(
            "{name} is drained by {} and takes no requests; put it back: rmsc node undrain {name}",
            drained.by
        )),
        (None, false) => (!node.ready).then(|| format!("{name} takes no requests: {}", node.reason)),
    }
}

/// One who wrote `seal = "file"` knows it, and is not told at every look.
fn about_seal_key(node: &proto::Node) -> Option<String> {
    node.plain_seal_key.then(|| {
        format!(
            "the seal key of {} lies in a plain file: whoever copies it and the data folder has every secret; give \
             it to systemd, see rmsc.service",
            node.name
        )
    })
}

/// A lab that wants it so is told as well: nobody should learn it from the lab.
fn about_ntlm(node: &proto::Node) -> Option<String> {
    node.exchange_ntlm_unbound.then(|| {
        format!(
            "{} lets Exchange servers in by NTLM that is not bound to TLS: whoever makes one log on to him can pass \
             that on, and open every mail; use Kerberos or extended protection, and take exchange = \"on\" out of \
             [identity.ntlm]",
            node.name
        )
    })
}

fn about_directory(node: &proto::Node) -> Option<String> {
    node.directory_away_ms.map(|away_ms| {
        format!(
            "{} has heard nothing from the directory for {} s: callers have the groups that they had last, or those of \
             their tickets; see event 4052 there",
            node.name,
            away_ms / 1_000
        )
    })
}

fn about_winbind(node: &proto::Node) -> Option<String> {
    node.winbind_away.then(|| {
        format!(
            "{} asked winbind about a logon and got no answer: NTLM of the domain's accounts is answered with 429 \
             there, Kerberos is not; see event 4057 there",
            node.name
        )
    })
}

/// An account that may open every mail, as Exchange's must, opens it for a file server as well.
fn about_account(node: &proto::Node) -> Option<String> {
    node.account_shared.then(|| {
        format!(
            "{} calls the service with one account for callers of several roles: whatever it may open there, each of \
             them may; leave one role in roles of [upstream.account], or see that the account is no super user",
            node.name
        )
    })
}

fn about_settings(node: &proto::Node) -> Option<String> {
    (!node.cloud_differs.is_empty()).then(|| {
        format!(
            "{} sends no token to the cloud: {}; make the node files alike, see event 4086 there",
            node.name, node.cloud_differs
        )
    })
}

fn about_hamper(node: &proto::Node) -> Option<String> {
    (!node.hampered.is_empty()).then(|| {
        format!(
            "{} gets no requests while another node is better: {}; see rmsc lb show, and event 4130 there",
            node.name, node.hampered
        )
    })
}

fn about_certificates(node: &proto::Node) -> impl Iterator<Item = String> {
    node.certificate_faults.iter().map(|fault| format!("{}: {fault}", node.name))
}

fn about_voters(nodes: &[proto::Node], changes_survive: i32) -> Option<String> {
    let voters = nodes.iter().filter(|node| node.voter).count();
    match (changes_survive, voters) {
        (_, 0) => None,
        (-1, _) => Some(
            "changes are not possible: no majority of the voters is up; requests are relayed on for a while".into(),
        ),
        (0, 1) => Some(
            "one voter: if it fails, nothing is relayed and nothing can be changed; add nodes: rmsc token create"
                .into(),
        ),
        (0, 2) => Some(
            "two voters: changes survive no failure; add a third node or a witness: rmsc token create, then \
             rmsc join there"
                .into(),
        ),
        (0, _) => Some("changes survive no further failure".into()),
        (survive, voters) if voters % 2 == 0 => Some(format!(
            "{voters} voters survive {survive} failure{}, as {} would; add or remove one",
            if survive == 1 { "" } else { "s" },
            voters - 1
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(name: &str) -> proto::Node {
        proto::Node { name: name.into(), voter: true, up: true, ready: true, ..Default::default() }
    }

    fn check(nodes: &[proto::Node], changes: i32, expected: &[&str]) {
        let survivals = Survivals { relay: 1, changes };
        let warnings = of(&Seen { nodes, survivals, entries: 1, old: None });
        assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
        for (warning, expected) in warnings.iter().zip(expected) {
            assert!(warning.contains(expected), "{warning} does not say {expected}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_what_to_do() {
        check(&[ready("a"), ready("b"), ready("c")], 1, &[]);
        check(
            &[ready("a"), ready("b")],
            0,
            &["two voters: changes survive no failure; add a third node or a witness"],
        );
        check(
            &[ready("a"), ready("b"), ready("c"), ready("d")],
            1,
            &["4 voters survive 1 failure, as 3 would"],
        );
        check(&[ready("a")], 0, &["one voter"]);
        let plain = proto::Node { plain_seal_key: true, ..ready("b") };
        check(&[ready("a"), plain, ready("c")], 1, &["the seal key of b lies in a plain file"]);
        let unbound = proto::Node { exchange_ntlm_unbound: true, ..ready("b") };
        check(
            &[ready("a"), unbound, ready("c")],
            1,
            &["b lets Exchange servers in by NTLM that is not bound"],
        );
        let away = proto::Node { directory_away_ms: Some(90_000), ..ready("b") };
        check(&[ready("a"), away, ready("c")], 1, &["b has heard nothing from the directory for 90 s"]);
        let mute = proto::Node { winbind_away: true, ..ready("b") };
        check(&[ready("a"), mute, ready("c")], 1, &["b asked winbind about a logon and got no answer"]);
        let shared = proto::Node { account_shared: true, ..ready("b") };
        check(&[ready("a"), shared, ready("c")], 1, &["b calls the service with one account for callers"]);
        let other = proto::Node { cloud_differs: "client_id is x".into(), ..ready("b") };
        check(&[ready("a"), other, ready("c")], 1, &["b sends no token to the cloud: client_id is x"]);
        let faults = vec!["the certificate for calling servers expires in 9 days".into()];
        let old = proto::Node { certificate_faults: faults, ..ready("b") };
        check(
            &[ready("a"), old, ready("c")],
            1,
            &["b: the certificate for calling servers expires in 9 days"],
        );
        let silent = proto::Node { up: false, ready: false, reason: "does not answer".into(), ..ready("b") };
        check(
            &[ready("a"), silent.clone(), ready("c")],
            0,
            &["b takes no requests: does not answer", "no further failure"],
        );
        let drained = proto::Drained { by: "alice".into(), at_ms: 0 };
        let drained = proto::Node { ready: false, drained: Some(drained), ..ready("b") };
        check(
            &[ready("a"), drained, ready("c")],
            1,
            &["b is drained by alice and takes no requests; put it back: rmsc node undrain b"],
        );
        let witness = proto::Node { ready: false, witness: true, ..ready("w") };
        check(&[ready("a"), ready("b"), witness.clone()], 1, &[]);
        check(
            &[ready("a"), ready("b"), proto::Node { up: false, ..witness }],
            0,
            &["w, a witness, does not answer", "no further failure"],
        );
        check(&[ready("a"), silent.clone(), silent], -1, &["b takes", "b takes", "changes are not possible"]);
    }

    #[test]
    fn says_how_old_the_news_are() {
        let survivals = Survivals { relay: 1, changes: 1 };
        let warnings = of(&Seen { nodes: &[], survivals, entries: 0, old: Some(Some(12_300)) });
        assert!(warnings[0].contains("what one node knew 12 s ago"), "{warnings:?}");
        assert!(warnings[1].contains("the table is empty"), "{warnings:?}");
    }
}
