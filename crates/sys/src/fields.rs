//! Messages between this project's own processes: a tag, then fields. Numbers are little-endian, texts have their length
//! before them.

use std::fmt;

/// A message that is not what it should be. From a sane peer this cannot be; the connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMessage(pub &'static str);

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed message from another process: {}", self.0)
    }
}

impl std::error::Error for BadMessage {}

/// Writes a message's fields.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn tagged(tag: u8) -> Writer {
        Writer(vec![tag])
    }

    pub fn number(mut self, n: u64) -> Writer {
        self.0.extend_from_slice(&n.to_le_bytes());
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads them back, in the same order.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The tag, and the fields behind it.
    pub fn open(message: &'a [u8]) -> Result<(u8, Reader<'a>), BadMessage> {
        let (&tag, rest) = message.split_first().ok_or(BadMessage("empty"))?;
        Ok((tag, Reader(rest)))
    }

    pub fn number(&mut self) -> Result<u64, BadMessage> {
        let (number, rest) = self.0.split_first_chunk::<8>().ok_or(BadMessage("a number is cut"))?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    /// At most as long as the message.
    pub fn bytes(&mut self) -> Result<&'a [u8], BadMessage> {
        let (len, rest) = self.0.split_first_chunk::<4>().ok_or(BadMessage("a length is cut"))?;
        let (bytes, rest) =
            rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(BadMessage("a text is cut"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Result<String, BadMessage> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadMessage("a text is no UTF-8"))
    }

    /// Every field was read.
    pub fn end(self) -> Result<(), BadMessage> {
        if self.0.is_empty() { Ok(()) } else { Err(BadMessage("something behind the last field")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let message = Writer::tagged(7).number(1 << 40).bytes(b"x\0y").bytes(b"").finish();
        let (tag, mut reader) = Reader::open(&message).expect("a tag");
        assert_eq!(
            (tag, reader.number(), reader.bytes(), reader.text()),
            (7, Ok(1 << 40), Ok(&b"x\0y"[..]), Ok(String::new()))
        );
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn cut_anywhere_is_an_error_and_no_panic() {
        let message = Writer::tagged(7).number(5).bytes(b"abc").finish();
        for cut in 1..message.len() {
            let (_, mut reader) = Reader::open(&message[..cut]).expect("a tag");
            assert!(reader.number().and_then(|_| reader.bytes()).is_err(), "{cut}");
        }
        assert!(Reader::open(b"").is_err());
    }
}
