//! The faults that are switched on, and which of them a request meets.

use super::fault::{Certificate, Fault, Rule};
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The faults of one simulated service. They can be switched while it runs.
#[derive(Debug)]
pub struct Faults {
    set: Mutex<Vec<Set>>,
    /// Rises when connections are concerned.
    epoch: watch::Sender<u64>,
}

#[derive(Debug)]
struct Set {
    rule: Rule,
    acted: u64,
    since: Instant,
}

/// A fault that is on, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    /// As it was written.
    fault: String,
    /// On how many requests, handshakes or closures it acted.
    acted: u64,
    /// On how many more it will.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

/// What a request meets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) latency: Duration,
    pub(super) fault: Option<Fault>,
    pub(super) names: Vec<&'static str>,
}

/// Whether anybody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    Yes,
    /// Not until this instant, or until the faults change.
    No(Option<Instant>),
}

impl Default for Faults {
    fn default() -> Self {
        Faults { set: Mutex::default(), epoch: watch::Sender::new(0) }
    }
}

impl Faults {
    /// Switches these on, and all others off.
    pub fn replace(&self, rules: Vec<Rule>) {
        self.change(|set| *set = rules.into_iter().map(Set::new).collect());
    }

    /// Switches these on as well.
    pub(super) fn add(&self, rules: Vec<Rule>) {
        self.change(|set| set.extend(rules.into_iter().map(Set::new)));
    }

    /// Switches off what has this name. How many there were.
    pub(super) fn remove(&self, name: &str) -> usize {
        let mut removed = 0;
        self.change(|set| {
            let before = set.len();
            set.retain(|set| set.rule.name != name);
            removed = before - set.len();
        });
        removed
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        let show = |set: &Set| Shown { fault: set.rule.text.clone(), acted: set.acted, left: set.rule.left };
        self.locked().iter().map(show).collect()
    }

    /// Draws what a request of this operation meets: latencies add up, and of the others the first one acts.
    pub(super) fn draw(&self, operation: &str) -> Drawn {
        let mut drawn = Drawn::default();
        for set in self.locked().iter_mut().filter(|set| !set.rule.is_of_connections()) {
            let is_latency = matches!(set.rule.fault, Fault::Latency(..));
            if (drawn.fault.is_none() || is_latency) && set.acts_on(operation) {
                set.acted += 1;
                drawn.names.push(set.rule.name);
                match &set.rule.fault {
                    Fault::Latency(least, most) => {
                        drawn.latency += *least + (*most - *least).mul_f64(rand::random_range(0.0..=1.0));
                    }
                    fault => drawn.fault = Some(fault.clone()),
                }
            }
        }
        drawn
    }

    pub(super) fn listening(&self) -> Listening {
        for set in self.locked().iter_mut() {
            if let Fault::Refused(span) = set.rule.fault {
                let until = span.map(|span| set.since + span);
                if until.is_none_or(|until| until > Instant::now()) {
                    return Listening::No(until);
                }
            }
        }
        Listening::Yes
    }

    /// Which certificate to show in a handshake that begins now.
    pub(super) fn certificate(&self) -> Certificate {
        for set in self.locked().iter_mut() {
            if let Fault::Certificate(certificate) = set.rule.fault
                && set.acts_on("")
            {
                set.acted += 1;
                return certificate;
            }
        }
        Certificate::Good
    }

    /// Tells when connections that are open should end.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Set>)) {
        let mut set = self.locked();
        let before = of_connections(&set);
        change(&mut set);
        let changed = before != of_connections(&set);
        drop(set);
        if changed {
            self.epoch.send_modify(|epoch| *epoch += 1);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Set>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn new(rule: Rule) -> Self {
        Set { rule, acted: 0, since: Instant::now() }
    }

    fn acts_on(&mut self, operation: &str) -> bool {
        let rule = &mut self.rule;
        let meant = rule.operation.is_none_or(|only| only == operation) && rule.left != Some(0);
        let acts = meant && (rule.rate >= 1.0 || rand::random_range(0.0..1.0) < rule.rate);
        if acts && let Some(left) = &mut rule.left {
            *left -= 1;
        }
        acts
    }
}

fn of_connections(set: &[Set]) -> Vec<(String, Instant)> {
    let concerned = set.iter().filter(|set| set.rule.is_of_connections());
    concerned.map(|set| (set.rule.text.clone(), set.since)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(texts: &[&str]) -> Faults {
        let faults = Faults::default();
        faults.replace(texts.iter().map(|text| Rule::parse(text).unwrap()).collect());
        faults
    }

    #[test]
    fn acts_on_the_operation_and_as_often_as_it_says() {
        let faults = faults(&["503,next=2,operation=certify", "html"]);
        assert_eq!(faults.draw("acquire_license").fault, Some(Fault::Html));
        let all: Vec<_> = (0..3).map(|_| faults.draw("certify").fault).collect();
        assert_eq!(all, [Some(Fault::Status(503, None)), Some(Fault::Status(503, None)), Some(Fault::Html)]);
        assert_eq!(faults.remove("html"), 1);
        assert_eq!(faults.draw("certify"), Drawn::default());
    }

    #[test]
    fn acts_on_a_share_of_the_requests() {
        let faults = faults(&["503,rate=25%"]);
        let hits = (0..4_000).filter(|_| faults.draw("certify").fault.is_some()).count();
        assert!((800..1_200).contains(&hits), "{hits}");
    }

    #[test]
    fn latencies_add_up_beside_another_fault() {
        let faults = faults(&["latency=1s..2s", "html", "latency=3s"]);
        let drawn = faults.draw("certify");
        assert_eq!(drawn.names, ["latency", "html", "latency"]);
        assert!((Duration::from_secs(4)..=Duration::from_secs(5)).contains(&drawn.latency), "{drawn:?}");
    }

    #[test]
    fn connections_end_when_something_about_them_changes() {
        let faults = faults(&["html"]);
        let mut watch = faults.watch();
        faults.replace(vec![Rule::parse("empty").unwrap()]);
        assert!(!watch.has_changed().unwrap());
        faults.replace(vec![Rule::parse("certificate-expired").unwrap()]);
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        assert_eq!(faults.certificate(), Certificate::Expired);
        faults.replace(Vec::new());
        assert!(watch.has_changed().unwrap());
        assert_eq!((faults.certificate(), faults.listening()), (Certificate::Good, Listening::Yes));
    }
}
