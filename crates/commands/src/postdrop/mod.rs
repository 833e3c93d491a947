//! postdrop(1): puts a user's mail into the maildrop.
//!
//! It runs set-gid, so that users need no right to the folder. It takes from its caller standard input, which it checks,
//! `-c`, which must name a folder that the default main.cf allows, and of the environment MAIL_CONFIG, for which the same
//! holds, and TZ, which the log's dates depend on. It runs no other program.

mod interrupt;
mod submission;

use crate::clock;
use crate::getopt;
use crate::instance::Instance;
use crate::lists;
use crate::program::{Fatal, Program, Run, reason};
use crate::server;
use interrupt::Guarded;
use mail::QueueId;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, send, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::getuid;
use params::p;
use spool::control;
use spool::maildrop::{Limits, Maildrop, MaildropError, Reader, Receipt};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Exit statuses, as Postfix's postdrop has them.
const WRITE_ERROR: u8 = 2;
const TOO_BIG: u8 = 4;

pub(crate) fn main(program: &Program) -> Run {
    umask(Mode::from_bits_truncate(0o022));
    let parsed = getopt::parse(&program.text_args(), "c:rv");
    if let Some(complaint) = parsed.complaint {
        program.complain(&complaint);
        return Err(Fatal::new("usage: postdrop [-c config_dir] [-v]"));
    }
    let directory =
        parsed.options.iter().rev().find(|(letter, _)| *letter == 'c').and_then(|(_, value)| value.clone());
    let instance = Instance::open(program, directory.as_deref())?;
    program.open_log(&instance.view);
    let common = instance.common(program)?;
    std::env::set_current_dir(&common.queue_directory)
        .map_err(|e| Fatal::new(format!("chdir {}: {}", common.queue_directory, reason(&e))))?;
    check_user(program, &instance)?;
    let limits = Limits { content_size_max: common.message_size_limit as u64, ..Limits::default() };
    let mut input = Input { inner: io::stdin().lock(), has_ended: false };
    let outcome = take(program, &mut input, limits);
    if input.has_ended && matches!(outcome, Err(NotTaken::Letter(MaildropError::Malformed))) {
        // Whoever wrote it gave up, and knows.
        return Ok(0);
    }
    let (receipt, status) = match outcome {
        Ok(id) => {
            trigger_pickup(program);
            (Receipt::Queued(id), 0)
        }
        Err(why) => refuse(program, &mut input, why)?,
    };
    // A sendmail that is gone needs none.
    let _ = write!(io::stdout(), "{receipt}");
    Ok(status)
}

/// Why there is no letter.
enum NotTaken {
    /// The input's fault, or that of reading it.
    Letter(MaildropError),
    /// The text says what is wrong with the submission.
    Unfit(String),
    /// The maildrop cannot be written to.
    Write(io::Error),
}

/// Takes a submission into the maildrop.
fn take(program: &Program, input: impl Read, limits: Limits) -> Result<QueueId, NotTaken> {
    let maildrop = Maildrop::new(server::MAILDROP);
    let created = maildrop.create(clock::now()).map_err(|error| {
        program.warning(&format!("mail_queue_enter: create file maildrop: {}", reason(&error)));
        NotTaken::Write(error)
    });
    let blank = created?;
    let name = blank.name();
    let letter = Guarded::new(blank).map_err(NotTaken::Write)?;
    // Who does not want to know it reads no further than to the last receipt.
    let _ = write!(io::stdout(), "{}", Receipt::Begun(name)).and_then(|()| io::stdout().flush());
    let mut reader = Reader::new(input, limits).map_err(NotTaken::Letter)?;
    let submission = submission::checked(program, reader.submission()).map_err(NotTaken::Unfit)?;
    letter.begin(&submission).map_err(NotTaken::Write)?;
    while let Some(piece) = reader.next_piece().map_err(NotTaken::Letter)? {
        letter.write(piece).map_err(NotTaken::Write)?;
    }
    letter.commit().map_err(NotTaken::Write)
}

/// Says why there is no letter. Whoever writes the rest of it shall not see a broken pipe.
fn refuse(program: &Program, input: &mut impl Read, why: NotTaken) -> Result<(Receipt, u8), Fatal> {
    let uid = getuid();
    let (why, receipt, status) = match why {
        NotTaken::Letter(MaildropError::TooLarge) => {
            ("File too large".into(), "message file too big", TOO_BIG)
        }
        NotTaken::Letter(MaildropError::Io(e)) | NotTaken::Write(e) => {
            (reason(&e), "queue file write error", WRITE_ERROR)
        }
        NotTaken::Letter(_) => return Err(Fatal::new(format!("uid={uid}: malformed input"))),
        NotTaken::Unfit(why) => return Err(Fatal::new(format!("uid={uid}: {why}"))),
    };
    program.warning(&format!("uid={uid}: {why}"));
    // It does not matter how that ends.
    let _ = io::copy(input, &mut io::sink());
    Ok((Receipt::Refused(receipt.to_owned()), status))
}

/// `authorized_submit_users`
fn check_user(program: &Program, instance: &Instance) -> Result<(), Fatal> {
    let mut mistakes = Vec::new();
    let list = instance.view.get(p::authorized_submit_users, &mut mistakes);
    instance.say(program, &mistakes)?;
    match lists::refused_user(program, &list, getuid()) {
        Some(name) => Err(Fatal::new(format!("User {name}({}) is not allowed to submit mail", getuid()))),
        None => Ok(()),
    }
}

/// Tells pickup, if it is there. It also looks by itself.
fn trigger_pickup(program: &Program) {
    if !server::is_there(program, Path::new(control::PICKUP_SOCKET)) {
        return;
    }
    // Not as other triggers: a user's mail is safe by now and waits for nobody.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let Ok(socket) = socket(AddressFamily::Unix, SockType::Stream, flags, None) else { return };
    let connected =
        UnixAddr::new(control::PICKUP_SOCKET).and_then(|address| connect(socket.as_raw_fd(), &address));
    if connected.is_ok() {
        // A pickup that is too busy to be connected to, or to read this, is awake.
        let _ = send(socket.as_raw_fd(), b"W", nix::sys::socket::MsgFlags::MSG_NOSIGNAL);
    }
}

/// Standard input, and whether its end was seen.
struct Input<R> {
    inner: R,
    has_ended: bool,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.has_ended |= n == 0 && !buffer.is_empty();
        Ok(n)
    }
}
