//! Shares of sources, accounts and those that have proven nothing.

use super::*;
use prometheus_client::registry::Registry;

fn limits() -> Config {
    Config {
        connections_max: 4,
        connections_per_source_max: 3,
        requests_max: 10,
        requests_per_source_max: 5,
        requests_per_account_max: 4,
        buffered_bytes_max: 1 << 20,
    }
}

fn admission() -> Arc<Admission> {
    Admission::new(limits(), Metrics::register(&mut Registry::default()), Arc::default())
}

/// A request of somebody who is known.
fn proven(admission: &Arc<Admission>, from: IpAddr) -> Result<Held, Limit> {
    let mut request = admission.request(from)?;
    admission.account(&"S-1-5-21-1-2-3-5".parse().unwrap(), &mut request)?;
    Ok(request)
}

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// Takes until it is refused.
fn fill(mut take: impl FnMut() -> Result<Held, Limit>) -> (Vec<Held>, Limit) {
    let mut held = Vec::new();
    loop {
        match take() {
            Ok(one) => held.push(one),
            Err(limit) => return (held, limit),
        }
    }
}

#[test]
fn no_source_and_no_account_takes_everything() {
    let admission = admission();
    let (connections, limit) = fill(|| admission.connection(address(1)));
    assert_eq!((connections.len(), limit), (3, Limit::ConnectionsPerSource));
    let other = admission.connection(address(2)).ok();
    assert!(matches!(admission.connection(address(3)), Err(Limit::Connections)));
    let (mut requests, limit) = fill(|| proven(&admission, address(1)));
    assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
    let (more, _) = fill(|| proven(&admission, address(2)));
    assert!(matches!(admission.request(address(3)), Err(Limit::Requests)));
    let sid = "S-1-5-21-1-2-3-4".parse().unwrap();
    let (accounts, limit) = fill(|| admission.account(&sid, &mut requests[0]));
    assert_eq!((accounts.len(), limit), (4, Limit::RequestsPerAccount));
    drop((connections, other, requests, more, accounts));
    let load = admission.load();
    assert_eq!((load.connections, load.requests, load.unproven), (0, 0, 0));
    assert!(load.connections_by_source.is_empty() && load.requests_by_source.is_empty());
    assert!(load.requests_by_account.is_empty());
}

#[test]
fn who_has_proven_nothing_leaves_places_to_those_who_have() {
    let admission = admission();
    let known = proven(&admission, address(9)).ok();
    let (unproven, limit) = fill(|| admission.request(address(1)));
    assert_eq!((unproven.len(), limit), (5, Limit::RequestsPerSource));
    // One source leaves room for the logins of others.
    let known = [known, proven(&admission, address(9)).ok()];
    let (more, limit) = fill(|| admission.request(address(2)));
    assert_eq!((more.len(), limit), (3, Limit::UnprovenRequests));
    assert!(known.iter().all(Option::is_some));
    let load = admission.load();
    assert_eq!((load.requests, load.unproven), (10, 8));
}

#[test]
fn long_heads_take_room_and_leave_half_of_it() {
    let admission = admission();
    let (heads, limit) = fill(|| admission.head(address(1)));
    assert_eq!((heads.len(), limit), (3, Limit::BufferedBytes));
    let (more, _) = fill(|| admission.head(address(2)));
    assert_eq!((more.len(), admission.load().buffered_bytes), (2, 5 * HEAD_BYTES_MAX));
    let body = admission.bytes(1 << 19).ok();
    drop((heads, more));
    assert!(body.is_some() && admission.load().heads_by_source.is_empty());
    drop(body);
    let load = admission.load();
    assert_eq!((load.heads, load.buffered_bytes), (0, 0));
}

#[test]
fn one_network_is_one_source() {
    let admission = admission();
    let mut last = 0_u16;
    let (requests, limit) = fill(|| {
        last += 1;
        proven(&admission, format!("2001:db8::{last:x}").parse().unwrap())
    });
    assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
}

/// As a listener on `[::]` sees its clients.
#[test]
fn ipv4_addresses_inside_ipv6_are_sources_of_their_own() {
    let admission = admission();
    let inside = |last: u8| format!("::ffff:10.0.0.{last}").parse().unwrap();
    let (requests, limit) = fill(|| proven(&admission, inside(1)));
    assert_eq!((requests.len(), limit), (5, Limit::RequestsPerSource));
    assert!(matches!(admission.request(address(1)), Err(Limit::RequestsPerSource)));
    assert!(admission.request(inside(2)).is_ok());
    let (connections, limit) = fill(|| admission.connection(inside(1)));
    assert_eq!((connections.len(), limit), (3, Limit::ConnectionsPerSource));
    assert!(admission.connection(inside(2)).is_ok());
}

#[test]
fn room_for_bytes_is_what_was_not_needed_and_what_was_given_back() {
    let admission = admission();
    let mut half = admission.bytes(1 << 19).ok().unwrap();
    assert!(matches!(admission.bytes((1 << 19) + 1), Err(Limit::BufferedBytes)));
    half.shrink(10);
    let rest = admission.bytes((1 << 20) - 10).ok();
    assert!(rest.is_some() && admission.bytes(1).is_err());
    drop((half, rest));
    assert_eq!(admission.load().buffered_bytes, 0);
}

#[test]
fn overload_is_said_late_and_taken_back_later() {
    let admission = admission();
    let said = admission.overloaded.subscribe();
    let mut requests: Vec<_> = (0..8).map(|at| proven(&admission, address(at)).ok().unwrap()).collect();
    assert!(!*said.borrow());
    requests.push(proven(&admission, address(9)).ok().unwrap());
    assert!(*said.borrow());
    requests.truncate(7);
    assert!(*said.borrow());
    requests.truncate(6);
    assert!(!*said.borrow());
}

#[test]
fn few_are_turned_away_at_a_time() {
    let admission = admission();
    let held: Vec<_> = std::iter::from_fn(|| admission.turned_away()).collect();
    assert_eq!(held.len(), TURNED_AWAY_MAX);
}
