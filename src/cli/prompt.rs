//! Asks for a password at the terminal, which does not show it.

use crate::secret::Secret;
use anyhow::{Context as _, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};

/// Puts the terminal back as it was, whatever happens.
struct Silent<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn new(terminal: &'a File) -> anyhow::Result<Self> {
        let before = tcgetattr(terminal).context("cannot ask the terminal")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent).context("cannot silence the terminal")?;
        Ok(Silent { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// What a person types. `otherwise` says what to do where nobody can be asked.
pub(super) fn password(question: &str, otherwise: &str) -> anyhow::Result<Secret<String>> {
    if !std::io::stderr().is_terminal() {
        bail!("{otherwise}");
    }
    let terminal = File::options().read(true).write(true).open("/dev/tty").context(otherwise.to_owned())?;
    let mut typed = Secret::new(String::new());
    // Before the question stands there: what is typed at once is neither shown nor lost.
    let silent = Silent::new(&terminal)?;
    (&terminal).write_all(question.as_bytes()).context("cannot write to the terminal")?;
    BufReader::new(&terminal).read_line(typed.expose_mut()).context("cannot read the password")?;
    drop(silent);
    (&terminal).write_all(b"\n").context("cannot write to the terminal")?;
    Ok(Secret::new(typed.expose().trim_end_matches(['\r', '\n']).to_owned()))
}
