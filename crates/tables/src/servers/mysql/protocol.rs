//! The packets of MySQL's client protocol, without a socket: the few that a text query needs.

use bytes::Bytes;

/// What a client and a server can do (`CLIENT_…`).
pub(super) mod can {
    pub(in super::super) const LONG_PASSWORD: u32 = 1;
    pub(in super::super) const LONG_FLAG: u32 = 4;
    pub(in super::super) const CONNECT_WITH_DB: u32 = 8;
    pub(in super::super) const PROTOCOL_41: u32 = 0x200;
    pub(in super::super) const TLS: u32 = 0x800;
    pub(in super::super) const TRANSACTIONS: u32 = 0x2000;
    pub(in super::super) const SECURE_CONNECTION: u32 = 0x8000;
    pub(in super::super) const MULTI_RESULTS: u32 = 0x2_0000;
    pub(in super::super) const PLUGIN_AUTH: u32 = 0x8_0000;
}

/// `SERVER_STATUS_…`
pub(super) const MORE_RESULTS: u16 = 8;
pub(super) const NO_BACKSLASH_ESCAPES: u16 = 0x200;

/// utf8mb4_general_ci, as the client library has it.
const COLLATION: u8 = 45;
const MAX_PACKET: u32 = 0x4000_0000;

/// A packet that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The server's first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) capabilities: u32,
    pub(super) status: u16,
    /// What passwords are mixed with.
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: String,
}

/// The message of an error packet.
pub(super) fn parse_error(packet: &[u8]) -> Option<String> {
    let rest = packet.strip_prefix(b"\xff")?.get(2..)?;
    let text = if rest.first() == Some(&b'#') { rest.get(6..)? } else { rest };
    Some(String::from_utf8_lossy(text).into_owned())
}

impl Greeting {
    pub(super) fn parse(packet: &[u8]) -> Result<Greeting, Malformed> {
        let mut reader = Reader(packet);
        let version = reader.byte()?;
        reader.until_nul()?;
        let _thread = reader.take(4)?;
        let mut nonce = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = reader.u16()?;
        let _collation = reader.byte()?;
        let status = reader.u16()?;
        let capabilities = u32::from(low) | u32::from(reader.u16()?) << 16;
        let length = usize::from(reader.byte()?);
        reader.take(10)?;
        let rest = reader.take(length.saturating_sub(8).max(13).min(reader.0.len()))?;
        nonce.extend(rest.iter().take_while(|&&octet| octet != 0));
        let plugin = if capabilities & can::PLUGIN_AUTH == 0 { "" } else { reader.name() };
        let plugin = plugin.to_owned();
        if version == 10 { Ok(Greeting { capabilities, status, nonce, plugin }) } else { Err(Malformed) }
    }
}

/// The beginning of the client's answer; by itself it asks for TLS.
pub(super) fn answer_head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(COLLATION);
    out.resize(32, 0);
    out
}

/// The client's answer to the greeting.
pub(super) fn answer(capabilities: u32, user: &str, proof: &[u8], dbname: &str, plugin: &str) -> Vec<u8> {
    let mut out = answer_head(capabilities);
    out.extend_from_slice(user.as_bytes());
    out.push(0);
    out.push(proof.len() as u8);
    out.extend_from_slice(proof);
    out.extend_from_slice(dbname.as_bytes());
    out.push(0);
    out.extend_from_slice(plugin.as_bytes());
    out.push(0);
    out
}

/// What the server says to a proof.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AuthReply {
    Done {
        status: u16,
    },
    Error(String),
    /// Another way of proving is asked for.
    Switch {
        plugin: String,
        nonce: Vec<u8>,
    },
    /// Something for the plugin.
    More(Vec<u8>),
}

