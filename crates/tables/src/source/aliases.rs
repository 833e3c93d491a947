//! `name: value`: aliases(5), as postalias(1) reads it.
//!
//! A line is cut into the words of RFC 822 and put together again: the name without its quotes, the value with them, and
//! blanks only where two words would run into one. What a value means is `deliver`'s job.

use super::{Entry, Item, Line, Lines, before_nul, show};
use std::borrow::Cow;

/// The entries of a text and what is wrong with it.
pub struct Entries<'a> {
    path: &'a str,
    lines: Lines<'a>,
    /// The text must be UTF-8 where it is not ASCII.
    utf8: bool,
}

impl<'a> Entries<'a> {
    /// `path` is what warnings call the text.
    pub fn new(path: &'a str, text: &'a [u8], utf8: bool) -> Entries<'a> {
        Entries { path, lines: Lines::new(path, text), utf8 }
    }

    /// None: there is nothing on the line.
    fn parse(&self, line: &Line) -> Result<Option<Entry<'static>>, String> {
        let Line { number, text } = line;
        let path = self.path;
        if self.utf8 && !text.is_ascii() && std::str::from_utf8(text).is_err() {
            let shown = show(text);
            return Err(format!("{path}, line {number}: non-UTF-8 input \"{shown}\" -- ignoring this line"));
        }
        let tokens = scan(before_nul(text));
        if tokens.is_empty() {
            return Ok(None);
        }
        let colon = tokens.iter().position(|token| *token == Token::Operator(b':')).unwrap_or(0);
        let (name, value) = (&tokens[..colon], tokens.get(colon + 1..).unwrap_or_default());
        let has = |operator: u8| name.contains(&Token::Operator(operator));
        if name.is_empty() || value.is_empty() || has(b',') {
            return Err(format!("{path}, line {number}: need name:value pair"));
        }
        if has(b'@') || has(b'%') {
            return Err(format!("{path}, line {number}: name must be local"));
        }
        let (key, value) = (print(name, Form::Internal), print(value, Form::External));
        Ok(Some(Entry { line: *number, key: Cow::Owned(key), value: Cow::Owned(value) }))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            match self.lines.next()?.and_then(|line| self.parse(&line)) {
                Ok(Some(entry)) => return Some(Item::Entry(entry)),
                Ok(None) => {}
                Err(warning) => return Some(Item::Warning(warning)),
            }
        }
    }
}

/// A word, or a character that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Operator(u8),
    Atom(Vec<u8>),
    /// What was between quotes, or needs them.
    Quoted(Vec<u8>),
    /// With its parentheses, as it stands.
    Comment(Vec<u8>),
    /// What was between brackets.
    Literal(Vec<u8>),
}

/// RFC 822's specials, and those that aliases and old addresses have.
const OPERATORS: &[u8] = b"|%!()<>@,;:\\\".[]";

fn scan(mut text: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((&octet, rest)) = text.split_first() {
        let token;
        (token, text) = match octet {
            b' ' | b'\t' | b'\r' | b'\n' => {
                text = rest;
                continue;
            }
            b'(' => comment(text),
            b'[' => enclosed(rest, b']', Token::Literal),
            b'"' => enclosed(rest, b'"', Token::Quoted),
            octet if octet != b'\\' && OPERATORS.contains(&octet) => (Token::Operator(octet), rest),
            _ => atom(text),
        };
        tokens.push(token);
    }
    tokens
}

/// What is up to the closing character; backslashes go, what they protect stays.
fn enclosed(text: &[u8], close: u8, token: fn(Vec<u8>) -> Token) -> (Token, &[u8]) {
    let (word, rest) = collect(text, |octet| octet != close);
    (token(word), rest.get(1..).unwrap_or_default())
}

fn atom(text: &[u8]) -> (Token, &[u8]) {
    let ends = |octet: u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n') || OPERATORS.contains(&octet);
    let (word, rest) = collect(text, |octet| !ends(octet));
    let needs_quotes = |octet: &u8| *octet == b' ' || octet.is_ascii_control() || OPERATORS.contains(octet);
    let is_plain = !word.iter().any(needs_quotes);
    (if is_plain { Token::Atom(word) } else { Token::Quoted(word) }, rest)
}

fn collect(mut text: &[u8], belongs: impl Fn(u8) -> bool) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    while let Some((&octet, rest)) = text.split_first() {
        let mut octet = octet;
        let mut behind = rest;
        if octet == b'\\' {
            let Some((&protected, rest)) = rest.split_first() else {
                return (word, b"");
            };
            (octet, behind) = (protected, rest);
        } else if !belongs(octet) {
            break;
        }
        word.push(if matches!(octet, b'\t' | b'\r' | b'\n') { b' ' } else { octet });
        text = behind;
    }
    (word, text)
}

