//! Addresses in headers: taken apart into tokens, grouped into addresses, and printed as Postfix prints them
//! (RFC 5322 3.4, and what people write instead).
//!
//! Nothing is refused. A list that makes no sense comes apart in some way, and always in the same way.

use super::quoting::quote;
use std::mem;

/// What an address list is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// One of the characters that mean something: `()<>@,;:.[]"|%!`.
    Special(u8),
    Atom(Vec<u8>),
    /// A quoted string, without its quotes and backslashes.
    Quoted(Vec<u8>),
    /// A domain literal, without its brackets and backslashes.
    Literal(Vec<u8>),
    /// A comment, with its parentheses and backslashes.
    Comment(Vec<u8>),
    /// The colon behind a group's name.
    GroupStart,
    /// The tokens of one address, without those round it.
    Address(Vec<Token>),
}

/// Characters that are tokens by themselves when they do not open something.
const SPECIALS: &[u8] = b"|%!()<>@,;:\\\".[]";

/// Comments and display names of one address may be this long before they are left out, so that no one line grows
/// without bounds.
const MAX_NONADDR_LENGTH: usize = 250;

/// The value of an address header.
///
/// ```
/// use mail::header::AddressList;
/// let list = AddressList::parse(b"(x) Bob <bob>, carol (Carol C)", 100);
/// assert_eq!(list.external().collect::<Vec<_>>(), [&b"bob"[..], b"carol"]);
/// assert_eq!(list.print(), b"(x) Bob <bob>,\ncarol (Carol C)");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(Vec<Token>);

impl AddressList {
    /// Takes a header value apart. `header_address_token_limit`: what comes after so many tokens is dropped.
    pub fn parse(value: &[u8], header_address_token_limit: usize) -> AddressList {
        AddressList(Grouping::default().run(scan(value, header_address_token_limit)))
    }

    /// The tokens of each address.
    pub fn addresses(&self) -> impl Iterator<Item = &[Token]> {
        self.0.iter().filter_map(|token| match token {
            Token::Address(tokens) => Some(&tokens[..]),
            _ => None,
        })
    }

    /// The tokens of each address, to be replaced.
    pub fn addresses_mut(&mut self) -> impl Iterator<Item = &mut Vec<Token>> {
        self.0.iter_mut().filter_map(|token| match token {
            Token::Address(tokens) => Some(tokens),
            _ => None,
        })
    }

    /// The addresses in external form, as far as they were written so.
    pub fn external(&self) -> impl Iterator<Item = Vec<u8>> {
        self.addresses().map(|tokens| print_external(tokens, Spaces::None))
    }

    /// The addresses in internal form: what `sendmail -t` takes as recipients, what stands in a table's right side.
    pub fn internal(&self) -> impl Iterator<Item = Vec<u8>> {
        self.addresses().map(|tokens| print_internal(tokens, Spaces::None))
    }

    /// Whether there is something beside addresses and angle brackets.
    pub fn has_other_parts(&self) -> bool {
        self.0.iter().any(|token| !matches!(token, Token::Address(_) | Token::Special(b'<' | b'>')))
    }

    /// As it goes into a header: addresses quoted where they must be, each behind a line feed but the first.
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in self.0.split_inclusive(|token| *token == Token::Special(b',')) {
            let (tokens, comma) = match part {
                [tokens @ .., Token::Special(b',')] => (tokens, true),
                tokens => (tokens, false),
            };
            print_part(tokens, &mut out);
            if comma {
                out.extend_from_slice(b",\n");
            }
        }
        out
    }
}

/// Takes text apart, without grouping: one address in external form. No more than `limit` tokens are made.
pub fn scan(text: &[u8], limit: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if is_blank(first) {
            rest = tail;
            continue;
        }
        if tokens.len() == limit {
            break;
        }
        tokens.push(match first {
            b'(' => Token::Comment(take_comment(&mut rest)),
            b'[' => Token::Literal(take_enclosed(&mut rest, b']')),
            b'"' => Token::Quoted(take_enclosed(&mut rest, b'"')),
            b'\\' => take_atom(&mut rest),
            _ if SPECIALS.contains(&first) => {
                rest = tail;
                Token::Special(first)
            }
            _ => take_atom(&mut rest),
        });
    }
    tokens
}

