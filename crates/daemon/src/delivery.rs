//! A delivery process: how the parent tells it what it is for, and its beginning.
//!
//! Its standard input is a socket with one message, the charter: the task, the socket of the worker, both configuration files.
//! What it does then is the room `deliver`'s.

use crate::ipc::{self, IpcError};
use deliver::process::{Ending, Task, prepare, serve};
use instance::Instance;
use nix::sys::signal::SigSet;
use nix::unistd::{geteuid, setgroups};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The exit status of a process that was asked for what the configuration does not have.
pub const REFUSED: u8 = 77;

/// What a process is told.
pub struct Charter {
    task: Task,
    socket: UnixStream,
    main_cf: OwnedFd,
    master_cf: OwnedFd,
}

/// Why a process did not come to its work.
#[derive(Debug)]
pub enum NotBegun {
    Charter(IpcError),
    Io(io::Error),
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotBegun::Charter(e) => write!(f, "charter: {e}"),
            NotBegun::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for NotBegun {}

impl From<io::Error> for NotBegun {
    fn from(e: io::Error) -> NotBegun {
        NotBegun::Io(e)
    }
}

/// Writes a charter into a socket from which the process will read it.
pub fn charter(
    socket: impl AsFd,
    task: &Task,
    worker: BorrowedFd<'_>,
    [main_cf, master_cf]: [BorrowedFd<'_>; 2],
) -> nix::Result<()> {
    sys::descriptors::send(socket, &task.encode(), &[worker, main_cf, master_cf])
}

impl Charter {
    /// Reads it.
    pub fn take(socket: impl AsFd) -> Result<Charter, NotBegun> {
        let (message, descriptors) = ipc::receive(socket).map_err(NotBegun::Charter)?;
        let task = Task::decode(&message).map_err(|bad| NotBegun::Charter(bad.into()))?;
        let [worker, main_cf, master_cf] = <[OwnedFd; 3]>::try_from(descriptors)
            .map_err(|_| NotBegun::Charter(sys::fields::BadMessage("descriptors are missing").into()))?;
        Ok(Charter { task, socket: worker.into(), main_cf, master_cf })
    }

    /// Does what there is to do. As root at first: `deliver` gives that away before it listens to the worker.
    pub fn fulfil(self, config_directory: &str) -> Result<Ending, NotBegun> {
        if geteuid().is_root() {
            setgroups(&[]).map_err(io::Error::from)?;
        }
        let (main_cf, master_cf) =
            (ipc::read_memory_file(self.main_cf)?, ipc::read_memory_file(self.master_cf)?);
        let instance = Instance::from_text(config_directory, self.task.program(), main_cf, master_cf);
        let prepared = prepare(&self.task, &instance.view);
        Ok(serve(prepared, self.socket))
    }
}

/// The process's whole life. Gives its exit status.
pub(crate) fn run(config_directory: &str) -> u8 {
    // The parent takes its signals as events; commands are to die of them.
    let signals = SigSet::empty().thread_set_mask().map_err(|e| NotBegun::Io(e.into()));
    let begun = signals.and_then(|()| Charter::take(io::stdin()));
    let ending = begun.and_then(|charter| charter.fulfil(config_directory));
    match ending {
        Ok(Ending::Over) => 0,
        Ok(Ending::Refused(_)) => REFUSED,
        Ok(Ending::Broken(_)) | Err(_) => 1,
    }
}
