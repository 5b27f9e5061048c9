//! What it costs a node to find out who calls: processor time for each new connection, through its real front.
//!
//! `RMSC_COST_ROUNDS=9 cargo test --release --test it cost:: -- --nocapture` measures, on a machine that does nothing
//! else, and fails when a goal is missed; otherwise a few requests show that it works.

use crate::kerberos::take_kerberos;
use crate::support::cluster::TestCluster;
use crate::support::domain::{Domain, Tickets};
use crate::support::http::{Request, try_exchange};
use crate::support::lab::Node;
use crate::support::processes;
use crate::support::program::{interpreter, number_of, python_with};
use crate::support::soap::ACQUIRE_LICENSE;
use std::time::Duration;

/// Of one way to come in: microseconds of the node's processors for a connection, the median round and the least
/// and the most.
#[derive(Debug)]
struct Cost {
    median: f64,
    least: f64,
    most: f64,
}

/// Runs rounds of requests, each with the processor time of the node before and after. What is prepared for a round
/// is not counted.
#[track_caller]
fn measure<T>(node: &Node, [rounds, each]: [u64; 2], prepare: impl Fn() -> T, round: impl Fn(T)) -> Cost {
    let pid = node.running_pid();
    // The first connections make the threads, the caches and the pages.
    round(prepare());
    let mut costs: Vec<f64> = (0..rounds)
        .map(|_| {
            let prepared = prepare();
            let before = processes::processor_time(pid);
            round(prepared);
            processes::processor_time(pid).saturating_sub(before).as_secs_f64() * 1e6 / each as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    let at = |place: usize| costs.get(place).copied().expect("there is a round");
    Cost { median: at(costs.len() / 2), least: at(0), most: at(costs.len() - 1) }
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn goal(what: &str, cost: &Cost, most: Duration) {
    let Cost { median, least, most: worst } = cost;
    let most = most.as_micros();
    println!("| {what:.<52} {median:>6.0} us ({least:.0} to {worst:.0}; at most {most} us)");
    let measured = std::env::var_os("RMSC_COST_ROUNDS").is_some();
    assert!(!measured || *median <= most as f64, "{what}: {cost:?}");
}

fn page() -> Request {
    Request::get(ACQUIRE_LICENSE.path)
}

/// Proofs of now.
fn tokens(tickets: &Tickets<'_>, count: u64) -> Vec<String> {
    let arguments = ["HTTP/rms.contoso.test", &count.to_string()];
    python_with(&mut tickets.command(interpreter()), "kerberos_tokens.py", &arguments)
}

#[test]
fn a_new_connection_costs_little() {
    let rounds = number_of("RMSC_COST_ROUNDS", 1);
    let each = if rounds > 1 { 500 } else { 40 };
    let (cluster, domain) = (TestCluster::alone(1), Domain::shared());
    take_kerberos(&cluster, "node-1", "allow", &domain.keytab());
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let one = |request: &Request, status: u16| {
        let answer = try_exchange(node.front(), request).expect("the front answers");
        assert_eq!(answer.status, status);
    };
    let how = [rounds, each];
    let challenge = measure(&node, how, || (), |()| (0..each).for_each(|_| one(&page(), 401)));
    goal("a new connection without a proof (HTTP alone)", &challenge, Duration::from_millis(1));
    for (account, what) in [("EXCH01$", "Kerberos, a computer"), ("crowd", "Kerberos, 1,000 groups")] {
        let tickets = domain.login(account);
        let send = |tokens: Vec<String>| {
            for token in tokens {
                one(&page().with("Authorization", &format!("Negotiate {token}")), 200);
            }
        };
        let cost = measure(&node, how, || tokens(&tickets, each), send);
        goal(&format!("{what}: a new connection"), &cost, Duration::from_millis(1));
    }
    let call = |_| assert_eq!(cluster.call(&node, &account, &page()).status, 200);
    // Both legs, with an account of the file: a domain's controller is not asked.
    let ntlm = measure(&node, how, || (), |()| (0..each).for_each(call));
    goal("NTLM: a new connection, two legs", &ntlm, Duration::from_micros(500));
}
