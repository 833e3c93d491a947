//! What the worker and a mailbox process say to each other over their stream socket.
//!
//! A request is a frame (length, then fields), then the content's octets; a reply is a frame. One at a time.

use super::{Failure, Prelude};
use mail::{Address, DsnStatus, Time};
use sys::fields::{BadMessage, Reader, Writer};

/// Octets of a frame, at most: addresses are bounded long before.
pub(super) const FRAME_LIMIT: usize = 64 << 10;

/// Octets of the length that stands before a frame.
pub(super) const LENGTH_SIZE: usize = 4;

const DELIVER: u8 = 1;
const DELIVERED: u8 = 2;
const FAILED: u8 = 3;

/// Why no reply came: the connection, or the process, is of no further use.
#[derive(Debug)]
pub(super) enum FrameError {
    Io(std::io::Error),
    Bad(BadMessage),
}

impl From<BadMessage> for FrameError {
    fn from(bad: BadMessage) -> FrameError {
        FrameError::Bad(bad)
    }
}

/// A request's frame, with its length before it.
pub(super) fn encode_request(prelude: &Prelude, content_len: u64) -> Vec<u8> {
    let mut message = Writer::tagged(DELIVER).number(content_len).number(prelude.now.micros() as u64);
    message = message.bytes(prelude.sender.as_bytes());
    for address in [&prelude.original_to, &prelude.delivered_to] {
        message = message.bytes(address.as_ref().map_or(b"", |a| a.as_bytes()));
    }
    with_length(&message.finish())
}

/// The prelude, and how many octets of content follow.
pub(super) fn decode_request(frame: &[u8]) -> Result<(Prelude, u64), BadMessage> {
    let (tag, mut fields) = Reader::open(frame)?;
    if tag != DELIVER {
        return Err(BadMessage("not a delivery"));
    }
    let content_len = fields.number()?;
    let now = Time::from_micros(fields.number()? as i64);
    let sender = Address::from(fields.bytes()?);
    let mut optional = || fields.bytes().map(|raw| (!raw.is_empty()).then(|| Address::from(raw)));
    let prelude = Prelude { sender, original_to: optional()?, delivered_to: optional()?, now };
    fields.end()?;
    Ok((prelude, content_len))
}

/// A reply's frame, with its length before it.
pub(super) fn encode_reply(result: &Result<&'static str, Failure>) -> Vec<u8> {
    let message = match result {
        Ok(said) => Writer::tagged(DELIVERED).bytes(said.as_bytes()),
        Err(failure) => Writer::tagged(FAILED)
            .bytes(failure.status.to_string().as_bytes())
            .bytes(failure.reason.as_bytes()),
    };
    with_length(&message.finish())
}

pub(super) fn decode_reply(frame: &[u8]) -> Result<Result<String, Failure>, BadMessage> {
    let (tag, mut fields) = Reader::open(frame)?;
    let reply = match tag {
        DELIVERED => Ok(fields.text()?),
        FAILED => {
            let status = DsnStatus::parse(&fields.text()?).ok_or(BadMessage("not a status code"))?;
            Err(Failure { status, reason: String::from_utf8_lossy(fields.bytes()?).into_owned() })
        }
        _ => return Err(BadMessage("not a reply")),
    };
    fields.end()?;
    Ok(reply)
}

/// The length of the frame that follows, checked.
pub(super) fn frame_length(length: [u8; LENGTH_SIZE]) -> Result<usize, BadMessage> {
    match u32::from_le_bytes(length) as usize {
        n if n <= FRAME_LIMIT => Ok(n),
        _ => Err(BadMessage("a frame is too long")),
    }
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_le_bytes()[..], frame].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_come_back() {
        let prelude = Prelude {
            sender: "a@b".into(),
            original_to: None,
            delivered_to: Some("alice@example.com".into()),
            now: Time::from_micros(7),
        };
        let request = encode_request(&prelude, 99);
        let (length, frame) = request.split_first_chunk().expect("a length");
        assert_eq!(frame_length(*length), Ok(frame.len()));
        assert_eq!(decode_request(frame), Ok((prelude, 99)));
        for reply in [
            Ok("delivered to maildir"),
            Err(Failure { status: DsnStatus::new(4, 3, 0), reason: "no \u{fffd} space".into() }),
        ] {
            let encoded = encode_reply(&reply);
            assert_eq!(decode_reply(&encoded[LENGTH_SIZE..]), Ok(reply.map(str::to_owned)));
        }
    }

    #[test]
    fn cut_frames_are_errors() {
        let request = encode_request(&Prelude::default(), 0);
        for cut in LENGTH_SIZE..request.len() {
            assert!(decode_request(&request[LENGTH_SIZE..cut]).is_err(), "{cut}");
        }
        assert!(frame_length([255; 4]).is_err());
    }
}
