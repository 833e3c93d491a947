//! Addresses as MAIL, RCPT and VRFY give them, taken apart as leniently as Postfix does: source routes, comments,
//! phrases, missing brackets.
//!
//! RFC 5321 4.1.2 is what ought to come; RFC 822 is what is understood. Whether the domain makes sense is decided where
//! addresses are resolved, not here.

use mail::Address;

/// The address in `text`, which may stand in `<>`. None if there is more than one, or, with
/// `strict_rfc821_envelopes`, anything but a path in brackets. No address at all is the null one.
///
/// ```
/// use smtp::address::parse;
/// let address = parse(br#"<@hop.example:"j doe"@example.com>"#, true).unwrap();
/// assert_eq!(address.as_bytes(), b"j doe@example.com");
/// assert!(parse(b"<>", true).unwrap().is_null());
/// assert_eq!(parse(b"<a@example.com, b@example.com>", false), None);
/// ```
pub fn parse(text: &[u8], strict_rfc821_envelopes: bool) -> Option<Address> {
    let (tokens, has_comment) = scan(without_route(within_brackets(text)));
    let found = find(&tokens);
    if found.addresses > 1 {
        return None;
    }
    let address: Vec<u8> = tokens[found.last].iter().flat_map(|token| token.text()).copied().collect();
    let is_strict = text.starts_with(b"<") && !has_comment && !found.has_other && !address.starts_with(b"@");
    (is_strict || !strict_rfc821_envelopes).then(|| Address::new(address))
}

/// What stands in the brackets, if `text` begins and ends with them.
pub(crate) fn within_brackets(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"<").and_then(|text| text.strip_suffix(b">")).unwrap_or(text)
}

