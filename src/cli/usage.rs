//! What people are told of the command line: help whose paragraphs fit the terminal, and errors that name what was written.

use super::Arguments;
use clap::builder::{Resettable, StyledStr};
use clap::{Command, CommandFactory, Error, FromArgMatches};
use std::ffi::OsString;

/// Reads the words of a command line.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub(super) fn read(words: impl Iterator<Item = OsString>) -> Result<Arguments, Error> {
    let words: Vec<OsString> = words.collect();
    let command = flowing(Arguments::command());
    let read = command.clone().try_get_matches_from(&words);
    let read = read.and_then(|matches| Arguments::from_arg_matches(&matches));
    read.map_err(|error| of_the_line(error, command, &words))
}

/// The error as it would be without what the environment gives: its usage line has the words that were written alone.
fn of_the_line(error: Error, command: Command, words: &[OsString]) -> Error {
    // Help says what the environment gives.
    if !error.use_stderr() {
        return error;
    }
    let plain = without_environment(command).try_get_matches_from(words);
    plain.err().filter(|plain| plain.kind() == error.kind()).unwrap_or(error)
}

fn without_environment(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::Reset)).mut_subcommands(without_environment)
}

/// The texts are kept as they are written, for the sake of their examples. Broken once more by a narrow terminal, the rest
/// would be ragged.
fn flowing(command: Command) -> Command {
    let [short, long] = [command.get_about(), command.get_long_about()]
        .map(|about| about.map(|about| StyledStr::from(paragraphs(&about.to_string()))));
    // Nothing would take away what is there.
    let command = if let Some(short) = short { command.about(short) } else { command };
    let command = if let Some(long) = long { command.long_about(long) } else { command };
    command.mut_subcommands(flowing)
}

/// One line a paragraph; what is indented stays as it is.
fn paragraphs(text: &str) -> String {
    let mut all = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let flows = !line.is_empty() && !line.starts_with([' ', '-']);
        if !all.is_empty() {
            all.push(if goes_on && flows { ' ' } else { '\n' });
        }
        all.push_str(line);
        goes_on = flows && !line.ends_with(':');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_paragraph_are_one_and_examples_stay() {
        let text = "Do it.\n\nIt is done\nat once. And\nwell.\n\nExamples:\n  rmsc do\n  rmsc do --well\n";
        let flowing = "Do it.\n\nIt is done at once. And well.\n\nExamples:\n  rmsc do\n  rmsc do --well";
        assert_eq!(paragraphs(text), flowing);
    }
}
