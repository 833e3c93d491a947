//! Room: what drafts may reserve of the disk, and what fresh messages may take of memory.

use super::bodies;
use super::core::Core;
use crate::disk::Disk;
use crate::{Backing, Overflow, SpoolError};
use mail::QueueId;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old our knowledge of the disk's free space may be.
const STALE_AFTER: Duration = Duration::from_millis(100);

/// The disk's room.
pub(crate) struct Space {
    /// What drafts have reserved.
    reserved: AtomicU64,
    /// What the segment that is being filled can take.
    segment_room: AtomicU64,
    /// What the spares can take, above what is kept so that the queue can drain.
    spare_room: AtomicU64,
    /// What is kept free for new segments.
    margin: AtomicU64,
    /// The file system's free space, and when we asked.
    free: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    pub(crate) fn new() -> Space {
        Space {
            reserved: AtomicU64::new(0),
            segment_room: AtomicU64::new(0),
            spare_room: AtomicU64::new(0),
            margin: AtomicU64::new(0),
            free: Mutex::new(None),
        }
    }

    pub(crate) fn reserve(&self, disk: &dyn Disk, octets: u64) -> Result<(), SpoolError> {
        let reserved = self.reserved.fetch_add(octets, Relaxed) + octets;
        let needed = reserved.saturating_add(self.margin.load(Relaxed));
        let log_room = self.segment_room.load(Relaxed) + self.spare_room.load(Relaxed);
        let has_room = |free: u64| free.saturating_add(log_room) >= needed;
        // Before refusing, ask again: what was full a moment ago may have room now.
        if has_room(self.free(disk, STALE_AFTER)) || has_room(self.free(disk, Duration::ZERO)) {
            return Ok(());
        }
        self.release(octets);
        Err(SpoolError::NoSpace)
    }

    pub(crate) fn release(&self, octets: u64) {
        self.reserved.fetch_sub(octets, Relaxed);
    }

    pub(crate) fn set_segment_room(&self, octets: u64) {
        self.segment_room.store(octets, Relaxed);
    }

    pub(crate) fn set_spare_room(&self, octets: u64) {
        self.spare_room.store(octets, Relaxed);
    }

    pub(crate) fn set_margin(&self, octets: u64) {
        self.margin.store(octets, Relaxed);
    }

    /// The file system's free space, known for at most so long. 0 if it cannot be told.
    fn free(&self, disk: &dyn Disk, age: Duration) -> u64 {
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *known {
            Some((at, free)) if now.duration_since(at) < age => free,
            _ => {
                let free = disk.free_space().unwrap_or(0);
                *known = Some((now, free));
                free
            }
        }
    }
}

/// The memory that all drafts' buffers may take before new ones go to files early, and what a draft may take then.
const SCARCE_MEMORY_MAX: usize = 16 * 1024;

/// What a draft gets from the spool.
pub(crate) struct DraftRoom {
    core: Arc<Core>,
    /// Memory that is counted for this draft.
    memory: AtomicUsize,
}

impl DraftRoom {
    pub(crate) fn new(core: Arc<Core>) -> DraftRoom {
        core.open_drafts.fetch_add(1, Relaxed);
        DraftRoom { core, memory: AtomicUsize::new(0) }
    }
}

impl Backing for DraftRoom {
    fn reserve(&self, octets: u64) -> Result<(), SpoolError> {
        self.core.space.reserve(&*self.core.disk, octets)
    }

    fn release(&self, octets: u64) {
        self.core.space.release(octets);
    }

    fn memory_max(&self, buffered: usize) -> usize {
        let before = self.memory.swap(buffered, Relaxed);
        let all = &self.core.draft_memory;
        let total = all.fetch_add(buffered, Relaxed).wrapping_add(buffered).wrapping_sub(before);
        all.fetch_sub(before, Relaxed);
        if total > self.core.options.draft_memory_max {
            SCARCE_MEMORY_MAX
        } else {
            self.core.options.inline_max
        }
    }

    fn overflow(&self, id: QueueId) -> Result<Box<dyn Overflow>, SpoolError> {
        let serial = id.serial().ok_or(SpoolError::Unknown(id))?;
        Ok(Box::new(bodies::Body::create(self.core.disk.clone(), serial)?))
    }
}

impl Drop for DraftRoom {
    fn drop(&mut self) {
        self.core.draft_memory.fetch_sub(self.memory.load(Relaxed), Relaxed);
        self.core.open_drafts.fetch_sub(1, Relaxed);
    }
}

/// Memory for fresh messages.
pub(crate) struct FreshRoom {
    used: AtomicUsize,
    max: usize,
}

/// What a fresh message has of it.
pub(crate) struct FreshShare {
    room: Arc<FreshRoom>,
    octets: usize,
}

impl FreshRoom {
    pub(crate) fn new(max: usize) -> Arc<FreshRoom> {
        Arc::new(FreshRoom { used: AtomicUsize::new(0), max })
    }

    pub(crate) fn take(self: &Arc<Self>, octets: usize) -> Option<FreshShare> {
        let used = self.used.fetch_add(octets, Relaxed) + octets;
        let share = FreshShare { room: self.clone(), octets };
        if used <= self.max { Some(share) } else { None }
    }
}

impl Drop for FreshShare {
    fn drop(&mut self) {
        self.room.used.fetch_sub(self.octets, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_room_is_bounded_and_comes_back() {
        let room = FreshRoom::new(100);
        let first = room.take(60);
        assert!(first.is_some());
        assert!(room.take(60).is_none());
        assert!(room.take(40).is_some());
        drop(first);
        assert!(room.take(100).is_some());
    }
}
