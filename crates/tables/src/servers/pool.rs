//! Connections that wait for their next use.
//!
//! A socket answers only on the runtime that it was opened on: a connection is given out there and nowhere else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Id};
use tokio::task::JoinHandle;

/// Idle connections that are kept to one server.
const MAX_KEPT: usize = 16;

/// The idle connections to one server.
pub(super) struct Pool<C> {
    idle: Mutex<Vec<Idle<C>>>,
    max_idle: Duration,
    /// Closes what was idle for too long.
    reaper: Mutex<Option<Reaper>>,
}

struct Idle<C> {
    connection: C,
    runtime: Id,
    since: Instant,
}

struct Reaper {
    runtime: Id,
    task: JoinHandle<()>,
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<C: Send + 'static> Pool<C> {
    pub(super) fn new(max_idle: Duration) -> Arc<Pool<C>> {
        Arc::new(Pool { idle: Mutex::default(), max_idle, reaper: Mutex::default() })
    }

    /// The connection that was used last.
    pub(super) fn take(&self) -> Option<C> {
        let here = Handle::current().id();
        let mut idle = self.idle();
        let at = idle.iter().rposition(|one| one.runtime == here && one.since.elapsed() < self.max_idle)?;
        Some(idle.remove(at).connection)
    }

    pub(super) fn is_empty(&self) -> bool {
        let here = Handle::current().id();
        !self.idle().iter().any(|one| one.runtime == here && one.since.elapsed() < self.max_idle)
    }

    pub(super) fn keep(self: &Arc<Self>, connection: C) {
        let runtime = Handle::current().id();
        {
            let mut idle = self.idle();
            if idle.len() < MAX_KEPT {
                idle.push(Idle { connection, runtime, since: Instant::now() });
            }
        }
        let mut reaper = self.reaper.lock().unwrap_or_else(PoisonError::into_inner);
        if !reaper.as_ref().is_some_and(|one| one.runtime == runtime && !one.task.is_finished()) {
            let task = tokio::spawn(reap(Arc::downgrade(self), self.max_idle));
            *reaper = Some(Reaper { runtime, task });
        }
    }

    /// Closes them all.
    pub(super) fn clear(&self) {
        self.idle().clear();
    }

    /// When the next one has been idle for too long; None: there is none.
    fn close_old(&self) -> Option<Duration> {
        let mut idle = self.idle();
        idle.retain(|one| one.since.elapsed() < self.max_idle);
        idle.iter().map(|one| self.max_idle.saturating_sub(one.since.elapsed())).min()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle<C>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn reap<C: Send + 'static>(pool: Weak<Pool<C>>, first: Duration) {
    let mut wait = Some(first);
    while let Some(time) = wait {
        tokio::time::sleep(time).await;
        wait = pool.upgrade().and_then(|pool| pool.close_old());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn a_connection_stays_on_its_runtime() {
        let pool = Pool::new(Duration::from_secs(60));
        let (one, other) = (runtime(), runtime());
        one.block_on(async {
            pool.keep(1);
            pool.keep(2);
            assert!(!pool.is_empty());
        });
        other.block_on(async {
            assert!(pool.is_empty());
            assert_eq!(pool.take(), None);
        });
        one.block_on(async { assert_eq!((pool.take(), pool.take(), pool.take()), (Some(2), Some(1), None)) });
    }

    #[test]
    fn idle_connections_are_closed() {
        let pool = Pool::new(Duration::from_millis(20));
        let connection = Arc::new(());
        runtime().block_on(async {
            pool.keep(Arc::clone(&connection));
            let deadline = Instant::now() + Duration::from_secs(10);
            while Arc::strong_count(&connection) > 1 {
                assert!(Instant::now() < deadline);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
}
