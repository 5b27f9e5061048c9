//! What came of a run, as text and as JUnit XML.

use crate::invariants::{ALL, Budget, gaps};
use crate::record::Record;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// One scenario that was played.
pub struct Played {
    pub name: &'static str,
    pub row: &'static str,
    pub nodes: usize,
    pub took: Duration,
    /// By the name of the property: what was measured, or what is wrong.
    pub checks: Vec<(&'static str, Result<String, String>)>,
    /// Why it decides nothing, though not all is well.
    pub undecided: Option<String>,
    /// Why plays before this one decided nothing.
    pub before: Vec<String>,
}

impl Played {
    /// Checks everything that must hold.
    pub fn checked(record: &Record, budget: &Budget) -> Vec<(&'static str, Result<String, String>)> {
        ALL.iter().map(|invariant| (invariant.name, (invariant.check)(record, budget))).collect()
    }

    /// Why a play decides nothing in which these checks failed, if so.
    pub fn undecided(
        checks: &[(&str, Result<String, String>)],
        record: &Record,
        budget: &Budget,
    ) -> Option<String> {
        let mut failed = checks.iter().filter(|(_, result)| result.is_err()).map(|(name, _)| *name);
        let is_gap = failed.next() == Some(gaps::INVARIANT.name) && failed.next().is_none();
        gaps::undecided(record, budget).filter(|_| is_gap)
    }

    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|(_, result)| result.is_ok())
    }

    pub fn text(&self) -> String {
        let verdict = if self.is_good() { "ok  " } else { "FAIL" };
        let mut text = format!(
            "{verdict} {:4} {} ({} nodes, {:.0} s)\n",
            self.row,
            self.name,
            self.nodes,
            self.took.as_secs_f64()
        );
        for (name, result) in &self.checks {
            let (mark, words) = match result {
                Ok(words) => ("  ", words),
                Err(words) => ("✘ ", words),
            };
            let _ = writeln!(text, "       {mark}{name}: {words}");
        }
        for why in &self.before {
            let _ = writeln!(text, "       played again, since a play before decided nothing: {why}");
        }
        text
    }
}

/// A line for people.
pub fn say(line: &str) {
    // Nobody reads any more: there is nothing to do about it.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes all of it for programs.
pub fn junit(path: &Path, seed: u64, all: &[Played]) -> io::Result<()> {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for played in all {
        let wrong = played.checks.iter().filter(|(_, result)| result.is_err()).count();
        let _ = writeln!(
            text,
            "<testsuite name=\"chaos.{}\" tests=\"{}\" failures=\"{wrong}\" time=\"{:.1}\">\n<properties><property \
             name=\"seed\" value=\"{seed}\"/><property name=\"nodes\" value=\"{}\"/></properties>",
            escaped(played.name),
            played.checks.len(),
            played.took.as_secs_f64(),
            played.nodes
        );
        for (name, result) in &played.checks {
            let _ = write!(text, "<testcase classname=\"chaos.{}\" name=\"{name}\">", played.name);
            let _ = match result {
                Ok(words) => write!(text, "<system-out>{}</system-out>", escaped(words)),
                Err(words) => write!(text, "<failure message=\"{name}\">{}</failure>", escaped(words)),
            };
            text.push_str("</testcase>\n");
        }
        for why in &played.before {
            let _ = writeln!(text, "<system-out>played again: {}</system-out>", escaped(why));
        }
        text.push_str("</testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    std::fs::write(path, text)
}

fn escaped(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control() || *c == '\n');
    plain.fold(String::new(), |mut text, c| {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            _ => text.push(c),
        }
        text
    })
}
