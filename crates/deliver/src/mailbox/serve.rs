//! The mailbox process: has one user's rights, writes one user's mailbox, and ends when the worker lets go of it.

use super::frame::{FrameError, LENGTH_SIZE, decode_request, encode_reply, frame_length};
use super::{Mailbox, deliver};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// Serves deliveries until the other side closes. An error ends the process: the worker starts another one.
pub fn serve(mut socket: UnixStream, mailbox: &Mailbox) -> io::Result<()> {
    loop {
        match serve_one(&mut socket, mailbox) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(FrameError::Io(e)) => return Err(e),
            Err(FrameError::Bad(bad)) => return Err(io::Error::new(io::ErrorKind::InvalidData, bad)),
        }
    }
}

/// One delivery; false if there is none any more.
fn serve_one(socket: &mut UnixStream, mailbox: &Mailbox) -> Result<bool, FrameError> {
    let mut length = [0; LENGTH_SIZE];
    match socket.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        result => result.map_err(FrameError::Io)?,
    }
    let mut frame = vec![0; frame_length(length)?];
    socket.read_exact(&mut frame).map_err(FrameError::Io)?;
    let (prelude, content_len) = decode_request(&frame)?;
    let mut content = Content { socket, left: content_len };
    let result = deliver(mailbox, &prelude, &mut content);
    content.drain().map_err(FrameError::Io)?;
    socket.write_all(&encode_reply(&result)).map_err(FrameError::Io)?;
    Ok(true)
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
