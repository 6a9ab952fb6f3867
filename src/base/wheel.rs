//! A timer wheel: (deadline, key) in, due keys out, at a cost that does not grow with their number.
//!
//! Seven levels of 256 slots. A slot of the lowest level is one tick of 1.024 ms, a slot of each further level is a whole
//! turn of the level below; together they span all of [`Instant`]. A timer waits in the level where its tick first
//! differs from the current one, and moves down when the wheel reaches its slot, at most once per level: a timer of ten
//! minutes twice. Occupied slots are marked in a bitmap per level, so that idle time is skipped and not ticked through.
//!
//! Nothing is cancelled: who has changed its mind finds its key stale (see `slab.rs`), or its deadline moved, when the
//! key comes out. Slots are lists of chunks out of one store that keeps what it has grown to: no allocation but at a
//! new peak, and one slot is read in sequence, which is what makes it fast when timers are many.

use super::time::Instant;

/// Bits of a level's slot number.
const SLOT_BITS: u32 = 8;
const SLOTS: usize = 1 << SLOT_BITS;
/// Microseconds of a tick, as a power of two.
const TICK_BITS: u32 = 10;
/// Levels that cover every tick of an [`Instant`].
const LEVELS: usize = 7;
/// Timers of one chunk: with an 8-byte key, eight cache lines, which are read in sequence.
const CHUNK_ENTRIES: usize = 31;
/// No chunk.
const NONE: u32 = u32::MAX;

const _: () = assert!(SLOT_BITS as usize * LEVELS >= (u64::BITS - TICK_BITS) as usize);

/// Keys that wait for their deadlines.
///
/// A key comes out at the first asking at or after its deadline rounded up to the tick: never early, and late by less
/// than 1.024 ms beside what the asking itself is late. Keys of earlier ticks come first; the order within a tick is
/// not promised, but the same inputs give the same order.
pub struct Wheel<K> {
    /// The last tick that has been taken out.
    current: u64,
    /// One bit per level that holds timers.
    occupied: u32,
    levels: [Level; LEVELS],
    /// First chunk of what is due.
    due: u32,
    chunks: Vec<Chunk<K>>,
    /// First free chunk.
    free: u32,
    len: usize,
}

#[derive(Clone, Copy)]
struct Level {
    /// One bit per slot that holds timers.
    occupied: [u64; SLOTS / 64],
    /// First chunk of each slot.
    slots: [u32; SLOTS],
}

#[derive(Clone, Copy)]
struct Entry<K> {
    tick: u64,
    key: K,
}

struct Chunk<K> {
    next: u32,
    used: u32,
    entries: [Entry<K>; CHUNK_ENTRIES],
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            current: now.0 >> TICK_BITS,
            occupied: 0,
            levels: [Level { occupied: [0; SLOTS / 64], slots: [NONE; SLOTS] }; LEVELS],
            due: NONE,
            chunks: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Has `key` come out once `deadline` is reached. A deadline that has passed is due at the next asking.
    ///
    /// The same key may wait several times; each comes out. Memory: 17 bytes a timer with an 8-byte key, and one
    /// begun chunk of 504 bytes per occupied slot.
    pub fn insert(&mut self, deadline: Instant, key: K) {
        self.len += 1;
        // The very last tick cannot be rounded up to.
        let tick = deadline.0.div_ceil(1 << TICK_BITS).min(u64::MAX >> TICK_BITS);
        self.place(Entry { tick, key });
    }

