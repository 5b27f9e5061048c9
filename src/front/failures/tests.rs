//! Attempts to get more failures through than the domain counts, and to shut others out.

use super::*;

const WINDOW: Duration = Duration::from_secs(600);
const MALLORY: &str = "10.6.6.6";
const SERVER: &str = "10.1.0.1";

struct Node {
    failures: Failures,
    keys: AccountKeys,
    nodes: usize,
}

impl Node {
    fn one_of(nodes: usize) -> Self {
        let limits =
            LoginLimits { lockout_threshold: 10, lockout_window: WINDOW, source_failures_max: 1_000_000 };
        Node { failures: Failures::new(limits), keys: AccountKeys::default(), nodes }
    }

    fn login(&self, account: &str, address: &str) -> Login {
        let (account, exact) = (self.keys.of(account), self.keys.exact(account));
        Login { account, exact, address: address.parse().unwrap() }
    }

    fn ask(&mut self, account: &str, address: &str, now: Instant) -> Answer {
        let login = self.login(account, address);
        self.failures.ask(login, self.nodes, now)
    }

    /// One with a wrong password: whether the domain was asked.
    fn fail(&mut self, account: &str, address: &str, now: Instant) -> bool {
        match self.ask(account, address, now) {
            Answer::Check(ticket) => {
                self.failures.settle(ticket, Settled::Failed, now);
                true
            }
            Answer::Wait => panic!("nothing is open"),
            Answer::Refuse(_) => false,
        }
    }

    /// One with the right password: whether it was let in.
    fn succeed(&mut self, account: &str, address: &str, now: Instant) -> bool {
        let login = self.login(account, address);
        match self.ask(account, address, now) {
            Answer::Check(ticket) => {
                self.failures.settle(ticket, Settled::NotFailed, now);
                self.failures.proven(login, now);
                true
            }
            Answer::Wait => panic!("nothing is open"),
            Answer::Refuse(_) => false,
        }
    }
}

fn fails(node: &mut Node, account: &str, address: &str, now: Instant) -> usize {
    (0..1_000).filter(|_| node.fail(account, address, now)).count()
}

#[test]
fn all_nodes_together_stay_below_the_threshold() {
    for (threshold, nodes) in [(3, 1), (5, 2), (10, 1), (10, 2), (10, 3), (10, 4), (50, 7), (999, 100)] {
        let limits = LoginLimits {
            lockout_threshold: threshold,
            lockout_window: WINDOW,
            source_failures_max: 1_000_000,
        };
        let share = limits.share(nodes);
        assert!(share.fits, "{threshold} {nodes}");
        let start = Instant::now();
        let mut asked = 0;
        for _ in 0..nodes {
            let mut node = Node { failures: Failures::new(limits), ..Node::one_of(nodes) };
            // At home and elsewhere, by a thousand sources.
            assert!(node.succeed("EXCH01$", SERVER, start));
            asked += fails(&mut node, "EXCH01$", SERVER, start);
            for source in 0..1_000 {
                let address = format!("10.2.{}.{}", source / 250, source % 250);
                asked += usize::from(node.fail(r"CONTOSO\exch01$", &address, start));
            }
        }
        assert!((2 * nodes..threshold as usize).contains(&asked), "{asked} of {threshold}, {nodes} nodes");
    }
}

#[test]
fn says_when_there_are_too_many_nodes_for_the_threshold() {
    let limits = Node::one_of(1).failures.limits;
    let fits: Vec<bool> = (1..=6).map(|nodes| limits.share(nodes).fits).collect();
    assert_eq!(fits, [true, true, true, true, false, false]);
    assert_eq!((limits.share(9).strangers, limits.share(9).at_home), (1, 1));
}

/// The domain counts on until nothing failed for its window.
#[test]
fn patient_strangers_at_many_nodes_do_not_come_to_the_threshold() {
    for count in 1..=4 {
        let mut nodes: Vec<Node> = (0..count).map(|_| Node::one_of(count)).collect();
        let start = Instant::now();
        let (mut run, mut longest, mut last) = (0, 0, None);
        // Each node in turn, with the longest gap that does not end the domain's count, for two days.
        for step in 0..300_u32 {
            let now = start + (WINDOW - Duration::from_secs(1)) * step;
            let Some(node) = nodes.iter_mut().position(|node| node.fail("EXCH01$", MALLORY, now)) else {
                continue;
            };
            assert!(node < count);
            let goes_on = last.is_some_and(|last| now - last < WINDOW);
            run = if goes_on { run + 1 } else { 1 };
            last = Some(now);
            longest = longest.max(run);
        }
        assert!((1..10).contains(&longest), "{longest} in a row, {count} nodes");
    }
}

