//! A process's loop: it greets, then does what it is asked, one thing after the other, until the worker lets go of it.

use super::frame::{FrameError, LENGTH_SIZE, Reply, Request, decode_request, encode_reply, frame_length};
use super::{NotReady, Prepared, Ready};
use crate::failure::Failure;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Does what one kind of process is for.
pub trait Servant {
    /// `content` is the message, as in the queue; what is not read of it is skipped.
    fn serve(&mut self, request: Request, content: &mut dyn Read) -> Reply;
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// The worker has let go of it.
    Over,
    /// The worker has asked for what the configuration does not have. The parent logs it.
    Refused(String),
    /// The connection broke.
    Broken(String),
}

/// Tells what came of preparing; if the process is ready it takes its rights and serves.
pub fn serve(prepared: Prepared, socket: UnixStream) -> Ending {
    serve_with(prepared, socket, Ready::take_rights)
}

/// As [`serve`], with the rights there are: for tests, whose "processes" are threads.
#[cfg(test)]
pub(crate) fn serve_as_is(prepared: Prepared, socket: UnixStream) -> Ending {
    serve_with(prepared, socket, |_| Ok(()))
}

fn serve_with(
    prepared: Prepared,
    mut socket: UnixStream,
    take_rights: fn(&Ready) -> nix::Result<()>,
) -> Ending {
    let Prepared { notes, result } = prepared;
    let mut ready = match result {
        Ok(ready) => ready,
        Err(NotReady::Failed(failure)) => return tell_and_end(&mut socket, Reply::Failed { failure, notes }),
        Err(NotReady::Refused(why)) => {
            return match tell_and_end(&mut socket, Reply::Refused { why: why.clone() }) {
                Ending::Over => Ending::Refused(why),
                broken => broken,
            };
        }
    };
    if let Err(e) = take_rights(&ready) {
        let failure =
            Failure::of_system(format!("taking the rights of uid {}: {}", ready.rights.uid, e.desc()));
        return tell_and_end(&mut socket, Reply::Failed { failure, notes });
    }
    if let Reply::Ready { notes: said, .. } = &mut ready.greeting {
        *said = notes;
    }
    match greet_and_serve(&mut socket, &ready.greeting, &mut *ready.servant) {
        Ok(ending) => ending,
        Err(e) => Ending::Broken(e.to_string()),
    }
}

fn tell_and_end(socket: &mut UnixStream, reply: Reply) -> Ending {
    match socket.write_all(&encode_reply(&reply)) {
        Ok(()) => Ending::Over,
        Err(e) => Ending::Broken(e.to_string()),
    }
}

fn greet_and_serve(
    socket: &mut UnixStream,
    greeting: &Reply,
    servant: &mut dyn Servant,
) -> Result<Ending, FrameError> {
    socket.write_all(&encode_reply(greeting)).map_err(FrameError::Io)?;
    let mut is_new = true;
    while let Some((request, content_len)) = next_request(socket)? {
        let mut content = Content { socket, left: content_len };
        let reply = servant.serve(request, &mut content);
        content.drain().map_err(FrameError::Io)?;
        // What this process has not read, one that reads now may.
        let reply = match reply {
            Reply::Refused { .. } if !is_new => Reply::Outdated,
            reply => reply,
        };
        socket.write_all(&encode_reply(&reply)).map_err(FrameError::Io)?;
        match reply {
            Reply::Refused { why } => return Ok(Ending::Refused(why)),
            Reply::Outdated => return Ok(Ending::Over),
            _ => is_new = false,
        }
    }
    Ok(Ending::Over)
}

/// None: there is none any more.
fn next_request(socket: &mut UnixStream) -> Result<Option<(Request, u64)>, FrameError> {
    let mut length = [0; LENGTH_SIZE];
    match socket.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result.map_err(FrameError::Io)?,
    }
    let mut frame = Vec::new();
    let length = frame_length(length)?;
    let read = Read::take(&mut *socket, length as u64).read_to_end(&mut frame).map_err(FrameError::Io)?;
    match read == length {
        true => Ok(Some(decode_request(&frame)?)),
        false => Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The content's octets on the socket. If they end early the worker is gone: an error, so that no half message stays.
struct Content<'a> {
    socket: &'a mut UnixStream,
    left: u64,
}

impl Content<'_> {
    /// Takes what a failed delivery has not read, so that the next request is found.
    fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (buffer.len() as u64).min(self.left) as usize;
        if n == 0 {
            return Ok(0);
        }
        match self.socket.read(&mut buffer[..n])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            got => {
                self.left -= got as u64;
                Ok(got)
            }
        }
    }
}
