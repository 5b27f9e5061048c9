//! Rows in pages: the store takes some two kilobytes of memory and half of that on disk for a value,
//! however small it is.

use crate::cluster::packed::Packer;
use crate::proto::state::v1::snapshot_row::Row;
use std::collections::{BTreeMap, BTreeSet};

/// A value of the store that changes, or goes.
pub(super) type Put = (Vec<u8>, Option<Vec<u8>>);

/// Which rows of a kind are in which page. A page has all rows from its first key up to the next page's.
pub(super) struct Pages<K> {
    prefix: &'static [u8],
    /// The number of the page that begins with a key.
    starts: BTreeMap<K, u32>,
    /// No page has this number, or a higher one.
    next: u32,
}

/// The rows of a state from a key on, or all, in order.
pub(super) trait Source<K> {
    fn rows_from<'a>(&'a self, from: Option<&K>) -> Box<dyn Iterator<Item = (K, Row)> + 'a>;
}

impl<K: Ord + Clone> Pages<K> {
    pub(super) fn new(prefix: &'static [u8]) -> Self {
        Pages { prefix, starts: BTreeMap::new(), next: 0 }
    }

    pub(super) fn prefix(&self) -> &'static [u8] {
        self.prefix
    }

    /// Notes a page that the store has.
    pub(super) fn note(&mut self, key: &[u8], first: K) {
        let number = key.strip_prefix(self.prefix).and_then(|number| number.try_into().ok());
        let number = u32::from_be_bytes(number.unwrap_or_default());
        self.next = self.next.max(number.saturating_add(1));
        self.starts.insert(first, number);
    }

    /// The pages of rows that changed, as they are now.
    pub(super) fn rewrite(&mut self, changed: &BTreeSet<K>, source: &impl Source<K>, puts: &mut Vec<Put>) {
        let pages: BTreeSet<Option<K>> = changed.iter().map(|key| self.start_of(key)).collect();
        for start in pages {
            let number = start.and_then(|start| Some((self.starts.remove(&start)?, start)));
            let (number, start) = number.map_or((None, None), |(number, start)| (Some(number), Some(start)));
            // Below the first page there is nothing, so it begins wherever its first row does.
            let from = start.as_ref().filter(|start| self.starts.range(..*start).next_back().is_some());
            let next = start.as_ref().and_then(|start| self.starts.range(start..).next());
            let next = next.map(|(next, _)| next.clone());
            let rows = source.rows_from(from);
            let rows = rows.take_while(|(key, _)| next.as_ref().is_none_or(|next| key < next));
            let rows: Vec<(K, Row)> = rows.collect();
            // What is added in order leaves full pages behind; what is added between, half full ones.
            let parts = if next.is_none() { 1 } else { rows.len().div_ceil(PAGE_ROWS_MAX).max(1) };
            let rows_max = rows.len().div_ceil(parts).min(PAGE_ROWS_MAX);
            self.pack(rows.into_iter(), rows_max, number, |put| puts.push(put));
        }
    }

    /// All pages anew, in order.
    pub(super) fn write_all(&mut self, source: &impl Source<K>, put: impl FnMut(Put)) {
        self.starts.clear();
        self.next = 0;
        self.pack(source.rows_from(None), PAGE_ROWS_MAX, None, put);
    }

    /// Packs rows into pages; the first of them takes the number, or gives it back.
    fn pack(
        &mut self,
        rows: impl Iterator<Item = (K, Row)>,
        rows_max: usize,
        mut number: Option<u32>,
        mut put: impl FnMut(Put),
    ) {
        let (mut packer, mut first) = (Packer::default(), None);
        for (key, row) in rows {
            packer.push(row);
            let start = first.get_or_insert(key).clone();
            // A row has at most 24 KiB, and this is far below what a value may have.
            if packer.rows() >= rows_max || packer.bytes() >= PAGE_BYTES {
                put(self.page(start, number.take(), &mut packer));
                first = None;
            }
        }
        match (first, number) {
            (Some(start), number) => put(self.page(start, number, &mut packer)),
            (None, Some(number)) => put((self.key(number), None)),
            (None, None) => {}
        }
    }

    fn page(&mut self, start: K, number: Option<u32>, packer: &mut Packer) -> Put {
        let number = number.unwrap_or_else(|| {
            self.next = self.next.checked_add(1).expect("no store lives to see four thousand million pages");
            self.next - 1
        });
        self.starts.insert(start, number);
        (self.key(number), Some(packer.pack()))
    }

    fn key(&self, number: u32) -> Vec<u8> {
        [self.prefix, &number.to_be_bytes()].concat()
    }

    /// The first key of the page where a key belongs; none where there is no page.
    fn start_of(&self, key: &K) -> Option<K> {
        let before = self.starts.range(..=key).next_back();
        before.or_else(|| self.starts.first_key_value()).map(|(start, _)| start.clone())
    }
}