#[test]
fn a_thousand_at_once_are_no_more_than_one_after_the_other() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    let answers: Vec<Answer> = (0..1_000).map(|_| node.ask("EXCH01$", MALLORY, start)).collect();
    let open: Vec<Ticket> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Check(ticket) => Some(*ticket),
            Answer::Wait | Answer::Refuse(_) => None,
        })
        .collect();
    assert_eq!(open.len(), 2);
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Wait).count(), 998);
    // One fails, and the others cannot tell yet.
    node.failures.settle(open[0], Settled::Failed, start);
    assert_eq!(node.ask("EXCH01$", MALLORY, start), Answer::Wait);
    node.failures.settle(open[1], Settled::Failed, start);
    assert_eq!(node.ask("EXCH01$", MALLORY, start), Answer::Refuse(Limit::Account));
}

#[test]
fn a_server_that_starts_with_many_connections_is_let_in() {
    let (mut node, start) = (Node::one_of(3), Instant::now());
    let Answer::Check(first) = node.ask("EXCH01$", SERVER, start) else { panic!() };
    assert_eq!(node.ask("EXCH01$", SERVER, start), Answer::Wait);
    let login = node.login("EXCH01$", SERVER);
    node.failures.settle(first, Settled::NotFailed, start);
    node.failures.proven(login, start);
    assert!((0..1_000).all(|_| node.succeed("EXCH01$", SERVER, start)));
}

#[test]
fn nobody_shuts_a_server_out_by_failing_as_it() {
    let (mut node, start) = (Node::one_of(3), Instant::now());
    assert!(node.succeed("EXCH01$", SERVER, start));
    assert_eq!(fails(&mut node, "EXCH01$", MALLORY, start), 1);
    assert!(node.succeed("EXCH01$", SERVER, start));
    // Nor a server that was seen at another node alone.
    let other = node.login("SP01$", SERVER);
    node.failures.seen(other, start);
    assert_eq!(fails(&mut node, "SP01$", MALLORY, start), 1);
    assert!(node.succeed("SP01$", SERVER, start));
    // A week later nobody knows it any more.
    assert!(!node.succeed("EXCH01$", MALLORY, start));
    let later = start + KNOWN_FOR - Duration::from_secs(1);
    assert_eq!(fails(&mut node, "EXCH01$", MALLORY, later), 1);
    assert!(!node.succeed("EXCH01$", SERVER, start + KNOWN_FOR));
}

/// A neighbour in the same IPv6 network is as near as another host in the same building.
#[test]
fn an_address_beside_a_server_is_not_the_server() {
    let (mut node, start) = (Node::one_of(3), Instant::now());
    assert!(node.succeed("EXCH01$", "2001:db8::1", start));
    assert_eq!(fails(&mut node, "EXCH01$", "2001:db8::2", start), 1);
    assert!(node.succeed("EXCH01$", "2001:db8::1", start));
}

#[test]
fn a_success_forgives_what_failed_at_its_address() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    assert!(node.succeed("svc", SERVER, start));
    for _ in 0..100 {
        assert!((0..6).all(|_| node.fail("svc", SERVER, start)));
        assert!(node.succeed("svc", SERVER, start));
    }
    assert_eq!(fails(&mut node, "svc", SERVER, start), 7);
    assert!(!node.succeed("svc", SERVER, start + WINDOW - Duration::from_secs(1)));
    assert!(node.succeed("svc", SERVER, start + WINDOW));
}

#[test]
fn a_server_with_an_old_password_does_not_shut_out_the_others_of_its_account() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    for server in ["10.1.0.1", "10.1.0.2"] {
        assert!(node.succeed("svc", server, start));
    }
    assert_eq!(fails(&mut node, "svc", "10.1.0.1", start), 7);
    assert!(node.succeed("svc", "10.1.0.2", start));
    // But the other one fails once, and no more.
    assert_eq!(fails(&mut node, "svc", "10.1.0.2", start), 1);
}