impl AuthReply {
    pub(super) fn parse(packet: &[u8]) -> Result<AuthReply, Malformed> {
        match packet.split_first() {
            Some((0, _)) => Ok(AuthReply::Done { status: parse_ok(packet)? }),
            Some((0xff, _)) => Ok(AuthReply::Error(parse_error(packet).ok_or(Malformed)?)),
            Some((0xfe, rest)) => {
                let mut reader = Reader(rest);
                let plugin = reader.name().to_owned();
                let nonce = reader.0.strip_suffix(b"\0").unwrap_or(reader.0).to_vec();
                Ok(AuthReply::Switch { plugin, nonce })
            }
            Some((1, rest)) => Ok(AuthReply::More(rest.to_vec())),
            _ => Err(Malformed),
        }
    }
}

/// The status in an OK packet.
pub(super) fn parse_ok(packet: &[u8]) -> Result<u16, Malformed> {
    let mut reader = Reader(packet);
    reader.byte()?;
    reader.length()?;
    reader.length()?;
    reader.u16()
}

/// What begins a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ResultHead {
    /// No rows.
    Ok {
        status: u16,
    },
    Error(String),
    /// So many columns.
    Columns(usize),
}

impl ResultHead {
    pub(super) fn parse(packet: &[u8]) -> Result<ResultHead, Malformed> {
        match packet.first() {
            Some(0) => Ok(ResultHead::Ok { status: parse_ok(packet)? }),
            Some(0xff) => Ok(ResultHead::Error(parse_error(packet).ok_or(Malformed)?)),
            // It asks for a file of ours.
            Some(0xfb) => Err(Malformed),
            _ => match Reader(packet).length()? {
                Some(count) if (1..=4096).contains(&count) => Ok(ResultHead::Columns(count)),
                _ => Err(Malformed),
            },
        }
    }
}

/// What follows the columns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowReply {
    Row(Vec<Option<Bytes>>),
    End { status: u16 },
    Error(String),
}

impl RowReply {
    pub(super) fn parse(packet: &[u8], columns: usize) -> Result<RowReply, Malformed> {
        match packet.first() {
            Some(0xff) => Ok(RowReply::Error(parse_error(packet).ok_or(Malformed)?)),
            Some(0xfe) if packet.len() < 9 => {
                let mut reader = Reader(packet);
                reader.take(3)?;
                Ok(RowReply::End { status: reader.u16()? })
            }
            _ => {
                let mut reader = Reader(packet);
                let mut row = Vec::with_capacity(columns);
                for _ in 0..columns {
                    row.push(match reader.length()? {
                        Some(length) => Some(Bytes::copy_from_slice(reader.take(length)?)),
                        None => None,
                    });
                }
                Ok(RowReply::Row(row))
            }
        }
    }
}

/// Appends a text as it may be between quotes. With `NO_BACKSLASH_ESCAPES` in the server's mode a quote is doubled.
pub(super) fn quote(text: &[u8], no_backslash_escapes: bool, out: &mut Vec<u8>) {
    for &octet in text {
        let escaped = match octet {
            b'\'' if no_backslash_escapes => b'\'',
            _ if no_backslash_escapes => 0,
            0 => b'0',
            b'\n' => b'n',
            b'\r' => b'r',
            0x1a => b'Z',
            b'\\' | b'\'' | b'"' => octet,
            _ => 0,
        };
        match escaped {
            0 => out.push(octet),
            _ if no_backslash_escapes => out.extend([b'\'', b'\'']),
            _ => out.extend([b'\\', escaped]),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        let taken = self.take(2)?;
        Ok(u16::from_le_bytes([taken[0], taken[1]]))
    }

    fn until_nul(&mut self) -> Result<&'a [u8], Malformed> {
        let at = memchr::memchr(0, self.0).ok_or(Malformed)?;
        let taken = self.take(at)?;
        self.take(1)?;
        Ok(taken)
    }

    /// A name that ends with a NUL or the packet.
    fn name(&mut self) -> &'a str {
        let taken = self.until_nul().unwrap_or_else(|Malformed| std::mem::take(&mut self.0));
        std::str::from_utf8(taken).unwrap_or_default()
    }

    /// A length-encoded number; None is NULL.
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let width = match self.byte()? {
            0xfb => return Ok(None),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            0xff => return Err(Malformed),
            small => return Ok(Some(small.into())),
        };
        let mut number = [0; 8];
        number[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(number)).map(Some).map_err(|_| Malformed)
    }
}

