//! What may be wrong with a message's MIME structure, for those who refuse such messages.

use super::{Domain, Event, Kind, Reader, Subtype, TransferEncoding};
use crate::DsnStatus;

/// Something that is wrong. Of several, the first here is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mistake {
    /// `mime_nesting_limit`
    Nesting,
    /// `strict_7bit_headers`
    EightBitHeader,
    /// `strict_8bitmime_body`
    EightBitBody,
    /// `strict_mime_encoding_domain`
    EncodingDomain,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness {
    pub nesting: bool,
    pub strict_7bit_headers: bool,
    pub strict_8bitmime_body: bool,
    pub strict_mime_encoding_domain: bool,
}

impl Mistake {
    pub const STATUS: DsnStatus = DsnStatus::new(5, 6, 0);

    /// Postfix's words for it.
    pub fn text(self) -> &'static str {
        match self {
            Mistake::Nesting => "MIME nesting exceeds safety limit",
            Mistake::EightBitHeader => "improper use of 8-bit data in message header",
            Mistake::EightBitBody => "improper use of 8-bit data in message body",
            Mistake::EncodingDomain => "invalid message/* or multipart/* encoding domain",
        }
    }
}

impl Strictness {
    pub fn is_any(self) -> bool {
        self != Strictness::default()
    }

    /// What is wrong with what was just read, and the text that shows it.
    pub fn find(self, reader: &mut Reader, event: &Event<'_>) -> Vec<(Mistake, Vec<u8>)> {
        let mut found = Vec::new();
        if let Some(field) = reader.take_too_deep().filter(|_| self.nesting) {
            found.push((Mistake::Nesting, field.text().to_vec()));
        }
        match event {
            Event::Field(field) if self.strict_7bit_headers && !field.text().is_ascii() => {
                found.push((Mistake::EightBitHeader, field.text().to_vec()));
            }
            Event::Line(line)
                if self.strict_8bitmime_body
                    && reader.entity().encoding == TransferEncoding::SevenBit
                    && !line.text.is_ascii() =>
            {
                found.push((Mistake::EightBitBody, line.text.to_vec()));
            }
            Event::HeaderEnd if self.strict_mime_encoding_domain && has_wrong_encoding(reader) => {
                let name = reader.entity().encoding.name();
                found.push((Mistake::EncodingDomain, name.into()));
            }
            _ => {}
        }
        found
    }
}

/// Whether something with parts is encoded (RFC 2045 6.4).
fn has_wrong_encoding(reader: &Reader) -> bool {
    let entity = reader.entity();
    match entity.kind {
        Kind::Message(Subtype::Partial | Subtype::ExternalBody) => entity.domain() != Domain::SevenBit,
        Kind::Message(Subtype::Rfc822) | Kind::Multipart => !entity.encoding.is_identity(),
        Kind::Message(_) | Kind::Leaf => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    #[test]
    fn what_is_found() {
        let all = Strictness {
            nesting: true,
            strict_7bit_headers: true,
            strict_8bitmime_body: true,
            strict_mime_encoding_domain: true,
        };
        let limits =
            Limits { header_size_limit: 1000, mime_nesting_limit: 100, mime_boundary_length_limit: 100 };
        for (message, expect) in [
            ("a: b\r\n\r\nx\r\n", vec![]),
            ("a: \u{e9}\r\n\r\nx\r\n", vec![Mistake::EightBitHeader]),
            ("a: b\r\n\r\n\u{e9}\r\n", vec![Mistake::EightBitBody]),
            ("content-transfer-encoding: 8bit\r\n\r\n\u{e9}\r\n", vec![]),
            (
                "content-transfer-encoding: base64\r\ncontent-type: multipart/x\r\n\r\n",
                vec![Mistake::EncodingDomain],
            ),
            (
                "content-transfer-encoding: base64\r\ncontent-type: message/rfc822\r\n\r\n",
                vec![Mistake::EncodingDomain],
            ),
            ("content-transfer-encoding: base64\r\ncontent-type: message/global\r\n\r\n", vec![]),
            (
                "content-transfer-encoding: 8bit\r\ncontent-type: message/partial\r\n\r\n",
                vec![Mistake::EncodingDomain],
            ),
            ("content-transfer-encoding: base64\r\ncontent-type: text/plain\r\n\r\n", vec![]),
        ] {
            let mut reader = Reader::new(limits);
            let mut input = message.as_bytes();
            let mut found = Vec::new();
            while let Some(event) = reader.next(&mut input) {
                found.extend(all.find(&mut reader, &event).into_iter().map(|(mistake, _)| mistake));
            }
            assert_eq!(found, expect, "{message:?}");
        }
    }
}
