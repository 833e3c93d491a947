//! Starting the worker and the delivery processes: this same program in another role.

use super::settings::Owner;
use crate::{delivery, ipc, roles};
use deliver::process::Task;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The running program, whatever became of its file since it was started.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A worker and the two sockets to it.
pub(crate) struct Worker {
    pub child: Child,
    pub orders: OwnedFd,
    pub requests: OwnedFd,
}

impl Worker {
    /// Starts a worker as `mail_owner`, to write in these folders only. It has no descriptors but its sockets and this
    /// process's output.
    pub(crate) fn start(
        owner: Option<Owner>,
        config_directory: &str,
        folders: [&Path; 2],
    ) -> io::Result<Worker> {
        let (orders, their_orders) = ipc::pair()?;
        let (requests, their_requests) = ipc::pair()?;
        let mut command = Command::new(THIS_PROGRAM);
        command
            .arg0("oxipost-worker")
            .arg(roles::WORKER)
            .arg(config_directory)
            .args(folders)
            .stdin(Stdio::from(their_orders));
        if let Some(owner) = owner {
            // The uid makes the standard library drop all supplementary groups as well.
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        let child = command.spawn()?;
        sys::descriptors::send(&orders, roles::HELLO, &[their_requests.as_fd()])?;
        Ok(Worker { child, orders, requests })
    }
}

/// Starts a delivery process, and gives the worker's end of the socket to it.
///
/// It begins with this process's rights: only so can it look up what only root may see, and take its owner's.
pub(crate) fn start_delivery_process(
    task: &Task,
    config_directory: &str,
    files: [BorrowedFd<'_>; 2],
) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let (writer, reader) = ipc::pair()?;
    // It waits in the socket until the process is there.
    delivery::charter(&writer, task, theirs.as_fd(), files)?;
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0("oxipost-delivery").arg(roles::DELIVERY).arg(config_directory);
    let child = command.stdin(Stdio::from(reader)).stdout(Stdio::null()).spawn()?;
    Ok((child, ours.into()))
}
