//! What `chaos/run` was asked for.

use crate::network::NODES_MAX;
use crate::programs::HOW_TO_MAKE_ONE;
use crate::scenarios::{self, Part};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Arguments {
    pub seed: u64,
    pub minutes: Option<Duration>,
    pub scenario: Option<String>,
    pub nodes: Option<usize>,
    pub junit: Option<PathBuf>,
    /// A program of an earlier build.
    pub older: Option<PathBuf>,
    pub list: bool,
    pub self_test: bool,
    /// The process that made the namespaces; this one is inside.
    pub inside: Option<u32>,
}

impl Arguments {
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Arguments { seed: rand::random_range(0..1_000_000), ..Arguments::default() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--list" => arguments.list = true,
                "--self-test" => arguments.self_test = true,
                "--seed" => arguments.seed = number(&word, &value()?)?,
                "--minutes" => {
                    let minutes: f64 = number(&word, &value()?)?;
                    let span = Duration::try_from_secs_f64(minutes * 60.0);
                    arguments.minutes = Some(span.map_err(|error| format!("{word}: {error}"))?);
                }
                "--scenario" => arguments.scenario = Some(known(value()?)?),
                "--nodes" => arguments.nodes = Some(nodes(&value()?)?),
                "--junit" => arguments.junit = Some(value()?.into()),
                "--older" => arguments.older = Some(file(&word, &value()?)?),
                "--inside" => arguments.inside = Some(number(&word, &value()?)?),
                _ => return Err(format!("{word:?} is not known; {USAGE}")),
            }
        }
        arguments.check_older()?;
        Ok(arguments)
    }

    fn check_older(&self) -> Result<(), String> {
        let named = scenarios::ALL.iter().find(|scenario| Some(scenario.name) == self.scenario.as_deref());
        match named {
            Some(scenario) if scenario.part == Part::WithOlder && self.older.is_none() => Err(format!(
                "{} needs --older FILE, a program of an earlier build. {HOW_TO_MAKE_ONE}",
                scenario.name
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The same, for the process inside.
    pub fn again(&self, owner: u32) -> Vec<String> {
        let mut words = vec!["--inside".into(), owner.to_string(), "--seed".into(), self.seed.to_string()];
        let mut add = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        };
        add("--minutes", self.minutes.map(|span| (span.as_secs_f64() / 60.0).to_string()));
        add("--scenario", self.scenario.clone());
        add("--nodes", self.nodes.map(|nodes| nodes.to_string()));
        add("--junit", self.junit.as_ref().map(|path| path.display().to_string()));
        add("--older", self.older.as_ref().map(|path| path.display().to_string()));
        words
    }
}

fn number<T: std::str::FromStr>(word: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{word} {value:?} is no number"))
}

fn nodes(value: &str) -> Result<usize, String> {
    let count: usize = number("--nodes", value)?;
    if (1..=NODES_MAX).contains(&count) { Ok(count) } else { Err("--nodes is 2, 3 or 5".into()) }
}

fn file(word: &str, value: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(value).map_err(|error| format!("{word} {value}: {error}. {HOW_TO_MAKE_ONE}"))
}

fn known(name: String) -> Result<String, String> {
    if scenarios::ALL.iter().any(|scenario| scenario.name == name || scenario.row.eq_ignore_ascii_case(&name))
    {
        return Ok(name);
    }
    Err(format!("no scenario is {name:?}; --list shows them"))
}

const USAGE: &str = "there are --seed N, --minutes M, --scenario NAME, --nodes 2|3|5, --junit FILE, --older FILE, --list, --self-test";
