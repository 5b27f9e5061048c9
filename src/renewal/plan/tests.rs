//! When a node asks, and when it leaves that to another.

use super::*;
use crate::enrolment::{CloudRenewal, CloudRenewalFailure};
use crate::secret::Secret;
use crate::state::{KeyHash, Node};

fn token(draw: u8) -> CloudToken {
    CloudToken {
        id: [draw; 16],
        enrolment: [1; 16],
        access: Secret::new("x".into()),
        issued_at: Timestamp(1_000_000),
        expires_at: Timestamp(4_600_000),
        refresh: None,
        refused_before: 0,
    }
}

fn cloud(draw: u8) -> Cloud {
    Cloud { token: Some(token(draw)), ..Cloud::default() }
}

fn renewal(failures: u32, failure: Option<bool>) -> Option<CloudRenewal> {
    let failure = failure.map(|refused| CloudRenewalFailure { reason: "away".into(), refused });
    Some(CloudRenewal { node_id: 1, at: Timestamp(0), failures, failure })
}

fn step(cloud: &Cloud, token_age_ms: i64, renewal_age_ms: u64, rank: u32) -> Step {
    let token_age = Duration::from_millis(u64::try_from(token_age_ms).unwrap());
    next_step(Seen { cloud, token_age, renewal_age: Duration::from_millis(renewal_age_ms), rank })
}

fn wait(milliseconds: u64) -> Step {
    Step::Wait(Duration::from_millis(milliseconds))
}

#[test]
fn renews_at_two_thirds_of_the_life_sooner_or_later_by_a_twentieth() {
    assert_eq!(due_age(&token(0)), 2_400_000 - 180_000);
    assert_eq!(due_age(&token(255)), 2_400_000 + 180_000);
    let due = due_age(&token(100));
    assert_eq!(step(&cloud(100), due - 1, 0, 0), wait(1));
    assert_eq!(step(&cloud(100), due, 0, 0), Step::Renew);
    assert_eq!(step(&Cloud::default(), 0, 0, 0), Step::Renew);
}

#[test]
fn the_next_one_asks_when_the_first_does_not() {
    let due = due_age(&token(100));
    assert_eq!(step(&cloud(100), due, 0, 1), wait(500));
    assert_eq!(step(&cloud(100), due + 500, 0, 1), Step::Renew);
    // Somebody asks: nobody else does, before it cannot be asking any more.
    let asked = Cloud { renewal: renewal(0, None), ..cloud(100) };
    assert_eq!(step(&asked, due + 20_000, 19_000, 0), wait(11_000));
    assert_eq!(step(&asked, due + 40_000, 30_000, 0), Step::Renew);
    // It could not: another one does at once.
    let failed = Cloud { renewal: renewal(0, Some(false)), ..cloud(100) };
    assert_eq!(step(&failed, due + 1_000, 0, 0), wait(250));
    assert_eq!(step(&failed, due + 1_000, 250, 0), Step::Renew);
}

#[test]
fn a_witness_never_asks_and_who_failed_asks_last() {
    let node = |kind| Node {
        name: String::new(),
        peer_address: String::new(),
        admin_address: String::new(),
        kind,
        incarnation: 0,
        key: KeyHash::default(),
        build: 2,
        joined_at: Timestamp(0),
        drained: None,
        leaving: None,
    };
    let nodes = [(1, node(NodeKind::Relay)), (4, node(NodeKind::Relay)), (7, node(NodeKind::Witness))];
    let roster = Roster { nodes: nodes.into(), ..Roster::default() };
    let ranks = |leader, failed| [1, 4].map(|own| rank(&roster, leader, failed, own));
    assert_eq!(ranks(Some(1), None), [0, 1]);
    assert_eq!(ranks(Some(4), None), [1, 0]);
    assert_eq!(ranks(Some(7), None), [0, 1]);
    assert_eq!(ranks(None, None), [0, 1]);
    assert_eq!(ranks(Some(1), Some(1)), [1, 0]);
    assert_eq!(rank(&roster, Some(7), None, 7), 2);
}

