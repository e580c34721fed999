//! A quick first look: where a long text might hold one of some patterns.
//!
//! A pattern that stands somewhere in a text covers one of the text's places, if these are no further apart than the
//! shortest pattern is long. So it is enough to look at those, and to ask whether some pattern has these very bytes in it.

use zeroize::Zeroize;

/// Bytes that are looked at in one place.
const LOOK: usize = 8;

/// Places that are looked at before something hangs on it: a processor that guesses wrongly loses more than two looks.
const AT_ONCE: usize = 4;

/// Words of the table: 4 KiB.
const WORDS: usize = 512;

/// The bytes that stand in some patterns, by their digests. Wiped when dropped.
pub struct Sieve {
    table: Box<[u64; WORDS]>,
    stride: usize,
}

impl Drop for Sieve {
    fn drop(&mut self) {
        self.table.zeroize();
    }
}

impl Sieve {
    /// For these patterns; `None` if one of them is so short that the places would overlap.
    pub fn of(patterns: &[Vec<u8>]) -> Option<Self> {
        let shortest = patterns.iter().map(Vec::len).min()?;
        let stride = (shortest + 1).checked_sub(LOOK).filter(|stride| *stride >= LOOK)?;
        let mut table = Box::new([0; WORDS]);
        // A pattern begins less than a stride before the first place that it covers.
        for seen in patterns.iter().flat_map(|pattern| (0..stride).filter_map(|from| pattern[from..].first_chunk())) {
            let Digest { word, bits: [one, other] } = Digest::of(*seen);
            table[word] |= 1 << one | 1 << other;
        }
        Some(Self { table, stride })
    }

    /// The first place where something of a pattern may stand: one that stands in `text` begins less than
    /// [`Sieve::stride`] bytes before this place, or behind it. `None`: there is none.
    pub fn first(&self, text: &[u8]) -> Option<usize> {
        let stride = self.stride;
        let mut at = 0;
        while let Some(piece) = text.get(at..at + (AT_ONCE - 1) * stride + LOOK) {
            let place = |nth: usize| &piece[nth * stride..];
            let perhaps = (0..AT_ONCE).fold(0, |perhaps, nth| perhaps | self.half_a_look(place(nth)));
            if perhaps != 0
                && let Some(nth) = (0..AT_ONCE).position(|nth| self.has(place(nth)))
            {
                return Some(at + nth * stride);
            }
            at += AT_ONCE * stride;
        }
        (at..text.len()).step_by(stride).find(|at| self.has(&text[*at..]))
    }

    /// Bytes from one place to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Whether `text` may begin with bytes of a pattern.
    fn has(&self, text: &[u8]) -> bool {
        text.first_chunk().is_some_and(|seen| {
            let Digest { word, bits: [one, other] } = Digest::of(*seen);
            self.table[word] >> one & self.table[word] >> other & 1 != 0
        })
    }

    /// The same by one of the two bits: 1 if it may.
    fn half_a_look(&self, text: &[u8]) -> u64 {
        text.first_chunk().map_or(0, |seen| {
            let Digest { word, bits: [one, _] } = Digest::of(*seen);
            self.table[word] >> one & 1
        })
    }
}

/// Where some bytes stand in the table.
struct Digest {
    word: usize,
    /// Of that word; either may be set by others too.
    bits: [u64; 2],
}

impl Digest {
    #[allow(clippy::cast_possible_truncation, reason = "nine bits")]
    const fn of(seen: [u8; LOOK]) -> Self {
        // Each of the upper bits of a product hangs on all bits of what was multiplied.
        let product = u64::from_le_bytes(seen).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { word: (product >> 55) as usize % WORDS, bits: [product >> 49 & 63, product >> 43 & 63] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_stands_in_a_text_is_seen(
            patterns in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 15..90), 1..9),
            which: usize, before in proptest::collection::vec(any::<u8>(), 0..300), after in "[ -~]{0,99}"
        ) {
            let sieve = Sieve::of(&patterns).expect("they are long enough");
            let pattern = &patterns[which % patterns.len()];
            let text = [&before, pattern, after.as_bytes()].concat();
            // What is seen before it is looked at, and the next look begins behind.
            let mut from = 0;
            let mut places = std::iter::from_fn(|| {
                let at = from + sieve.first(text.get(from..)?)?;
                from = at + sieve.stride();
                Some(at)
            });
            prop_assert!(places.any(|at| (before.len()..before.len() + sieve.stride()).contains(&at)));
        }
    }

    #[test]
    fn most_of_a_text_is_passed_over() {
        let pattern = b"0123456789abcdefGHIJKLMNOPQRSTUV".to_vec();
        let sieve = Sieve::of(&[pattern]).expect("it is long enough");
        assert_eq!(sieve.first("a text that says nothing. ".repeat(999).as_bytes()), None);
        assert!(Sieve::of(&[b"14 bytes of it".to_vec()]).is_none());
        assert!(Sieve::of(&[]).is_none());
    }
}