/// A change of one row writes so many; a few kilobytes.
const PAGE_ROWS_MAX: usize = 32;
/// With one more row and what packing may add it is still below what the store takes.
const PAGE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::packed::unpack;
    use crate::proto::state::v1 as stored;

    #[derive(Default)]
    struct Numbers(BTreeMap<u64, usize>);

    impl Source<u64> for Numbers {
        fn rows_from<'a>(&'a self, from: Option<&u64>) -> Box<dyn Iterator<Item = (u64, Row)> + 'a> {
            let rows = self.0.range(from.copied().unwrap_or_default()..);
            Box::new(rows.map(|(key, length)| (*key, row(*key, *length))))
        }
    }

    fn row(key: u64, length: usize) -> Row {
        Row::Entry(stored::Entry { sid: key.to_string(), note: "n".repeat(length), ..Default::default() })
    }

    /// What the store would have.
    #[derive(Default)]
    struct Store(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Store {
        fn take(&mut self, (key, value): Put) {
            match value {
                Some(value) => {
                    assert!(value.len() < 90 * 1024, "{} bytes", value.len());
                    self.0.insert(key, value);
                }
                None => assert!(self.0.remove(&key).is_some(), "it is there"),
            }
        }

        fn check_has(&self, numbers: &Numbers) {
            let mut found: Vec<(u64, usize)> = Vec::new();
            for page in self.0.values() {
                for row in unpack(page).unwrap() {
                    let Row::Entry(entry) = row.unwrap() else { unreachable!() };
                    found.push((entry.sid.parse().unwrap(), entry.note.len()));
                }
            }
            found.sort_unstable();
            assert_eq!(found, numbers.0.clone().into_iter().collect::<Vec<_>>());
        }
    }

    fn change(
        pages: &mut Pages<u64>,
        numbers: &Numbers,
        store: &mut Store,
        changed: impl Iterator<Item = u64>,
    ) {
        let mut puts = Vec::new();
        pages.rewrite(&changed.collect(), numbers, &mut puts);
        puts.into_iter().for_each(|put| store.take(put));
    }

    #[test]
    fn the_store_has_what_the_state_has() {
        let (mut numbers, mut store, mut pages) = (Numbers::default(), Store::default(), Pages::new(b"t/"));
        for step in 0..400_u64 {
            let keys: Vec<u64> = (0..20).map(|at| (step * 20 + at).wrapping_mul(7_919) % 5_000).collect();
            for key in &keys {
                if (key + step) % 3 == 0 {
                    numbers.0.remove(key);
                } else {
                    numbers.0.insert(*key, (*key % 90) as usize);
                }
            }
            change(&mut pages, &numbers, &mut store, keys.into_iter());
        }
        store.check_has(&numbers);
        let rows = numbers.0.len();
        assert!(store.0.len() < rows / 8, "{} pages for {rows} rows", store.0.len());
        let all: Vec<u64> = numbers.0.keys().copied().collect();
        numbers.0.clear();
        change(&mut pages, &numbers, &mut store, all.into_iter());
        assert!(store.0.is_empty() && pages.starts.is_empty());
    }

    #[test]
    fn large_rows_make_small_pages() {
        let (mut numbers, mut store, mut pages) = (Numbers::default(), Store::default(), Pages::new(b"t/"));
        for key in 0..40 {
            numbers.0.insert(key, 24 * 1024);
            change(&mut pages, &numbers, &mut store, std::iter::once(key));
        }
        store.check_has(&numbers);
        assert!(store.0.len() >= 13, "{} pages", store.0.len());
    }

    #[test]
    fn rows_in_order_fill_their_pages() {
        let (mut numbers, mut store, mut pages) = (Numbers::default(), Store::default(), Pages::new(b"t/"));
        for key in 0..320 {
            numbers.0.insert(key, 5);
            change(&mut pages, &numbers, &mut store, std::iter::once(key));
        }
        assert_eq!(store.0.len(), 10);
        let mut again = Store::default();
        pages.write_all(&numbers, |put| again.take(put));
        again.check_has(&numbers);
        assert_eq!(again.0.len(), 10);
    }

    #[test]
    fn pages_that_were_noted_are_written_again() {
        let (mut numbers, mut store, mut pages) = (Numbers::default(), Store::default(), Pages::new(b"t/"));
        for key in 0..200 {
            numbers.0.insert(key, 1);
        }
        pages.write_all(&numbers, |put| store.take(put));
        let mut known = Pages::new(b"t/");
        for (start, number) in &pages.starts {
            known.note(&pages.key(*number), *start);
        }
        numbers.0.insert(100, 9);
        numbers.0.remove(&0);
        for key in 300..400 {
            numbers.0.insert(key, 1);
        }
        change(&mut known, &numbers, &mut store, [0, 100].into_iter().chain(300..400));
        store.check_has(&numbers);
    }
}
