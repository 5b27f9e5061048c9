//! One `ntlm_auth` process that is kept.

use super::protocol::{Answer, Fence, Question, read};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A process that waits for a question. It is killed when this is dropped.
pub(super) struct Helper {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

/// Why there is no answer. The helper cannot be used again.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The process is gone, or its pipes are.
    #[error("the helper of winbind ended")]
    Ended {
        /// The cause, if there is one.
        source: Option<io::Error>,
    },
    /// It says what no helper says.
    #[error("the helper of winbind does not speak its protocol: {said:?}")]
    Unreadable {
        /// The beginning of it.
        said: String,
    },
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        AskError::Ended { source: Some(error) }
    }
}

impl Helper {
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut process = Command::new(program)
            .arg("--helper-protocol=ntlm-server-1")
            // Its words are read, and nothing of ours is its business.
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("a process without pipes"));
        };
        Ok(Helper { process, input, output })
    }

    /// Asks, and waits for the whole answer. After an error, or if it is dropped before its end, the helper is of
    /// no use: who asks next could get this answer.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<Answer, AskError> {
        let answer = self.exchange(question.bytes()).await?;
        read(&answer).ok_or_else(|| unreadable(&answer))
    }

    /// Whether it speaks the protocol at all.
    pub(super) async fn hello(&mut self) -> Result<(), AskError> {
        let answer = self.exchange(b"").await?;
        if answer.is_empty() { Ok(()) } else { Err(unreadable(&answer)) }
    }

    /// Kills it, and waits until it is gone.
    pub(super) async fn end(mut self) {
        match tokio::time::timeout(END_WITHIN, self.process.kill()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "cannot kill a helper of winbind"),
            Err(_) => tracing::warn!("a helper of winbind does not end"),
        }
    }

    /// What it says up to the fence. Nothing comes behind the fence, so every answer begins where a question does.
    async fn exchange(&mut self, question: &[u8]) -> Result<Vec<u8>, AskError> {
        let fence = Fence::new(rand::random());
        self.input.write_all(question).await?;
        self.input.write_all(fence.question().as_bytes()).await?;
        self.input.flush().await?;
        let (echo, mut said) = (fence.echo(), Vec::with_capacity(ANSWER_BYTES));
        let mut some = [0; ANSWER_BYTES];
        while !said.ends_with(echo.as_bytes()) {
            if said.len() > ANSWER_BYTES_MAX {
                return Err(unreadable(&said));
            }
            match self.output.read(&mut some).await? {
                0 => return Err(AskError::Ended { source: None }),
                count => said.extend_from_slice(some.get(..count).unwrap_or_default()),
            }
        }
        said.truncate(said.len().saturating_sub(echo.len()));
        Ok(said)
    }
}

/// What it said could be a key.
fn unreadable(said: &[u8]) -> AskError {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().next().unwrap_or_default();
    let line = if line.contains("Key") { "a key" } else { line };
    AskError::Unreadable { said: line.chars().take(SAID_CHARS_MAX).collect() }
}

/// An answer has two lines.
const ANSWER_BYTES: usize = 1 << 10;
/// The longest of Samba's texts are some 300 bytes.
const ANSWER_BYTES_MAX: usize = 4 << 10;
const SAID_CHARS_MAX: usize = 100;
/// A process that was killed is gone at once, unless its host is in trouble.
const END_WITHIN: Duration = Duration::from_secs(5);
