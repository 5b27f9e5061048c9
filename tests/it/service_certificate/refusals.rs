//! What is not taken, and what is taken only by force.

use super::{Folder, SERVICE, import, show};
use crate::support::cluster::TestCluster;
use time::{Duration as Span, OffsetDateTime};

#[test]
fn what_servers_would_refuse_is_refused_with_what_to_do() {
    let cluster = TestCluster::start(1);
    let folder = Folder::new();
    let ca = folder.text("ca.pem");
    let check = |name: &str, more: &[&str], code: i32, words: &[&str]| {
        let (pem, key) = (folder.text(&format!("{name}.pem")), folder.text(&format!("{name}.key")));
        let ran = import(&cluster, &[&[&*pem, "--key", &key], more].concat());
        ran.check_code(code).check_says(words);
    };
    folder.issue("other", &["other.test"]);
    let words = format!("it is for other.test, and servers call {SERVICE}");
    check("other", &["--chain", &ca], 4, &[&words, "If that is meant: --force"]);
    check("other", &[], 4, &[&words, "the certificate of CN=contoso CA is missing", "--chain FILE"]);
    folder.issue_at("old", &[SERVICE], OffsetDateTime::now_utc() - Span::days(400));
    check("old", &["--chain", &ca, "--force"], 4, &["it has expired on", "rmsc cert renew"]);
    folder.issue("good", &[SERVICE]);
    let ran = import(&cluster, &[&folder.text("good.pem"), "--key", &folder.text("old.key")]);
    ran.check_code(1).check_says(&["the private key belongs to none of the certificates"]);
    import(&cluster, &[&folder.text("good.pem")])
        .check_code(1)
        .check_says(&["there is no private key", "--key FILE"]);
    let subject = format!("/CN={SERVICE}");
    let made = |name: &str, more: &[&str]| {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let request = ["req", "-nodes", "-keyout", &key, "-out", &csr, "-subj", &subject];
        folder.openssl(&[&request[..], more].concat());
        folder.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
            "-CAcreateserial",
            "-days",
            "9",
            "-out",
            &pem,
            "-sha1",
            "-extfile",
            "extensions",
        ]);
    };
    let root = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem"];
    folder.openssl(&[&root[..], &["-days", "9", "-subj", "/CN=Root"]].concat());
    folder.write("extensions", &format!("subjectAltName=DNS:{SERVICE}\n"));
    made("small", &["-newkey", "rsa:1024"]);
    check("small", &["--force"], 1, &["RSA with 2048 bits or more"]);
    made("weak", &["-newkey", "rsa:2048"]);
    let root = folder.text("root.pem");
    check("weak", &["--chain", &root, "--force"], 4, &["is signed with SHA-1, which can be forged"]);
    // Nothing was taken.
    let said = show(&cluster);
    assert_eq!(said["chain"], serde_json::json!([]), "{said}");
    // Somebody knows better: it is taken, and the node goes on with its own file, which is said.
    check("other", &["--chain", &ca, "--force"], 3, &[]);
    let said = show(&cluster);
    assert_eq!(said["nodes"][0]["source"], "file", "{said}");
    assert!(
        said["problems"][0].as_str().expect("words").contains("shows the certificate of its own file"),
        "{said}"
    );
    // A request for the next one has the names that were forced in, and says so.
    let made = cluster.rmsc(&["cert", "renew"]);
    made.check_code(0).check_says(&[
        &format!("It asks for {SERVICE}, other.test."),
        &format!("‼ The certificate that there is was forced in: none of its names is for {SERVICE}"),
        "have your authority leave them out",
    ]);
    assert!(!made.stdout.contains("other.test"), "{made:?}");
}
