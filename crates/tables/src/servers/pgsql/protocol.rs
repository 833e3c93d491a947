//! The messages of PostgreSQL's protocol 3.0, without a socket: the few that logging in and a simple query need.

use bytes::Bytes;

/// Asks whether the server talks TLS.
pub(super) const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The first message, with its length.
pub(super) fn startup(user: &str, dbname: &str) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for text in ["user", user, "database", dbname] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

/// A message of ours.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// A text that ends with a NUL.
pub(super) fn text_message(kind: u8, text: &[u8]) -> Vec<u8> {
    message(kind, &[text, b"\0"].concat())
}

/// The message that begins SASL.
pub(super) fn sasl_first(mechanism: &str, first: &[u8]) -> Vec<u8> {
    let length = (first.len() as u32).to_be_bytes();
    message(b'p', &[mechanism.as_bytes(), b"\0", &length, first].concat())
}

/// How the server wants to be convinced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Nothing,
    Password,
    Md5 { salt: [u8; 4] },
    Sasl { mechanisms: Vec<String> },
    SaslContinue(Vec<u8>),
    SaslFinal(Vec<u8>),
    Unknown(u32),
}

impl Demand {
    pub(super) fn parse(body: &[u8]) -> Option<Demand> {
        let (&code, rest) = body.split_first_chunk::<4>()?;
        Some(match u32::from_be_bytes(code) {
            0 => Demand::Nothing,
            3 => Demand::Password,
            5 => Demand::Md5 { salt: *rest.first_chunk()? },
            10 => {
                let names = rest.split(|&octet| octet == 0).filter(|name| !name.is_empty());
                Demand::Sasl {
                    mechanisms: names.map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
                }
            }
            11 => Demand::SaslContinue(rest.to_vec()),
            12 => Demand::SaslFinal(rest.to_vec()),
            other => Demand::Unknown(other),
        })
    }
}

/// The name and the value of a parameter that the server tells.
pub(super) fn parse_status(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = body.split(|&octet| octet == 0);
    Some((parts.next()?, parts.next()?))
}