/// The external form of an address's tokens: quoted strings stay quoted.
pub fn print_external(tokens: &[Token], spaces: Spaces) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        print_token(token, &mut out);
        if spaces == Spaces::BetweenWords && needs_space(token, tokens.get(index + 1)) {
            out.push(b' ');
        }
    }
    out
}

/// The internal form of an address's tokens.
pub fn print_internal(tokens: &[Token], spaces: Spaces) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Quoted(text) => out.extend_from_slice(text),
            Token::Literal(text) => {
                out.push(b'[');
                out.extend_from_slice(text);
                out.push(b']');
            }
            other => print_token(other, &mut out),
        }
        if spaces == Spaces::BetweenWords && needs_space(token, tokens.get(index + 1)) {
            out.push(b' ');
        }
    }
    out
}

/// Whether words are kept apart when tokens are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spaces {
    None,
    BetweenWords,
}

/// Parts the tokens of a list into addresses. They are read from the last to the first, since only what comes after a
/// phrase tells that it is none of the address: in `Bob B <bob>` the bracket, in `a, b` the comma.
#[derive(Default)]
struct Grouping {
    /// The list that comes out, its last token first.
    out: Vec<Token>,
    /// The address being gathered, its last token first.
    address: Vec<Token>,
    /// Comments in it, the last first: they go behind it.
    comments: Vec<Token>,
    /// The token read before belongs to a word: another word in front of it is an address of its own.
    after_word: bool,
    in_group: bool,
}

impl Grouping {
    fn run(mut self, mut tokens: Vec<Token>) -> Vec<Token> {
        while let Some(token) = tokens.pop() {
            self.take(token, &mut tokens);
        }
        self.close();
        self.out.reverse();
        self.out
    }

    fn take(&mut self, token: Token, before: &mut Vec<Token>) {
        match token {
            Token::Comment(_) => self.comments.push(token),
            Token::Special(b'>') => self.take_angle(token, before),
            Token::Special(b';') => {
                self.close_with_comma();
                self.out.push(token);
                (self.in_group, self.after_word) = (true, false);
            }
            Token::Special(b':') if self.in_group => {
                self.close();
                self.out.push(Token::GroupStart);
                self.pass_over(before, b",");
            }
            Token::Special(b',') => {
                self.close();
                self.out.push(token);
                self.after_word = false;
            }
            Token::Special(_) => {
                self.address.push(token);
                self.after_word = false;
            }
            word => {
                if self.after_word {
                    self.close_with_comma();
                }
                self.address.push(word);
                self.after_word = true;
            }
        }
    }

    /// `<address>`, and the phrase in front of it.
    fn take_angle(&mut self, closing: Token, before: &mut Vec<Token>) {
        self.close_with_comma();
        self.out.push(closing);
        let mut opening = None;
        while let Some(token) = before.pop() {
            match token {
                Token::Special(b'<') => {
                    opening = Some(token);
                    break;
                }
                Token::Comment(_) => self.comments.push(token),
                other => self.address.push(other),
            }
        }
        self.close();
        self.out.extend(opening);
        self.pass_over(before, b">;,:");
        if !self.in_group && before.last() == Some(&Token::Special(b':')) {
            self.out.extend(before.pop());
        }
        self.after_word = false;
    }

    /// Moves what is no address to the output, up to one of `stops`.
    fn pass_over(&mut self, before: &mut Vec<Token>, stops: &[u8]) {
        while let Some(token) = before.pop() {
            if matches!(token, Token::Special(special) if stops.contains(&special)) {
                before.push(token);
                return;
            }
            self.out.push(token);
        }
    }

    /// The address ends here, and another comes in front of it without a comma.
    fn close_with_comma(&mut self) {
        let is_address = !self.address.is_empty();
        self.close();
        if is_address {
            self.out.push(Token::Special(b','));
        }
    }

    fn close(&mut self) {
        self.out.append(&mut self.comments);
        if !self.address.is_empty() {
            let mut tokens = mem::take(&mut self.address);
            tokens.reverse();
            self.out.push(Token::Address(tokens));
        }
    }
}

/// Prints what is between two commas; if there is too much beside the address, only that.
fn print_part(tokens: &[Token], out: &mut Vec<u8>) {
    let start = out.len();
    let mut address = None;
    for (index, token) in tokens.iter().enumerate() {
        let token_start = out.len();
        print_token(token, out);
        match (token, tokens.get(index + 1)) {
            (Token::Address(_), _) => address = Some(out[token_start..].to_vec()),
            (Token::Special(b'<'), Some(Token::Special(b'>'))) => address = Some(Vec::new()),
            _ => {}
        }
        if needs_space(token, tokens.get(index + 1)) {
            out.push(b' ');
        }
    }
    if let Some(address) = address.filter(|a| out.len() - a.len() > start + MAX_NONADDR_LENGTH) {
        out.truncate(start);
        out.push(b'<');
        out.extend_from_slice(&address);
        out.push(b'>');
    }
}

