//! A generational slab: a stale key finds nothing instead of a stranger.

/// Names one entry of one [`Slab`], for as long as that entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlabKey {
    index: u32,
    generation: u32,
}

impl SlabKey {
    /// The key as one number, for the kernel to carry; [`SlabKey::from_bits`] reads it back.
    #[must_use]
    pub fn bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that [`SlabKey::bits`] made this number of; of any other number, a key that finds nothing of its slab or
    /// what happens to be there.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        Self {
            index: u32::from_be_bytes([e, f, g, h]),
            generation: u32::from_be_bytes([a, b, c, d]),
        }
    }
}

/// Storage with stable keys and a fixed bound.
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { entries: Vec::new(), free: Vec::new(), capacity }
    }

    /// Stores `value`, or gives it back when the slab is full.
    ///
    /// # Errors
    /// The value itself, when `capacity` entries live.
    pub fn insert(&mut self, value: T) -> Result<SlabKey, T> {
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.entries.get_mut(index as usize)
        {
            entry.value = Some(value);
            return Ok(SlabKey { index, generation: entry.generation });
        }
        let Ok(index) = u32::try_from(self.entries.len()) else { return Err(value) };
        if self.entries.len() >= self.capacity {
            return Err(value);
        }
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Ok(SlabKey { index, generation: 0 })
    }

    /// The entry named by `key`, if it still lives.
    #[must_use]
    pub fn find(&self, key: SlabKey) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    /// The entry named by `key`, if it still lives.
    #[must_use]
    pub fn find_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the entry out; its key is dead from here on.
    pub fn remove(&mut self, key: SlabKey) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// How many entries live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there is no room for another entry.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Whether no entry lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All living entries, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (SlabKey, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let index = u32::try_from(index).ok()?;
            let key = SlabKey { index, generation: entry.generation };
            entry.value.as_ref().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new(1);
        let first = slab.insert("first").unwrap();
        assert!(slab.is_full());
        assert_eq!(slab.insert("no room"), Err("no room"));
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second").unwrap();
        assert_eq!(SlabKey::from_bits(second.bits()), second);
        assert_ne!(first.bits(), second.bits());
        assert_eq!(slab.find(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.find(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }
}
