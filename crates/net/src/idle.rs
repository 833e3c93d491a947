//! Connections kept open for the next message to the same destination.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Idle connections by destination. The one that came last is taken first, so that those too many grow old and go.
///
/// A connection that is evicted is dropped, which closes it.
pub struct IdleCache<K, C> {
    limits: IdleLimits,
    shelf: Mutex<Shelf<K, C>>,
    changed: Notify,
}

/// What bounds the cache.
#[derive(Clone, Copy, Debug)]
pub struct IdleLimits {
    /// How long a connection stays unused: `smtp_connection_cache_time_limit`.
    pub idle_time: Duration,
    /// How long a connection is used from its start on: `smtp_connection_reuse_time_limit`.
    pub reuse_time: Duration,
    /// How often a connection is used: `smtp_connection_reuse_count_limit`; 0 is no limit.
    pub reuse_count: u32,
    /// Connections kept in all. The one that is idle longest makes room.
    pub connections: usize,
}

/// A connection with its history.
#[derive(Debug, PartialEq, Eq)]
pub struct Reusable<C> {
    pub connection: C,
    /// Messages, or attempts, that went over it.
    pub uses: u32,
    pub opened: Instant,
}

struct Shelf<K, C> {
    by_key: HashMap<K, Vec<Kept<C>>>,
    /// In the order they came, which is the order in which they expire: a key and a ticket. Tickets of connections that
    /// were taken meanwhile are passed over.
    order: VecDeque<(K, u64, Instant)>,
    count: usize,
    next_ticket: u64,
}

struct Kept<C> {
    ticket: u64,
    reusable: Reusable<C>,
}

impl<C> Reusable<C> {
    /// A connection that has been used once.
    pub fn new(connection: C) -> Reusable<C> {
        Reusable { connection, uses: 1, opened: Instant::now() }
    }
}

impl<K: Clone + Eq + Hash, C> IdleCache<K, C> {
    pub fn new(limits: IdleLimits) -> IdleCache<K, C> {
        let shelf = Shelf { by_key: HashMap::new(), order: VecDeque::new(), count: 0, next_ticket: 0 };
        IdleCache { limits, shelf: Mutex::new(shelf), changed: Notify::new() }
    }

    /// Keeps a connection. It is given back if it may not be used again, so that one can take leave of it.
    pub fn put(&self, key: K, reusable: Reusable<C>) -> Result<(), C> {
        let IdleLimits { idle_time, reuse_time, reuse_count, connections } = self.limits;
        let is_worn =
            reuse_count != 0 && reusable.uses >= reuse_count || reusable.opened.elapsed() >= reuse_time;
        if is_worn || idle_time.is_zero() || connections == 0 {
            return Err(reusable.connection);
        }
        let evicted = self.shelf().add(key, reusable, Instant::now() + idle_time, connections);
        drop(evicted);
        self.changed.notify_one();
        Ok(())
    }

    /// The youngest connection to a destination. Whoever takes it checks that the peer has not closed it.
    pub fn take(&self, key: &K) -> Option<Reusable<C>> {
        let reusable = self.shelf().take(key, Instant::now())?;
        Some(Reusable { uses: reusable.uses + 1, ..reusable })
    }

