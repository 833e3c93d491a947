//! Delivery processes: the hands of the mail system. Each has one owner's rights and does for the worker what that owner may
//! do with mail: append it to a mailbox or file, read a `.forward`, run a command.
//!
//! The parent starts one for a [`Task`]. It reads the configuration itself, as root looks up what only root may see, takes its
//! owner's rights for good, and only then listens to the worker ([`serve`]). What the worker asks for is compared with what the
//! process has read: a command, file or list that no alias, `.forward` or parameter names is refused, and ends the process
//! (docs/privileges.md).

mod alias;
pub mod client;
mod documents;
mod files;
mod forward;
mod frame;
mod lookup;
mod pipe;
mod rights;
mod serve;
mod task;
mod user;
mod virtual_mailbox;

pub(crate) use documents::in_home;
pub use forward::ForwardFile;
pub use frame::{Facts, PipeFacts, PipeRecipient, Reply, Request, fuzz_delivery_frames};
pub use rights::Rights;
#[cfg(test)]
pub(crate) use serve::serve_as_is;
pub use serve::{Ending, Servant, serve};
pub use task::{Task, fuzz_task};

use crate::command::Note;
use crate::failure::Failure;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Uid;
use params::View;

/// Readies a process for its task, as root if it was started so. Afterwards it takes the rights and serves.
pub fn prepare(task: &Task, view: &View) -> Prepared {
    let mut notes = Vec::new();
    let result = match task {
        Task::User { service, user } => user::prepare(view, service, user, &mut notes),
        Task::Alias { service, table, name, includes } => {
            let entry = alias::Entry { view, table, name };
            entry.prepare(service, includes, &mut notes)
        }
        Task::Virtual { service, recipient } => {
            virtual_mailbox::prepare(view, service, recipient, &mut notes)
        }
        Task::Pipe { service } => pipe::prepare(view, service, &mut notes),
    };
    Prepared { notes, result }
}

/// What came of preparing.
pub struct Prepared {
    pub notes: Vec<Note>,
    pub result: Result<Ready, NotReady>,
}

/// A process that only has to take its rights.
pub struct Ready {
    pub rights: Rights,
    pub servant: Box<dyn Servant>,
    /// What the worker is told first.
    pub greeting: Reply,
    /// What commands may write into one file, in octets (`mailbox_size_limit`); 0: no limit.
    pub file_size_limit: u64,
}

impl Ready {
    /// Becomes the owner's process, for good.
    fn take_rights(&self) -> nix::Result<()> {
        if self.file_size_limit > 0 {
            sys::process::ignore_file_size_signal()?;
            setrlimit(Resource::RLIMIT_FSIZE, self.file_size_limit, self.file_size_limit)?;
        }
        self.rights.take()
    }
}

/// Why there is nothing to serve.
#[derive(Debug)]
pub enum NotReady {
    /// The delivery fails so.
    Failed(Failure),
    /// The configuration has no such thing: the worker should not have asked.
    Refused(String),
}

impl NotReady {
    /// Without root's rights a process can only be the server's own user's.
    fn beyond_reach(uid: Uid) -> NotReady {
        NotReady::Refused(format!("uid {uid} needs root: this server runs as another user"))
    }
}

impl From<Failure> for NotReady {
    fn from(failure: Failure) -> NotReady {
        NotReady::Failed(failure)
    }
}
