//! A map in the order of its keys whose clones share what they have in common: a change copies one page
//! and the list of pages, whatever the size of the map.

use std::fmt;
use std::sync::Arc;

/// An ordered map that is cheap to clone and cheap to change while clones are about.
pub struct Sorted<K, V> {
    pages: Arc<Vec<Page<K, V>>>,
    len: usize,
}

/// Neighbours; never empty.
struct Page<K, V> {
    /// The first key, to find the page without a look into it.
    first: K,
    rows: Arc<Rows<K, V>>,
}

/// The rows of a page. Every page takes the same room, whatever is in it: each change lets one go and
/// makes another, which fits where an earlier one was. Pages that grew a little each time left a heap of
/// holes, larger than the map itself.
struct Rows<K, V>(Vec<(K, V)>);

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let page = self.pages.get(self.page_of(key)?)?;
        let at = page.rows.find(key).ok()?;
        page.rows.0.get(at).map(|(_, value)| value)
    }

    /// Whether there is such a key.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The keys with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.pages.iter().flat_map(|page| page.rows.0.iter()).map(|(key, value)| (key, value))
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The keys from one on, or all, with their values, in order.
    pub fn iter_from<'a>(&'a self, from: Option<&K>) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let page = from.and_then(|from| self.page_of(from)).unwrap_or(0);
        let later = self.pages.get(page..).unwrap_or_default();
        let skipped = match (from, later.first()) {
            (Some(from), Some(page)) => page.rows.0.partition_point(|(key, _)| key < from),
            _ => 0,
        };
        let rows = later.iter().flat_map(|page| page.rows.0.iter());
        rows.skip(skipped).map(|(key, value)| (key, value))
    }

    /// The first key, with its value.
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// Sets the value of a key; the value it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(at) = self.page_of(&key).or_else(|| (!self.pages.is_empty()).then_some(0)) else {
            self.pages =
                Arc::new(vec![Page { first: key.clone(), rows: Arc::new(Rows::of([(key, value)])) }]);
            self.len = 1;
            return None;
        };
        let pages = Arc::make_mut(&mut self.pages);
        let is_last = at + 1 == pages.len();
        let page = pages.get_mut(at).expect("a key's page is one of them");
        let rows = Arc::make_mut(&mut page.rows);
        let found = rows.find(&key);
        let rows = &mut rows.0;
        let place = match found {
            Ok(place) => {
                let row = rows.get_mut(place).expect("it was found there");
                return Some(std::mem::replace(&mut row.1, value));
            }
            Err(place) => place,
        };
        if place == 0 {
            page.first = key.clone();
        }
        rows.insert(place, (key, value));
        self.len += 1;
        if rows.len() > PAGE_ROWS_MAX {
            // What is added in order leaves full pages behind.
            let appended = is_last && place + 1 == rows.len();
            let right = Rows::of(rows.drain(if appended { place } else { rows.len() / 2 }..));
            let first = right.0.first().expect("a page of more than one row was split").0.clone();
            pages.insert(at + 1, Page { first, rows: Arc::new(right) });
        }
        None
    }

    /// Takes a key out; the value it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.page_of(key)?;
        let place = self.pages.get(at)?.rows.find(key).ok()?;
        let pages = Arc::make_mut(&mut self.pages);
        let page = pages.get_mut(at)?;
        let rows = &mut Arc::make_mut(&mut page.rows).0;
        let (_, value) = rows.remove(place);
        self.len -= 1;
        match rows.first() {
            Some((first, _)) => page.first.clone_from(first),
            None => {
                pages.remove(at);
                return Some(value);
            }
        }
        self.join(at);
        at.checked_sub(1).into_iter().for_each(|before| self.join(before));
        Some(value)
    }

    /// Two small neighbours become one page.
    fn join(&mut self, at: usize) {
        let pages = Arc::make_mut(&mut self.pages);
        let rows = |at: usize| pages.get(at).map_or(PAGE_ROWS_MAX, |page| page.rows.0.len());
        if rows(at) + rows(at + 1) > PAGE_ROWS_MAX / 2 {
            return;
        }
        let right = pages.remove(at + 1);
        if let Some(left) = pages.get_mut(at) {
            Arc::make_mut(&mut left.rows).0.extend(right.rows.0.iter().cloned());
        }
    }

    /// The page that has the key if any has.
    fn page_of(&self, key: &K) -> Option<usize> {
        self.pages.partition_point(|page| page.first <= *key).checked_sub(1)
    }
}

