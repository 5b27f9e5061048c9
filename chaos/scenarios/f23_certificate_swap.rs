//! The certificate that callers see is exchanged under load, three times: who is connected goes on with the old one, and
//! a handshake of NTLM that has begun ends with the one that it has begun with.

use super::{KILLED, Part, Scenario, usual};
use crate::cluster::{Certificates, Settings};
use crate::invariants::{Budget, Repeats};
use crate::stage::Stage;
use std::time::Duration;

pub const SCENARIO: Scenario = Scenario {
    name: "certificate-swap",
    row: "F23",
    says: "rmsc cert import of a new certificate for callers, three times in 6 s",
    nodes: &[2, 3, 5],
    budget: Budget { recovery: Duration::from_secs(3), repeats: Repeats::None, ..KILLED },
    play,
    part: Part::Drawn,
    settings,
};

fn play(stage: &mut Stage) {
    stage.baseline();
    for _ in 0..3 {
        stage.broken(|stage| {
            let ran = stage.cluster.import_certificate();
            if ran.code != Some(0) {
                stage.record.findings.push(format!("the certificate is not taken: {ran:?}"));
            }
            stage.hold(Duration::from_secs(2));
        });
        let shown = stage.cluster.shown_certificates();
        if shown.len() != 1 {
            stage.record.findings.push(format!("the nodes do not show the same certificate: {shown:?}"));
        }
    }
    stage.recover();
    stage.settled(Duration::from_secs(4));
}

fn settings(nodes: usize) -> Settings {
    Settings { certificates: Certificates::OfCluster, ..usual(nodes) }
}
