//! `rmsc dev restart`: asks the running lab, which owns the processes, to start a node again.

use super::layout::{self, Layout};
use super::processes::Processes;
use crate::tasks::Tasks;
use anyhow::{Context as _, bail};
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Asks the lab in `dir` to start `name` again; gives its new process id.
///
/// # Errors
/// No lab runs there, there is no such node, or it runs already.
pub async fn restart(dir: &Path, name: &str) -> anyhow::Result<u32> {
    let path = layout::socket(dir);
    let mut stream = UnixStream::connect(&path).await.with_context(|| {
        format!("no lab runs in {}; start one: rmsc dev --dir {}", dir.display(), dir.display())
    })?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut answer = String::new();
    timeout(ANSWER_TIMEOUT, stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer))
        .await
        .context("the lab does not answer")??;
    match answer.trim().parse() {
        Ok(pid) => Ok(pid),
        Err(_) => bail!("{}", answer.trim()),
    }
}

/// Serves such requests until the tasks drain.
pub(super) fn serve(
    layout: &Layout,
    processes: Processes,
    tasks: Tasks,
) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
    let path = layout.socket();
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    Ok(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = tasks.draining() => break,
            };
            if let Ok((stream, _)) = accepted {
                // One at a time; a client that says nothing is cut off.
                let _ = timeout(ANSWER_TIMEOUT, answer(stream, &processes)).await;
            }
        }
        // The folder may be gone already.
        let _ = std::fs::remove_file(path);
    })
}

async fn answer(stream: UnixStream, processes: &Processes) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut name = String::new();
    BufReader::new(read.take(ANSWER_BYTES_MAX)).read_line(&mut name).await?;
    // Somebody who has just killed the node need not wait until the system has buried it.
    let _ = timeout(BURIAL_TIMEOUT, processes.ended(name.trim())).await;
    let answer = match processes.restart(name.trim()) {
        Ok(pid) => pid.to_string(),
        Err(error) => format!("{error:#}"),
    };
    write.write_all(answer.as_bytes()).await
}

/// A killed process is gone in a few milliseconds.
const BURIAL_TIMEOUT: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 4_096;
