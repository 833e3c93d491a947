//! How a submission is written, in a maildrop file and on the pipe from `sendmail` to `postdrop` alike.
//!
//! ```text
//! "OXIDROP1"  fields' length (u32)  fields  crc32c of the fields (u32)
//! pieces of content: length (u32, 1 to 65536), octets
//! 0 (u32)  content's length (u64)  crc32c of the content (u32)
//! ```
//! Numbers are little-endian. The content is as the user gave it: lines end as they do there.

use super::{Limits, MaildropError, Requeued, Submission};
use crate::codec::{
    get_client, get_encoding, get_extra, get_recipient, put_client, put_extra, put_recipient,
};
use crate::wire::{Fields, Malformed, get_u64, put, put_nested, put_u64};
use bytes::Bytes;
use mail::{Address, Encoding, Ret};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"OXIDROP1";
const PIECE_SIZE_MAX: usize = 64 * 1024;

mod tag {
    pub(super) const SENDER: u8 = 1;
    pub(super) const RECIPIENT: u8 = 2;
    pub(super) const FULL_NAME: u8 = 3;
    pub(super) const ENCODING: u8 = 4;
    pub(super) const RET: u8 = 5;
    pub(super) const ENVID: u8 = 6;
    pub(super) const EXTRA: u8 = 7;
    pub(super) const REQUEUED: u8 = 8;
    pub(super) mod requeued {
        pub(crate) const CLIENT: u8 = 1;
        pub(crate) const SIZE: u8 = 2;
        pub(crate) const REASON: u8 = 3;
    }
}

/// Writes a submission: its content through [`Write`], then [`Writer::finish`]. Without that it is cut off, and no reader
/// takes it.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    piece: Vec<u8>,
    length: u64,
    crc: u32,
}

impl<W: Write> Writer<W> {
    pub fn new(mut output: W, submission: &Submission) -> io::Result<Writer<W>> {
        let fields = fields_of(submission);
        output.write_all(MAGIC)?;
        output.write_all(&(fields.len() as u32).to_le_bytes())?;
        output.write_all(&fields)?;
        output.write_all(&crc32c::crc32c(&fields).to_le_bytes())?;
        Ok(Writer { output, piece: Vec::with_capacity(PIECE_SIZE_MAX), length: 0, crc: 0 })
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.write_piece()?;
        self.output.write_all(&0u32.to_le_bytes())?;
        self.output.write_all(&self.length.to_le_bytes())?;
        self.output.write_all(&self.crc.to_le_bytes())?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn write_piece(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.output.write_all(&(self.piece.len() as u32).to_le_bytes())?;
        self.output.write_all(&self.piece)?;
        self.length += self.piece.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, &self.piece);
        self.piece.clear();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE_SIZE_MAX {
            self.write_piece()?;
        }
        let n = octets.len().min(PIECE_SIZE_MAX - self.piece.len());
        self.piece.extend_from_slice(&octets[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_piece()?;
        self.output.flush()
    }
}

/// Reads a submission. The content counts only once [`Reader::next_piece`] has given None: before that, what comes may be
/// damaged or cut off.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    submission: Submission,
    content_size_max: u64,
    piece: Vec<u8>,
    length: u64,
    crc: u32,
    is_done: bool,
}

impl<R: Read> Reader<R> {
    pub fn new(mut input: R, limits: Limits) -> Result<Reader<R>, MaildropError> {
        if read_array(&mut input)? != *MAGIC {
            return Err(MaildropError::Malformed);
        }
        let length = u32::from_le_bytes(read_array(&mut input)?) as usize;
        if length > limits.fields_size_max {
            return Err(MaildropError::TooLarge);
        }
        let mut fields = Vec::new();
        // By take, so that a length is believed only as far as there are octets.
        (&mut input).take(length as u64).read_to_end(&mut fields)?;
        let crc = u32::from_le_bytes(read_array(&mut input)?);
        if fields.len() != length || crc32c::crc32c(&fields) != crc {
            return Err(MaildropError::Malformed);
        }
        let submission = submission_of(&fields).map_err(|Malformed| MaildropError::Malformed)?;
        let content_size_max = if limits.content_size_max == 0 { u64::MAX } else { limits.content_size_max };
        Ok(Reader {
            input,
            submission,
            content_size_max,
            piece: Vec::new(),
            length: 0,
            crc: 0,
            is_done: false,
        })
    }

