//! Descriptors that travel over a UNIX socket beside a message (SCM_RIGHTS, unix(7)).
#![allow(unsafe_code)]

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Descriptors in one message, at most.
pub const LIMIT: usize = 64;

/// Sends one message with descriptors over a message-preserving UNIX socket (SOCK_SEQPACKET).
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> nix::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    loop {
        let iov = [IoSlice::new(message)];
        match sendmsg::<()>(socket.as_fd().as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(n) if n == message.len() => return Ok(()),
            Ok(_) => return Err(Errno::EMSGSIZE),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Receives one message into `buffer`: its length (0: the peer is gone) and the descriptors that came with it, close-on-exec.
///
/// A message longer than the buffer, or with more than [`LIMIT`] descriptors, is an error.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut control = cmsg_space!([RawFd; LIMIT]);
    loop {
        let mut iov = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut iov, Some(&mut control), flags) {
            Ok(message) => {
                let mut descriptors = Vec::new();
                for part in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = part {
                        // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows their
                        // numbers: each is owned once, by the OwnedFd made here.
                        descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
                let is_cut = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
                return if is_cut { Err(Errno::EMSGSIZE) } else { Ok((message.bytes, descriptors)) };
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::io::{Read, Write};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .expect("a socket pair")
    }

    #[test]
    fn a_descriptor_arrives_and_works() {
        let (a, b) = pair();
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        send(&a, b"take this", &[writer.as_fd()]).expect("sent");
        drop(writer);
        let mut buffer = [0; 64];
        let (n, mut descriptors) = receive(&b, &mut buffer).expect("received");
        assert_eq!((&buffer[..n], descriptors.len()), (&b"take this"[..], 1));
        let mut file = std::fs::File::from(descriptors.remove(0));
        file.write_all(b"hello").expect("the pipe is open");
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("ended");
        assert_eq!(text, "hello");
    }

    #[test]
    fn too_long_is_an_error_and_the_end_is_seen() {
        let (a, b) = pair();
        send(&a, b"0123456789", &[]).expect("sent");
        assert_eq!(receive(&b, &mut [0; 4]).map(|(n, _)| n), Err(Errno::EMSGSIZE));
        drop(a);
        assert_eq!(receive(&b, &mut [0; 4]).map(|(n, _)| n), Ok(0));
    }
}
