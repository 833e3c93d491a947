//! xtext (RFC 3461 4): how ENVID and ORCPT carry octets in SMTP commands.

/// Encodes everything outside `!` to `~`, and `+` and `=`, as `+HH`.
pub fn encode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for &b in raw {
        if b > 32 && b < 127 && b != b'+' && b != b'=' {
            out.push(b);
        } else {
            out.extend_from_slice(format!("+{b:02X}").as_bytes());
        }
    }
    out
}

/// Decodes; None if a `+` is not followed by two hex digits.
///
/// Postfix: lower-case digits are taken, against RFC 3461 4.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b != b'+' {
            out.push(b);
            continue;
        }
        let hex = |d: u8| match d {
            b'0'..=b'9' => Some(d - b'0'),
            b'A'..=b'F' => Some(d - b'A' + 10),
            b'a'..=b'f' => Some(d - b'a' + 10),
            _ => None,
        };
        let (&[high, low], tail) = rest.split_first_chunk::<2>()?;
        out.push(hex(high)? << 4 | hex(low)?);
        rest = tail;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn decode_undoes_encode(raw: Vec<u8>) {
            proptest::prop_assert_eq!(decode(&encode(&raw)), Some(raw));
        }
    }

    #[test]
    fn lower_case_digits() {
        assert_eq!(decode(b"a+2b+3D"), Some(b"a+=".to_vec()));
    }

    #[test]
    fn what_is_refused() {
        for text in ["+", "+4", "+4g", "a+-1"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
