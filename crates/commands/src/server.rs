//! The running server, as commands reach it: its sockets below the queue directory, which is the current one.

use crate::program::{Program, reason};
use spool::control::{Answer, LINE_LIMIT, Order};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The folder of the spool, below the queue directory.
pub(crate) const SPOOL: &str = "queue";
/// The folder of letters that wait for pickup, below the queue directory.
pub(crate) const MAILDROP: &str = "maildrop";

/// Wakes a service up, which is all that it answers to. Gives the connection, which the service closes when it has read;
/// None if it is not there.
pub(crate) fn trigger(program: &Program, path: &Path, request: &[u8]) -> Option<UnixStream> {
    if !is_there(program, path) {
        return None;
    }
    let mut stream = UnixStream::connect(path).ok()?;
    stream.write_all(request).ok()?;
    Some(stream)
}

/// Whether a service has ever been at a socket. Postfix: one that never was is worth a warning, one that was is just down.
pub(crate) fn is_there(program: &Program, path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(_) => true,
        Err(e) => {
            program.warning(&format!("unable to look up {}: {}", path.display(), reason(&e)));
            false
        }
    }
}

/// A connection that takes orders.
pub(crate) struct Connection(BufReader<UnixStream>);

impl Connection {
    /// `ipc_timeout`: how long an answer may take.
    pub(crate) fn open(path: &Path, ipc_timeout: Duration) -> io::Result<Connection> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ipc_timeout).filter(|limit| !limit.is_zero()))?;
        Ok(Connection(BufReader::new(stream)))
    }

    pub(crate) fn ask(&mut self, order: &Order) -> io::Result<Answer> {
        self.send(std::slice::from_ref(order))?;
        self.answer()
    }

    /// Sends orders, whose answers are read later, in the same order. What is unread has to fit into the socket.
    pub(crate) fn send(&mut self, orders: &[Order]) -> io::Result<()> {
        let lines: String = orders.iter().map(|order| format!("{order}\n")).collect();
        self.0.get_mut().write_all(lines.as_bytes())
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        (&mut self.0).take(LINE_LIMIT as u64).read_line(&mut line)?;
        let answer = line.strip_suffix('\n').and_then(Answer::parse);
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed server response"))
    }
}