/// Comments nest; a backslash protects a parenthesis.
fn comment(text: &[u8]) -> (Token, &[u8]) {
    let mut level = 0;
    let mut at = 0;
    while let Some(&octet) = text.get(at) {
        match octet {
            b'(' => level += 1,
            b')' => level -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
        if level == 0 {
            break;
        }
    }
    let (comment, rest) = text.split_at(at.min(text.len()));
    (Token::Comment(comment.to_vec()), rest)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Without quotes.
    Internal,
    /// With quotes where they belong.
    External,
}

fn print(tokens: &[Token], form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        match (token, form) {
            (Token::Operator(octet), _) => out.push(*octet),
            (Token::Atom(word) | Token::Comment(word), _) | (Token::Quoted(word), Form::Internal) => {
                out.extend_from_slice(word);
            }
            (Token::Quoted(word), Form::External) => print_enclosed(&mut out, b'"', word, b"\"\\\r\n", b'"'),
            (Token::Literal(word), Form::Internal) => print_enclosed(&mut out, b'[', word, b"", b']'),
            (Token::Literal(word), Form::External) => print_enclosed(&mut out, b'[', word, b"\\\r\n", b']'),
        }
        if needs_blank(token, tokens.get(n + 1), form) {
            out.push(b' ');
        }
    }
    out
}

fn print_enclosed(out: &mut Vec<u8>, open: u8, word: &[u8], protect: &[u8], close: u8) {
    out.push(open);
    for octet in word {
        if protect.contains(octet) {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(close);
}

fn needs_blank(token: &Token, next: Option<&Token>, form: Form) -> bool {
    let is_word = |token: &Token| !matches!(token, Token::Operator(_));
    match (token, next) {
        // Postfix: so too behind the last comma.
        (Token::Operator(b','), None) => form == Form::External,
        (_, None) => false,
        (Token::Operator(b','), Some(_)) | (_, Some(Token::Operator(b'<'))) => true,
        (token, Some(next)) => is_word(token) && is_word(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show_items(text: &str) -> String {
        let items = Entries::new("al", text.as_bytes(), true).map(|item| match item {
            Item::Entry(entry) => format!("[{}][{}]", show(&entry.key), show(&entry.value)),
            Item::Warning(warning) => format!("!{warning}"),
        });
        items.collect::<Vec<_>>().join("|")
    }

    /// As postalias of Postfix 3.7 stores them.
    #[test]
    fn entries() {
        for (text, expect) in [
            ("postmaster: root", "[postmaster][root]"),
            ("root:\talice,bob ,   \"carol d\" ", "[root][alice, bob, \"carol d\"]"),
            ("\"quoted name\": x", "[quoted name][x]"),
            ("Upper.Case: Y@Example.COM", "[Upper.Case][Y@Example.COM]"),
            (r#"cmd: "|/usr/bin/prog  -a 'b c' \"q\"""#, r#"[cmd]["|/usr/bin/prog  -a 'b c' \"q\""]"#),
            ("incl: :include:/etc/list , other", "[incl][:include:/etc/list, other]"),
            ("file: /var/mail/x", "[file][/var/mail/x]"),
            ("cont: a,\n  b,\n# in\n  c", "[cont][a, b, c]"),
            ("nocolon", "!al, line 1: need name:value pair"),
            ("a@b: c", "!al, line 1: name must be local"),
            ("a%b: c", "!al, line 1: name must be local"),
            ("a, b: c", "!al, line 1: need name:value pair"),
            (": x", "!al, line 1: need name:value pair"),
            ("empty:", "!al, line 1: need name:value pair"),
            ("e2: \"\"", "[e2][\"\"]"),
            ("paren: a (comment) b\n  <x@y>: z", "[paren][a (comment) b <x@y>:z]"),
            ("ang: Foo Bar <foo@bar>, <>", "[ang][Foo Bar <foo@bar>, <>]"),
            ("colon: x:y", "[colon][x:y]"),
            ("brk: [1.2.3.4]@x, a@[1.2.3.4]", "[brk][[1.2.3.4]@x, a@[1.2.3.4]]"),
            ("sp : v", "[sp][v]"),
            ("s p: v", "[s p][v]"),
            ("\"a\\\"b\": q", "[a\"b][q]"),
            ("grp: g: a, b;;", "[grp][g:a, b;;]"),
            ("esc: a\\,b, c\\ d", "[esc][\"a,b\", \"c d\"]"),
            ("un: \"abc", "[un][\"abc\"]"),
            ("dot: a . b @ c . d", "[dot][a.b@c.d]"),
            ("pct: %h/x", "[pct][%h/x]"),
            ("last: a,", "[last][a, ]"),
            ("utf: josé", "[utf][josé]"),
            ("c: a (b (c\\) d) e) f", "[c][a (b (c\\) d) e) f]"),
        ] {
            assert_eq!(show_items(text), expect, "{text:?}");
        }
    }

    proptest::proptest! {
        /// A value that was put together reads as the same value (brackets within brackets excepted: Postfix leaves
        /// them as they are).
        #[test]
        fn round_trip(text in proptest::collection::vec(proptest::sample::select(&b"ab\\\"(),:<>@ .|"[..]), 0..40)) {
            // What a backslash at the very end protects is nothing.
            proptest::prop_assume!(!text.ends_with(b"\\"));
            let value = print(&scan(&text), Form::External);
            proptest::prop_assert_eq!(print(&scan(&value), Form::External), value);
        }
    }
}
