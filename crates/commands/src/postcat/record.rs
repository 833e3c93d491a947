//! The records of Postfix's queue files: a type, a length, data.
//!
//! Our queue has none of these files. They are what postcat's output is made of, and real ones can be read.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

/// A record, and where it begins in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) offset: u64,
    pub(super) kind: u8,
    pub(super) data: Vec<u8>,
}

/// The types that mean something to postcat.
pub(super) mod kind {
    pub(crate) const SIZE: u8 = b'C';
    pub(crate) const TIME: u8 = b'T';
    pub(crate) const FULL_NAME: u8 = b'F';
    pub(crate) const FILTER: u8 = b'L';
    pub(crate) const SENDER: u8 = b'S';
    pub(crate) const ATTRIBUTE: u8 = b'A';
    pub(crate) const WARN: u8 = b'W';
    pub(crate) const VERP: u8 = b'V';
    pub(crate) const DONE: u8 = b'D';
    pub(crate) const ORIGINAL: u8 = b'O';
    pub(crate) const RECIPIENT: u8 = b'R';
    pub(crate) const CONTENT: u8 = b'M';
    /// A piece of a long line. Postfix has one letter for this and for [`FILTER`].
    pub(crate) const PIECE: u8 = b'L';
    pub(crate) const LINE: u8 = b'N';
    pub(crate) const PADDING: u8 = b'w';
    pub(crate) const POINTER: u8 = b'p';
    pub(crate) const EXTRACTED: u8 = b'X';
    pub(crate) const END: u8 = b'E';
}

/// The types that may begin a queue file.
const ENVELOPE: &[u8] = b"MCTcFILSDRO/WVA>K<ion";

/// Octets of a record, at most. It has no parameter: no record of Postfix's is nearly so large.
const SIZE_LIMIT: u64 = 16 << 20;

/// Pointers backwards, at most, against loops.
const REVERSE_JUMP_LIMIT: u32 = 10_000;

/// What a type is called.
pub(super) fn name(kind: u8) -> &'static str {
    match kind {
        b'C' => "message_size",
        b'T' => "message_arrival_time",
        b'c' => "queue_file_create_time",
        b'F' => "sender_fullname",
        b'I' => "content_inspector",
        b'L' => "content_filter",
        b'S' => "sender",
        b'D' => "done_recipient",
        b'/' => "canceled_recipient",
        b'R' => "recipient",
        b'O' => "original_recipient",
        b'W' => "warning_message_time",
        b'A' => "named_attribute",
        b'p' => "pointer_record",
        b'K' => "killed_record",
        b'M' => "message_content",
        b'N' => "regular_text",
        b'w' => "padding",
        b'X' => "extracted_info",
        b'r' => "return_receipt",
        b'e' => "errors_to",
        b'P' => "priority",
        b'V' => "verp_delimiters",
        b'E' => "message_end",
        b'>' => "redirect_to",
        b'f' => "flags",
        b'<' => "dsn_return_flags",
        b'i' => "dsn_envelope_id",
        b'o' => "dsn_original_recipient",
        b'n' => "dsn_notify_flags",
        _ => "unknown_record_type",
    }
}

/// How many octets a record takes in a file.
pub(super) fn size_in_file(data: &[u8]) -> u64 {
    let length_octets = (data.len().max(1).ilog2() / 7 + 1) as usize;
    (1 + length_octets + data.len()) as u64
}

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// `-s`
    pub(super) start: u64,
    /// Pointers are followed and padding is left out: not with `-v`.
    pub(super) hides: bool,
    /// Pointers that are shown are followed: not with `-r`.
    pub(super) follows: bool,
}

/// Reads a queue file of Postfix's.
pub(super) struct FileRecords<R> {
    input: R,
    manner: Manner,
    offset: u64,
    last_jump: u64,
    reverse_jumps: u32,
}

impl<R: BufRead + Seek> FileRecords<R> {
    /// None: this is no queue file.
    pub(super) fn open(mut input: R, manner: Manner) -> io::Result<Option<FileRecords<R>>> {
        let offset = if manner.start > 0 { input.seek(SeekFrom::Start(manner.start))? } else { 0 };
        let first = input.fill_buf()?.first().copied();
        if manner.start == 0 && first.is_some_and(|first| !ENVELOPE.contains(&first)) {
            return Ok(None);
        }
        Ok(Some(FileRecords { input, manner, offset, last_jump: 0, reverse_jumps: 0 }))
    }

