//! What was measured, as a table for people or as JSON.

use super::figures::{Rounds, Spread};
use serde_json::json;
use std::fmt::Write as _;

/// All figures, in the order in which they were first measured.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
}

#[derive(Debug)]
struct Figure {
    name: String,
    unit: &'static str,
    rmsc: Rounds,
    etcd: Rounds,
}

/// What is wanted of a figure's median.
struct Goal {
    figure: &'static str,
    wanted: Wanted,
}

enum Wanted {
    Limit(f64),
    EtcdOrLess,
    EtcdOrMore,
}

impl Report {
    /// Adds the value of one round.
    pub fn add(&mut self, system: &str, name: &str, unit: &'static str, value: f64) {
        let known = self.figures.iter().position(|figure| figure.name == name);
        let place = known.unwrap_or_else(|| {
            let (rmsc, etcd) = Default::default();
            self.figures.push(Figure { name: name.into(), unit, rmsc, etcd });
            self.figures.len() - 1
        });
        if let Some(figure) = self.figures.get_mut(place) {
            if system == "etcd" { &mut figure.etcd } else { &mut figure.rmsc }.add(value);
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!("{:<58} {:>28}   {:>28}  {:>6}\n", "", "rmsc", "etcd", "ratio");
        for figure in &self.figures {
            let (rmsc, etcd) = (figure.rmsc.spread(), figure.etcd.spread());
            let comparable = etcd.rounds > 0 && etcd.median > 0.0;
            let ratio = if comparable { format!("{:.2}", rmsc.median / etcd.median) } else { String::new() };
            let name = format!("{} ({})", figure.name, figure.unit);
            let _ = writeln!(text, "{name:<58} {:>28}   {:>28}  {ratio:>6}", words(&rmsc), words(&etcd));
        }
        text.push_str("\nmedian [min..max] of the rounds; ratio: rmsc's median to etcd's\n\n");
        for (goal, met) in self.goals() {
            let _ = writeln!(text, "{:<7} {goal}", if met { "met" } else { "MISSED" });
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        let figures: Vec<_> = self.figures.iter().map(|figure| {
            json!({ "figure": figure.name, "unit": figure.unit, "rmsc": of(&figure.rmsc), "etcd": of(&figure.etcd) })
        }).collect();
        let goals: Vec<_> =
            self.goals().into_iter().map(|(goal, met)| json!({ "goal": goal, "met": met })).collect();
        json!({ "figures": figures, "goals": goals })
    }

    fn goals(&self) -> Vec<(String, bool)> {
        GOALS.iter().filter_map(|goal| self.judge(goal)).collect()
    }

    /// Nothing for a figure that was not measured.
    fn judge(&self, goal: &Goal) -> Option<(String, bool)> {
        let figure = self.figures.iter().find(|figure| figure.name == goal.figure)?;
        let (rmsc, etcd) = (figure.rmsc.spread().median, figure.etcd.spread().median);
        let (words, met) = match goal.wanted {
            Wanted::Limit(limit) => (format!("at most {limit} {}", figure.unit), rmsc <= limit),
            Wanted::EtcdOrLess => (format!("at most etcd's {}", number(etcd)), rmsc <= etcd),
            Wanted::EtcdOrMore => (format!("at least etcd's {}", number(etcd)), rmsc >= etcd),
        };
        Some((format!("{}: {} {}, wanted {words}", goal.figure, number(rmsc), figure.unit), met))
    }
}

fn of(rounds: &Rounds) -> Option<Spread> {
    Some(rounds.spread()).filter(|spread| spread.rounds > 0)
}

fn words(spread: &Spread) -> String {
    if spread.rounds == 0 {
        return "-".into();
    }
    format!("{} [{}..{}]", number(spread.median), number(spread.min), number(spread.max))
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

pub const PUT_1_P50: &str = "put, 1 writer: p50";
pub const PUT_64_RATE: &str = "put, 64 writers: rate";
pub const FAILOVER: &str = "leader killed, to the next write";
pub const HANDOVER: &str = "leader stopped, longest gap of writes";

const GOALS: [Goal; 4] = [
    Goal { figure: PUT_1_P50, wanted: Wanted::EtcdOrLess },
    Goal { figure: PUT_64_RATE, wanted: Wanted::EtcdOrMore },
    Goal { figure: FAILOVER, wanted: Wanted::Limit(1_500.0) },
    Goal { figure: HANDOVER, wanted: Wanted::Limit(100.0) },
];
