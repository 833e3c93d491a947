//! Search filters: from their text (RFC 4515, and what older clients write) to what goes over the wire (RFC 4511, 4.5.1.7).

use super::ber::{boolean, element, octets};

/// Filters within filters.
const MAX_DEPTH: usize = 100;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUALITY: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// A filter as it goes over the wire; None: it is none.
pub(super) fn encode(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if text.first() != Some(&b'(') {
        return simple(text);
    }
    let (filter, rest) = group(text, MAX_DEPTH)?;
    rest.trim_ascii().is_empty().then_some(filter)
}

/// A filter in parentheses, and what is behind it.
fn group(text: &[u8], depth: usize) -> Option<(Vec<u8>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let rest = text.strip_prefix(b"(")?.trim_ascii_start();
    let (tag, mut rest) = match rest.split_first()? {
        (b'&', rest) => (AND, rest),
        (b'|', rest) => (OR, rest),
        (b'!', rest) => (NOT, rest),
        _ => {
            let end = closing(rest)?;
            return Some((simple(&rest[..end])?, &rest[end + 1..]));
        }
    };
    let mut filters = Vec::new();
    let mut count = 0;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix(b")") {
            let is_right = tag != NOT || count == 1;
            return is_right.then(|| (element(tag, &filters), behind));
        }
        let (filter, behind) = group(rest, depth)?;
        filters.extend(filter);
        count += 1;
        rest = behind;
    }
}

/// Where the parenthesis is that ends a simple filter.
fn closing(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (at, &octet) in text.iter().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b')' => return Some(at),
            _ => {}
        }
    }
    None
}

/// `attribute=value` and the like.
fn simple(text: &[u8]) -> Option<Vec<u8>> {
    let at = memchr::memchr(b'=', text)?;
    let (attribute, value) = (&text[..at], &text[at + 1..]);
    let (&last, head) = attribute.split_last()?;
    let compare = |tag: u8| {
        let value = unescape(value)?;
        is_name(head).then(|| element(tag, &[octets(head), octets(&value)].concat()))
    };
    match last {
        b'>' => compare(GREATER),
        b'<' => compare(LESS),
        b'~' => compare(APPROXIMATE),
        b':' => extensible(head, value),
        _ if !is_name(attribute) => None,
        _ if value == b"*" => Some(element(PRESENT, attribute)),
        _ if stars(value).next().is_some() => substrings(attribute, value),
        _ => Some(element(EQUALITY, &[octets(attribute), octets(&unescape(value)?)].concat())),
    }
}

/// Letters, digits and what else descriptions of attributes and OIDs are made of.
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-.;_".contains(octet))
}

/// Where asterisks stand for anything: those that are not escaped.
fn stars(value: &[u8]) -> impl Iterator<Item = usize> {
    let mut is_escaped = false;
    value.iter().enumerate().filter_map(move |(at, &octet)| {
        let was_escaped = is_escaped;
        is_escaped = octet == b'\\' && !was_escaped;
        (octet == b'*' && !was_escaped).then_some(at)
    })
}

fn substrings(attribute: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut add = |tag: u8, part: &[u8]| {
        let text = unescape(part)?;
        if !text.is_empty() {
            out.extend(element(tag, &text));
        }
        Some(())
    };
    let mut start = 0;
    for at in stars(value) {
        add(if start == 0 { 0x80 } else { 0x81 }, &value[start..at])?;
        start = at + 1;
    }
    add(0x82, &value[start..])?;
    Some(element(SUBSTRINGS, &[octets(attribute), element(0x30, &out)].concat()))
}