    pub fn submission(&self) -> &Submission {
        &self.submission
    }

    /// Its author is not to be believed when he says that the letter was in the queue before.
    pub(super) fn forget_requeued(&mut self) {
        self.submission.requeued = None;
    }

    /// The next octets of the content, never none; None once all of it was given and found whole.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, MaildropError> {
        if self.is_done {
            return Ok(None);
        }
        let length = u32::from_le_bytes(read_array(&mut self.input)?) as usize;
        if length == 0 {
            return self.check_end().map(|()| None);
        }
        if length > PIECE_SIZE_MAX {
            return Err(MaildropError::Malformed);
        }
        self.length += length as u64;
        if self.length > self.content_size_max {
            return Err(MaildropError::TooLarge);
        }
        self.piece.resize(length, 0);
        self.input.read_exact(&mut self.piece)?;
        self.crc = crc32c::crc32c_append(self.crc, &self.piece);
        Ok(Some(&self.piece))
    }

    fn check_end(&mut self) -> Result<(), MaildropError> {
        let length = u64::from_le_bytes(read_array(&mut self.input)?);
        let crc = u32::from_le_bytes(read_array(&mut self.input)?);
        if (length, crc) != (self.length, self.crc) {
            return Err(MaildropError::Malformed);
        }
        self.is_done = true;
        Ok(())
    }
}

fn read_array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    input.read_exact(&mut array)?;
    Ok(array)
}

fn fields_of(submission: &Submission) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(sender) = &submission.sender {
        put(&mut out, tag::SENDER, sender.as_bytes());
    }
    for recipient in &submission.recipients {
        put_nested(&mut out, tag::RECIPIENT, |out| put_recipient(out, recipient));
    }
    if let Some(full_name) = &submission.full_name {
        put(&mut out, tag::FULL_NAME, full_name);
    }
    match submission.encoding {
        Encoding::Unspecified => {}
        Encoding::SevenBit => put(&mut out, tag::ENCODING, b"7"),
        Encoding::EightBitMime => put(&mut out, tag::ENCODING, b"8"),
    }
    if let Some(ret) = submission.ret {
        put(&mut out, tag::RET, if ret == Ret::Full { b"F" } else { b"H" });
    }
    if let Some(envid) = &submission.envid {
        put(&mut out, tag::ENVID, envid);
    }
    for (name, value) in &submission.extra {
        put_nested(&mut out, tag::EXTRA, |out| put_extra(out, name, value));
    }
    if let Some(requeued) = &submission.requeued {
        put_nested(&mut out, tag::REQUEUED, |out| put_requeued(out, requeued));
    }
    out
}

fn put_requeued(out: &mut Vec<u8>, requeued: &Requeued) {
    use tag::requeued as t;
    put_nested(out, t::CLIENT, |out| put_client(out, &requeued.client));
    put_u64(out, t::SIZE, requeued.size);
    requeued.reasons.iter().for_each(|reason| put(out, t::REASON, reason));
}

fn get_requeued(octets: &[u8]) -> Result<Requeued, Malformed> {
    use tag::requeued as t;
    let mut requeued = Requeued::default();
    for field in Fields(octets) {
        match field? {
            (t::CLIENT, value) => requeued.client = get_client(value)?,
            (t::SIZE, value) => requeued.size = get_u64(value)?,
            (t::REASON, value) => requeued.reasons.push(Bytes::copy_from_slice(value)),
            _ => {}
        }
    }
    Ok(requeued)
}

fn submission_of(fields: &[u8]) -> Result<Submission, Malformed> {
    let mut submission = Submission::default();
    for field in Fields(fields) {
        let (tag, value) = field?;
        match tag {
            tag::SENDER => submission.sender = Some(Address::from(value)),
            tag::RECIPIENT => submission.recipients.push(get_recipient(value)?),
            tag::FULL_NAME => submission.full_name = Some(Bytes::copy_from_slice(value)),
            tag::ENCODING => submission.encoding = get_encoding(value),
            tag::RET => submission.ret = Some(if value == b"F" { Ret::Full } else { Ret::Headers }),
            tag::ENVID => submission.envid = Some(Bytes::copy_from_slice(value)),
            tag::EXTRA => submission.extra.push(get_extra(value)?),
            tag::REQUEUED => submission.requeued = Some(get_requeued(value)?),
            _ => {}
        }
    }
    Ok(submission)
}

