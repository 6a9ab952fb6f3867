//! What the load consists of, and whether it arrived: numbered messages, each with content that only its own number
//! makes, and the books of one stream of them.
//!
//! A message is checked byte by byte, so a router that loses, doubles, reorders, changes or misdirects one in a
//! million is found out. The checker knows nothing of tunnels.

use std::ops::Range;

/// The smallest content: its own header and nothing to fill.
pub const CONTENT_MIN: usize = HEADER_SIZE;

/// Salt 16, stream 4, zero 4, number 8, time of sending 8, check word 8.
const HEADER_SIZE: usize = 48;
const SALT_SIZE: usize = 16;
/// Numbers that the books are kept for at most: a bit each, so 64 MiB for one stream.
const NUMBERS_MAX: u64 = 1 << 29;

/// Names a message: the `number`-th of `stream`, sent `sent_micros` after the clock's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the stream, that is, of the tunnel.
    pub stream: u32,
    /// Place in the stream, from 0.
    pub number: u64,
    /// When it was sent, in microseconds.
    pub sent_micros: u64,
}

/// Writes the content of the message named by `stamp` over all of `out`. `seed` is that of the run.
///
/// The first 16 bytes look random and never repeat, so that they serve as the IV of a tunnel message.
pub fn write_content(seed: u64, stamp: Stamp, out: &mut [u8]) {
    debug_assert!(out.len() >= CONTENT_MIN, "{} bytes", out.len());
    let mut words = Words::new(seed, stamp);
    let fields = [
        words.next(),
        words.next(),
        u64::from(stamp.stream),
        stamp.number,
        stamp.sent_micros,
        check_word(seed, stamp),
    ];
    let mut chunks = out.chunks_mut(8);
    for (field, chunk) in fields.into_iter().zip(chunks.by_ref()) {
        put(chunk, field);
    }
    for chunk in chunks {
        put(chunk, words.next());
    }
}

/// Reads back what [`write_content`] has written; `None` when a single bit differs.
#[must_use]
pub fn read_content(seed: u64, content: &[u8]) -> Option<Stamp> {
    let header = content.first_chunk::<HEADER_SIZE>()?;
    let (_, fields) = header.split_at(SALT_SIZE);
    let mut fields = fields.chunks_exact(8).map(word);
    let stream = u32::try_from(fields.next()?).ok()?;
    let stamp = Stamp { stream, number: fields.next()?, sent_micros: fields.next()? };
    if fields.next()? != check_word(seed, stamp) {
        return None;
    }
    let mut words = Words::new(seed, stamp);
    let mut chunks = content.chunks(8);
    for chunk in chunks.by_ref().take(SALT_SIZE / 8) {
        if word(chunk) != words.next() {
            return None;
        }
    }
    for chunk in chunks.skip((HEADER_SIZE - SALT_SIZE) / 8) {
        let expected = words.next().to_le_bytes();
        if !expected.starts_with(chunk) {
            return None;
        }
    }
    Some(stamp)
}

fn put(chunk: &mut [u8], word: u64) {
    for (to, from) in chunk.iter_mut().zip(word.to_le_bytes()) {
        *to = from;
    }
}

