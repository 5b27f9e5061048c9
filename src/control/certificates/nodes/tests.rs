//! Nodes that say what they show.

use super::*;
use crate::cluster::{Member, NodeStatus, ShownCertificate, Standing};
use crate::enrolment::{Front, FrontError, KeptCertificate};
use crate::secret::Secret;
use crate::state::{Roster, SealMark, Sealed, State, Timestamp};
use crate::tls::{Authority, Bundle};
use std::sync::Arc;
use time::OffsetDateTime;

pub(in crate::control) fn kept() -> KeptCertificate {
    let now = OffsetDateTime::now_utc();
    let issued = Authority::new("ca", now).unwrap().issue_server(&["rms.test".into()], now).unwrap();
    let pem = format!("{}{}", issued.certificate_pem, issued.key_pem.expose());
    let bundle = Bundle::read(pem.as_bytes(), &Secret::new(String::new())).unwrap();
    let certificate = FrontCertificate::of_parts(bundle.certificates, bundle.key.unwrap()).unwrap();
    KeptCertificate { certificate, by: "alice".into(), at: Timestamp(1) }
}

/// What the roster has.
pub(in crate::control) fn front(certificate: Result<Option<KeptCertificate>, FrontError>) -> Front {
    let mark = certificate.as_ref().map_or(true, Option::is_some).then_some(SealMark([1; 16]));
    let marks = FrontMarks { certificate: mark, request: None };
    Front { certificate, request: Ok(None), removed: Ok(None), marks }
}

/// A node that shows a certificate: of a file, of the cluster, or none.
pub(in crate::control) fn seat(name: &str, of_file: Option<bool>) -> Seat {
    let shown = of_file.map(|of_file| ShownCertificate { of_file, ..Default::default() });
    let lacking = if shown.is_some() { String::new() } else { "there is no certificate".into() };
    let facts = Facts { front_certificate: shown, certificate_lacking: lacking, ..Default::default() };
    let member = Member {
        node_id: 1,
        name: name.into(),
        peer_address: String::new(),
        admin_address: String::new(),
        voter: true,
        witness: false,
        drained: false,
    };
    Seat { member, node: None, status: Some(NodeStatus { facts, ..Default::default() }), answered: None }
}

/// A cluster with a certificate, or with none any more.
pub(in crate::control) fn picture(has_one: bool, seats: Vec<Seat>) -> Picture {
    let sealed = has_one.then(|| ("front-certificate".to_owned(), Sealed(vec![1; 40])));
    let roster = Arc::new(Roster { secrets: sealed.into_iter().collect(), ..Default::default() });
    let standing = Standing {
        leader: None,
        term: 1,
        last_log_index: 1,
        applied: 1,
        quorum: true,
        snapshot: 0,
        group: 0,
    };
    Picture { seats, standing, state: Arc::new(State { roster, ..Default::default() }), current: true }
}

#[test]
fn a_node_that_goes_on_with_what_was_removed_is_named() {
    let seats = || {
        let silent = Seat { status: None, ..seat("silent", None) };
        vec![seat("file", Some(true)), seat("old", Some(false)), seat("none", None), silent]
    };
    let words = "old shows the certificate of the cluster still, and that was removed: restart old";
    assert_eq!(left_over(&picture(false, seats())), [words]);
    assert_eq!(left_over(&picture(true, seats())), Vec::<String>::new());
    assert!(problems(&picture(false, seats()), None).iter().any(|problem| problem == words));
    // After a removal who does not answer is named as well: nobody knows what it shows.
    let still: Vec<_> = seats().iter().filter_map(still).map(|it| it.name).collect();
    assert_eq!(still, ["old", "silent"]);
    assert_eq!(shows_none(&picture(false, seats())), ["none"]);
}