/// Reads any octets as a submission, and what was read again.
pub fn fuzz_reader(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data, Limits::default()) else { return };
    let mut writer = Writer::new(Vec::new(), reader.submission()).expect("a Vec takes all");
    let mut content = Vec::new();
    while let Ok(Some(piece)) = reader.next_piece() {
        content.extend_from_slice(piece);
    }
    writer.write_all(&content).expect("a Vec takes all");
    let written = writer.finish().expect("a Vec takes all");
    let again = Reader::new(&written[..], Limits::default()).expect("what was written reads");
    assert_eq!(again.submission(), reader.submission());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::{any_encoding, any_recipient};
    use mail::Client;
    use proptest::prelude::*;

    fn any_submission() -> impl Strategy<Value = Submission> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..50);
        let option = || proptest::option::of(bytes());
        let recipients = proptest::collection::vec(any_recipient(), 0..4);
        let extra = proptest::collection::vec((".{0,9}", bytes()), 0..3);
        let requeued = (".{0,9}", any::<u64>(), proptest::collection::vec(bytes(), 0..3)).prop_map(
            |(name, size, reasons)| Requeued {
                client: Client { name, ..Client::default() },
                size,
                reasons: reasons.into_iter().map(Bytes::from).collect(),
            },
        );
        let requeued = proptest::option::of(requeued);
        (option(), recipients, option(), (any_encoding(), any::<bool>()), option(), extra, requeued).prop_map(
            |(sender, recipients, full_name, (encoding, is_full), envid, extra, requeued)| Submission {
                sender: sender.map(Address::new),
                recipients,
                full_name: full_name.map(Bytes::from),
                encoding,
                ret: envid.as_ref().map(|_| if is_full { Ret::Full } else { Ret::Headers }),
                envid: envid.map(Bytes::from),
                extra: extra.into_iter().map(|(name, value)| (name, value.into())).collect(),
                requeued,
            },
        )
    }

    fn write(submission: &Submission, content: &[u8], split: usize) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), submission).unwrap();
        for piece in content.chunks(split) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(octets: &[u8]) -> Result<(Submission, Vec<u8>), MaildropError> {
        let mut reader = Reader::new(octets, Limits::default())?;
        let mut content = Vec::new();
        while let Some(piece) = reader.next_piece()? {
            content.extend_from_slice(piece);
        }
        Ok((reader.submission().clone(), content))
    }

    proptest! {
        #[test]
        fn submissions_come_back(submission in any_submission(), content: Vec<u8>, split in 1..300usize) {
            let written = write(&submission, &content, split);
            prop_assert_eq!(&written, &write(&submission, &content, 1));
            prop_assert_eq!(read(&written).unwrap(), (submission, content));
        }

        #[test]
        fn damage_is_noticed(submission in any_submission(), content: Vec<u8>, at: usize, bit in 0..8u8) {
            let written = write(&submission, &content, 100);
            let at = at % written.len();
            prop_assert!(read(&written[..at]).is_err());
            let mut damaged = written;
            damaged[at] ^= 1 << bit;
            prop_assert!(read(&damaged).is_err());
        }

        #[test]
        fn garbage_is_no_panic(octets: Vec<u8>) {
            fuzz_reader(&octets);
            fuzz_reader(&[&MAGIC[..], &octets].concat());
        }
    }

    #[test]
    fn large_content_has_many_pieces() {
        let content: Vec<u8> = (0..200_001u32).map(|n| n as u8).collect();
        let written = write(&Submission::default(), &content, 7);
        assert_eq!(read(&written).unwrap().1, content);
        fuzz_reader(&written);
    }

    #[test]
    fn limits_hold() {
        let written = write(&Submission::default(), b"12345", 5);
        for (content_size_max, fits) in [(4, false), (5, true), (0, true)] {
            let limits = Limits { content_size_max, ..Limits::default() };
            let mut reader = Reader::new(&written[..], limits).unwrap();
            assert_eq!(reader.next_piece().is_ok(), fits);
        }
        let submission = Submission { full_name: Some("x".repeat(99).into()), ..Submission::default() };
        let written = write(&submission, b"", 1);
        for (fields_size_max, fits) in [(50, false), (101, true)] {
            let limits = Limits { fields_size_max, ..Limits::default() };
            assert_eq!(Reader::new(&written[..], limits).is_ok(), fits);
        }
    }
}