#[test]
fn a_source_is_limited_whatever_names_it_gives() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    node.failures.limits.source_failures_max = 100;
    assert!(node.succeed("EXCH01$", "2001:db8::1", start));
    let asked = (0..1_000).filter(|number| {
        let address = format!("2001:db8::{:x}:{number:x}", number + 7);
        node.fail(&format!("name{number}"), &address, start)
    });
    assert_eq!(asked.count(), 100);
    assert_eq!(node.ask("new", "2001:db8::9", start), Answer::Refuse(Limit::Source));
    assert!(node.succeed("new", "2001:db8:0:1::9", start));
    // Who has proven itself there goes on, behind a balancer for instance.
    assert!(node.succeed("EXCH01$", "2001:db8::1", start));
    assert!(node.succeed("new", "2001:db8::9", start + WINDOW));
}

/// As a listener on `[::]` sees its clients.
#[test]
fn ipv4_addresses_inside_ipv6_are_sources_of_their_own() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    node.failures.limits.source_failures_max = 100;
    let asked =
        (0..1_000).filter(|number| node.fail(&format!("name{number}"), "::ffff:10.6.6.6", start)).count();
    assert_eq!(asked, 100);
    assert_eq!(node.ask("new", MALLORY, start), Answer::Refuse(Limit::Source));
    assert!(node.succeed("new", "::ffff:10.1.0.1", start));
}

#[test]
fn enough_names_do_not_give_back_what_was_used_up() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    assert!(node.succeed("EXCH01$", SERVER, start));
    assert_eq!(fails(&mut node, "SP01$", MALLORY, start), 2);
    let address = |number: usize| format!("10.{}.{}.1", number / 250 % 250, number % 250);
    let asked = (0..2 * ACCOUNTS_MAX).filter(|number| {
        node.fail(&format!("name{number}"), &address(*number), start + Duration::from_secs(1))
    });
    assert_eq!(asked.count(), ACCOUNTS_MAX - 1);
    assert_eq!((node.failures.strangers.len(), node.failures.sources.len()), (ACCOUNTS_MAX, 62_501));
    assert_eq!(node.ask("SP01$", MALLORY, start), Answer::Refuse(Limit::Account));
    assert_eq!(node.ask("new", MALLORY, start), Answer::Refuse(Limit::Room));
    assert!(node.succeed("EXCH01$", SERVER, start));
    // When the first of them counts no more there is room.
    assert!(node.succeed("new", SERVER, start + WINDOW));
    assert_eq!(fails(&mut node, "SP01$", MALLORY, start + WINDOW), 2);
}

#[test]
fn remembers_a_bounded_number_of_homes() {
    let (mut node, start) = (Node::one_of(1), Instant::now());
    for number in 0..200 {
        assert!(node.succeed("svc", &format!("10.1.0.{number}"), start + Duration::from_secs(number)));
    }
    let now = start + Duration::from_secs(200);
    assert_eq!(node.failures.homes[&node.keys.of("svc")].len(), HOMES_MAX);
    assert_eq!(fails(&mut node, "svc", MALLORY, now), 2);
    assert!(node.succeed("svc", "10.1.0.199", now) && !node.succeed("svc", "10.1.0.0", now));
    for number in 0..=HOME_ACCOUNTS_MAX {
        let login = node.login(&format!("name{number}"), SERVER);
        node.failures.seen(login, now + Duration::from_secs(1));
    }
    assert_eq!(node.failures.homes.len(), HOME_ACCOUNTS_MAX);
}

/// `EXCH-01$` counts as `EXCH01$` where it fails, and makes no home for it where it does not.
#[test]
fn an_account_of_a_like_name_makes_no_home_for_another() {
    let (mut node, now) = (Node::one_of(1), Instant::now());
    assert!(node.succeed("EXCH01$", SERVER, now));
    assert!(node.succeed("EXCH-01$", MALLORY, now));
    let share = node.failures.limits.share(1);
    assert_eq!(fails(&mut node, "EXCH01$", MALLORY, now), share.strangers as usize);
    assert!(node.succeed("EXCH01$", SERVER, now));
}

#[test]
fn what_the_domain_does_not_answer_counts_for_strangers_and_not_at_home() {
    let (mut node, now) = (Node::one_of(1), Instant::now());
    assert!(node.succeed("EXCH01$", SERVER, now));
    let unanswered = |node: &mut Node, address: &str| {
        let mut asked = 0;
        while let Answer::Check(ticket) = node.ask("EXCH01$", address, now) {
            node.failures.settle(ticket, Settled::Unknown, now);
            asked += 1;
            if asked == 50 {
                break;
            }
        }
        asked
    };
    let share = node.failures.limits.share(1);
    assert_eq!(unanswered(&mut node, MALLORY), share.strangers);
    assert_eq!(unanswered(&mut node, SERVER), 50);
}