fn word(chunk: &[u8]) -> u64 {
    chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Covers what the filler does not: the time.
fn check_word(seed: u64, stamp: Stamp) -> u64 {
    mix(seed ^ mix(stamp.sent_micros ^ mix(stamp.number ^ mix(u64::from(stamp.stream)))))
}

/// A stream of words that follows from seed, stream and number (splitmix64).
struct Words(u64);

impl Words {
    fn new(seed: u64, stamp: Stamp) -> Self {
        Self(mix(seed ^ mix(u64::from(stamp.stream) << 40 ^ stamp.number)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The first of its number, and none of a higher number came before.
    InOrder,
    /// The first of its number, but one of a higher number came before.
    Reordered,
    /// Its number came before.
    Duplicate,
    /// Of a number that was never sent in this stream: of another run, or made up.
    NeverSent,
}

/// The books of one stream: which of its numbers have been sent, which have come.
#[derive(Debug, Default)]
pub struct StreamBook {
    sent: u64,
    highest: Option<u64>,
    /// One bit for each number that has come.
    seen: Vec<u64>,
    distinct: u64,
}

impl StreamBook {
    /// Books of a stream that nothing has been sent in.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next number to send; `None` once a stream is full, after 2^29.
    pub fn next_number(&mut self) -> Option<u64> {
        let number = self.sent;
        if number >= NUMBERS_MAX {
            return None;
        }
        self.sent += 1;
        Some(number)
    }

    /// How many have been sent: the next number.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many different numbers have come.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Enters a message that has come.
    #[must_use]
    pub fn enter(&mut self, number: u64) -> Finding {
        if number >= self.sent {
            return Finding::NeverSent;
        }
        let (index, bit) = place(number);
        if self.seen.len() <= index {
            self.seen.resize(index + 1, 0);
        }
        let Some(word) = self.seen.get_mut(index) else { return Finding::NeverSent };
        if *word & bit != 0 {
            return Finding::Duplicate;
        }
        *word |= bit;
        self.distinct += 1;
        let ordered = self.highest.is_none_or(|highest| number > highest);
        self.highest = self.highest.max(Some(number));
        if ordered { Finding::InOrder } else { Finding::Reordered }
    }

    /// How many of these numbers have not come.
    #[must_use]
    pub fn missing(&self, numbers: Range<u64>) -> u64 {
        let missing = numbers.filter(|number| {
            let (index, bit) = place(*number);
            self.seen.get(index).is_none_or(|word| word & bit == 0)
        });
        u64::try_from(missing.count()).unwrap_or(u64::MAX)
    }
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

/// Sums over what came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Right messages, each number once.
    pub delivered: u64,
    /// Of these, those that came after one with a higher number.
    pub reordered: u64,
    /// Messages whose number came before.
    pub duplicates: u64,
    /// Messages whose content, layers or fragments are not what was sent.
    pub corrupt: u64,
    /// Right messages at the wrong end, or of a number never sent.
    pub misdelivered: u64,
}

impl Tally {
    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        match finding {
            Finding::InOrder => self.delivered += 1,
            Finding::Reordered => {
                self.delivered += 1;
                self.reordered += 1;
            }
            Finding::Duplicate => self.duplicates += 1,
            Finding::NeverSent => self.misdelivered += 1,
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            delivered: self.delivered + other.delivered,
            reordered: self.reordered + other.reordered,
            duplicates: self.duplicates + other.duplicates,
            corrupt: self.corrupt + other.corrupt,
            misdelivered: self.misdelivered + other.misdelivered,
        }
    }

    /// What has been added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            delivered: self.delivered.saturating_sub(earlier.delivered),
            reordered: self.reordered.saturating_sub(earlier.reordered),
            duplicates: self.duplicates.saturating_sub(earlier.duplicates),
            corrupt: self.corrupt.saturating_sub(earlier.corrupt),
            misdelivered: self.misdelivered.saturating_sub(earlier.misdelivered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { stream: 7, number: 99, sent_micros: 123_456 };

    fn content(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        write_content(5, STAMP, &mut bytes);
        bytes
    }

    #[test]
    fn content_comes_back_at_every_length() {
        for length in [48, 49, 55, 56, 940, 1024] {
            assert_eq!(read_content(5, &content(length)), Some(STAMP), "{length}");
        }
        for length in 0..48 {
            assert_eq!(read_content(5, &content(48)[..length]), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = content(205);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_content(5, &bad), None, "bit {bit}");
        }
    }

    #[test]
    fn content_of_another_run_is_no_content() {
        assert_eq!(read_content(6, &content(100)), None);
    }

    #[test]
    fn salts_do_not_repeat() {
        let salt = |stream, number| {
            let mut bytes = [0; 64];
            write_content(5, Stamp { stream, number, sent_micros: 0 }, &mut bytes);
            bytes[..16].to_vec()
        };
        let salts: std::collections::BTreeSet<_> =
            (0..100).flat_map(|stream| (0..100).map(move |n| salt(stream, n))).collect();
        assert_eq!(salts.len(), 10_000);
    }

    fn book(sent: u64) -> StreamBook {
        let mut book = StreamBook::new();
        for number in 0..sent {
            assert_eq!(book.next_number(), Some(number));
        }
        book
    }

    #[test]
    fn one_lost_in_a_thousand_is_missing() {
        let mut book = book(1000);
        for number in (0..1000).filter(|number| *number != 500) {
            assert_eq!(book.enter(number), Finding::InOrder);
        }
        assert_eq!(book.missing(0..1000), 1);
        assert_eq!(book.missing(0..500), 0);
        assert_eq!((book.sent(), book.distinct()), (1000, 999));
    }

    #[test]
    fn a_doubled_message_counts_once() {
        let mut book = book(3);
        let mut tally = Tally::default();
        for number in [0, 1, 1, 2, 0] {
            tally.add(book.enter(number));
        }
        assert_eq!(tally, Tally { delivered: 3, duplicates: 2, ..Tally::default() });
    }

    #[test]
    fn swapped_messages_are_one_reordering() {
        let mut book = book(200);
        let mut tally = Tally::default();
        for number in (0..100).chain([101, 100]).chain(102..200) {
            tally.add(book.enter(number));
        }
        assert_eq!(tally, Tally { delivered: 200, reordered: 1, ..Tally::default() });
    }

    #[test]
    fn a_number_that_was_never_sent_is_not_believed() {
        let mut book = book(10);
        for number in [10, u64::MAX] {
            assert_eq!(book.enter(number), Finding::NeverSent);
        }
        assert_eq!(book.distinct(), 0);
    }

    #[test]
    fn tallies_add_and_subtract() {
        let one = Tally { delivered: 5, reordered: 4, duplicates: 3, corrupt: 2, misdelivered: 1 };
        assert_eq!(one.plus(one).since(one), one);
        assert_eq!(one.since(one), Tally::default());
    }
}
