//! The `{ … }` of table names: inline tables, inline patterns, lists of tables.

/// What separates the elements of a list: comma and white space.
pub(crate) const SEPARATORS: &[u8] = b", \t\r\n";

/// The elements of a list. Separators within braces do not count.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_separator);
        if rest.is_empty() {
            return None;
        }
        let mut level = 0_u32;
        let end = rest.bytes().position(|octet| {
            match octet {
                b'{' => level += 1,
                b'}' => level = level.saturating_sub(1),
                _ => return level == 0 && SEPARATORS.contains(&octet),
            }
            false
        });
        let element;
        (element, rest) = rest.split_at(end.unwrap_or(rest.len()));
        Some(element)
    })
}

fn is_separator(c: char) -> bool {
    c.is_ascii() && SEPARATORS.contains(&(c as u8))
}

/// The octets of `{ … }` at the start of the text, with its braces; 0 if there is none.
pub(crate) fn balanced(text: &str) -> usize {
    if !text.starts_with('{') {
        return 0;
    }
    let mut level = 0_u32;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'{' => level += 1,
            b'}' if level == 1 => return at + 1,
            b'}' => level -= 1,
            _ => {}
        }
    }
    0
}

/// What is between the braces, without blanks round it. The text is all of `{ … }`, or the error says what is not.
pub(crate) fn strip(text: &str) -> Result<&str, String> {
    inside(text).map(trim)
}

/// What is between the braces.
pub(crate) fn inside(text: &str) -> Result<&str, String> {
    if !text.starts_with('{') {
        return Err(format!("no '{{' at start of text in \"{text}\""));
    }
    match balanced(text) {
        0 => Err(format!("missing '}}' in \"{text}\"")),
        length if length < text.len() => Err(format!("syntax error after '}}' in \"{text}\"")),
        length => Ok(&text[1..length - 1]),
    }
}

/// `name = value`. A name may have quoted parts, in which `=` and blanks do not end it; the quotes stay.
pub(crate) fn name_value(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_start_matches(is_space);
    if text.is_empty() {
        return Err("no key found; expected format: key = value".to_owned());
    }
    let end = end_of_key(text.as_bytes(), |octet| octet == b'=').ok_or("unbalanced '\"'")?;
    let value = text[end..].trim_start_matches(is_space);
    let value = value.strip_prefix('=').ok_or("missing '=' after attribute name")?;
    Ok((&text[..end], trim(value)))
}

/// Where a key ends: at the first blank, or octet for which `ends` says so, that is neither quoted nor escaped.
/// None: a quote is open at the end.
pub(crate) fn end_of_key(text: &[u8], ends: impl Fn(u8) -> bool) -> Option<usize> {
    let mut is_quoted = false;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'"' => is_quoted = !is_quoted,
            octet if !is_quoted && (is_space(char::from(octet)) || ends(octet)) => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (!is_quoted).then_some(text.len())
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// As isspace(3) of the C locale.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (text, expect) in [
            ("", &[][..]),
            (" , ", &[]),
            ("a, b c", &["a", "b", "c"]),
            ("inline:{a=b, c=d},static:x", &["inline:{a=b, c=d}", "static:x"]),
            ("{a {b c} d} e", &["{a {b c} d}", "e"]),
            ("{a b", &["{a b"]),
            ("a} b", &["a}", "b"]),
        ] {
            assert_eq!(elements(text).collect::<Vec<_>>(), expect, "{text}");
        }
    }

    #[test]
    fn braces() {
        for (text, expect) in [
            ("{ a b }", Ok("a b")),
            ("{}", Ok("")),
            ("{a{b}}", Ok("a{b}")),
            ("x", Err("no '{' at start of text in \"x\"")),
            ("{x", Err("missing '}' in \"{x\"")),
            ("{x}y", Err("syntax error after '}' in \"{x}y\"")),
        ] {
            assert_eq!(strip(text), expect.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn pairs() {
        for (text, expect) in [
            ("xx = yy", Ok(("xx", "yy"))),
            ("xx=", Ok(("xx", ""))),
            (" \"x =\" = y z ", Ok(("\"x =\"", "y z"))),
            ("\"\\\"x \" = y", Ok(("\"\\\"x \"", "y"))),
            ("", Err("no key found; expected format: key = value")),
            ("xx", Err("missing '=' after attribute name")),
            ("xx yy = zz", Err("missing '=' after attribute name")),
            ("\"xx ", Err("unbalanced '\"'")),
        ] {
            assert_eq!(name_value(text), expect.map_err(str::to_owned), "{text}");
        }
    }
}
