//! Where entries live in memory: slots in blocks of fixed size, found by serial number.
//!
//! A standard map would cost half as much again for each of a million messages, and twice that while it grows.

/// Entries in one block. Blocks never move, so growing copies nothing.
const BLOCK_SIZE: usize = 1024;

/// What is kept in slots.
pub(crate) trait Keyed {
    fn key(&self) -> u64;
}

/// Entries by key.
pub(crate) struct Slots<T> {
    blocks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    table: Table,
}

impl<T: Keyed> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { blocks: Vec::new(), free: Vec::new(), table: Table::new() }
    }

    /// Adds an entry whose key is not there yet.
    pub(crate) fn insert(&mut self, entry: T) {
        let slot = self.free.pop().unwrap_or_else(|| self.add_slot());
        let key = entry.key();
        *self.slot_mut(slot) = Some(entry);
        if self.table.is_crowded() {
            self.grow_table();
        }
        self.table.insert(key, slot);
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let place = self.place_of(key)?;
        let slot = self.table.at(place)?;
        let blocks = &self.blocks;
        self.table.remove(place, |slot| entry_at(blocks, slot).map_or(0, T::key));
        self.free.push(slot);
        self.slot_mut(slot).take()
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let slot = self.table.at(self.place_of(key)?)?;
        self.slot_mut(slot).as_mut()
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let slot = self.table.at(self.place_of(key)?)?;
        entry_at(&self.blocks, slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.used
    }

    /// The entries of one block; None behind the last block. For walks that give others a turn between blocks.
    pub(crate) fn block(&self, n: usize) -> Option<impl Iterator<Item = &T>> {
        self.blocks.get(n).map(|block| block.iter().flatten())
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = T> {
        self.blocks.into_iter().flatten().flatten()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten().flatten()
    }

    fn add_slot(&mut self) -> u32 {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK_SIZE) {
            // The first block starts small: most spools hold few messages.
            let capacity = if self.blocks.is_empty() { 0 } else { BLOCK_SIZE };
            self.blocks.push(Vec::with_capacity(capacity));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        block.push(None);
        (number * BLOCK_SIZE + block.len() - 1) as u32
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Option<T> {
        &mut self.blocks[slot as usize / BLOCK_SIZE][slot as usize % BLOCK_SIZE]
    }

    fn place_of(&self, key: u64) -> Option<usize> {
        self.table.find(key, |slot| entry_at(&self.blocks, slot).is_some_and(|entry| entry.key() == key))
    }

    fn grow_table(&mut self) {
        let mut table = Table::with_places(self.table.places.len() * 2);
        for (n, block) in self.blocks.iter().enumerate() {
            for (m, entry) in block.iter().enumerate() {
                // The one being inserted has its slot but no place yet; its key comes next.
                let slot = (n * BLOCK_SIZE + m) as u32;
                if let Some(entry) = entry
                    && self.place_of(entry.key()).is_some()
                {
                    table.insert(entry.key(), slot);
                }
            }
        }
        self.table = table;
    }
}

fn entry_at<T>(blocks: &[Vec<Option<T>>], slot: u32) -> Option<&T> {
    blocks[slot as usize / BLOCK_SIZE][slot as usize % BLOCK_SIZE].as_ref()
}

/// Slot numbers by hash: open addressing, linear probing, at most 7/8 full.
struct Table {
    /// Slot number + 1; 0 if the place is free. The length is a power of two.
    places: Vec<u32>,
    used: usize,
}

impl Table {
    fn new() -> Table {
        Table::with_places(16)
    }

    fn with_places(count: usize) -> Table {
        Table { places: vec![0; count], used: 0 }
    }

    fn is_crowded(&self) -> bool {
        (self.used + 1) * 8 > self.places.len() * 7
    }

    fn at(&self, place: usize) -> Option<u32> {
        self.places[place].checked_sub(1)
    }

    fn insert(&mut self, key: u64, slot: u32) {
        let mut place = self.home(key);
        while self.places[place] != 0 {
            place = self.next(place);
        }
        self.places[place] = slot + 1;
        self.used += 1;
    }

    fn find(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut place = self.home(key);
        while let Some(slot) = self.at(place) {
            if is_it(slot) {
                return Some(place);
            }
            place = self.next(place);
        }
        None
    }

    /// Empties a place and moves those behind it that would no longer be found.
    fn remove(&mut self, mut hole: usize, key_of: impl Fn(u32) -> u64) {
        self.used -= 1;
        let mut place = hole;
        loop {
            self.places[hole] = 0;
            loop {
                place = self.next(place);
                let Some(slot) = self.at(place) else { return };
                let mask = self.places.len() - 1;
                let home = self.home(key_of(slot));
                // Whether it stands at least as far from its home as from the hole.
                if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                    break;
                }
            }
            self.places[hole] = self.places[place];
            hole = place;
        }
    }

    fn home(&self, key: u64) -> usize {
        // Fibonacci hashing: serial numbers follow each other.
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (self.places.len() - 1)
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq)]
    struct Pair(u64, u32);

    impl Keyed for Pair {
        fn key(&self) -> u64 {
            self.0
        }
    }

    proptest! {
        #[test]
        fn is_a_map(steps in proptest::collection::vec((any::<bool>(), 0..300u64, any::<u32>()), 0..2000)) {
            let mut model = BTreeMap::new();
            let mut slots = Slots::new();
            for (is_insert, key, value) in steps {
                // Keys that collide: a stride that the table's mask hides.
                let key = key << 32 | key;
                if is_insert && !model.contains_key(&key) {
                    model.insert(key, value);
                    slots.insert(Pair(key, value));
                } else {
                    prop_assert_eq!(slots.remove(key), model.remove(&key).map(|value| Pair(key, value)));
                }
                prop_assert_eq!(slots.len(), model.len());
            }
            let all: BTreeMap<u64, u32> = slots.iter().map(|pair| (pair.0, pair.1)).collect();
            prop_assert_eq!(&all, &model);
            for key in (0..300u64).map(|key| key << 32 | key) {
                prop_assert_eq!(slots.get(key).map(|pair| pair.1), model.get(&key).copied());
            }
        }
    }

    #[test]
    fn many() {
        let mut slots = Slots::new();
        for key in 0..100_000 {
            slots.insert(Pair(key, 0));
        }
        for key in (0..100_000).filter(|key| key % 3 != 0) {
            assert!(slots.remove(key).is_some());
        }
        assert!((0..100_000).all(|key| slots.get(key).is_some() == (key % 3 == 0)));
        let mut walked = 0;
        for n in 0.. {
            let Some(block) = slots.block(n) else { break };
            walked += block.count();
        }
        assert_eq!(walked, slots.len());
    }
}