#[test]
fn a_token_that_was_not_taken_is_renewed_once_and_not_at_the_rate_of_requests() {
    let refused = Cloud { refused: Some([100; 16]), ..cloud(100) };
    assert_eq!(step(&refused, 2_000, 0, 0), Step::Renew);
    assert_eq!(step(&refused, 1, 0, 0), wait(1_999));
    let other = Cloud { refused: Some([101; 16]), ..cloud(100) };
    assert!(matches!(step(&other, 1, 0, 0), Step::Wait(_)));
}

#[test]
fn however_short_its_life_a_token_is_not_renewed_at_once() {
    let mut short = cloud(100);
    short.token.as_mut().unwrap().expires_at = Timestamp(1_000_000);
    assert_eq!(step(&short, 0, 0, 0), wait(2_000));
}

/// A service that takes no token at all, asked without end.
#[test]
fn tokens_that_are_refused_at_once_are_got_ever_more_seldom() {
    let (mut before, mut now, mut grants) = (0, 0, 0);
    let mut pauses = Vec::new();
    while pauses.len() < 12 {
        let token = CloudToken { refused_before: before, ..token(u8::try_from(pauses.len()).unwrap()) };
        let cloud = Cloud { refused: Some(token.id), token: Some(token), ..Cloud::default() };
        let Step::Wait(wait) = step(&cloud, 0, 0, 0) else { panic!("at once") };
        // It is that old when the next one is got.
        before = refused_before(&cloud, wait);
        now += wait.as_secs();
        pauses.push(wait.as_secs());
        grants += i32::from(now <= 60);
    }
    assert!(grants <= 6, "{grants} in a minute");
    assert_eq!(pauses[..6], [2, 2, 2, 8, 16, 32]);
    assert_eq!(pauses[11], 300);
    // One that was good for a while counts anew; so does one that was taken.
    let old = Cloud { refused: Some([100; 16]), ..cloud(100) };
    assert_eq!(refused_before(&old, Duration::from_secs(65)), 0);
    assert_eq!(refused_before(&cloud(100), Duration::ZERO), 0);
}

#[test]
fn a_service_that_is_back_for_a_tenth_of_the_life_is_asked_in_time() {
    let mut longest = 0;
    for failures in 0..40 {
        let failed = Cloud { renewal: renewal(failures, Some(false)), ..cloud(255) };
        let Step::Wait(wait) = step(&failed, 3_000_000, 0, 0) else { panic!() };
        longest = longest.max(i64::try_from(wait.as_millis()).unwrap());
    }
    assert!((PAUSE_MIN_MS..=3_600_000 / 40).contains(&longest), "{longest}");
    // Who says no is asked four times an hour in the end.
    let refused = Cloud { renewal: renewal(40, Some(true)), ..cloud(255) };
    assert_eq!(step(&refused, 3_000_000, 0, 0), wait(900_000));
}

#[test]
fn a_clock_that_is_wrong_makes_a_token_neither_younger_than_new_nor_older_than_its_life() {
    assert_eq!(age_by_clock(&token(0), Timestamp(0)), Duration::ZERO);
    assert_eq!(age_by_clock(&token(0), Timestamp(1_005_000)), Duration::from_secs(5));
    assert_eq!(age_by_clock(&token(0), Timestamp(i64::MAX)), Duration::from_secs(3_600));
}

#[test]
fn says_three_times_that_a_credential_ends_and_once_that_it_has() {
    let end = Timestamp(100 * DAY_MS);
    let at = |days: i64| warned_days(Timestamp((100 - days) * DAY_MS), end);
    assert_eq!(
        [at(46), at(45), at(14), at(4), at(3), at(0), at(-1)],
        [None, Some(45), Some(14), Some(14), Some(3), Some(0), Some(0)]
    );
}
