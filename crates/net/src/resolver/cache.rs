//! Answers that may be given again for a while. Postfix has no such cache, so nothing is kept longer than a small cap.

use super::Lookup;
use mail::dns::Kind;
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much is kept, and how long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Cap on the time to live that servers give. Zero switches the cache off.
    pub ttl: Duration,
    /// Lookups kept, at most.
    pub entries: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { ttl: Duration::from_secs(30), entries: 20_000 }
    }
}

/// Two generations: entries go to the young one; when that holds half of what may be kept, the old one is forgotten and
/// the young one becomes old. What is asked for often moves back to the young one. No entry is ever searched for to evict.
pub(super) struct Cache {
    limits: CacheLimits,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Lower case.
    name: Box<str>,
    kind: Kind,
    dnssec: bool,
}

struct Entry {
    lookup: Lookup,
    until: Instant,
}

impl Key {
    pub(super) fn new(name: &str, kind: Kind, dnssec: bool) -> Key {
        Key { name: name.to_ascii_lowercase().into(), kind, dnssec }
    }
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Cache {
        Cache { limits, generations: Mutex::default() }
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Lookup> {
        if self.limits.ttl.is_zero() {
            return None;
        }
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = generations.young.get(key) {
            return (entry.until > now).then(|| entry.lookup.clone());
        }
        let (key, entry) = generations.old.remove_entry(key)?;
        let lookup = (entry.until > now).then(|| entry.lookup.clone())?;
        self.insert(&mut generations, key, entry);
        Some(lookup)
    }

    /// Keeps a lookup for `ttl` or the cap, whichever is less.
    pub(super) fn put(&self, key: Key, lookup: &Lookup, ttl: Duration, now: Instant) {
        let ttl = ttl.min(self.limits.ttl);
        if !ttl.is_zero() {
            let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            self.insert(&mut generations, key, Entry { lookup: lookup.clone(), until: now + ttl });
        }
    }

    fn insert(&self, generations: &mut Generations, key: Key, entry: Entry) {
        if generations.young.len() >= (self.limits.entries / 2).max(1) {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::dns::Failure;

    fn lookup(name: &str) -> Lookup {
        Lookup { outcome: Err(Failure::NoData), name: name.to_string(), notes: Vec::new() }
    }

    fn key(name: &str) -> Key {
        Key::new(name, Kind::A, false)
    }

    #[test]
    fn entries_live_as_long_as_they_may() {
        let cache = Cache::new(CacheLimits { ttl: Duration::from_secs(30), entries: 10 });
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        cache.put(key("A.example"), &lookup("a"), Duration::from_secs(5), start);
        cache.put(key("b.example"), &lookup("b"), Duration::from_secs(500), start);
        cache.put(key("c.example"), &lookup("c"), Duration::ZERO, start);
        for (name, secs, expect) in [
            ("a.example", 4, true),
            ("a.EXAMPLE", 4, true),
            ("a.example", 5, false),
            ("b.example", 29, true),
            ("b.example", 30, false),
            ("c.example", 0, false),
            ("d.example", 0, false),
        ] {
            assert_eq!(cache.get(&key(name), at(secs)).is_some(), expect, "{name} at {secs}");
        }
        assert!(cache.get(&Key::new("b.example", Kind::Mx, false), start).is_none());
        assert!(cache.get(&Key::new("b.example", Kind::A, true), start).is_none());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let cache = Cache::new(CacheLimits { ttl: Duration::from_secs(30), entries: 10 });
        let now = Instant::now();
        for n in 0..1000 {
            cache.put(key(&n.to_string()), &lookup(""), Duration::from_secs(30), now);
            assert!(cache.get(&key("0"), now).is_some(), "after {n}");
            let generations = cache.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert!(cache.get(&key("1"), now).is_none());
    }

    #[test]
    fn it_can_be_off() {
        let cache = Cache::new(CacheLimits { ttl: Duration::ZERO, entries: 10 });
        let now = Instant::now();
        cache.put(key("a"), &lookup("a"), Duration::from_secs(30), now);
        assert!(cache.get(&key("a"), now).is_none());
    }
}