impl<K: Ord, V> Rows<K, V> {
    fn of(rows: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut all = Vec::with_capacity(PAGE_ROWS_MAX + 1);
        all.extend(rows);
        Rows(all)
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }
}

impl<K: Ord + Clone, V: Clone> Clone for Rows<K, V> {
    fn clone(&self) -> Self {
        Rows::of(self.0.iter().cloned())
    }
}

impl<K, V> Clone for Sorted<K, V> {
    fn clone(&self) -> Self {
        Sorted { pages: self.pages.clone(), len: self.len }
    }
}

impl<K: Clone, V> Clone for Page<K, V> {
    fn clone(&self) -> Self {
        Page { first: self.first.clone(), rows: self.rows.clone() }
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Sorted { pages: Arc::default(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Sorted<K, V> {}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What a change copies: a page, and the list of pages, which with a million rows has 8,000 or more.
const PAGE_ROWS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Keys in an order that looks random and is always the same.
    fn scattered(count: u64) -> impl Iterator<Item = u64> {
        (1..=count).map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
    }

    fn check_same(sorted: &Sorted<u64, u64>, map: &BTreeMap<u64, u64>) {
        assert_eq!(sorted.len(), map.len());
        assert!(sorted.iter().eq(map.iter()));
        assert!(sorted.pages.iter().all(|page| page.rows.0.first().is_some_and(|row| row.0 == page.first)));
        assert!(sorted.pages.iter().all(|page| page.rows.0.len() <= PAGE_ROWS_MAX));
        assert!(sorted.pages.iter().all(|page| page.rows.0.capacity() == PAGE_ROWS_MAX + 1));
    }

    #[test]
    fn does_what_an_ordered_map_does() {
        let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
        for key in scattered(20_000) {
            assert_eq!(sorted.insert(key, key + 1), map.insert(key, key + 1));
        }
        check_same(&sorted, &map);
        for key in scattered(30_000).skip(5_000).step_by(2) {
            assert_eq!(sorted.get(&key), map.get(&key));
            assert_eq!(sorted.remove(&key), map.remove(&key));
        }
        check_same(&sorted, &map);
        for from in scattered(50) {
            assert!(sorted.iter_from(Some(&from)).eq(map.range(from..)), "from {from}");
        }
        assert!(sorted.iter_from(None).eq(map.iter()));
        for key in scattered(20_000) {
            sorted.remove(&key);
        }
        assert!(sorted.is_empty() && sorted.pages.is_empty() && sorted.first().is_none());
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut sorted: Sorted<u64, u64> = Sorted::default();
        for key in 0..5_000 {
            sorted.insert(key, key);
        }
        let before = sorted.clone();
        for key in (0..5_000).step_by(3) {
            sorted.remove(&key);
        }
        sorted.insert(1, 7);
        assert_eq!(before.len(), 5_000);
        assert!(before.iter().all(|(key, value)| key == value));
    }

    #[test]
    fn a_change_shares_all_pages_but_one() {
        let mut sorted: Sorted<u64, u64> = Sorted::default();
        for key in 0..100_000 {
            sorted.insert(key, key);
        }
        let before = sorted.clone();
        sorted.insert(50_000, 0);
        let shared = |(left, right): (&Page<_, _>, &Page<_, _>)| Arc::ptr_eq(&left.rows, &right.rows);
        let copied = before.pages.iter().zip(sorted.pages.iter()).filter(|pages| !shared(*pages)).count();
        assert_eq!(copied, 1);
    }

    #[test]
    fn what_is_added_in_order_fills_its_pages_and_what_goes_away_takes_them_along() {
        let mut sorted: Sorted<u64, u64> = Sorted::default();
        for key in 0..100_000 {
            sorted.insert(key, key);
        }
        assert_eq!(sorted.pages.len(), 100_000_usize.div_ceil(PAGE_ROWS_MAX));
        for key in (0..100_000).filter(|key| key % 100 != 0) {
            sorted.remove(&key);
        }
        let pages_max = 4 * 1_000_usize.div_ceil(PAGE_ROWS_MAX);
        assert!(sorted.pages.len() <= pages_max, "{} pages for 1,000 rows", sorted.pages.len());
    }
}
