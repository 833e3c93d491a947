//! The segment log: the spool that servers use. How it lies on the disk and why nothing is lost: docs/queue.md.
//!
//! Callers encode records; a thread writes them in batches ([`writer`]); a thread keeps house ([`keeper`]); a thread syncs
//! large bodies ([`bodies`]). They share the catalog of what is where ([`catalog`]). All file operations go through
//! [`Disk`].

mod bodies;
mod catalog;
mod collect;
mod commit;
mod core;
mod digest;
mod event;
mod fuzz;
mod keeper;
mod read;
mod readonly;
mod record;
mod recover;
mod scan;
mod segment;
mod set_aside;
mod slots;
mod space;
mod spool;
mod writer;

pub use event::Event;
pub use fuzz::fuzz_segment;
pub use readonly::ReadonlySpool;

use self::core::{Core, State};
use crate::SpoolError;
use crate::disk::{Access, Disk, RealDisk};
use record::PAGE_SIZE;
use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The smallest segment, for disks that are nearly full.
const SEGMENT_SIZE_MIN: u64 = 64 * 1024;
/// A message's STATE records are made one when there are so many.
const CHAIN_MAX: usize = 16;

/// How a log is kept. Sizes are in octets.
#[derive(Clone)]
pub struct Options {
    /// Of a segment, where the disk has room for sixteen of them; else less.
    pub segment_size: u64,
    /// A larger body gets a file of its own.
    pub inline_max: usize,
    /// What fresh messages may take of memory, from their commit until whoever got them announced lets go.
    pub fresh_max: usize,
    /// What drafts may hold in memory before new ones go to files early.
    pub draft_memory_max: usize,
    /// How long recorded progress waits for something to ride along with; below [`crate::RIDE_ALONG`].
    pub ride_along: Duration,
    /// A full segment of which less than this is alive (percent) is emptied …
    pub collect_below: u64,
    /// … when it has been full for so long: much of it may still die by itself.
    pub collect_after: Duration,
    /// `enable_long_queue_ids`.
    pub long_queue_ids: bool,
    /// Is told what an administrator should know. Called from the spool's threads.
    pub on_event: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_size: 64 << 20,
            inline_max: 256 << 10,
            fresh_max: 32 << 20,
            draft_memory_max: 64 << 20,
            ride_along: Duration::from_millis(50),
            collect_below: 25,
            collect_after: Duration::from_secs(60),
            long_queue_ids: false,
            on_event: Arc::new(|_| {}),
        }
    }
}

/// The size that a new segment should have now.
fn segment_capacity(disk: &dyn Disk, options: &Options) -> u64 {
    let share = disk.free_space().unwrap_or(0) / 16;
    let share = if share < SEGMENT_SIZE_MIN { SEGMENT_SIZE_MIN } else { 1 << share.ilog2() };
    share.min(options.segment_size).next_multiple_of(PAGE_SIZE)
}

/// A spool in a folder of its own. Dropping it makes everything recorded durable first.
pub struct SegmentSpool {
    core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl SegmentSpool {
    /// Opens the spool in `folder`, or begins one. [`SpoolError::Locked`] if a server or a tool has it.
    ///
    /// Takes messages at once; those that are there are read meanwhile.
    pub fn open(folder: impl Into<PathBuf>, options: Options) -> Result<SegmentSpool, SpoolError> {
        SegmentSpool::open_on(Arc::new(RealDisk::new(folder)), options)
    }

    /// As [`SegmentSpool::open`], on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, mut options: Options) -> Result<SegmentSpool, SpoolError> {
        let lock = make_folders(&*disk).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => SpoolError::Locked,
            _ => SpoolError::from_io(error),
        })?;
        let survey = recover::survey(&*disk, Access::ReadWrite)?;
        options.inline_max = options.inline_max.min(segment_capacity(&*disk, &options) as usize / 4);
        let core = Arc::new(Core::new(disk, options, survey.next));
        core.lock().catalog.note_number(survey.last_number);
        let (writer, keeper) = (writer::Writer::new(core.clone()), keeper::Keeper::new(core.clone()));
        let bodies = core.clone();
        let threads = vec![
            spawn("spool-bodies", move || bodies::run(&bodies)),
            spawn("spool-writer", move || writer.run()),
            spawn("spool-keeper", move || keeper.run(survey)),
        ];
        Ok(SegmentSpool { core, threads, _lock: lock })
    }

    /// Blocks until the messages that were there at the start are known.
    pub fn wait_until_indexed(&self) {
        drop(self.core.wait_until_indexed(self.core.lock()));
    }
}

/// Folders and the lock.
fn make_folders(disk: &dyn Disk) -> io::Result<Box<dyn Any + Send + Sync>> {
    disk.create_folder("")?;
    let lock = disk.lock("lock")?;
    for folder in [segment::FOLDER, bodies::FOLDER, set_aside::FOLDER] {
        disk.create_folder(folder)?;
    }
    disk.sync_folder("")?;
    Ok(lock)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let run = move || {
        let bomb = AbortOnPanic;
        run();
        std::mem::forget(bomb);
    };
    std::thread::Builder::new().name(name.into()).spawn(run).expect("the system has a thread for the spool")
}

/// A spool that lost one of its threads could only hang. A new process recovers from the disk.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Drop for SegmentSpool {
    fn drop(&mut self) {
        self.core.bodies.lock().unwrap_or_else(PoisonError::into_inner).is_closing = true;
        self.core.bodies_wake.notify_one();
        // In this order, because each hands over to the next.
        let closing: [fn(&mut State); 3] =
            [|_| {}, |state| state.is_closing = true, |state| state.is_keeper_closing = true];
        for (thread, close) in self.threads.drain(..).zip(closing) {
            close(&mut self.core.lock());
            self.core.writer_wake.notify_one();
            self.core.keeper_wake.notify_one();
            // A panic there has ended the process.
            let _ = thread.join();
        }
        self.core.indexed.notify_all();
    }
}
