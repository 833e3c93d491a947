//! Orders of the parent: take this configuration and these sockets; stop.

use super::{IpcError, receive};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::fields::{BadMessage, Reader, Writer};

/// An order as the worker gets it.
#[derive(Debug)]
pub enum Order {
    /// The configuration, whole, and all listening sockets that go with it. Answered by [`Answer`].
    Configure {
        generation: u64,
        /// main.cf's and master.cf's text as the parent read it, so that both see the same.
        main_cf: OwnedFd,
        master_cf: OwnedFd,
        listeners: Vec<Listener>,
    },
    /// Finish what is under way and end.
    Stop,
}

/// A listening socket of a service.
#[derive(Debug)]
pub struct Listener {
    /// The master.cf entry's `name/type`.
    pub service: String,
    pub socket: OwnedFd,
}

/// What the worker makes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in force.
    Ready { generation: u64 },
    /// It is not usable; the one before stays in force. The text says why, a line for each mistake.
    Rejected { generation: u64, why: String },
}

const CONFIGURE: u8 = 1;
const STOP: u8 = 2;
const MORE_LISTENERS: u8 = 3;
const READY: u8 = 16;
const REJECTED: u8 = 17;

/// The listeners that fit beside one message, with room for the two files.
const BATCH: usize = sys::descriptors::LIMIT - 2;

/// Sends a configuration with its sockets.
pub fn configure(
    socket: impl AsFd,
    generation: u64,
    main_cf: BorrowedFd<'_>,
    master_cf: BorrowedFd<'_>,
    listeners: &[(String, BorrowedFd<'_>)],
) -> nix::Result<()> {
    let (first, rest) = listeners.split_at(listeners.len().min(BATCH));
    let mut message = Writer::tagged(CONFIGURE).number(generation).number(listeners.len() as u64);
    let mut descriptors = vec![main_cf, master_cf];
    for (service, listener) in first {
        message = message.bytes(service.as_bytes());
        descriptors.push(*listener);
    }
    sys::descriptors::send(&socket, &message.finish(), &descriptors)?;
    for batch in rest.chunks(BATCH) {
        let names =
            batch.iter().fold(Writer::tagged(MORE_LISTENERS), |m, (name, _)| m.bytes(name.as_bytes()));
        let descriptors: Vec<_> = batch.iter().map(|(_, fd)| *fd).collect();
        sys::descriptors::send(&socket, &names.finish(), &descriptors)?;
    }
    Ok(())
}

pub fn stop(socket: impl AsFd) -> nix::Result<()> {
    sys::descriptors::send(socket, &[STOP], &[])
}

pub fn answer(socket: impl AsFd, answer: &Answer) -> nix::Result<()> {
    let message = match answer {
        Answer::Ready { generation } => Writer::tagged(READY).number(*generation),
        Answer::Rejected { generation, why } => {
            let why = &why[..why.floor_char_boundary(super::MESSAGE_LIMIT / 2)];
            Writer::tagged(REJECTED).number(*generation).bytes(why.as_bytes())
        }
    };
    sys::descriptors::send(socket, &message.finish(), &[])
}

/// Waits for the parent's next order.
pub fn next(socket: impl AsFd) -> Result<Order, IpcError> {
    let (message, descriptors) = receive(&socket)?;
    let (tag, mut fields) = Reader::open(&message)?;
    let mut descriptors = descriptors.into_iter();
    match tag {
        STOP => Ok(Order::Stop),
        CONFIGURE => {
            let (generation, total) = (fields.number()?, fields.number()?);
            let missing = BadMessage("a descriptor is missing");
            let main_cf = descriptors.next().ok_or(missing)?;
            let master_cf = descriptors.next().ok_or(missing)?;
            let mut listeners = pair_up(fields, descriptors)?;
            while (listeners.len() as u64) < total {
                listeners.extend(more_listeners(&socket)?);
            }
            Ok(Order::Configure { generation, main_cf, master_cf, listeners })
        }
        _ => Err(BadMessage("an unknown order").into()),
    }
}

/// The sockets that did not fit beside the message before.
fn more_listeners(socket: impl AsFd) -> Result<Vec<Listener>, IpcError> {
    let (message, descriptors) = receive(socket)?;
    match Reader::open(&message)? {
        (MORE_LISTENERS, names) if !descriptors.is_empty() => Ok(pair_up(names, descriptors.into_iter())?),
        _ => Err(BadMessage("listeners were announced").into()),
    }
}

/// Waits for the worker's answer.
pub fn next_answer(socket: impl AsFd) -> Result<Answer, IpcError> {
    let (message, _) = receive(socket)?;
    let (tag, mut fields) = Reader::open(&message)?;
    let answer = match tag {
        READY => Answer::Ready { generation: fields.number()? },
        REJECTED => Answer::Rejected { generation: fields.number()?, why: fields.text()? },
        _ => return Err(BadMessage("an unknown answer").into()),
    };
    fields.end()?;
    Ok(answer)
}

fn pair_up(
    mut names: Reader<'_>,
    sockets: impl Iterator<Item = OwnedFd>,
) -> Result<Vec<Listener>, BadMessage> {
    let mut listeners = Vec::new();
    for socket in sockets {
        listeners.push(Listener { service: names.text()?, socket });
    }
    names.end()?;
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_travels_with_many_listeners() {
        for count in [0, 1, BATCH, BATCH + 1, 2 * BATCH, 3 * BATCH + 5] {
            let (parent, worker) = super::super::pair().expect("sockets");
            let null = std::fs::File::open("/dev/null").expect("a file");
            let listeners: Vec<_> = (0..count).map(|n| (format!("smtp{n}/inet"), null.as_fd())).collect();
            configure(&parent, 9, null.as_fd(), null.as_fd(), &listeners).expect("sent");
            stop(&parent).expect("sent");
            let Ok(Order::Configure { generation: 9, listeners, .. }) = next(&worker) else {
                panic!("{count}")
            };
            assert_eq!(listeners.len(), count);
            assert!(listeners.iter().enumerate().all(|(n, l)| l.service == format!("smtp{n}/inet")));
            assert!(matches!(next(&worker), Ok(Order::Stop)), "{count}");
        }
    }

    #[test]
    fn answers_travel() {
        let (parent, worker) = super::super::pair().expect("sockets");
        for sent in [
            Answer::Ready { generation: 3 },
            Answer::Rejected { generation: 4, why: "main.cf, line 2: no".into() },
        ] {
            answer(&worker, &sent).expect("sent");
            assert_eq!(next_answer(&parent).expect("received"), sent);
        }
        drop(worker);
        assert!(matches!(next_answer(&parent), Err(IpcError::Gone)));
    }
}
