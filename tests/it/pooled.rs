//! Clients behind a proxy that shares its connections to a node between them: nobody is taken for another one.

use crate::kerberos::take_kerberos;
use crate::support::cluster::TestCluster;
use crate::support::domain::{Domain, Tickets};
use crate::support::lab::Account;
use crate::support::pool::Pool;
use crate::support::program::{interpreter, number_of, python_with};
use crate::support::soap::ACQUIRE_PRE_LICENSE;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// How often each answer came.
type Came = BTreeMap<String, u64>;

/// A node behind a pool. Of the domain's accounts EXCH01$ may get a pre-license, and alice may not.
struct Site {
    pool: Pool,
    cluster: TestCluster,
    domain: Arc<Domain>,
}

impl Site {
    #[track_caller]
    fn start(connections: usize) -> Self {
        let (cluster, domain) = (TestCluster::start(1), Domain::shared());
        take_kerberos(&cluster, "node-1", "allow", &domain.keytab());
        cluster.await_rotation();
        for (role, name) in [("exchange", "RMS Everything"), ("sharepoint", "Finance")] {
            let (group, sid) = (format!("CONTOSO\\{name}"), domain.sid(name));
            let arguments = ["authz", "add", "--yes", "--role", role, "--group", &group, "--sid", &sid];
            cluster.rmsc(&arguments).check_code(0);
        }
        Site { pool: Pool::start(&cluster.any_node(), connections), cluster, domain }
    }

    /// A client of its own process, with its own connection to the proxy.
    #[track_caller]
    fn send(&self, mut python: Command, how: &str, count: u64) -> Came {
        let ca = self.cluster.lab().ca.display().to_string();
        let (url, count) = (self.pool.url(), count.to_string());
        let (path, action) = (ACQUIRE_PRE_LICENSE.path, ACQUIRE_PRE_LICENSE.action());
        let file = ACQUIRE_PRE_LICENSE.file().display().to_string();
        python_with(&mut python, "pool_requests.py", &[&*url, &ca, how, &count, path, &file, &action])
    }

    #[track_caller]
    fn send_tickets(&self, tickets: &Tickets<'_>, count: u64) -> Came {
        self.send(tickets.command(interpreter()), "kerberos:HTTP/rms.contoso.test", count)
    }

    #[track_caller]
    fn send_silently(&self, count: u64) -> Came {
        self.send(Command::new(interpreter()), "silent", count)
    }
}

fn only(answer: &str, count: u64) -> Came {
    Came::from([(answer.to_owned(), count)])
}

/// A full run has a hundred thousand: `RMSC_POOL_REQUESTS=100000`.
#[test]
fn a_ticket_is_for_its_own_request_on_a_shared_connection() {
    let site = Site::start(2);
    let count = number_of("RMSC_POOL_REQUESTS", 2_000) / 2;
    let [exchange, alice] = ["EXCH01$", "alice"].map(|account| site.domain.login(account));
    site.cluster.reset_counts();
    let begun = Instant::now();
    let [may, may_not, silent] = thread::scope(|threads| {
        let may = threads.spawn(|| site.send_tickets(&exchange, count));
        let may_not = threads.spawn(|| site.send_tickets(&alice, count));
        let silent = threads.spawn(|| site.send_silently(count / 2));
        [may, may_not, silent].map(|thread| thread.join().expect("the client ends well"))
    });
    println!("{} requests and {} silent ones in {:.1?}", 2 * count, count / 2, begun.elapsed());
    assert_eq!(may, only("200 answer", count));
    assert_eq!(may_not, only("500 fault", count));
    assert_eq!(silent, only("401 nothing", count / 2));
    // What left for the cloud left in the name of the one that may.
    let sid = site.domain.sid("EXCH01$");
    assert_eq!(site.cluster.counts().by_caller, BTreeMap::from([(sid, count)]));
    // And it was a pool: two clients and more on few connections.
    let [shared, new] = site.pool.carried();
    println!("{shared} on a connection that was there, {new} on a new one");
    assert!(shared as u64 > 2 * count, "{shared} of {new}");
    site.cluster.check_no_panic();
}

/// Its legs may meet on different connections and fail; nobody gets in as somebody else, though the proofs are bound to
/// the certificate, which the pool has as well.
#[test]
fn ntlm_through_a_pool_lets_nobody_in_as_another() {
    let site = Site::start(1);
    let (exchange, mallory) = (site.cluster.exchange(), site.cluster.mallory());
    let ntlm = |account: &Account| {
        let how = format!("ntlm:{}:{}", account.name, account.password);
        site.send(Command::new(interpreter()), &how, 300)
    };
    let [may, may_not, silent] = thread::scope(|threads| {
        let may = threads.spawn(|| ntlm(&exchange));
        let may_not = threads.spawn(|| ntlm(&mallory));
        let silent = threads.spawn(|| site.send_silently(300));
        [may, may_not, silent].map(|thread| thread.join().expect("the client ends well"))
    });
    println!("{may:?} {may_not:?} {silent:?} {:?}", site.pool.carried());
    let within = |came: &Came, allowed: &[&str]| {
        assert!(came.keys().all(|answer| allowed.contains(&&**answer)), "{came:?}");
    };
    within(&may, &["200 answer", "401 nothing", "broken 401 nothing"]);
    within(&may_not, &["500 fault", "401 nothing", "broken 401 nothing"]);
    within(&silent, &["401 nothing"]);
    site.cluster.check_no_panic();
}