/// Drops `@a,@b:` (RFC 5321 appendix C).
fn without_route(text: &[u8]) -> &[u8] {
    match memchr::memchr(b':', text) {
        Some(colon) if text.starts_with(b"@") => &text[colon + 1..],
        _ => text,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// An atom, a quoted string or, with its brackets, a domain literal; unquoted.
    Word(Vec<u8>),
    Special([u8; 1]),
}

impl Token {
    fn text(&self) -> &[u8] {
        match self {
            Token::Word(word) => word,
            Token::Special(special) => special,
        }
    }

    fn special(&self) -> Option<u8> {
        match self {
            Token::Word(_) => None,
            Token::Special([special]) => Some(*special),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// RFC 822's specials, and what other worlds have.
fn is_special(byte: u8) -> bool {
    b"()<>@,;:\\\".[]|%!".contains(&byte)
}

/// The tokens, and whether there were comments between them. Bounded by the command line's length.
fn scan(mut text: &[u8]) -> (Vec<Token>, bool) {
    let (mut tokens, mut has_comment) = (Vec::new(), false);
    while let Some((&first, rest)) = text.split_first() {
        text = match first {
            _ if is_blank(first) => rest,
            b'(' => {
                has_comment = true;
                behind_comment(rest)
            }
            b'[' => {
                let (literal, rest) = take_until(rest, |b| b == b']');
                tokens.push(Token::Word([b"[", &literal[..], b"]"].concat()));
                rest.get(1..).unwrap_or_default()
            }
            b'"' => {
                let (word, rest) = take_until(rest, |b| b == b'"');
                tokens.push(Token::Word(word));
                rest.get(1..).unwrap_or_default()
            }
            _ if first != b'\\' && is_special(first) => {
                tokens.push(Token::Special([first]));
                rest
            }
            _ => {
                let (word, rest) = take_until(text, |b| is_blank(b) || is_special(b));
                tokens.push(Token::Word(word));
                rest
            }
        };
    }
    (tokens, has_comment)
}

/// Takes octets up to one that `ends`, with backslashes removed and blanks made spaces.
fn take_until(text: &[u8], ends: impl Fn(u8) -> bool) -> (Vec<u8>, &[u8]) {
    let (mut taken, mut at) = (Vec::new(), 0);
    while let Some(&byte) = text.get(at) {
        let byte = match byte {
            b'\\' => {
                at += 1;
                let Some(&escaped) = text.get(at) else { break };
                escaped
            }
            _ if ends(byte) => break,
            _ => byte,
        };
        taken.push(if is_blank(byte) { b' ' } else { byte });
        at += 1;
    }
    (taken, &text[at.min(text.len())..])
}

/// What follows a comment, which may hold others. One that is not closed takes everything.
fn behind_comment(text: &[u8]) -> &[u8] {
    let (mut depth, mut at) = (1, 0);
    while depth > 0 {
        match text.get(at) {
            None => return &[],
            Some(b'\\') => at += 1,
            Some(b'(') => depth += 1,
            Some(b')') => depth -= 1,
            Some(_) => {}
        }
        at += 1;
    }
    text.get(at..).unwrap_or_default()
}

/// How tokens make up addresses.
struct Found {
    addresses: usize,
    /// The tokens of the last address.
    last: std::ops::Range<usize>,
    /// Whether there are tokens that belong to no address, other than `<` and `>`.
    has_other: bool,
}

/// Finds the addresses from right to left: that way, what follows a `>` is known to be none of a phrase, and what
/// precedes a `<` is known to be one. Two words in a row are two addresses.
fn find(tokens: &[Token]) -> Found {
    let mut found = Found { addresses: 0, last: 0..0, has_other: false };
    let (mut at, mut end, mut may_be_word, mut in_group) = (tokens.len(), tokens.len(), true, false);
    while at > 0 {
        at -= 1;
        match tokens[at].special() {
            Some(b';') => {
                found.add(at + 1..end);
                found.has_other = true;
                (end, may_be_word, in_group) = (at, true, true);
            }
            Some(b':') if in_group => {
                found.add(at + 1..end);
                found.has_other = true;
                at = behind_last(&tokens[..at], b",");
                end = at;
            }
            Some(b'>') => {
                found.has_other |= at + 1 < end;
                found.add(at + 1..end);
                let open = behind_last(&tokens[..at], b"<");
                found.add(open..at);
                let phrase = behind_last(&tokens[..open.saturating_sub(1)], b">;,:");
                found.has_other |= phrase + 1 < open;
                (at, end, may_be_word) = (phrase, phrase, true);
            }
            Some(b',') => {
                found.add(at + 1..end);
                found.has_other = true;
                (end, may_be_word) = (at, true);
            }
            Some(_) => may_be_word = true,
            None if may_be_word => may_be_word = false,
            None => {
                found.add(at + 1..end);
                found.has_other = true;
                end = at + 1;
            }
        }
    }
    found.add(0..end);
    found
}

impl Found {
    fn add(&mut self, tokens: std::ops::Range<usize>) {
        if tokens.is_empty() {
            return;
        }
        if self.addresses == 0 {
            self.last = tokens;
        }
        self.addresses += 1;
    }
}

/// The index behind the last of these specials; 0 if there is none.
fn behind_last(tokens: &[Token], specials: &[u8]) -> usize {
    tokens
        .iter()
        .rposition(|token| token.special().is_some_and(|s| specials.contains(&s)))
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lenient: Option<&str>, is_strict: bool) {
        let parsed = |strict| {
            parse(text.as_bytes(), strict).map(|a| String::from_utf8_lossy(a.as_bytes()).into_owned())
        };
        assert_eq!(parsed(false).as_deref(), lenient, "{text}");
        assert_eq!(parsed(true).as_deref(), lenient.filter(|_| is_strict), "{text}, strict");
    }

    #[test]
    fn rows() {
        for (text, lenient, is_strict) in [
            ("<>", Some(""), true),
            ("< >", Some(""), true),
            ("<(a)>", Some(""), false),
            ("\"\"", Some(""), false),
            ("<x@example.com>", Some("x@example.com"), true),
            ("x@example.com", Some("x@example.com"), false),
            ("<<x@example.com>>", Some("x@example.com"), true),
            ("<<>>", Some(""), true),
            ("x@example.com>", Some("x@example.com"), false),
            ("<x@example.com>>", Some("x@example.com"), true),
            ("<x@example.com>y", None, false),
            ("<>y", Some("y"), false),
            ("y<x@example.com>", Some("x@example.com"), false),
            ("<y <x@example.com>>", Some("x@example.com"), false),
            ("<\"y z\" <x@example.com>>", Some("x@example.com"), false),
            ("<y z@example.com>", None, false),
            ("<\"y z\"@example.com>", Some("y z@example.com"), true),
            ("<y\\ z@example.com>", Some("y z@example.com"), true),
            ("<x@example.com (a (b) c)>", Some("x@example.com"), false),
            ("<x(a)@example.com>", Some("x@example.com"), false),
            ("<x@example.com (a>", Some("x@example.com"), false),
            ("<x @ example . com>", Some("x@example.com"), true),
            ("<x@a.example, y@a.example>", None, false),
            ("<x@a.example,>", Some("x@a.example"), false),
            ("<x@a.example;>", Some("x@a.example"), false),
            ("<g: x@a.example;>", Some("x@a.example"), false),
            ("<g: x@a.example, y@a.example;>", None, false),
            ("<g:;>", Some(""), false),
            ("<x:y@a.example>", Some("x:y@a.example"), true),
            ("<@a.example,@b.example:x@c.example>", Some("x@c.example"), true),
            ("@a.example:x@c.example", Some("x@c.example"), false),
            ("<@a.example:>", Some(""), true),
            ("<@a.example>", Some("@a.example"), false),
            ("<x@@a.example>", Some("x@@a.example"), true),
            ("<\"x@y\"@a.example>", Some("x@y@a.example"), true),
            ("<x@exa mple.com>", None, false),
            ("<x@[192.0.2.1]>", Some("x@[192.0.2.1]"), true),
            ("<x@[192.0.2.1>", Some("x@[192.0.2.1]"), true),
            ("<\"x\\\"y\"@a.example>", Some("x\"y@a.example"), true),
            ("<x\"y\"z@a.example>", None, false),
            ("<$(id)@a.example>", Some("$@a.example"), false),
            ("<x\\>@a.example>", Some("x>@a.example"), true),
            ("<x\\", Some("<x"), true),
            ("<;id;>", Some("id"), false),
            ("<a <b> c>", None, false),
        ] {
            check(text, lenient, is_strict);
        }
    }

    proptest::proptest! {
        #[test]
        fn parse_undoes_external(local in "[ -?A-~\u{a1}-\u{ff}][ -~\u{a1}-\u{ff}]{0,20}", domain in "[a-z.]{1,20}") {
            let address = Address::from_parts(local.as_bytes(), domain.as_bytes());
            let path = [b"<", &address.external()[..], b">"].concat();
            proptest::prop_assert_eq!(parse(&path, true), Some(address));
        }

        #[test]
        fn anything_is_taken_or_refused(text: Vec<u8>) {
            let strict = parse(&text, true);
            proptest::prop_assert!(strict.is_none() || strict == parse(&text, false));
        }
    }
}
