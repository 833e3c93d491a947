//! Objects by small number, and doubly linked lists through them.
//!
//! The scheduler's objects point at each other in circles and leave lists from their middle; numbers do that without
//! reference counting, and a freed number is used again.

use std::ops::{Index, IndexMut};

/// Names an object of one slab while it lives.
pub(crate) type Key = u32;

/// No object.
pub(crate) const NONE: Key = Key::MAX;

pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<Key>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(key) = self.free.pop() {
            self.slots[key as usize] = Some(value);
            return key;
        }
        self.slots.push(Some(value));
        (self.slots.len() - 1) as Key
    }

    pub(crate) fn remove(&mut self, key: Key) -> T {
        let value = self.slots[key as usize].take().expect("a key is removed once");
        self.free.push(key);
        value
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(key, slot)| Some((key as Key, slot.as_ref()?)))
    }
}

impl<T> Index<Key> for Slab<T> {
    type Output = T;
    fn index(&self, key: Key) -> &T {
        self.get(key).expect("keys are kept only while their object lives")
    }
}

impl<T> IndexMut<Key> for Slab<T> {
    fn index_mut(&mut self, key: Key) -> &mut T {
        self.get_mut(key).expect("keys are kept only while their object lives")
    }
}

/// An object's place in one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) prev: Key,
    pub(crate) next: Key,
}

impl Default for Links {
    fn default() -> Links {
        Links { prev: NONE, next: NONE }
    }
}

/// A list of objects of one slab. `links` says which of an object's places belongs to it.
pub(crate) struct List<T> {
    pub(crate) head: Key,
    tail: Key,
    len: usize,
    links: fn(&mut T) -> &mut Links,
}

impl<T> List<T> {
    pub(crate) fn new(links: fn(&mut T) -> &mut Links) -> List<T> {
        List { head: NONE, tail: NONE, len: 0, links }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn tail(&self) -> Key {
        self.tail
    }

    pub(crate) fn push_back(&mut self, slab: &mut Slab<T>, key: Key) {
        self.insert_before(slab, key, NONE);
    }

    /// Puts `key` in front of `next`; at the end if that is NONE.
    pub(crate) fn insert_before(&mut self, slab: &mut Slab<T>, key: Key, next: Key) {
        self.len += 1;
        let prev = if next == NONE { self.tail } else { (self.links)(&mut slab[next]).prev };
        *(self.links)(&mut slab[key]) = Links { prev, next };
        match prev {
            NONE => self.head = key,
            _ => (self.links)(&mut slab[prev]).next = key,
        }
        match next {
            NONE => self.tail = key,
            _ => (self.links)(&mut slab[next]).prev = key,
        }
    }

    pub(crate) fn remove(&mut self, slab: &mut Slab<T>, key: Key) {
        self.len -= 1;
        let Links { prev, next } = std::mem::take((self.links)(&mut slab[key]));
        match prev {
            NONE => self.head = next,
            _ => (self.links)(&mut slab[prev]).next = next,
        }
        match next {
            NONE => self.tail = prev,
            _ => (self.links)(&mut slab[next]).prev = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        name: char,
        links: Links,
    }

    fn text(list: &List<Node>, slab: &Slab<Node>) -> String {
        let mut out = String::new();
        let mut at = list.head;
        while at != NONE {
            out.push(slab[at].name);
            at = slab[at].links.next;
        }
        out
    }

    #[test]
    fn a_list_keeps_its_order() {
        let mut slab = Slab::new();
        let mut list = List::new(|n: &mut Node| &mut n.links);
        let keys: Vec<Key> =
            "abcd".chars().map(|name| slab.insert(Node { name, links: Links::default() })).collect();
        keys[..3].iter().for_each(|key| list.push_back(&mut slab, *key));
        list.insert_before(&mut slab, keys[3], keys[1]);
        assert_eq!(text(&list, &slab), "adbc");
        for (gone, expect) in [(keys[0], "dbc"), (keys[1], "dc"), (keys[2], "d"), (keys[3], "")] {
            list.remove(&mut slab, gone);
            assert_eq!(text(&list, &slab), expect);
        }
        assert!(list.is_empty() && list.tail() == NONE);
    }

    #[test]
    fn a_freed_number_is_used_again() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert(1), slab.insert(2));
        assert_eq!(slab.remove(a), 1);
        assert_eq!((slab.get(a), slab.len()), (None, 1));
        assert_eq!(slab.insert(3), a);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(a, &3), (b, &2)]);
    }
}
