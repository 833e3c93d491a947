//! Conversion of 8bit bodies to 7 bits, for servers that take no others (RFC 6152 3): leaves become quoted-printable,
//! and headers say so.

use super::{Domain, Entity, Kind, Line, Subtype};
use crate::header::{Field, Name};

/// What becomes of a message's headers and lines.
#[derive(Debug, Default)]
pub struct Conversion {
    leaf: QuotedPrintable,
}

impl Conversion {
    /// Whether a header is left out: another takes its place at the header's end.
    pub fn drops(field: &Field, entity: Entity) -> bool {
        is_8bit(entity) && field.known() == Some(Name::ContentTransferEncoding)
    }

    /// What is to be added at a header's end. Entities with parts have none but the identity encodings (RFC 2045 6.4).
    pub fn header(entity: Entity) -> Option<Field> {
        let has_parts = match entity.kind {
            Kind::Message(subtype) => subtype != Subtype::Global,
            Kind::Multipart => true,
            Kind::Leaf => false,
        };
        let encoding: &[u8] = if has_parts { b"7bit" } else { b"quoted-printable" };
        is_8bit(entity).then(|| Field::new(b"Content-Transfer-Encoding", encoding))
    }

    /// Whether lines of this entity are converted.
    pub fn converts(entity: Entity) -> bool {
        is_8bit(entity)
    }

    /// The lines that a line becomes; the last of a line that is not ended comes later.
    pub fn line(&mut self, line: &Line<'_>) -> Vec<Vec<u8>> {
        self.leaf.encode(&line.text, line.is_ended)
    }
}

fn is_8bit(entity: Entity) -> bool {
    entity.domain() != Domain::SevenBit
}

/// Writes quoted-printable (RFC 2045 6.7), in lines as Postfix breaks them.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    line: Vec<u8>,
}

/// A line is broken once it is longer.
const BREAK_BEYOND: usize = 72;

impl QuotedPrintable {
    /// Takes some of a line, and gives the lines that are complete.
    pub fn encode(&mut self, text: &[u8], is_ended: bool) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for octet in text {
            if self.line.len() > BREAK_BEYOND {
                self.line.push(b'=');
                lines.push(std::mem::take(&mut self.line));
            }
            match octet {
                b'\t' | b' '..=b'<' | b'>'..=b'~' => self.line.push(*octet),
                _ => self.quote(*octet),
            }
        }
        if is_ended {
            if let Some(blank @ (b' ' | b'\t')) = self.line.last().copied() {
                self.line.pop();
                self.quote(blank);
            }
            lines.push(std::mem::take(&mut self.line));
        }
        lines
    }

    fn quote(&mut self, octet: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.line.extend([b'=', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::TransferEncoding;
    use super::*;

    #[test]
    fn quoted_printable() {
        let x = |n| "x".repeat(n);
        for (text, expect) in [
            ("".to_owned(), vec!["".to_owned()]),
            ("a=b\u{e9} ".into(), vec!["a=3Db=C3=A9=20".into()]),
            ("\ta\t".into(), vec!["\ta=09".into()]),
            ("\u{7f}~\u{1}".into(), vec!["=7F~=01".into()]),
            (x(73), vec![x(73)]),
            (x(74), vec![x(73) + "=", x(1)]),
            (x(72) + "=x", vec![x(72) + "=3D=", x(1)]),
            (x(72) + " ", vec![x(72) + "=20"]),
        ] {
            assert_eq!(
                QuotedPrintable::default()
                    .encode(text.as_bytes(), true)
                    .into_iter()
                    .map(|line| String::from_utf8(line).unwrap())
                    .collect::<Vec<_>>(),
                expect,
                "{text:?}"
            );
            // In two pieces it is the same.
            let mut halves = QuotedPrintable::default();
            let (a, b) = text.as_bytes().split_at(text.len() / 2);
            let mut lines = halves.encode(a, false);
            lines.extend(halves.encode(b, true));
            assert_eq!(lines.concat(), expect.concat().into_bytes());
        }
    }

    #[test]
    fn headers() {
        use TransferEncoding::*;
        for (kind, encoding, expect) in [
            (Kind::Leaf, EightBit, Some("quoted-printable")),
            (Kind::Leaf, Binary, Some("quoted-printable")),
            (Kind::Leaf, Base64, None),
            (Kind::Multipart, EightBit, Some("7bit")),
            (Kind::Message(Subtype::Rfc822), EightBit, Some("7bit")),
            (Kind::Message(Subtype::Global), EightBit, Some("quoted-printable")),
            (Kind::Multipart, SevenBit, None),
        ] {
            let entity = Entity { kind, encoding };
            let field = Conversion::header(entity);
            assert_eq!(field.as_ref().map(|field| field.value()), expect.map(str::as_bytes), "{entity:?}");
            let old = Field::new(b"content-transfer-encoding", b"x");
            assert_eq!(Conversion::drops(&old, entity), expect.is_some());
        }
    }
}
