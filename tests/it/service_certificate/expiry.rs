//! The end of a certificate comes nearer: the host's clock jumps while its node runs.

use super::{Folder, SERVICE, import_issued, take_files_away};
use crate::support::cluster::TestCluster;
use crate::support::lab::Node;
use crate::support::log::{await_event, events, field};
use serde_json::Value;
use time::{Duration as Span, OffsetDateTime};

/// What a node has said of the certificate's end.
fn said(node: &Node, number: u16) -> Vec<Value> {
    let all = events(node, number);
    all.into_iter().filter(|event| field(event, "reason").contains("for calling servers")).collect()
}

#[test]
fn the_end_is_said_at_45_14_and_3_days_and_when_it_has_come() {
    let (cluster, clock) = TestCluster::with_clock(1);
    let (folder, node) = (Folder::new(), cluster.any_node());
    take_files_away(&cluster);
    // 46 days and an hour are left: nothing to say yet.
    folder.issue_at("first", &[SERVICE], OffsetDateTime::now_utc() - Span::days(44) + Span::HOUR);
    import_issued(&cluster, &folder, "first").check_code(0);
    assert_eq!((said(&node, 4111), said(&node, 4112)), (vec![], vec![]));
    for (after, left) in [(Span::days(2), 44), (Span::days(33), 13), (Span::days(44), 2)] {
        let before = said(&node, 4111).len();
        clock.set(after);
        let words = format!("expires in {left} days, on ");
        await_event(&node, 4111, |event| field(event, "reason").contains(&words));
        assert_eq!(said(&node, 4111).len(), before + 1, "{words}");
    }
    assert_eq!(said(&node, 4112), Vec::<Value>::new());
    clock.set(Span::days(47));
    let event = await_event(&node, 4112, |_| true);
    assert!(
        field(&event, "reason").contains("the certificate for calling servers has expired, on "),
        "{event}"
    );
    assert_eq!(said(&node, 4111).len(), 3);
}