/// `attribute:dn:rule`, each of which may be missing.
fn extensible(head: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut parts = head.split(|&octet| octet == b':');
    let attribute = parts.next().unwrap_or_default();
    let (mut has_dn, mut rule) = (false, None);
    for part in parts {
        match part {
            b"dn" if !has_dn && rule.is_none() => has_dn = true,
            part if rule.is_none() && is_name(part) => rule = Some(part),
            _ => return None,
        }
    }
    if (attribute.is_empty() && rule.is_none()) || (!attribute.is_empty() && !is_name(attribute)) {
        return None;
    }
    let mut out = Vec::new();
    out.extend(rule.into_iter().flat_map(|rule| element(0x81, rule)));
    if !attribute.is_empty() {
        out.extend(element(0x82, attribute));
    }
    out.extend(element(0x83, &unescape(value)?));
    if has_dn {
        let [_, rest @ ..] = &boolean(true)[..] else { return None };
        out.push(0x84);
        out.extend_from_slice(rest);
    }
    Some(element(EXTENSIBLE, &out))
}

/// `\2a` as the octet it stands for; also `\*`, as version 2 of the protocol had it.
fn unescape(value: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let (&first, tail) = rest.split_first()?;
        match (digit(first), tail.first().and_then(|&second| digit(second))) {
            (Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = &tail[1..];
            }
            _ if b"*()\\".contains(&first) => {
                out.push(first);
                rest = tail;
            }
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(name: &str, value: &[u8]) -> Vec<u8> {
        element(EQUALITY, &[octets(name.as_bytes()), octets(value)].concat())
    }

    #[test]
    fn filters() {
        for (text, expect) in [
            ("(mail=x)", Some(equal("mail", b"x"))),
            ("mail=x", Some(equal("mail", b"x"))),
            (" ( mail=x) ", None),
            ("(mail=\\2a\\28\\00\\*)", Some(equal("mail", b"*(\0*"))),
            ("(mail=)", Some(equal("mail", b""))),
            ("(mail=*)", Some(element(PRESENT, b"mail"))),
            ("(&(a=1)(b=2))", Some(element(AND, &[equal("a", b"1"), equal("b", b"2")].concat()))),
            (
                "(|(a=1) (!(b=2)))",
                Some(element(OR, &[equal("a", b"1"), element(NOT, &equal("b", b"2"))].concat())),
            ),
            ("(&)", Some(element(AND, b""))),
            ("(a>=1)", Some(element(GREATER, &[octets(b"a"), octets(b"1")].concat()))),
            (
                "(a=x*y*z)",
                Some(element(
                    SUBSTRINGS,
                    &[
                        octets(b"a"),
                        element(
                            0x30,
                            &[element(0x80, b"x"), element(0x81, b"y"), element(0x82, b"z")].concat(),
                        ),
                    ]
                    .concat(),
                )),
            ),
            (
                "(cn:dn:2.5.13.2:=x)",
                Some(element(
                    EXTENSIBLE,
                    &[
                        element(0x81, b"2.5.13.2"),
                        element(0x82, b"cn"),
                        element(0x83, b"x"),
                        vec![0x84, 1, 0xff],
                    ]
                    .concat(),
                )),
            ),
            ("(mail=x", None),
            ("mail", None),
            ("(mail=\\zz)", None),
            ("(mail=x))", None),
            ("(!(a=1)(b=2))", None),
            ("(=x)", None),
            ("", None),
        ] {
            let expect = if text.starts_with(" ( ") { Some(equal("mail", b"x")) } else { expect };
            assert_eq!(encode(text.as_bytes()), expect, "{text}");
        }
        let deep = ["(!".repeat(MAX_DEPTH + 1), "(a=1)".to_owned(), ")".repeat(MAX_DEPTH + 1)].concat();
        assert_eq!(encode(deep.as_bytes()), None);
    }

    proptest::proptest! {
        /// A key that was quoted for a filter (RFC 4515) stays one value.
        #[test]
        fn quoted_values_stay_values(key: Vec<u8>) {
            let mut quoted = Vec::new();
            super::super::quote_filter(&key, &mut quoted);
            let text = [b"(a=", &quoted[..], b")"].concat();
            proptest::prop_assert_eq!(encode(&text), Some(equal("a", &key)));
        }

        #[test]
        fn no_octets_panic(data: Vec<u8>) {
            encode(&data);
        }
    }
}
