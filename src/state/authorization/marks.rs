//! Says of nearly all SIDs that a set has not got them, in a few nanoseconds: a Bloom filter with four
//! bits a SID, all in one word.

use crate::principal::Sid;
use std::sync::Arc;

/// Which SIDs a set may have. Clones share what they have in common.
#[derive(Clone, Default)]
pub(super) struct Marks {
    blocks: Arc<Vec<Arc<Block>>>,
    /// How many SIDs were noted; those that were removed since count, too.
    noted: usize,
}

type Block = [u64; BLOCK_WORDS];

impl Marks {
    /// An empty set with room for twice as many SIDs.
    pub(super) fn with_room_for(sids: usize) -> Self {
        let blocks = (2 * sids).div_ceil(BLOCK_SIDS).max(1);
        let empty = Arc::new([0; BLOCK_WORDS]);
        Marks { blocks: Arc::new((0..blocks).map(|_| empty.clone()).collect()), noted: 0 }
    }

    /// Whether the set may have a SID; where it says no, it has not.
    pub(super) fn may_have(&self, sid: &Sid) -> bool {
        let (block, word, bits) = self.place(sid);
        let word = self.blocks.get(block).and_then(|block| block.get(word));
        word.is_some_and(|word| word & bits == bits)
    }

    /// Notes a SID. False when there is no room: the set has to be made anew.
    pub(super) fn note(&mut self, sid: &Sid) -> bool {
        if self.may_have(sid) {
            return true;
        }
        if self.noted >= self.blocks.len() * BLOCK_SIDS {
            return false;
        }
        let (block, word, bits) = self.place(sid);
        let block = Arc::make_mut(&mut self.blocks).get_mut(block);
        match block.and_then(|block| Arc::make_mut(block).get_mut(word)) {
            Some(word) => *word |= bits,
            None => return false,
        }
        self.noted += 1;
        true
    }

    fn place(&self, sid: &Sid) -> (usize, usize, u64) {
        let mark = sid.mark();
        let words = self.blocks.len() * BLOCK_WORDS;
        // The upper bits choose the word, the lower ones the bits in it.
        let word = usize::try_from(((mark >> 32) * words as u64) >> 32).unwrap_or(usize::MAX);
        let bits = [0, 6, 12, 18].map(|from| 1 << (mark >> from & 63));
        (word / BLOCK_WORDS, word % BLOCK_WORDS, bits.into_iter().fold(0, |bits, bit: u64| bits | bit))
    }
}

/// What a change copies: 4 KiB.
const BLOCK_WORDS: usize = 512;
/// With 16 bits a SID one in two hundred others seems to be there.
const BLOCK_SIDS: usize = BLOCK_WORDS * 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(domain: u32, rid: u32) -> Sid {
        Sid::new(5, &[21, 1_004_336_348, domain, 682_003_330, rid]).unwrap()
    }

    #[test]
    fn misses_none_and_knows_most_others() {
        let mut marks = Marks::with_room_for(10_000);
        for rid in 0..20_000 {
            assert!(marks.note(&sid(rid % 3, rid)));
        }
        assert!((0..20_000).all(|rid| marks.may_have(&sid(rid % 3, rid))));
        let wrong = (20_000..40_000).filter(|rid| marks.may_have(&sid(rid % 3, *rid))).count();
        assert!(wrong < 20_000 / 100, "{wrong} of 20,000");
    }

    #[test]
    fn says_when_it_is_full_and_is_empty_at_first() {
        assert!(!Marks::default().may_have(&sid(0, 0)) && !Marks::default().note(&sid(0, 0)));
        let mut marks = Marks::with_room_for(1);
        assert!((0..100_000).any(|rid| !marks.note(&sid(0, rid))));
    }
}
