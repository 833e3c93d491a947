//! The places that lines go to, and what is done when one is not there.

use crate::format::Kind;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where syslog daemons listen.
const DEV_LOG: &str = "/dev/log";

/// A place for log lines.
pub enum Target {
    Syslog(Syslog),
    /// `maillog_file`, opened for appending; also standard output.
    File(File),
    /// The server's own log socket (`postlog`): for commands while `maillog_file` is set.
    Postlog(UnixDatagram),
    Nowhere,
}

/// The system logger's socket. It is connected to when there is something to say, and again after the logger was restarted.
pub struct Syslog {
    path: PathBuf,
    facility: u8,
    socket: Option<UnixDatagram>,
    retry_at: Option<Instant>,
}

/// How long a stalled logger is waited for, for one datagram.
const STALL: Duration = Duration::from_secs(1);
/// How long an absent one is left alone.
const RETRY: Duration = Duration::from_millis(500);

impl Target {
    /// The system logger, with a facility's name (`syslog_facility`). None if there is no such facility.
    pub fn syslog(facility: &str) -> Option<Target> {
        Target::syslog_at(Path::new(DEV_LOG), facility)
    }

    pub fn syslog_at(path: &Path, facility: &str) -> Option<Target> {
        let facility = facility_code(facility)? << 3;
        Some(Target::Syslog(Syslog { path: path.to_owned(), facility, socket: None, retry_at: None }))
    }

    /// `maillog_file`: see [`open_maillog_file`].
    pub fn maillog_file(path: &str, prefixes: &[String]) -> Result<Target, String> {
        open_maillog_file(path, prefixes).map(Target::File)
    }

    /// The server's own log socket, if a server listens there.
    pub fn postlog(path: &Path) -> std::io::Result<Target> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(STALL))?;
        Ok(Target::Postlog(socket))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Target::Syslog(syslog) => Kind::Syslog { facility: syslog.facility },
            Target::Postlog(_) | Target::File(_) | Target::Nowhere => Kind::File,
        }
    }

    pub(crate) fn end_line(&self, line: &mut Vec<u8>) {
        if matches!(self, Target::File(_)) {
            line.push(b'\n');
        }
    }

    /// Writes whole lines; `ends` says where each ends. What cannot be written is lost: a log must not stop the mail.
    pub(crate) fn write(&mut self, text: &[u8], ends: &[usize]) {
        let mut start = 0;
        match self {
            Target::File(file) => {
                // Lost, as said above: there is no other place to complain to.
                let _ = file.write_all(text);
            }
            Target::Syslog(syslog) => {
                for &end in ends {
                    syslog.send(&text[start..end]);
                    start = end;
                }
            }
            Target::Postlog(socket) => {
                for &end in ends {
                    let _ = socket.send(&text[start..end]);
                    start = end;
                }
            }
            Target::Nowhere => {}
        }
    }
}

impl Syslog {
    fn send(&mut self, line: &[u8]) {
        for _ in 0..2 {
            let Some(socket) = self.connected() else { return };
            match socket.send(line) {
                Ok(_) => return,
                // The logger is there and slow: this line is lost, the connection is not.
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock) => return,
                // It was restarted: its new socket is another one.
                Err(_) => self.socket = None,
            }
        }
    }

    fn connected(&mut self) -> Option<&UnixDatagram> {
        if self.socket.is_none() && self.retry_at.is_none_or(|at| at <= Instant::now()) {
            self.socket = self.connect().ok();
            self.retry_at = self.socket.is_none().then(|| Instant::now() + RETRY);
        }
        self.socket.as_ref()
    }

    fn connect(&self) -> std::io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_write_timeout(Some(STALL))?;
        Ok(socket)
    }
}

/// Opens `maillog_file` for appending. Its path must begin with one of `maillog_file_prefixes`. The error is a text in
/// Postfix's words.
pub fn open_maillog_file(path: &str, prefixes: &[String]) -> Result<File, String> {
    if !prefixes.iter().any(|prefix| path.starts_with(prefix.as_str())) {
        return Err(format!(
            "maillog_file value '{path}' does not match any prefix in maillog_file_prefixes"
        ));
    }
    let open = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    // A terminal or a pipe cannot be opened again by those who have only its descriptor.
    let file = match (open, path) {
        (Err(_), "/dev/stdout") => std::io::stdout().as_fd().try_clone_to_owned().map(File::from),
        (opened, _) => opened,
    };
    file.map_err(|e| format!("open logfile {path}: {e}"))
}

/// The facilities of syslog(3).
fn facility_code(name: &str) -> Option<u8> {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    if let Some(code) = NAMES.iter().position(|n| *n == name) {
        return Some(code as u8);
    }
    match name.strip_prefix("local")?.parse::<u8>() {
        Ok(n @ 0..=7) => Some(16 + n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities() {
        assert_eq!(facility_code("mail"), Some(2));
        assert_eq!(facility_code("local7"), Some(23));
        assert_eq!(facility_code("local8"), None);
        assert_eq!(facility_code("post"), None);
    }

    #[test]
    fn a_restarted_logger_is_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let mut target = Target::syslog_at(&path, "mail").expect("a facility");
        target.write(b"lost", &[4]);
        let Target::Syslog(syslog) = &mut target else { panic!("syslog was made") };
        syslog.retry_at = None;

        for text in [&b"first"[..], b"second"] {
            let server = UnixDatagram::bind(&path).expect("the logger's socket");
            target.write(text, &[text.len()]);
            let mut got = [0u8; 16];
            let n = server.recv(&mut got).expect("a datagram");
            assert_eq!(&got[..n], text);
            drop(server);
            std::fs::remove_file(&path).expect("the socket's name");
        }
    }
}
