//! Requests of the worker: a file that the configuration names, a process that delivers with an owner's rights.
//!
//! Whether it gets them is decided by the other side's own reading of the configuration (docs/privileges.md).

use super::{IpcError, MESSAGE_LIMIT, receive};
use deliver::process::Task;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use sys::fields::{BadMessage, Reader, Writer};

/// What the worker may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// This file, for reading. It must be named by the configuration.
    OpenFile(PathBuf),
    /// `maillog_file`, for appending.
    OpenLog,
    /// A delivery process. It finds out itself whose rights it takes, and whether there is anything to do for it.
    DeliveryProcess(Task),
}

/// Why the parent did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The system's error number; 0: refused by rule.
    pub errno: i32,
    pub why: String,
}

const OPEN_FILE: u8 = 1;
const DELIVERY_PROCESS: u8 = 2;
const OPEN_LOG: u8 = 3;
const GRANTED: u8 = 16;
const REFUSED: u8 = 17;

/// The worker's end: one question at a time.
pub struct Asker {
    socket: Mutex<OwnedFd>,
}

impl Asker {
    pub fn new(socket: OwnedFd) -> Asker {
        Asker { socket: Mutex::new(socket) }
    }

    /// Asks and waits. Short: the parent does nothing that takes long.
    pub fn ask(&self, request: &Request) -> Result<Result<OwnedFd, Refusal>, IpcError> {
        let message = encode(request);
        if message.len() > MESSAGE_LIMIT {
            return Err(BadMessage("the request is too long").into());
        }
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        sys::descriptors::send(&*socket, &message, &[]).map_err(IpcError::Socket)?;
        let (message, mut descriptors) = receive(&*socket)?;
        let (tag, mut fields) = Reader::open(&message)?;
        match tag {
            GRANTED => Ok(Ok(descriptors.pop().ok_or(BadMessage("a descriptor is missing"))?)),
            REFUSED => Ok(Err(Refusal { errno: fields.number()? as i32, why: fields.text()? })),
            _ => Err(BadMessage("an unknown reply").into()),
        }
    }

    /// Opens a file that the worker itself may not: with the system's error if the parent could not either.
    pub fn open_file(&self, path: &Path) -> std::io::Result<std::fs::File> {
        match self.ask(&Request::OpenFile(path.to_owned())) {
            Ok(Ok(descriptor)) => Ok(descriptor.into()),
            Ok(Err(refusal)) if refusal.errno != 0 => Err(std::io::Error::from_raw_os_error(refusal.errno)),
            Ok(Err(refusal)) => Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, refusal.why)),
            Err(e) => Err(std::io::Error::other(e)),
        }
    }
}

fn encode(request: &Request) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    match request {
        Request::OpenFile(path) => Writer::tagged(OPEN_FILE).bytes(path.as_os_str().as_bytes()).finish(),
        Request::OpenLog => Writer::tagged(OPEN_LOG).finish(),
        Request::DeliveryProcess(task) => Writer::tagged(DELIVERY_PROCESS).bytes(&task.encode()).finish(),
    }
}

/// The parent's end: waits for the next question.
pub fn next(socket: impl AsFd) -> Result<Request, IpcError> {
    // Descriptors that come with a request were not asked for: dropping them closes them.
    let (message, _) = receive(socket)?;
    Ok(parse(&message)?)
}

/// Reads a request; whatever the worker sends, this gives a request or an error.
pub fn parse(message: &[u8]) -> Result<Request, BadMessage> {
    use std::os::unix::ffi::OsStrExt;
    let (tag, mut fields) = Reader::open(message)?;
    let request = match tag {
        OPEN_FILE => Request::OpenFile(std::ffi::OsStr::from_bytes(fields.bytes()?).into()),
        DELIVERY_PROCESS => Request::DeliveryProcess(Task::decode(fields.bytes()?)?),
        OPEN_LOG => Request::OpenLog,
        _ => return Err(BadMessage("an unknown request")),
    };
    fields.end()?;
    Ok(request)
}

/// Answers a question.
pub fn reply(socket: impl AsFd, answer: Result<BorrowedFd<'_>, &Refusal>) -> nix::Result<()> {
    match answer {
        Ok(descriptor) => sys::descriptors::send(socket, &[GRANTED], &[descriptor]),
        Err(refusal) => {
            let message = Writer::tagged(REFUSED).number(refusal.errno as u64).bytes(refusal.why.as_bytes());
            sys::descriptors::send(socket, &message.finish(), &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn questions_and_answers() {
        let (parent, worker) = super::super::pair().expect("sockets");
        let asker = Asker::new(worker);
        let serving = std::thread::spawn(move || {
            let first = next(&parent).expect("a request");
            let file = std::fs::File::open("/etc/passwd").expect("a file");
            reply(&parent, Ok(file.as_fd())).expect("sent");
            let second = next(&parent).expect("a request");
            let refusal = Refusal { errno: 0, why: "main.cf does not name it".into() };
            reply(&parent, Err(&refusal)).expect("sent");
            (first, second)
        });
        let mut text = String::new();
        let mut file = asker.open_file(Path::new("/etc/passwd")).expect("granted");
        file.read_to_string(&mut text).expect("readable");
        assert!(text.contains("root"));
        let refused = asker.open_file(Path::new("/etc/shadow")).expect_err("not granted");
        assert!(refused.to_string().contains("does not name it"), "{refused}");
        let (first, second) = serving.join().expect("the parent's side");
        assert_eq!(first, Request::OpenFile("/etc/passwd".into()));
        assert_eq!(second, Request::OpenFile("/etc/shadow".into()));
    }

    #[test]
    fn every_request_comes_back_and_nothing_else_is_one() {
        for request in [
            Request::OpenFile("/a".into()),
            Request::DeliveryProcess(Task::User { service: "local/unix".into(), user: "alice".into() }),
            Request::OpenLog,
        ] {
            let message = encode(&request);
            assert_eq!(parse(&message), Ok(request));
            assert!((0..message.len()).all(|cut| parse(&message[..cut]).is_err()));
            assert!(parse(&[&message[..], b"x"].concat()).is_err());
        }
        assert!(parse(&[99]).is_err());
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let (_parent, worker) = super::super::pair().expect("sockets");
        let path = PathBuf::from("x".repeat(MESSAGE_LIMIT));
        let refused = Asker::new(worker).ask(&Request::OpenFile(path)).expect_err("refused");
        assert!(refused.to_string().contains("too long"), "{refused}");
    }
}
