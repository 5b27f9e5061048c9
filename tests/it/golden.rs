//! Requests in the shape of every client's come to the service as they left it, byte by byte.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::soap::{self, LOCATIONS_EXCHANGE, LOCATIONS_MSDRM, LOCATIONS_MSIPC, Message};
use sha2::{Digest, Sha256};

/// What is answered where it comes in.
fn is_answered_here(message: &Message) -> bool {
    message.operation.starts_with("FindServiceLocations")
}

#[track_caller]
fn check_arrived(cluster: &TestCluster, message: &Message, answer: &Answer) {
    let file = message.file;
    assert!(
        answer.status == 200 && answer.text().contains(&message.response_element()),
        "{file}: {answer:?}"
    );
    let arrived = cluster.arrived(answer);
    if is_answered_here(message) {
        assert_eq!(arrived.times, 0, "{file}");
        return;
    }
    let digest: String = Sha256::digest(message.body()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((arrived.times, arrived.sha256), (1, Some(digest)), "{file}");
}

/// One byte in each chunk.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = body.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect();
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn every_request_arrives_byte_for_byte_whole_and_in_chunks_of_one_byte() {
    let cluster = TestCluster::shared();
    let account = cluster.exchange();
    for message in &soap::ALL {
        // Three times each: the rotation gives it to every node.
        for node in cluster.nodes() {
            let whole = cluster.call(&node, &account, &Request::soap(message));
            check_arrived(&cluster, message, &whole);
            let mut session = Session::open(node.front(), &account).unwrap();
            let connection = session.begin(&Request::soap(message), "Transfer-Encoding: chunked").unwrap();
            connection.send(&chunked(&message.body())).unwrap();
            check_arrived(&cluster, message, &connection.answer(false).unwrap());
        }
    }
}

#[test]
fn msdrm_opens_each_url_before_it_posts_to_it() {
    let cluster = TestCluster::shared();
    let account = cluster.account("FS01$");
    for message in soap::ALL.iter().filter(|message| message.file.starts_with("msdrm_")) {
        let mut session = Session::open(cluster.any_node().front(), &account).unwrap();
        session.call(&Request::get(message.path)).unwrap().check(200, &["operational"]);
        let answer = session.call(&Request::soap(message)).unwrap();
        check_arrived(&cluster, message, &answer);
    }
}

#[test]
fn service_locations_are_the_services_if_the_file_says_so() {
    let cluster = TestCluster::start(1);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let ask = |message: &Message| cluster.call(&node, &account, &Request::soap(message));
    let here = format!("http://{}/_wmcs/licensing", node.front());
    for message in [LOCATIONS_EXCHANGE, LOCATIONS_MSDRM, LOCATIONS_MSIPC] {
        let answer = ask(&message);
        answer.check(200, &[&here]);
        assert_eq!(cluster.arrived(&answer).times, 0);
    }
    cluster.reconfigure("node-1", "[upstream]", "[front]\nservice_locations = \"service\"\n\n[upstream]");
    cluster.await_rotation();
    for message in [LOCATIONS_EXCHANGE, LOCATIONS_MSDRM, LOCATIONS_MSIPC] {
        let answer = ask(&message);
        assert_eq!(cluster.arrived(&answer).times, 1, "{answer:?}");
        answer.check(200, &["_wmcs/licensing"]);
        assert!(!answer.text().contains(&here), "{answer:?}");
    }
}