fn print_token(token: &Token, out: &mut Vec<u8>) {
    let escaped = |text: &[u8], special: &[u8], out: &mut Vec<u8>| {
        for &b in text {
            if special.contains(&b) {
                out.push(b'\\');
            }
            out.push(b);
        }
    };
    match token {
        Token::Special(special) => out.push(*special),
        Token::GroupStart => out.push(b':'),
        Token::Atom(text) | Token::Comment(text) => out.extend_from_slice(text),
        Token::Quoted(text) => {
            out.push(b'"');
            escaped(text, b"\"\\\r\n", out);
            out.push(b'"');
        }
        Token::Literal(text) => {
            out.push(b'[');
            escaped(text, b"\\\r\n", out);
            out.push(b']');
        }
        Token::Address(tokens) => out.extend_from_slice(&quote(&print_internal(tokens, Spaces::None))),
    }
}

/// Whether a blank goes between two tokens of a list.
fn needs_space(token: &Token, next: Option<&Token>) -> bool {
    let Some(next) = next else { return false };
    let is_word = |token: &Token| !matches!(token, Token::Special(_) | Token::GroupStart);
    match (token, next) {
        (Token::Special(b',') | Token::GroupStart, _) | (_, Token::Special(b'<')) => true,
        _ => is_word(token) && is_word(next),
    }
}

/// A comment with all that is nested in it.
fn take_comment(rest: &mut &[u8]) -> Vec<u8> {
    let (mut depth, mut escaped) = (0usize, false);
    let end = rest.iter().position(|b| {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let (text, tail) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
    *rest = tail;
    text.to_vec()
}

/// What stands between the first octet and `closing`, which is taken too.
fn take_enclosed(rest: &mut &[u8], closing: u8) -> Vec<u8> {
    *rest = &rest[1..];
    let text = take_until(rest, |b| b == closing);
    *rest = rest.get(1..).unwrap_or_default();
    text
}

/// An atom. With backslashes in it, it may turn out to need quotes.
fn take_atom(rest: &mut &[u8]) -> Token {
    let text = take_until(rest, |b| is_blank(b) || SPECIALS.contains(&b));
    let needs_quotes = |b: u8| b == b' ' || b.is_ascii_control() || SPECIALS.contains(&b);
    if text.iter().copied().any(needs_quotes) { Token::Quoted(text) } else { Token::Atom(text) }
}

/// Text up to an octet that `ends` it. Backslashes go; white space becomes a blank.
fn take_until(rest: &mut &[u8], ends: impl Fn(u8) -> bool) -> Vec<u8> {
    let (mut text, mut escaped) = (Vec::new(), false);
    while let Some((&b, tail)) = rest.split_first() {
        if !escaped && b != b'\\' && ends(b) {
            break;
        }
        *rest = tail;
        escaped = !escaped && b == b'\\';
        if !escaped {
            text.push(if is_blank(b) { b' ' } else { b });
        }
    }
    text
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// Parses and prints `data`; what was printed must hold the same addresses, in bounds.
#[doc(hidden)]
pub fn fuzz_address_list(data: &[u8]) {
    let list = AddressList::parse(data, 100);
    let printed = list.print();
    assert!(printed.len() <= data.len() * 4);
    assert_eq!(list.addresses().count(), list.internal().count());
    // Postfix: a bracket in a literal is printed without its backslash, so that it reads differently.
    let has_bracket = |tokens: &[Token]| {
        tokens.iter().any(|token| matches!(token, Token::Literal(text) if text.contains(&b']')))
    };
    for tokens in list.addresses().filter(|tokens| !has_bracket(tokens)) {
        let address = print_external(tokens, Spaces::None);
        assert_eq!(print_external(&scan(&address, usize::MAX), Spaces::None), address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn anything_comes_apart(data in "([a-c]{1,2}|[ \t\"(),.:;<>@!%|]|\\\\|\\[|\\]){0,30}") {
            fuzz_address_list(data.as_bytes());
        }
    }
}
