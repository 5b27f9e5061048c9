//! No secret is in anything that the nodes say: passwords and their hashes, the keys of the fronts and of the administrator
//! are canaries, searched for in logs, metrics, answers of the ops port, environments and command lines.

use super::{Budget, Invariant, some};
use crate::record::Record;

pub const INVARIANT: Invariant = Invariant { name: "secrets", check, plant };

fn check(record: &Record, _: &Budget) -> Result<String, String> {
    let (outputs, secrets) = record.searched;
    if outputs == 0 || secrets == 0 {
        return Err(format!("nothing was searched: {outputs} outputs for {secrets} secrets"));
    }
    if record.leaks.is_empty() {
        Ok(format!("{secrets} secrets in none of {outputs} outputs"))
    } else {
        Err(some(&record.leaks))
    }
}

/// Which secrets are in which outputs; each has its name and its bytes.
pub fn search(outputs: &[(String, Vec<u8>)], secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let holds = |text: &[u8], secret: &[u8]| memchr::memmem::find(text, secret).is_some();
    let found = outputs.iter().flat_map(|(place, text)| {
        let inside = secrets.iter().filter(move |(_, secret)| holds(text, secret));
        inside.map(move |(what, _)| format!("{what} is in {place}"))
    });
    found.collect()
}

fn plant(record: &mut Record) {
    let said = br#"{"message": "login failed", "password": "canary-17"}"#;
    let output = ("the log of node-1".to_owned(), said.to_vec());
    record.leaks = search(&[output], &[("a password".to_owned(), b"canary-17".to_vec())]);
}