/// A row; NULL is empty, as libpq has it.
pub(super) fn parse_row(body: &[u8]) -> Option<Vec<Option<Bytes>>> {
    let (&count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(count) {
        let (&length, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        let (value, tail) = tail.split_at_checked(length)?;
        row.push(Some(Bytes::copy_from_slice(value)));
        rest = tail;
    }
    Some(row)
}

/// An error as libpq words it, over several lines. `query` is what it is about.
pub(super) fn parse_error(body: &[u8], query: &str) -> String {
    let field = |kind: u8| {
        let mut fields = body.split(|&octet| octet == 0);
        let found = fields.find_map(|field| field.strip_prefix(&[kind]));
        found.map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let (severity, text) = (field(b'S').unwrap_or_default(), field(b'M').unwrap_or_default());
    let mut out = format!("{severity}:  {text}\n");
    if let Some(position) = field(b'P').and_then(|text| text.parse::<usize>().ok()) {
        out += &show_position(query, position);
    }
    for (kind, name) in [(b'D', "DETAIL"), (b'H', "HINT"), (b'W', "CONTEXT")] {
        if let Some(text) = field(kind) {
            out += &format!("{name}:  {text}\n");
        }
    }
    out
}

/// What is shown of a line: longer ones are cut, with so much left behind the place.
const WIDTH: usize = 60;
const RIGHT: usize = 10;

/// The line of the query with the place (a character, from 1) under it.
fn show_position(query: &str, position: usize) -> String {
    let chars: Vec<char> = query.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let Some(at) = position.checked_sub(1).filter(|&at| at <= chars.len()) else {
        return String::new();
    };
    let start = chars[..at].iter().rposition(|&c| c == '\n').map_or(0, |newline| newline + 1);
    let end = chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |newline| at + newline);
    let number = chars[..at].iter().filter(|&&c| c == '\n').count() + 1;
    let (mut from, mut to) = (start, end);
    if to - from > WIDTH {
        if from + WIDTH >= at + RIGHT {
            to = from + WIDTH;
        } else {
            to = to.min(at + RIGHT);
            from = from.max(to.saturating_sub(WIDTH));
        }
    }
    let (before, behind) = (if from > start { "..." } else { "" }, if to < end { "..." } else { "" });
    let head = format!("LINE {number}: {before}");
    let line: String = chars[from..to].iter().collect();
    format!("{head}{line}{behind}\n{}^\n", " ".repeat(head.len() + at - from))
}

/// Appends a text as it may be between quotes. Where strings are not as the standard has them a backslash escapes.
pub(super) fn quote(text: &[u8], has_standard_strings: bool, out: &mut Vec<u8>) {
    for &octet in text {
        if octet == b'\'' || (octet == b'\\' && !has_standard_strings) {
            out.push(octet);
        }
        out.push(octet);
    }
}

pub(super) fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _any = (Demand::parse(data), parse_status(data), parse_row(data), parse_error(data, &text));
    for position in 0..data.len().min(80) {
        show_position(&text, position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors() {
        let long = "set standard_conforming_strings = off; query = select goto from alias where address='x'";
        let left = format!("select {}nothing from nowhere where 1 = 1 and 2 = 2", "a, ".repeat(30));
        for (body, query, expect) in [
            ("SERROR\0VERROR\0C42P01\0Mno\0P8\0\0", "selec", "ERROR:  no\n"),
            ("SERROR\0Mno x\0P6\0", "a\tb\nc", "ERROR:  no x\nLINE 2: c\n         ^\n"),
            (
                "SERROR\0Mno\0P1\0DWhy\0HDo\0",
                "x",
                "ERROR:  no\nLINE 1: x\n        ^\nDETAIL:  Why\nHINT:  Do\n",
            ),
            (
                "SERROR\0Mno\0P40\0",
                long,
                "ERROR:  no\nLINE 1: set standard_conforming_strings = off; query = select goto f...\n                                               ^\n",
            ),
            (
                "SERROR\0Mno\0P98\0",
                &left,
                "ERROR:  no\nLINE 1: ..., a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, nothing fr...\n                                                             ^\n",
            ),
            ("", "", ":  \n"),
        ] {
            assert_eq!(parse_error(body.as_bytes(), query), expect, "{body:?}");
        }
    }

    #[test]
    fn messages() {
        assert_eq!(startup("u", "d"), b"\0\0\0\x1b\0\x03\0\0user\0u\0database\0d\0\0");
        assert_eq!(text_message(b'Q', b"x"), b"Q\0\0\0\x06x\0");
        assert_eq!(sasl_first("M", b"ab"), b"p\0\0\0\x0cM\0\0\0\0\x02ab");
        assert_eq!(Demand::parse(b"\0\0\0\x05abcd"), Some(Demand::Md5 { salt: *b"abcd" }));
        let mechanisms = vec!["A".to_owned(), "B".to_owned()];
        assert_eq!(Demand::parse(b"\0\0\0\x0aA\0B\0\0"), Some(Demand::Sasl { mechanisms }));
        assert_eq!(Demand::parse(b"\0\0\0"), None);
        assert_eq!(parse_status(b"a\0b\0"), Some((&b"a"[..], &b"b"[..])));
        let row = vec![Some(Bytes::from_static(b"ab")), Some(Bytes::new())];
        assert_eq!(parse_row(b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff"), Some(row));
        assert_eq!(parse_row(b"\0\x01\0\0\0\x02a"), None);
        for (text, standard, expect) in
            [("o'x\\", true, "o''x\\"), ("o'x\\", false, "o''x\\\\"), ("é", true, "é")]
        {
            let mut out = Vec::new();
            quote(text.as_bytes(), standard, &mut out);
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
        fn quoted_text_ends_nowhere(text: Vec<u8>, has_standard_strings: bool) {
            let mut out = Vec::new();
            quote(&text, has_standard_strings, &mut out);
            let mut rest = out.iter();
            while let Some(octet) = rest.next() {
                let is_escape = *octet == b'\'' || (*octet == b'\\' && !has_standard_strings);
                proptest::prop_assert!(!is_escape || rest.next() == Some(octet));
            }
        }
    }
}
