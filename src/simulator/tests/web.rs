//! Paths, methods, sizes, counts, and the end of a service.

use super::*;
use crate::simulator::web::BODY_BYTES_MAX;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn paths_methods_types_and_sizes_are_checked() {
    let service = start().await;
    for path in ["/", "/_wmcs/licensing/other.asmx", "/_wmcs/licensing%2flicense.asmx", "/simulator/other"] {
        assert_eq!(service.get(path).await.status, 404, "{path}");
    }
    let page = service.get("/_wmcs/certification/ServerCertification.asmx?wsdl").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ServerCertificationWebService"));
    assert_eq!(service.get("/_wmcs/licensing/").await.status, 200);
    assert_eq!(service.get("/_wmcs/GetRmsoUri.aspx").await.text(), "https://simulated.rms.example.net");
    let put = service.send("PUT /_wmcs/licensing/license.asmx HTTP/1.1", b"").await;
    assert_eq!(put.status, 405);
    assert!(put.head.contains("allow: get, head, post"));
    assert_eq!(service.send("POST /_wmcs/licensing HTTP/1.1", b"").await.status, 405);
    let head = "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nContent-Type: text/plain";
    assert_eq!(service.send(head, b"x").await.status, 415);
    let large = " ".repeat(BODY_BYTES_MAX);
    let answer = service.call(Operation::AcquireLicense, namespace::LICENSING, &large).await;
    assert_eq!(answer.status, 500);
    // Not a byte of the body is needed to refuse it.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let head = "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nHost: s\r\nContent-Type: text/xml\r\n";
    stream.write_all(format!("{head}Content-Length: 16777217\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    // Of a body without a length, one byte too much is needed.
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    stream
        .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n1000001\r\n").as_bytes())
        .await
        .unwrap();
    stream.write_all(&vec![b' '; BODY_BYTES_MAX + 1]).await.unwrap();
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    assert_eq!(service.counts.snapshot().total, 1);
}

#[tokio::test]
async fn records_who_sent_what() {
    let service = start().await;
    let (operation, body) = (Operation::GetServerInfo, golden!("exchange_get_server_info"));
    let (path, action) = (operation.endpoints()[0].path(), operation.action(namespace::SERVER));
    let id = "00000000000000000000000000000007";
    for node in ["n1", "n2"] {
        let headers = format!(
            "\r\nx-rmsc-request-id: {id}\r\nx-rmsc-relay-node: {node}\r\nx-rmsc-front-node: n3\
             \r\nx-rmsc-caller-sid: S-1-5-21-1\r\nx-rmsc-entry-sid: S-1-5-21-2\r\nx-rmsc-role: exchange"
        );
        assert_eq!(service.post(path, &action, &headers, body).await.status, 200);
    }
    service.post(path, &action, "", body).await;
    let requests = service.get("/simulator/requests").await;
    assert!(requests.head.contains("content-type: application/json"));
    let found: serde_json::Value = serde_json::from_slice(&requests.body).unwrap();
    let expected = serde_json::json!({
        "total": 3,
        "by_node": {"n1": 1, "n2": 1, "none": 1},
        "by_operation": {"get_server_info": 3},
        "by_role": {"exchange": 2, "none": 1},
        "by_front": {"n3": 2, "none": 1},
        "by_caller": {"S-1-5-21-1": 2, "none": 1},
        "by_entry": {"S-1-5-21-2": 2, "none": 1},
        "by_fault": {},
        "without_id": 1,
        "duplicates": {id: 2},
        "duplicate_requests": 1,
    });
    assert_eq!(found, expected);
    let seen = service.get(&format!("/simulator/requests/{id}")).await;
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let found: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(found, serde_json::json!({"times": 2, "nodes": ["n1", "n2"], "sha256": digest}));
    let never = service.get("/simulator/requests/8").await;
    assert_eq!(never.text(), "{\"times\":0,\"nodes\":[],\"sha256\":null}");
    assert_eq!(service.send("POST /simulator/reset HTTP/1.1", b"").await.status, 200);
    assert_eq!(service.send("DELETE /simulator/requests HTTP/1.1", b"").await.status, 405);
    assert_eq!(service.counts.snapshot(), Snapshot::default());
}

#[tokio::test]
async fn every_sample_is_answered() {
    let service = start().await;
    for sample in sample::Kind::ALL.into_iter().flat_map(sample::requests) {
        let head = format!(
            "POST {} HTTP/1.1\r\nContent-Type: {}\r\nSOAPAction: {}",
            sample.path, sample.content_type, sample.soap_action
        );
        let answer = service.send(&head, &sample.body).await;
        answer.parse(sample.operation, sample.operation.namespaces()[0]);
    }
    assert_eq!(service.counts.snapshot().total, 8);
}

#[tokio::test]
async fn drains_with_an_idle_connection_open() {
    let service = start().await;
    let mut idle = TcpStream::connect(service.address).await.unwrap();
    idle.write_all(b"GET /_wmcs/licensing HTTP/1.1\r\nHost: s\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    idle.read_exact(&mut status).await.unwrap();
    service.tasks.drain(Duration::from_secs(5)).await.unwrap();
    assert!(TcpStream::connect(service.address).await.is_err());
}
