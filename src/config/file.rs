//! What the operator typed: reads a TOML file key by key, and collects every fault instead of
//! stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; 0 where nothing was written.
    pub line: usize,
    /// `section.key`.
    pub key: String,
    /// What is wrong and what would be accepted.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}: {}", self.key, self.words)
    }
}

/// A file that is being read.
pub struct Reader<'a> {
    text: &'a str,
    root: DeTable<'a>,
    faults: RefCell<Vec<Fault>>,
    sections: RefCell<Vec<&'static str>>,
}

/// One `[section]` of it; an absent one has no keys.
pub struct Section<'a> {
    name: &'static str,
    reader: &'a Reader<'a>,
    table: Option<&'a DeTable<'a>>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Reader<'a> {
    /// Reads TOML.
    ///
    /// # Errors
    /// The one fault of a text that is no TOML.
    pub fn new(text: &'a str) -> Result<Self, Fault> {
        let root = DeTable::parse(text).map_err(|error| Fault {
            line: error.span().map_or(0, |span| line(text, span.start)),
            key: "TOML".into(),
            words: error.message().to_owned(),
        })?;
        Ok(Reader { text, root: root.into_inner(), faults: RefCell::default(), sections: RefCell::default() })
    }

    /// A section, `a` or `a.b`.
    pub fn section(&'a self, name: &'static str) -> Section<'a> {
        self.sections.borrow_mut().push(name);
        let mut table = Some(&self.root);
        let mut path = String::new();
        for part in name.split('.') {
            path = if path.is_empty() { part.into() } else { format!("{path}.{part}") };
            table = table.and_then(|table| table.get(part)).and_then(|value| match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => {
                    self.fault(value.span().start, &path, format!("must be a section: [{path}]"));
                    None
                }
            });
        }
        Section { name, reader: self, table, known: RefCell::default() }
    }

    /// Whether a section is there, right or wrong.
    pub fn has_section(&self, name: &str) -> bool {
        self.root.contains_key(name)
    }

    /// Says that a section must not be there.
    pub fn refuse_section(&'a self, name: &'static str, words: &str) {
        self.sections.borrow_mut().push(name);
        if let Some((key, _)) = self.root.get_key_value(name) {
            self.fault(key.span().start, name, words.to_owned());
        }
    }

    /// The same for a section below another, `a.b`.
    pub fn refuse_subsection(&'a self, name: &'static str, words: &str) {
        let section = self.section(name);
        if let Some((above, below)) = name.rsplit_once('.')
            && section.is_there()
            && let Some(DeValue::Table(table)) = self.root.get(above).map(|value| value.get_ref())
            && let Some((key, _)) = table.get_key_value(below)
        {
            self.fault(key.span().start, name, words.to_owned());
        }
    }

    /// All that is wrong, in the order of the lines; unknown sections included.
    pub fn faults(&self) -> Vec<Fault> {
        let sections = self.sections.borrow();
        let tops: Vec<&str> = sections.iter().filter_map(|name| name.split('.').next()).collect();
        for (key, _) in &self.root {
            let name: &str = key.get_ref();
            if !tops.contains(&name) {
                self.fault(key.span().start, name, unknown("section", name, &tops));
            }
        }
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| fault.line);
        faults
    }

    fn fault(&self, at: usize, key: &str, words: String) {
        let fault = Fault { line: line(self.text, at), key: key.into(), words };
        self.faults.borrow_mut().push(fault);
    }
}

