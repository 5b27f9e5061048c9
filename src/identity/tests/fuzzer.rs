//! A fuzzer for the tests: mutants of a corpus, of which those that led to something new join it.
//!
//! Without the coverage that a nightly compiler measures, what a target makes of its input stands in for it: the
//! reason of a refusal, or what was read. `RMSC_FUZZ_SECONDS=60 cargo test --release --lib fuzz::` runs every target
//! for that long, and `RMSC_FUZZ_SEED` begins elsewhere.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// SplitMix64: the same numbers in each run.
pub(in crate::identity) struct Numbers(pub(in crate::identity) u64);

impl Numbers {
    pub(in crate::identity) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Gives mutants to a target until the time is over. It asserts what must hold of each, and says what came of it.
#[track_caller]
pub(in crate::identity) fn run(name: &str, corpus: Vec<Vec<u8>>, target: impl Fn(&[u8]) -> String) {
    let setting = |name, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (seconds, seed) = (setting("RMSC_FUZZ_SECONDS", 1), setting("RMSC_FUZZ_SEED", 20_261_121));
    let mut seen: HashSet<String> = corpus.iter().map(|input| target(input)).collect();
    let (mut corpus, mut numbers, mut inputs) = (corpus, Numbers(seed), 0u64);
    let (begun, span) = (Instant::now(), Duration::from_secs(seconds));
    while begun.elapsed() < span {
        let mutant = mutant(&corpus, &mut numbers);
        let shown = Shown(&mutant);
        let outcome = target(&mutant);
        drop(shown);
        inputs += 1;
        if corpus.len() < CORPUS_MAX && !seen.contains(&outcome) {
            seen.insert(outcome);
            corpus.push(mutant);
        }
    }
    println!("{name}: {inputs} inputs, {} outcomes, a corpus of {}", seen.len(), corpus.len());
    assert!(inputs > 100, "{inputs}");
}

/// Shows the input, should a target fail with it.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let bytes: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("failed with: {bytes}");
    }
}

fn mutant(corpus: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = corpus[numbers.below(corpus.len())].clone();
    for _ in 0..1 + numbers.below(4) {
        change(&mut bytes, corpus, numbers);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], numbers: &mut Numbers) {
    // Half of all changes are in front, where the tags and lengths are.
    let within = if numbers.below(2) == 0 { bytes.len().min(200) } else { bytes.len() };
    let at = numbers.below(within);
    let end = (at + 1 + numbers.below(16)).min(bytes.len());
    match numbers.below(10) {
        0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << numbers.below(8)),
        2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = numbers.below(256) as u8),
        3 => {
            bytes.drain(at.min(end)..end);
        }
        4 => bytes.truncate(at),
        5 => {
            let again = bytes[at.min(end)..end].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let number = numbers.one_of(&[0u32, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff]);
            let width = numbers.one_of(&[1, 2, 4]);
            let digits = if numbers.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
            bytes.iter_mut().skip(at).zip(&digits[..width]).for_each(|(byte, digit)| *byte = *digit);
        }
        7 => {
            // A length and what it is about grow or shrink together.
            let by = numbers.below(3);
            let step =
                |byte: &mut u8| *byte = if by == 0 { byte.wrapping_sub(1) } else { byte.wrapping_add(1) };
            bytes.iter_mut().skip(at).take(1).for_each(step);
            if by == 0 && end > at + 1 {
                bytes.remove(end - 1);
            } else if by == 1 {
                bytes.insert(end.max(at), 0);
            }
        }
        8 => {
            // The end of another input.
            let other = &corpus[numbers.below(corpus.len())];
            let from = if numbers.below(2) == 0 { at.min(other.len()) } else { numbers.below(other.len()) };
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        _ => {
            let other = numbers.below(bytes.len());
            if at < bytes.len() {
                bytes.swap(at, other);
            }
        }
    }
}

/// What led to something new is kept, up to here.
const CORPUS_MAX: usize = 2_000;
/// No token is longer.
const INPUT_BYTES_MAX: usize = 48_000;