    /// The next key whose deadline is at or before `now`; asked again until there is none.
    ///
    /// Time that goes back is taken for no time at all.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let target = now.0 >> TICK_BITS;
        loop {
            if let Some(entry) = self.take_last_due() {
                self.len -= 1;
                return Some(entry.key);
            }
            let Some((level, slot, start)) = self.next_slot() else {
                self.current = self.current.max(target);
                return None;
            };
            if start > target {
                // No occupied slot is passed over, so every timer stays in the level where it belongs.
                self.current = self.current.max(target);
                return None;
            }
            self.current = start;
            self.spill(level, slot);
        }
    }

    /// When to ask next: not after the earliest deadline's tick, but perhaps before it, when the wheel has to turn a
    /// timer down a level: at most six times in the life of a timer, once in that of one below a minute. None when
    /// nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let tick = if self.due == NONE { self.next_slot()?.2 } else { self.current };
        Some(Instant(tick << TICK_BITS))
    }

    /// How many timers wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The occupied slot that is reached first, and the tick at which it begins.
    ///
    /// All that waits in a level is reached before the next turn of that level, so before all that waits above; and
    /// within the level it lies ahead, so the lowest bit is the first.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.trailing_zeros();
        let words = self.levels.get(level as usize)?.occupied;
        let slot = (0u32..).zip(words).find(|(_, word)| *word != 0);
        let slot = slot.map(|(index, word)| index * u64::BITS + word.trailing_zeros())?;
        let shift = SLOT_BITS * level;
        let turn = u64::MAX.checked_shl(shift + SLOT_BITS).unwrap_or(0);
        let start = (self.current & turn) | (u64::from(slot) << shift);
        Some((level as usize, slot as usize, start))
    }

    /// Puts a timer where it belongs as seen from the current tick.
    fn place(&mut self, entry: Entry<K>) {
        if entry.tick <= self.current {
            self.due = self.push(self.due, entry);
            return;
        }
        let level = (63 - (entry.tick ^ self.current).leading_zeros()) / SLOT_BITS;
        let slot = usize::try_from((entry.tick >> (level * SLOT_BITS)) % SLOTS as u64).unwrap_or(0);
        let at = level as usize;
        let head = self.levels.get(at).and_then(|level| level.slots.get(slot)).copied();
        let old = head.unwrap_or(NONE);
        let head = self.push(old, entry);
        if head != old
            && let Some(level) = self.levels.get_mut(at)
            && let (Some(place), Some(word)) =
                (level.slots.get_mut(slot), level.occupied.get_mut(slot / 64))
        {
            *place = head;
            *word |= 1 << (slot % 64);
            self.occupied |= 1 << at;
        }
    }

    /// Empties a slot whose time has come: what is due is due, the rest moves down.
    fn spill(&mut self, level: usize, slot: usize) {
        let Some(emptied) = self.levels.get_mut(level) else { return };
        if let Some(word) = emptied.occupied.get_mut(slot / 64) {
            *word &= !(1 << (slot % 64));
        }
        if emptied.occupied == [0; SLOTS / 64] {
            self.occupied &= !(1 << level);
        }
        let Some(place) = emptied.slots.get_mut(slot) else { return };
        let mut at = std::mem::replace(place, NONE);
        if level == 0 {
            // One tick: due as it stands. A slot is emptied only when nothing else is due.
            self.due = at;
            return;
        }
        while let Some(chunk) = self.chunks.get(at as usize) {
            let (next, used, entries) = (chunk.next, chunk.used as usize, chunk.entries);
            // Its place is free before its timers need new ones, so that the same lines are written.
            self.release(at);
            for entry in entries.iter().take(used) {
                self.place(*entry);
            }
            at = next;
        }
    }

    /// Adds a timer to the list that begins with chunk `head`; the list's new first chunk.
    fn push(&mut self, head: u32, entry: Entry<K>) -> u32 {
        if let Some(chunk) = self.chunks.get_mut(head as usize)
            && let Some(place) = chunk.entries.get_mut(chunk.used as usize)
        {
            *place = entry;
            chunk.used += 1;
            return head;
        }
        let index = self.free;
        if let Some(chunk) = self.chunks.get_mut(index as usize) {
            self.free = chunk.next;
            (chunk.next, chunk.used) = (head, 1);
            if let Some(place) = chunk.entries.first_mut() {
                *place = entry;
            }
            return index;
        }
        let index = u32::try_from(self.chunks.len()).unwrap_or(NONE);
        assert!(index != NONE, "more than 64 thousand million timers");
        self.chunks.push(Chunk { next: head, used: 1, entries: [entry; CHUNK_ENTRIES] });
        index
    }

    fn take_last_due(&mut self) -> Option<Entry<K>> {
        let head = self.due;
        let chunk = self.chunks.get_mut(head as usize)?;
        // A chunk in a list is never empty.
        chunk.used -= 1;
        let entry = chunk.entries.get(chunk.used as usize).copied();
        if chunk.used == 0 {
            self.due = chunk.next;
            self.release(head);
        }
        entry
    }

    fn release(&mut self, index: u32) {
        if let Some(chunk) = self.chunks.get_mut(index as usize) {
            chunk.next = self.free;
            self.free = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// The simplest thing that does the same: keys by tick, in a map.
    #[derive(Default)]
    struct Model {
        waiting: BTreeMap<u64, Vec<u32>>,
        latest: u64,
    }

    impl Model {
        fn insert(&mut self, deadline: Instant, key: u32) {
            self.waiting.entry(deadline.0.div_ceil(1024)).or_default().push(key);
        }

        fn due(&mut self, now: Instant) -> Vec<u32> {
            self.latest = self.latest.max(now.0 / 1024);
            let later = self.waiting.split_off(&(self.latest + 1));
            std::mem::replace(&mut self.waiting, later).into_values().flatten().collect()
        }
    }

    fn drain(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| wheel.pop_due(now)).collect()
    }

    #[test]
    fn keys_come_out_at_their_tick_and_not_before() {
        let start = Instant(7_000_000);
        let mut wheel = Wheel::new(start);
        wheel.insert(start + Duration::from_secs(600), 1);
        wheel.insert(start + Duration::from_millis(3), 2);
        wheel.insert(start - Duration::from_secs(1), 3);
        assert_eq!(drain(&mut wheel, start), [3]);
        assert_eq!(drain(&mut wheel, start + Duration::from_millis(2)), [0; 0]);
        assert_eq!(drain(&mut wheel, start + Duration::from_micros(4_024)), [2]);
        assert_eq!(drain(&mut wheel, start + Duration::from_millis(599_999)), [0; 0]);
        assert_eq!(wheel.len(), 1);
        assert_eq!(drain(&mut wheel, start + Duration::from_micros(600_001_024)), [1]);
        assert!(wheel.is_empty());
        assert_eq!(wheel.deadline(), None);
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut wheel = Wheel::new(Instant(0));
        wheel.insert(Instant(u64::MAX), 1);
        wheel.insert(Instant(0), 2);
        assert_eq!(drain(&mut wheel, Instant(0)), [2]);
        assert!(wheel.deadline().is_some());
        assert_eq!(drain(&mut wheel, Instant(u64::MAX - (1 << 20))), [0; 0]);
        assert_eq!(drain(&mut wheel, Instant(u64::MAX)), [1]);
        let mut late = Wheel::new(Instant(u64::MAX));
        late.insert(Instant(5), 3);
        assert_eq!(drain(&mut late, Instant(5)), [3]);
    }

    #[test]
    fn what_has_grown_is_used_again() {
        let mut wheel = Wheel::new(Instant(0));
        let mut peak = 0;
        for round in 0..20u64 {
            let now = Instant(round * 10_000_000);
            for key in 0..1000u32 {
                wheel.insert(now + Duration::from_millis(u64::from(key) * 9), key);
            }
            assert_eq!(drain(&mut wheel, now + Duration::from_secs(10)).len(), 1000);
            if round == 2 {
                peak = wheel.chunks.len();
            }
        }
        assert!(wheel.chunks.len() <= peak + SLOTS, "{} after {peak}", wheel.chunks.len());
    }

    /// Whoever sleeps until the wheel's own deadline each time misses nothing and is not woken for ever.
    #[test]
    fn sleeping_by_the_deadline_finds_every_key_in_time() {
        let mut wheel = Wheel::new(Instant(12_345));
        for key in 0..500u32 {
            wheel.insert(Instant(u64::from(key).pow(3) * 40), key);
        }
        let (mut found, mut wakes) = (0, 0);
        while let Some(deadline) = wheel.deadline() {
            for key in drain(&mut wheel, deadline) {
                let due = u64::from(key).pow(3) * 40;
                assert!(due <= deadline.0.max(12_345) && due + 1024 + 12_345 > deadline.0, "{key}");
                found += 1;
            }
            wakes += 1;
        }
        assert_eq!(found, 500);
        assert!(wakes < 500 * 5, "{wakes}");
    }

    /// A step back in time among them.
    fn step() -> impl Strategy<Value = (Vec<(i64, u32)>, i64)> {
        let scale = prop_oneof![Just(1_000i64), Just(200_000), Just(1 << 33), Just(1 << 45)];
        let offset = scale.prop_flat_map(|scale| -scale / 8..scale);
        let inserts = proptest::collection::vec((offset.clone(), any::<u32>()), 0..40);
        (inserts, offset)
    }

    proptest! {
        #[test]
        fn it_does_what_a_sorted_map_does(
            start in 0u64..1 << 50,
            steps in proptest::collection::vec(step(), 1..30),
        ) {
            let (mut wheel, mut model) = (Wheel::new(Instant(start)), Model::default());
            model.latest = start / 1024;
            let mut now = start;
            for (inserts, advance) in steps {
                for (offset, key) in inserts {
                    let deadline = Instant(now.saturating_add_signed(offset));
                    wheel.insert(deadline, key);
                    model.insert(deadline, key);
                }
                now = now.saturating_add_signed(advance);
                let expected = model.due(Instant(now));
                if let Some(deadline) = wheel.deadline() {
                    let earliest = model.waiting.keys().next();
                    prop_assert!(
                        !expected.is_empty() || earliest.is_some_and(|tick| deadline.0 >> 10 <= *tick)
                    );
                }
                let mut found = drain(&mut wheel, Instant(now));
                let mut expected = expected;
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(wheel.len(), model.waiting.values().map(Vec::len).sum::<usize>());
            }
        }
    }
}