impl<'a> Section<'a> {
    /// A text.
    pub fn text(&self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong(key, value, "write it in quotes");
                None
            }
        }
    }

    /// A text that means something: `accepted` says what, where `parse` finds nothing.
    pub fn parsed<T>(
        &self,
        key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let parsed = parse(text);
        if parsed.is_none()
            && let Some(value) = self.value(key)
        {
            self.wrong(key, value, accepted);
        }
        parsed
    }

    /// A list of texts.
    pub fn list(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        let texts = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.wrong(key, value, "write a list of texts: [\"…\", \"…\"]");
        }
        texts
    }

    /// Whether the section is there, with or without keys.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// All keys of a section whose keys are names, each with a list of what `parse` finds in its texts.
    pub fn lists<T>(self, accepted: &str, parse: impl Fn(&str) -> Option<T>) -> BTreeMap<String, Vec<T>> {
        let mut lists = BTreeMap::new();
        for (key, value) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            let items = match value.get_ref() {
                DeValue::Array(items) if !items.is_empty() => items
                    .iter()
                    .map(|item| match item.get_ref() {
                        DeValue::String(text) => parse(text),
                        _ => None,
                    })
                    .collect(),
                _ => None,
            };
            match items {
                Some(items) => drop(lists.insert(name.to_owned(), items)),
                None => self.wrong(name, value, accepted),
            }
        }
        lists
    }

    /// A whole number from `min` to `max`.
    pub fn number(&self, key: &'static str, min: u64, max: u64) -> Option<u64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong(key, value, &format!("write a whole number from {min} to {max}"));
        }
        number
    }

    /// A duration from `min` to `max`, as `75ms`, `30s`, `15m` or `2h`.
    pub fn duration(&self, key: &'static str, min: Duration, max: Duration) -> Option<Duration> {
        let accepted = format!("write a duration from {min:?} to {max:?}, for instance 30s or 400ms");
        self.parsed(key, &accepted, |text| duration(text).filter(|it| (min..=max).contains(it)))
    }

    /// Says that a key must be there.
    pub fn missing(&self, key: &'static str, accepted: &str) {
        let key = format!("{}.{key}", self.name);
        let fault = Fault { line: 0, key, words: format!("is missing; {accepted}") };
        self.reader.faults.borrow_mut().push(fault);
    }

    /// Says that a key's value is wrong for a reason that another key gives.
    pub fn refuse(&self, key: &'static str, words: &str) {
        let at = self.value(key).map_or(0, |value| value.span().start);
        self.reader.fault(at, &format!("{}.{key}", self.name), words.to_owned());
    }

    /// Whether the key is there, right or wrong.
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Says which keys are not known, and which were meant. Sections below this one are named apart.
    pub fn end(self) {
        let Some(table) = self.table else { return };
        let known = self.known.borrow();
        let below = format!("{}.", self.name);
        let sections = self.reader.sections.borrow();
        let subsections: Vec<&str> = sections.iter().filter_map(|name| name.strip_prefix(&below)).collect();
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !known.contains(&name) && !subsections.contains(&name) {
                let words = unknown("key", name, &known);
                self.reader.fault(key.span().start, &format!("{}.{name}", self.name), words);
            }
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(key);
        self.table?.get(key)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'a>>, accepted: &str) {
        let written = self.reader.text.get(value.span()).unwrap_or_default();
        let words = format!("{written} is not possible; {accepted}");
        self.reader.fault(value.span().start, &format!("{}.{key}", self.name), words);
    }
}

/// `75ms`, `30s`, `15m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(milliseconds)?))
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > LIKENESS_MIN => {
            format!("is not a known {what}; did you mean {nearest}?")
        }
        _ => format!("is not a known {what}; known are {}", sorted(known).join(", ")),
    }
}

fn sorted<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut words = words.to_vec();
    words.sort_unstable();
    words.dedup();
    words
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Above it one word is likely a slip of another.
const LIKENESS_MIN: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_with_their_unit() {
        assert_eq!(duration("75ms"), Some(Duration::from_millis(75)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7_200)));
        for wrong in ["", "5", "ms", "5 s", "-5s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn collects_every_fault_with_its_line() {
        let text = "[a]\nx = 1\nyy = \"5s\"\nnumber = 7\n\n[bb]\n";
        let reader = Reader::new(text).unwrap();
        let section = reader.section("a");
        assert_eq!(section.text("x"), None);
        assert_eq!(section.duration("yyy", Duration::ZERO, Duration::MAX), None);
        assert_eq!(section.number("number", 1, 5), None);
        section.end();
        let faults: Vec<String> = reader.faults().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "line 2: a.x: 1 is not possible; write it in quotes",
                "line 3: a.yy: is not a known key; did you mean yyy?",
                "line 4: a.number: 7 is not possible; write a whole number from 1 to 5",
                "line 6: bb: is not a known section; known are a",
            ]
        );
    }
}
