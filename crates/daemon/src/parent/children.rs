//! Starting the worker and the mailbox processes: this same program in another role, with other rights.

use super::rights::MailboxGrant;
use super::settings::Owner;
use crate::ipc::{self, requests};
use crate::roles;
use deliver::mailbox::{Mailbox, Style};
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
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
    /// Starts a worker as `mail_owner`. It has no descriptors but its sockets and this process's output.
    pub(crate) fn start(owner: Option<Owner>, config_directory: &str) -> io::Result<Worker> {
        let (orders, their_orders) = ipc::pair()?;
        let (requests, their_requests) = ipc::pair()?;
        let mut command = Command::new(THIS_PROGRAM);
        command
            .arg0("oxipost-worker")
            .arg(roles::WORKER)
            .arg(config_directory)
            .stdin(Stdio::from(their_orders));
        if let Some(owner) = owner {
            // The uid makes the standard library drop all supplementary groups as well.
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        let child = command.spawn()?;
        sys::descriptors::send(&orders, roles::HELLO, &[std::os::fd::AsFd::as_fd(&their_requests)])?;
        Ok(Worker { child, orders, requests })
    }
}

/// Starts a process that writes one user's mailbox, and gives the worker's end of the socket to it.
pub(crate) fn start_mailbox_process(grant: &MailboxGrant) -> Result<(Child, OwnedFd), requests::Refusal> {
    let failed = |e: io::Error| requests::Refusal {
        errno: e.raw_os_error().unwrap_or(0),
        why: format!("starting a mailbox process: {e}"),
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0("oxipost-mailbox").arg(roles::MAILBOX).args(encode(&grant.mailbox));
    command.env_clear().stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
    if geteuid().is_root() {
        command.uid(grant.uid.as_raw()).gid(grant.gid.as_raw());
    }
    let child = command.spawn().map_err(failed)?;
    Ok((child, ours.into()))
}

/// A mailbox as arguments: they hold nothing secret.
fn encode(mailbox: &Mailbox) -> Vec<OsString> {
    let locking = &mailbox.locking;
    let style = match mailbox.style {
        Style::Maildir => "maildir",
        Style::Mbox => "mbox",
    };
    vec![
        style.into(),
        mailbox.path.clone().into(),
        mailbox.user.clone().into(),
        mailbox.host.clone().into(),
        mailbox.size_limit.to_string().into(),
        format!("{}{}{}", u8::from(locking.dotlock), u8::from(locking.fcntl), u8::from(locking.flock)).into(),
        locking.attempts.to_string().into(),
        locking.delay.as_secs().to_string().into(),
        locking.stale.as_secs().to_string().into(),
    ]
}

/// Reads [`encode`]'s arguments back.
pub(crate) fn decode(args: &[OsString]) -> Option<Mailbox> {
    let [style, path, rest @ ..] = args else { return None };
    let rest: Vec<&str> = rest.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let [user, host, size_limit, locks, attempts, delay, stale] = rest[..] else { return None };
    let style = match style.to_str()? {
        "maildir" => Style::Maildir,
        "mbox" => Style::Mbox,
        _ => return None,
    };
    let [dotlock, fcntl, flock] = <[u8; 3]>::try_from(locks.as_bytes()).ok()?.map(|b| b == b'1');
    let secs = |text: &str| text.parse().ok().map(std::time::Duration::from_secs);
    let locking = deliver::mailbox::Locking {
        dotlock,
        fcntl,
        flock,
        attempts: attempts.parse().ok()?,
        delay: secs(delay)?,
        stale: secs(stale)?,
    };
    let (path, user, host) = (path.into(), user.into(), host.into());
    Some(Mailbox { style, path, user, host, size_limit: size_limit.parse().ok()?, locking })
}

#[cfg(test)]
mod tests {
    use super::*;
    use deliver::mailbox::Locking;

    #[test]
    fn mailboxes_travel_as_arguments() {
        let mailbox = Mailbox {
            style: Style::Mbox,
            path: "/var/mail/alice".into(),
            user: "alice".into(),
            host: "mail.example.com".into(),
            size_limit: 51_200_000,
            locking: Locking { flock: true, fcntl: false, ..Locking::default() },
        };
        assert_eq!(decode(&encode(&mailbox)), Some(mailbox));
        assert_eq!(decode(&["maildir".into()]), None);
    }
}
