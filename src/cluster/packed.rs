//! Rows that are kept together, compressed: neighbours differ in a few bytes.

use super::types::DecodeError;
use crate::proto::state::v1 as stored;
use prost::Message;
use stored::snapshot_row::Row;

/// Collects rows until they are enough.
#[derive(Default)]
pub(super) struct Packer {
    /// A message [`stored::Rows`], row by row.
    bytes: Vec<u8>,
    rows: usize,
}

impl Packer {
    pub(super) fn push(&mut self, row: Row) {
        let row = stored::SnapshotRow { row: Some(row) };
        self.bytes.push(ROWS_TAG);
        row.encode_length_delimited(&mut self.bytes).expect("a vector grows");
        self.rows += 1;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// What was collected; it is empty again.
    pub(super) fn pack(&mut self) -> Vec<u8> {
        let packed = lz4_flex::block::compress_prepend_size(&self.bytes);
        self.bytes.clear();
        self.rows = 0;
        packed
    }
}

/// The rows that were packed.
pub(super) fn unpack(packed: &[u8]) -> Result<impl Iterator<Item = Result<Row, DecodeError>>, DecodeError> {
    let wrong = |reason: String| DecodeError { what: "a block of rows", reason };
    let bytes = packed.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    // What is damaged must not take more memory than what is whole.
    if bytes.is_none_or(|bytes| bytes > UNPACKED_BYTES_MAX) {
        return Err(wrong(format!("it says that it is {bytes:?} bytes")));
    }
    let unpacked =
        lz4_flex::block::decompress_size_prepended(packed).map_err(|error| wrong(error.to_string()))?;
    if bytes != Some(unpacked.len()) {
        return Err(wrong(format!("{} bytes in place of {bytes:?}", unpacked.len())));
    }
    let rows =
        stored::Rows::decode(unpacked.as_slice()).map_err(|error| wrong(error.to_string()))?.rows.into_iter();
    Ok(rows.map(move |row| row.row.ok_or_else(|| wrong("a row is of no known kind".into()))))
}

/// Field 1 of [`stored::Rows`], with its length before it.
const ROWS_TAG: u8 = 1 << 3 | 2;
/// Far above what is ever packed at once.
const UNPACKED_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rid: u64) -> Row {
        let sid = format!("S-1-5-21-1004336348-1177238915-682003330-{rid}");
        Row::Entry(stored::Entry { sid, name: format!("LAB\\server{rid}$"), ..Default::default() })
    }

    fn packed() -> Vec<u8> {
        let mut packer = Packer::default();
        (0..100).for_each(|rid| packer.push(row(rid)));
        packer.pack()
    }

    #[test]
    fn rows_come_back_and_are_small() {
        let rows: Vec<Row> = unpack(&packed()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, (0..100).map(row).collect::<Vec<_>>());
        assert!(packed().len() < 2_500, "{} bytes", packed().len());
    }

    #[test]
    fn damage_is_an_error_or_other_rows_and_never_more_memory() {
        for at in 0..packed().len() {
            let mut packed = packed();
            packed[at] ^= 0x81;
            if let Ok(rows) = unpack(&packed) {
                assert!(rows.count() < 10_000);
            }
            assert!(unpack(&packed[..at]).is_err(), "{at}");
        }
    }
}
