//! A key that is made in the cluster, and the request for its certificate.

use super::{Folder, SERVICE, await_shown, hex, import, show, without_files};
use crate::support::certificates::put_secret;
use crate::support::cluster::TestCluster;
use crate::support::log::{await_event, field};
use rmsc::tls::AboutCertificate;
use serde_json::Value;
use std::fs;
use time::OffsetDateTime;

#[test]
fn a_key_that_never_leaves_the_cluster_gets_its_certificate() {
    let cluster = without_files(1);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    let made = cluster.rmsc(&["cert", "renew"]);
    made.check_code(0).check_says(&["rmsc cert import FILE"]);
    assert!(made.stdout.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{made:?}");
    assert_eq!(cluster.rmsc(&["cert", "renew"]).stdout, made.stdout, "it waits");
    folder.write("rms.csr", &made.stdout);
    // An authority that has nothing to do with us.
    folder.openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "9",
        "-subj",
        "/CN=Contoso Issuing CA",
    ]);
    folder.openssl(&["req", "-in", "rms.csr", "-verify", "-noout"]);
    folder.openssl(&[
        "x509",
        "-req",
        "-in",
        "rms.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "9",
        "-copy_extensions",
        "copy",
        "-outform",
        "DER",
        "-out",
        "rms.cer",
    ]);
    let ran = import(&cluster, &[&folder.text("rms.cer"), "--chain", &folder.text("ca.pem"), "-o", "json"]);
    // Nine days are few.
    ran.check_code(3);
    assert_eq!(ran.field("key_from"), "request");
    let ends = ran.field("ends");
    assert!(ends.as_str().expect("words").starts_with("it expires in 8 days, on "), "{ends}");
    let again = import(&cluster, &[&folder.text("rms.cer"), "--chain", &folder.text("ca.pem")]);
    assert!(again.check_code(3).stdout.contains("‼ it expires in 8 days, on "), "{again:?}");
    let leaf = fs::read(folder.path("rms.cer")).expect("it was written");
    let fingerprint = hex(&AboutCertificate::of(&leaf).expect("a certificate").fingerprint);
    await_shown(&nodes, &folder, &fingerprint);
    let said = show(&cluster);
    assert_eq!(said["requested_by"], Value::Null, "{said}");
    let event = await_event(&nodes[0], 4111, |_| true);
    assert!(field(&event, "reason").contains("expires in 8 days"), "{event}");
    let warnings = cluster.rmsc(&["status"]).stdout;
    assert!(warnings.contains("the certificate for calling servers expires in 8 days"), "{warnings}");
    let metrics = cluster.monitor(&nodes[0], "/metrics").text();
    for name in ["rmsc_front_certificate_expires_seconds ", "rmsc_authority_certificate_expires_seconds "] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a gauge");
        assert!(value.trim().parse::<i64>().expect("a number") > OffsetDateTime::now_utc().unix_timestamp());
    }
    // It is there before the first caller comes.
    cluster.kill("node-1");
    cluster.restart("node-1");
    await_shown(&cluster.nodes(), &folder, &fingerprint);
}

#[test]
fn a_key_that_waits_and_cannot_be_read_here_is_not_thrown_away() {
    let cluster = TestCluster::start(1);
    let made = cluster.rmsc(&["cert", "renew", "-o", "json"]);
    assert_eq!(made.check_code(0).field("names"), serde_json::json!([SERVICE]));
    put_secret(&cluster, "front-certificate-request", &[7; 200]);
    let words =
        ["cannot be read on this node: front-certificate-request does not open", "--endpoint", "--anew"];
    cluster.rmsc(&["cert", "renew"]).check_code(4).check_says(&words);
    let said = cluster.rmsc(&["cert", "show"]).stdout;
    assert!(said.contains("make another in its place: rmsc cert renew --anew"), "{said}");
    let anew = cluster.rmsc(&["cert", "renew", "--anew", "-o", "json"]);
    anew.check_code(0);
    assert_eq!(cluster.rmsc(&["cert", "renew", "-o", "json"]).field("request"), anew.field("request"));
}
