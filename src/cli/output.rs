//! Tables for people, JSON for programs.

use anyhow::Context as _;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;
use std::io::{BufRead, ErrorKind, IsTerminal, Write};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; it may change.
    Table,
    /// For programs; it only grows.
    Json,
}

/// Prints a line of words. That nobody reads on is fine: `rmsc status | head`.
pub fn line(words: &str) {
    match writeln!(std::io::stdout(), "{words}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            remark(&format!("cannot write the output: {error}"));
        }
        Ok(()) | Err(_) => {}
    }
}

/// Prints words about progress, which no program should read.
#[expect(clippy::print_stderr, reason = "the command line prints")]
pub fn remark(words: &str) {
    eprintln!("{words}");
}

/// Prints a line about progress: on a terminal it takes the place of the one before.
#[expect(clippy::print_stderr, reason = "the command line prints")]
pub fn redrawn(progress: &impl ToString) {
    let words = progress.to_string();
    if std::io::stderr().is_terminal() {
        let width = Table::new().width().filter(|width| *width >= WIDTH_MIN).unwrap_or(WIDTH_UNKNOWN);
        let cut: String = words.chars().take(usize::from(width).saturating_sub(1)).collect();
        eprint!("\r\u{1b}[K{cut}");
    } else {
        eprintln!("{words}");
    }
}

/// Leaves the line that was drawn last as it is.
#[expect(clippy::print_stderr, reason = "the command line prints")]
pub fn end_redrawn() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

/// Two JSON objects in one.
#[must_use]
pub fn merged(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (first, _) => first,
    }
}

/// Whether a person typed these words again. Where nobody can be asked, nobody did.
///
/// # Errors
/// The answer cannot be read.
pub fn typed(warning: &str, words: &str) -> anyhow::Result<bool> {
    remark(warning);
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    remark("  Type the name again to go on:");
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed).context("cannot read the answer")?;
    Ok(typed.trim().eq_ignore_ascii_case(words))
}

/// Prints a value as JSON.
///
/// # Errors
/// Never for our own types.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints rows under a heading.
pub fn table<const COLUMNS: usize>(
    heading: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    grid(heading, rows);
}

/// The same where the columns are known only when it is printed.
pub fn grid<T: Into<String>>(
    heading: impl IntoIterator<Item = T>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(heading.into_iter().map(Into::into).collect::<Vec<String>>());
    for row in rows {
        table.add_row(row.into_iter().collect::<Vec<_>>());
    }
    line(&table.trim_fmt());
}

/// Narrower terminals do not exist; a size of nothing means that it is not known.
const WIDTH_MIN: u16 = 20;
const WIDTH_UNKNOWN: u16 = 120;
