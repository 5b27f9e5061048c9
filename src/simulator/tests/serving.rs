//! What is counted, and how it ends.

use super::*;

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
    assert_eq!(
        found,
        serde_json::json!({"times": 2, "nodes": ["n1", "n2"], "sha256": digest,
        "content_type": "text/xml; charset=utf-8", "soap_action": format!("\"{action}\"")})
    );
    let never = service.get("/simulator/requests/8").await;
    assert_eq!(
        never.text(),
        "{\"times\":0,\"nodes\":[],\"sha256\":null,\"content_type\":null,\"soap_action\":null}"
    );
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
