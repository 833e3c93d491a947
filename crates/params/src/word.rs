//! Words: how values, options and arguments are cut at blanks and commas, with `{ }` holding together what has some inside.

use crate::line::is_space;

/// What parts words in most values.
pub const COMMA_SPACE: &str = ", \t\r\n";
/// What parts the fields of master.cf.
pub const BLANKS: &str = " \t\r\n";

/// The words of `text` with their offsets. A separator within `{ }` parts nothing; the braces stay.
pub fn words<'a>(text: &'a str, separators: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].len() - text[at..].trim_start_matches(|c| separators.contains(c)).len();
        let start = at;
        let mut depth = 0usize;
        for (offset, c) in text[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                c if depth == 0 && separators.contains(c) => {
                    at = start + offset;
                    return Some((start, &text[start..at]));
                }
                _ => {}
            }
        }
        at = text.len();
        (start < at).then(|| (start, &text[start..at]))
    })
}

/// The words of a value that is a list, without regard to braces.
pub fn plain_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| COMMA_SPACE.contains(c)).filter(|w| !w.is_empty())
}

/// What stands between the `{ }` that `text` begins with. In the error case also what can be made of it, as Postfix goes on with that.
pub fn strip_braces(text: &str) -> Result<&str, (String, &str)> {
    let Some(inside) = text.strip_prefix('{') else {
        return Err((format!("no '{{' at start of text in \"{text}\""), text));
    };
    let Some(end) = closing_brace(text) else {
        return Err((format!("missing '}}' in \"{text}\""), inside));
    };
    let (inside, rest) = (&text[1..end], &text[end + 1..]);
    if rest.is_empty() { Ok(inside) } else { Err((format!("syntax error after '}}' in \"{text}\""), inside)) }
}

/// The offset of the `}` that closes the `{` at the front.
pub fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return (depth == 1).then_some(offset),
            b'}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// `name = value`, as parts of `text`. The error is Postfix's.
pub fn name_value(text: &str) -> Result<(&str, &str), &'static str> {
    let text = text.trim_start_matches(is_space);
    if text.is_empty() || text.starts_with('=') {
        return Err("missing attribute name");
    }
    let end = text.find(|c| is_space(c) || c == '=').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match rest.trim_start_matches(is_space).strip_prefix('=') {
        Some(value) => Ok((name, value.trim_matches(is_space))),
        None => Err("missing '=' after attribute name"),
    }
}

/// The offset of `part` in `whole`, whose slice it is.
pub(crate) fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_braces() {
        for (text, expect) in [
            ("", vec![]),
            (" , ", vec![]),
            ("a,b  c", vec!["a", "b", "c"]),
            ("{ a, b } c", vec!["{ a, b }", "c"]),
            ("x:{ {a b}, c },d", vec!["x:{ {a b}, c }", "d"]),
            ("{ a b", vec!["{ a b"]),
            ("a} b", vec!["a}", "b"]),
        ] {
            assert_eq!(words(text, COMMA_SPACE).map(|w| w.1).collect::<Vec<_>>(), expect, "{text:?}");
        }
        assert_eq!(words(" a,\tbc", COMMA_SPACE).collect::<Vec<_>>(), vec![(1, "a"), (4, "bc")]);
    }

    #[test]
    fn braces() {
        assert_eq!(strip_braces("{ a {b} }"), Ok(" a {b} "));
        assert_eq!(strip_braces("{}"), Ok(""));
        assert_eq!(strip_braces("{a"), Err(("missing '}' in \"{a\"".into(), "a")));
        assert_eq!(strip_braces("{a}b"), Err(("syntax error after '}' in \"{a}b\"".into(), "a")));
        assert_eq!(strip_braces("a"), Err(("no '{' at start of text in \"a\"".into(), "a")));
    }

    #[test]
    fn names_and_values() {
        for (text, expect) in [
            ("a=b", Ok(("a", "b"))),
            (" a = b = c ", Ok(("a", "b = c"))),
            ("a=", Ok(("a", ""))),
            ("a\t=\tb", Ok(("a", "b"))),
            ("", Err("missing attribute name")),
            ("= b", Err("missing attribute name")),
            ("permit_mynetworks", Err("missing '=' after attribute name")),
            ("a b = c", Err("missing '=' after attribute name")),
        ] {
            assert_eq!(name_value(text), expect, "{text:?}");
        }
    }
}
