//! What a node says to the service and where it signs in: every setting of `[upstream.oauth]`, as it arrives.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::files::private;
use crate::support::http::Request;
use crate::support::log::{await_event, field};
use crate::support::sign_in::SignIn;
use crate::support::soap::ACQUIRE_LICENSE;
use serde_json::{Value, json};
use std::fs;

/// Makes an account a member of a group, and authorizes the group: its SID.
#[track_caller]
fn authorize_by_group(cluster: &TestCluster, account: &str) -> String {
    let (file, sid) = (cluster.dir().join("accounts.toml"), "S-1-5-21-1-2-3-4444");
    let text = fs::read_to_string(&file).expect("the lab has accounts");
    let (before, block) = text.split_once(&format!("name = {account:?}\n")).expect("it is one of them");
    let block = block.replacen("groups = []", "groups = [\"Mail Servers\"]", 1);
    let group = format!("\n[[group]]\nname = \"Mail Servers\"\nsid = {sid:?}\n");
    let text = format!("{before}name = {account:?}\n{block}{group}");
    fs::write(&file, text).expect("the lab's folder can be written");
    for node in cluster.nodes() {
        cluster.kill(&node.name);
        cluster.restart(&node.name);
    }
    cluster.await_rotation();
    let group = ["--role", "exchange", "--group", r"LAB\Mail Servers", "--sid", sid];
    cluster.rmsc(&[&["authz", "add", "--yes"], &group[..]].concat()).check_code(0);
    sid.to_owned()
}

#[track_caller]
fn said(sign_in: &SignIn, pointer: &str) -> Value {
    let counted = sign_in.counted();
    counted.pointer(pointer).cloned().unwrap_or_else(|| panic!("no {pointer} in {counted}"))
}

#[test]
fn the_service_and_the_sign_in_are_told_what_is_set() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let entry = authorize_by_group(&cluster, "mallory");
    let sign_in = SignIn::with_tls(&cluster, &["--path-prefix", "/rms/v9"]);
    let authority = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let (right, wrong) = (authority(&sign_in.authority()), authority(&cluster.lab().ca));
    let oauth = format!(
        "sign_in = {:?}\nsign_in_authority = {wrong}\nresource = \"https://rms.example/a&b\"\nscheme = \"MSOID\"\n\
         path_prefix = \"/rms/v9\"\ncaller_header = \"x-caller\"\nentry_header = \"x-entry\"\n\
         role_header = \"x-role\"\n",
        sign_in.url()
    );
    sign_in.serve_by(&cluster, &format!("authority = {wrong}\n"), &oauth);
    let secret = private(folder.path(), "secret", "simulated-secret");
    let secret = secret.display().to_string();
    let login = || cluster.rmsc(&["cloud", "login", "--client-secret-file", &secret]);
    // Where one signs in has an authority of its own, and so has the service.
    let untrusted = login();
    assert_ne!(untrusted.code, Some(0));
    untrusted.check_says(&["Simulated RMS Authority"]);
    let trusts = |what: &str, path: &str| format!("{what} = {path}\n");
    let (before, after) = (trusts("sign_in_authority", &wrong), trusts("sign_in_authority", &right));
    cluster.reconfigure("node-1", &before, &after);
    cluster.await_rotation();
    login().check_code(0);
    let ask = || cluster.call(&cluster.any_node(), &cluster.mallory(), &Request::soap(&ACQUIRE_LICENSE));
    ask().check(500, &["cannot be reached"]);
    let event = await_event(&cluster.any_node(), 4073, |_| true);
    assert!(field(&event, "reason").contains("Simulated RMS Authority"), "{event}");
    assert_eq!(said(&sign_in, "/last/request/path"), "");
    cluster.reconfigure("node-1", &trusts("authority", &wrong), &trusts("authority", &right));
    cluster.await_rotation();
    ask().check(200, &["AcquireLicenseResponse"]);

    let caller = cluster.rmsc(&["authz", "test", r"LAB\mallory", "-o", "json"]).field("sid");
    let headers = said(&sign_in, "/last/request/headers");
    let told = json!({ "x-caller": caller, "x-entry": entry, "x-role": "exchange" });
    for (name, value) in told.as_object().expect("it is one") {
        assert_eq!(&headers[name], value, "{name}: {headers}");
    }
    assert_ne!(headers["x-caller"], headers["x-entry"]);
    assert_eq!(said(&sign_in, "/last/request/scheme"), "MSOID");
    assert_eq!(said(&sign_in, "/last/request/path"), "/rms/v9/licensing/license.asmx");
    // Who asks for a resource, asks version 1 of the endpoints.
    assert_eq!(said(&sign_in, "/last/form/path"), "/contoso.com/oauth2/token");
    let fields = json!({
        "client_id": "connector", "grant_type": "client_credentials", "resource": "https://rms.example/a&b",
    });
    assert_eq!(said(&sign_in, "/last/form/fields"), fields);
    // Below another path there is no service.
    cluster.reconfigure("node-1", "/rms/v9", "/_wmcs");
    cluster.await_rotation();
    ask().check(500, &["Try again"]);
    await_event(&cluster.any_node(), 4091, |event| field(event, "reason").contains("(404)"));
}
