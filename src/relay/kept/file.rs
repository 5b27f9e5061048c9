//! One kept answer a file: a line that says what it is, the answer, and a checksum over both.

use super::{ANSWER_BYTES_MAX, ANSWERS_MAX, KeptAnswer, Key};
use crate::event::Event;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    key: String,
    at_ms: u64,
    content_type: String,
    content_encoding: String,
    bytes: usize,
}

/// Everything in the folder that is whole.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn read_all(folder: &Path) -> io::Result<Vec<(Key, KeptAnswer)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut answers = Vec::new();
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|it| it.to_str()) {
            Some(EXTENSION) if answers.len() < ANSWERS_MAX => match read(&path) {
                Ok(answer) => answers.push(answer),
                Err(reason) => set_aside(&path, &reason),
            },
            // Its writer was ended.
            Some(TEMPORARY) => drop(fs::remove_file(&path)),
            _ => {}
        }
    }
    Ok(answers)
}

/// Writes a file and then gives it its name, so that there is the old one or the new one and never half of one.
///
/// # Errors
/// The disk's.
pub(super) fn write(folder: &Path, key: Key, answer: &KeptAnswer) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!("{}-{:08x}.{TEMPORARY}", hex(key), rand::random::<u32>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(&encode(key, answer)).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path(folder, key)));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    File::open(folder)?.sync_all()
}

pub(super) fn remove(folder: &Path, key: Key) {
    // What is still there is read at the next start, and is as old as it says.
    let _ = fs::remove_file(path(folder, key));
}

pub(super) fn encode(key: Key, answer: &KeptAnswer) -> Vec<u8> {
    let since = answer.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let head = Head {
        format: FORMAT,
        key: hex(key),
        at_ms: u64::try_from(since.as_millis()).unwrap_or(0),
        content_type: answer.content_type.clone(),
        content_encoding: answer.content_encoding.clone(),
        bytes: answer.body.len(),
    };
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend_from_slice(&answer.body);
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(bytes: &[u8]) -> Result<(Key, KeptAnswer), String> {
    let (content, sum) = bytes.split_last_chunk::<32>().ok_or("it is too short")?;
    if Sha256::digest(content)[..] != sum[..] {
        return Err("its checksum is wrong".into());
    }
    let line = content.iter().position(|byte| *byte == b'\n').ok_or("it has no head")?;
    let (head, body) = content.split_at(line);
    let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let body = body.get(1..).unwrap_or_default();
    if head.format != FORMAT {
        return Err(format!("its format is {}, and this build reads {FORMAT}", head.format));
    }
    if head.bytes != body.len() {
        return Err("its length is not what its head says".into());
    }
    let key = key(&head.key).ok_or("its key is none")?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(head.at_ms);
    let (content_type, content_encoding) = (head.content_type, head.content_encoding);
    Ok((key, KeptAnswer { content_type, content_encoding, at, body: Bytes::copy_from_slice(body) }))
}

fn read(path: &Path) -> Result<(Key, KeptAnswer), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let (key, answer) = decode(&bytes)?;
    if path.file_stem().and_then(|it| it.to_str()) != Some(&hex(key)) {
        return Err("its name is another answer's".into());
    }
    Ok((key, answer))
}

fn set_aside(path: &Path, reason: &str) {
    let kept = path.with_extension("damaged");
    if let Err(error) = fs::rename(path, &kept) {
        tracing::warn!(%error, path = %path.display(), "a damaged file stays where it is");
    }
    Event::DamageSetAside { what: "an answer of the service that was kept", kept: &kept, reason }.log();
}

fn path(folder: &Path, key: Key) -> PathBuf {
    folder.join(format!("{}.{EXTENSION}", hex(key)))
}

fn hex(Key(bytes): Key) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(text: &str) -> Option<Key> {
    let mut key = [0; 32];
    let pair = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = pair(at)?;
    }
    (text.len() == 64).then_some(Key(key))
}

const FORMAT: u32 = 1;
const EXTENSION: &str = "answer";
const TEMPORARY: &str = "tmp";
/// The largest answer, and room for its head and checksum.
const FILE_BYTES_MAX: u64 = ANSWER_BYTES_MAX as u64 + 4_096;