    /// The next record; None at the file's end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(record) = self.read()? else { return Ok(None) };
            let is_pointer = record.kind == kind::POINTER;
            if is_pointer && (self.manner.hides || self.manner.follows) {
                self.follow(&record.data)?;
            }
            if !(self.manner.hides && (is_pointer || record.kind == kind::PADDING)) {
                return Ok(Some(record));
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Record>> {
        let offset = self.offset;
        let Some(kind) = self.octet()? else { return Ok(None) };
        let length = self.length()?;
        let mut data = Vec::new();
        // By take, so that a length is believed only as far as there are octets.
        (&mut self.input).take(length).read_to_end(&mut data)?;
        if data.len() as u64 != length {
            return Err(malformed("unexpected EOF in data"));
        }
        self.offset += length;
        Ok(Some(Record { offset, kind, data }))
    }

    fn length(&mut self) -> io::Result<u64> {
        let mut length = 0;
        for shift in (0..32).step_by(7) {
            let octet = self.octet()?.ok_or_else(|| malformed("unexpected EOF reading length"))?;
            length |= u64::from(octet & 127) << shift;
            if octet & 128 == 0 {
                return if length <= SIZE_LIMIT { Ok(length) } else { Err(malformed("illegal length")) };
            }
        }
        Err(malformed("too many length bits"))
    }

    fn octet(&mut self) -> io::Result<Option<u8>> {
        let mut octet = [0];
        match self.input.read_exact(&mut octet) {
            Ok(()) => {
                self.offset += 1;
                Ok(Some(octet[0]))
            }
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Goes where a pointer points; 0 is a pointer that was never set.
    fn follow(&mut self, target: &[u8]) -> io::Result<()> {
        let text = std::str::from_utf8(target).ok().map(str::trim);
        let target: u64 =
            text.and_then(|t| t.parse().ok()).ok_or_else(|| malformed("malformed pointer record value"))?;
        if target == 0 {
            return Ok(());
        }
        if target <= self.last_jump {
            self.reverse_jumps += 1;
            if self.reverse_jumps > REVERSE_JUMP_LIMIT {
                return Err(malformed("too many reverse jump records"));
            }
        }
        self.last_jump = target;
        self.offset = self.input.seek(SeekFrom::Start(target))?;
        Ok(())
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Reads anything as a queue file. A loop of pointers must end.
pub fn fuzz_queue_file(data: &[u8]) {
    for hides in [true, false] {
        let manner = Manner { start: 0, hides, follows: true };
        let Ok(Some(mut records)) = FileRecords::open(io::Cursor::new(data), manner) else { return };
        while let Ok(Some(record)) = records.next() {
            assert!(record.data.len() <= data.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn write(records: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, data) in records {
            out.push(*kind);
            let mut length = data.len();
            while length > 127 {
                out.push((length & 127 | 128) as u8);
                length >>= 7;
            }
            out.push(length as u8);
            out.extend_from_slice(data);
        }
        out
    }

    fn read(file: &[u8], manner: Manner) -> io::Result<Vec<Record>> {
        let mut records = FileRecords::open(Cursor::new(file), manner)?.expect("a queue file");
        std::iter::from_fn(|| records.next().transpose()).collect()
    }

    #[test]
    fn what_is_no_queue_file() {
        let open = |text: &'static [u8]| FileRecords::open(Cursor::new(text), Manner::default());
        assert!(open(b"garbage").expect("readable").is_none());
        assert!(open(b"").expect("readable").is_some());
        let later = Manner { start: 1, ..Manner::default() };
        assert!(FileRecords::open(Cursor::new(b"garbage"), later).expect("readable").is_some());
    }

    #[test]
    fn pointers() {
        // The pointer jumps over a record to one that points back behind it.
        let padding = (kind::PADDING, b"x".to_vec());
        let file = write(&[
            (kind::TIME, b"1".to_vec()),
            (kind::POINTER, b" 14".to_vec()),
            (kind::LINE, b"no".to_vec()),
            (kind::END, Vec::new()),
            (kind::LINE, b"yes".to_vec()),
            padding,
            (kind::POINTER, b"0".to_vec()),
            (kind::POINTER, b"12".to_vec()),
        ]);
        let kinds = |hides, follows| -> String {
            let records = read(&file, Manner { start: 0, hides, follows }).expect("good");
            records.iter().take(9).map(|r| char::from(r.kind)).collect()
        };
        assert_eq!(kinds(false, false), "TpNENwpp");
        // It is a loop: what ends it is the reader, at the end record.
        let loops = read(&file, Manner { start: 0, hides: true, follows: true });
        assert_eq!(loops.expect_err("a loop").to_string(), "too many reverse jump records");
    }

    #[test]
    fn damage() {
        for (file, why) in [
            (&b"T"[..], "unexpected EOF reading length"),
            (b"T\x05ab", "unexpected EOF in data"),
            (b"T\xff\xff\xff\xff\xff\x01", "too many length bits"),
            (b"T\xff\xff\xff\x7f", "illegal length"),
        ] {
            assert_eq!(read(file, Manner::default()).expect_err("damaged").to_string(), why);
        }
    }

    proptest! {
        #[test]
        fn records_come_back(records in proptest::collection::vec(
            (proptest::sample::select(b"TFSARMNXE".to_vec()), proptest::collection::vec(any::<u8>(), 0..300)), 1..9,
        )) {
            prop_assume!(ENVELOPE.contains(&records[0].0));
            let file = write(&records);
            let found = read(&file, Manner { hides: true, ..Manner::default() }).unwrap();
            let mut offset = 0;
            for (record, (kind, data)) in found.iter().zip(&records) {
                prop_assert_eq!(record, &Record { offset, kind: *kind, data: data.clone() });
                offset += size_in_file(data);
            }
            prop_assert_eq!((found.len(), offset), (records.len(), file.len() as u64));
        }

        #[test]
        fn garbage_is_no_panic(data: Vec<u8>) {
            fuzz_queue_file(&data);
        }
    }
}