pub(super) fn fuzz(data: &[u8]) {
    let _any =
        (Greeting::parse(data), AuthReply::parse(data), ResultHead::parse(data), RowReply::parse(data, 3));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings() {
        let mut packet = b"\x0a5.5.5-x\0\x01\0\0\0abcdefgh\0".to_vec();
        packet.extend(
            b"\xfe\xf7\x2d\x02\x00\xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0",
        );
        let greeting = Greeting::parse(&packet).unwrap();
        assert_eq!(greeting.nonce, b"abcdefghijklmnopqrst");
        assert_eq!((greeting.plugin.as_str(), greeting.status), ("mysql_native_password", 2));
        assert_eq!(greeting.capabilities, 0x81ff_f7fe);
        for end in 0..40 {
            assert_eq!(Greeting::parse(&packet[..end]), Err(Malformed), "{end}");
        }
    }

    #[test]
    fn replies() {
        for (packet, expect) in [
            (&b"\xff\x15\x04#28000Access denied"[..], Ok(AuthReply::Error("Access denied".to_owned()))),
            (b"\0\0\0\x02\0\0\0", Ok(AuthReply::Done { status: 2 })),
            (
                b"\xfeplug\0nonce\0",
                Ok(AuthReply::Switch { plugin: "plug".to_owned(), nonce: b"nonce".to_vec() }),
            ),
            (b"\x01\x04", Ok(AuthReply::More(vec![4]))),
            (b"", Err(Malformed)),
            (b"\xff", Err(Malformed)),
        ] {
            assert_eq!(AuthReply::parse(packet), expect, "{packet:?}");
        }
        for (packet, expect) in [
            (&b"\x02"[..], Ok(ResultHead::Columns(2))),
            (b"\0\0\0\x0a\0\0\0", Ok(ResultHead::Ok { status: 10 })),
            (b"\xfbfile", Err(Malformed)),
            (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", Err(Malformed)),
        ] {
            assert_eq!(ResultHead::parse(packet), expect, "{packet:?}");
        }
        let row = RowReply::Row(vec![Some(Bytes::from_static(b"ab")), None]);
        assert_eq!(RowReply::parse(b"\x02ab\xfb", 2), Ok(row));
        assert_eq!(RowReply::parse(b"\xfe\0\0\x08\0", 2), Ok(RowReply::End { status: 8 }));
        assert_eq!(RowReply::parse(b"\x05ab", 1), Err(Malformed));
        for data in [&b""[..], b"\x0a", b"\xfe\0\0", b"\xff\0\0#"] {
            fuzz(data);
        }
    }

    #[test]
    fn quoting() {
        for (text, no_backslash_escapes, expect) in [
            ("o'x", false, r"o\'x"),
            ("a\\\"\n\r\x1a\0", false, r#"a\\\"\n\r\Z\0"#),
            ("o'x\\", true, r"o''x\"),
            ("josé", false, "josé"),
        ] {
            let mut out = Vec::new();
            quote(text.as_bytes(), no_backslash_escapes, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_panic(data: Vec<u8>) {
            fuzz(&data);
        }

        /// No quote of the text is seen as one by the server.
        #[test]
        fn quoted_text_ends_nowhere(text: Vec<u8>, no_backslash_escapes: bool) {
            let mut out = Vec::new();
            quote(&text, no_backslash_escapes, &mut out);
            let mut rest = out.iter();
            while let Some(octet) = rest.next() {
                let is_escape = match octet {
                    b'\'' => true,
                    b'\\' => !no_backslash_escapes,
                    _ => false,
                };
                if is_escape {
                    let next = rest.next();
                    proptest::prop_assert!(next.is_some_and(|next| *octet == b'\\' || *next == b'\''));
                }
            }
        }
    }
}