    pub fn len(&self) -> usize {
        self.shelf().count
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes what has been idle too long, for ever. To be run as a task of the cache's owner.
    pub async fn expire(&self) {
        loop {
            let (expired, next) = self.shelf().expire(Instant::now());
            drop(expired);
            match next {
                Some(next) => sleep_until(next).await,
                None => self.changed.notified().await,
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K, C>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, C> Shelf<K, C> {
    /// Returns what had to make room.
    fn add(&mut self, key: K, reusable: Reusable<C>, until: Instant, limit: usize) -> Option<C> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.order.push_back((key.clone(), ticket, until));
        self.by_key.entry(key).or_default().push(Kept { ticket, reusable });
        self.count += 1;
        // taken connections leave their tickets behind: no more of them than of others
        if self.order.len() > 2 * limit {
            let by_key = &self.by_key;
            self.order.retain(|(key, ticket, _)| {
                by_key.get(key).is_some_and(|kept| kept.iter().any(|kept| kept.ticket == *ticket))
            });
        }
        if self.count > limit { self.remove_oldest() } else { None }
    }

    fn take(&mut self, key: &K, now: Instant) -> Option<Reusable<C>> {
        let (expired, _) = self.expire(now);
        drop(expired);
        let kept = self.by_key.get_mut(key)?.pop()?;
        self.forget_if_empty(key);
        self.count -= 1;
        Some(kept.reusable)
    }

    fn expire(&mut self, now: Instant) -> (Vec<C>, Option<Instant>) {
        let mut expired = Vec::new();
        while self.order.front().is_some_and(|(_, _, until)| *until <= now) {
            expired.extend(self.remove_front());
        }
        (expired, self.order.front().map(|(_, _, until)| *until))
    }

    fn remove_oldest(&mut self) -> Option<C> {
        while !self.order.is_empty() {
            if let Some(connection) = self.remove_front() {
                return Some(connection);
            }
        }
        None
    }

    /// None if the first ticket's connection was taken.
    fn remove_front(&mut self) -> Option<C> {
        let (key, ticket, _) = self.order.pop_front()?;
        let list = self.by_key.get_mut(&key)?;
        let at = list.iter().position(|kept| kept.ticket == ticket)?;
        let kept = list.remove(at);
        self.forget_if_empty(&key);
        self.count -= 1;
        Some(kept.reusable.connection)
    }

    fn forget_if_empty(&mut self, key: &K) {
        if self.by_key.get(key).is_some_and(Vec::is_empty) {
            self.by_key.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn cache(connections: usize) -> IdleCache<&'static str, Arc<u32>> {
        IdleCache::new(IdleLimits {
            idle_time: Duration::from_secs(2),
            reuse_time: Duration::from_secs(300),
            reuse_count: 3,
            connections,
        })
    }

    fn number(n: u32) -> Reusable<Arc<u32>> {
        Reusable::new(Arc::new(n))
    }

    fn taken(cache: &IdleCache<&'static str, Arc<u32>>, key: &'static str) -> Option<u32> {
        cache.take(&key).map(|reusable| *reusable.connection)
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_in_is_the_first_out() {
        let cache = cache(10);
        for n in 1..=3 {
            cache.put("a", number(n)).unwrap();
        }
        cache.put("b", number(9)).unwrap();
        assert_eq!([taken(&cache, "a"), taken(&cache, "c")], [Some(3), None]);
        assert_eq!([taken(&cache, "a"), taken(&cache, "a"), taken(&cache, "a")], [Some(2), Some(1), None]);
        assert_eq!(cache.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room() {
        let cache = cache(2);
        let first = Arc::new(1);
        cache.put("a", Reusable::new(first.clone())).unwrap();
        cache.put("b", number(2)).unwrap();
        cache.put("a", number(3)).unwrap();
        assert_eq!(Arc::strong_count(&first), 1, "it was dropped");
        assert_eq!((taken(&cache, "a"), taken(&cache, "a"), taken(&cache, "b")), (Some(3), None, Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_ones_are_closed_in_time() {
        let cache = Arc::new(cache(10));
        let first = Arc::new(1);
        let task = tokio::spawn({
            let cache = cache.clone();
            async move { cache.expire().await }
        });
        cache.put("a", Reusable::new(first.clone())).unwrap();
        tokio::time::sleep(Duration::from_millis(1900)).await;
        assert_eq!(Arc::strong_count(&first), 2);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((Arc::strong_count(&first), cache.len()), (1, 0));
        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn worn_ones_are_given_back() {
        let cache = cache(10);
        cache.put("a", number(1)).unwrap();
        let second = cache.take(&"a").unwrap();
        assert_eq!(second.uses, 2);
        cache.put("a", second).unwrap();
        let third = cache.take(&"a").unwrap();
        assert_eq!(cache.put("a", third), Err(Arc::new(1)));

        let old = number(2);
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(cache.put("a", old), Err(Arc::new(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_small_whatever_is_done() {
        let cache = cache(4);
        for n in 0..1000 {
            cache.put("a", number(n)).unwrap();
            if n % 3 == 0 {
                assert_eq!(taken(&cache, "a"), Some(n));
            }
            let shelf = cache.shelf();
            assert!(shelf.count <= 4 && shelf.order.len() <= 9, "{} {}", shelf.count, shelf.order.len());
            assert_eq!(shelf.count, shelf.by_key.values().map(Vec::len).sum::<usize>());
        }
    }
}
