//! What the disk takes to make a small append durable: the floor of every acknowledged write.

use super::figures::percentile;
use anyhow::Context as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

/// The median and the 99th percentile of an fdatasync in a folder, in milliseconds.
pub fn fdatasync(folder: &Path) -> anyhow::Result<(f64, f64)> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut latencies = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[7; super::system::VALUE_BYTES])?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
    }
    std::fs::remove_file(&path)?;
    latencies.sort();
    Ok((percentile(&latencies, 50), percentile(&latencies, 99)))
}

const SYNCS: usize = 500;
