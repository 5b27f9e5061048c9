//! What TLS is spoken: at the front what Mozilla's intermediate profile allows, between nodes 1.3 alone.

use crate::support::cluster::TestCluster;
use crate::support::program::{manifest_dir, python_by, run};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn sslyze_complains_about_nothing_but_the_test_certificate() {
    let cluster = TestCluster::shared();
    let address = cluster.any_node().https.replace("https://", "");
    let (host, port) = address.split_once(':').expect("an address with a port");
    let python = std::env::var_os("RMSC_TEST_SSLYZE_VENV")
        .map_or_else(|| manifest_dir().join("tests/.venv-sslyze"), PathBuf::from)
        .join("bin/python");
    let issues: BTreeMap<String, String> =
        python_by(&python, "tls_profile.py", &[host, port, "rmsconnector.lab.test"]);
    let others: Vec<_> = issues.iter().filter(|(subject, _)| !subject.starts_with("certificate")).collect();
    assert!(others.is_empty(), "{others:#?}");
    // It has looked: nobody knows the lab's authority.
    assert!(issues.contains_key("certificate_path_validation"), "{issues:#?}");
}

#[test]
fn nodes_and_administrators_are_spoken_to_with_tls_1_3_alone() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let front: std::net::SocketAddr = node.https.replace("https://", "").parse().expect("an address");
    let shakes_hands = |address: std::net::SocketAddr, version: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", version, "-connect", &address.to_string()]).stdin(Stdio::null());
        let ran = run(&mut openssl);
        assert!(ran.stdout.contains("CONNECTED"), "{ran:?}");
        ran.stdout.contains("Verification") && !ran.stdout.contains("Cipher is (NONE)")
    };
    for port in [node.peer, node.admin] {
        assert!(shakes_hands(port, "-tls1_3") && !shakes_hands(port, "-tls1_2"), "{port}");
    }
    assert!(
        shakes_hands(front, "-tls1_3") && shakes_hands(front, "-tls1_2") && !shakes_hands(front, "-tls1_1")
    );
}
