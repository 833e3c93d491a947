//! The standard form of an address: `user@domain.example`, whatever was left out or written in another way.

use crate::{Router, Settings};
use mail::Address;
use mail::header::addresses::{Spaces, Token, print_internal, scan};
use mail::header::{quote, unquote};

/// Whose names complete an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Ours: `myorigin` and `mydomain`. For all envelopes, and headers of local clients.
    Local,
    /// `remote_header_rewrite_domain`, for headers of other clients.
    Remote,
}

impl Router {
    /// Brings an address to standard form, external to external.
    pub fn standard_external(&self, external: &[u8], context: Context) -> Vec<u8> {
        if external.is_empty() || is_standard(external) {
            return external.to_vec();
        }
        // An address is no longer than what holds it: a header of header_size_limit, a line of a table.
        let mut tokens = scan(external, usize::MAX);
        self.standardise(&mut tokens, context);
        quote(&print_internal(&tokens, Spaces::BetweenWords))
    }

    /// Brings an address to standard form, internal to internal. The null address stays.
    pub fn standard(&self, address: &Address, context: Context) -> Address {
        if address.is_null() || is_standard(address.as_bytes()) {
            return address.clone();
        }
        Address::new(unquote(&self.standard_external(&quote(address.as_bytes()), context)))
    }

    /// Brings tokens to standard form.
    pub(crate) fn standardise(&self, tokens: &mut Vec<Token>, context: Context) {
        let settings = &*self.settings;
        match &tokens[..] {
            [] => return,
            [Token::Quoted(text)] if text.is_empty() => return,
            [Token::Special(b'@')] => {
                *tokens = vec![Token::Quoted(Vec::new())];
                return;
            }
            _ => {}
        }
        strip_source_route(tokens);
        if position_of_last(tokens, b'@').is_none() {
            add_domain(tokens, settings, origin(settings, context));
        }
        if settings.append_dot_mydomain && complete_domain(tokens, parent(settings, context)) {
            self.remind_of_append_dot_mydomain(tokens);
        }
        strip_last_dot(tokens);
    }

    fn remind_of_append_dot_mydomain(&self, tokens: &[Token]) {
        let at = position_of_last(tokens, b'@').unwrap_or(0);
        let (Some(remind), Some(Token::Atom(name))) = (&self.remind, tokens.get(at + 1)) else { return };
        // Postfix speaks of localhost only where it is no domain of ours, which is not known here.
        if !name.eq_ignore_ascii_case(b"localhost") {
            let (name, mydomain) = (String::from_utf8_lossy(name), &self.settings.mydomain);
            let setting = "using backwards-compatible default setting append_dot_mydomain=yes";
            remind(&format!("{setting} to rewrite \"{name}\" to \"{name}.{mydomain}\""));
        }
    }
}

/// Whether this is `user@host.domain` of plain characters: the usual case, which is standard already.
fn is_standard(address: &[u8]) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'=' | b'-');
    let Some(at) = memchr::memchr(b'@', address) else { return false };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    !local.is_empty()
        && local.iter().chain(domain).copied().all(is_plain)
        && !local.starts_with(b".")
        && !local.ends_with(b".")
        && !local.windows(2).any(|w| w == b"..")
        && memchr::memchr(b'.', domain).is_some()
        && !domain.ends_with(b".")
}

fn origin(settings: &Settings, context: Context) -> &str {
    match context {
        Context::Local => &settings.myorigin,
        Context::Remote => &settings.remote_header_rewrite_domain,
    }
}

fn parent(settings: &Settings, context: Context) -> &str {
    match context {
        Context::Local => &settings.mydomain,
        Context::Remote => &settings.remote_header_rewrite_domain,
    }
}

/// RFC 5321 F.2: of `@relay,@relay:user@domain` only the last part counts.
fn strip_source_route(tokens: &mut Vec<Token>) {
    if tokens.first() != Some(&Token::Special(b'@')) {
        return;
    }
    let colon = tokens.iter().position(|token| *token == Token::Special(b':'));
    if let Some(colon) = colon.filter(|colon| colon + 1 < tokens.len()) {
        tokens.drain(..=colon);
    }
}

/// Finds the domain in `host!user` (`swap_bangpath`) or `user%host` (`allow_percent_hack`), or appends the origin
/// (`append_at_myorigin`).
fn add_domain(tokens: &mut Vec<Token>, settings: &Settings, origin: &str) {
    let bang = tokens.iter().position(|token| *token == Token::Special(b'!'));
    if let Some(bang) = bang.filter(|_| settings.swap_bangpath) {
        let user = tokens.split_off(bang + 1);
        tokens.truncate(bang);
        let host = std::mem::replace(tokens, user);
        tokens.push(Token::Special(b'@'));
        tokens.extend(host);
        return;
    }
    if let Some(percent) = position_of_last(tokens, b'%').filter(|_| settings.allow_percent_hack) {
        tokens[percent] = Token::Special(b'@');
        return;
    }
    if settings.append_at_myorigin && !origin.is_empty() {
        tokens.push(Token::Special(b'@'));
        tokens.extend(scan(origin.as_bytes(), usize::MAX));
    }
}

/// `append_dot_mydomain`: a domain without a dot gets the rest of its name; true if it did.
fn complete_domain(tokens: &mut Vec<Token>, parent: &str) -> bool {
    let Some(at) = position_of_last(tokens, b'@') else { return false };
    let is_complete = |token: &Token| matches!(token, Token::Special(b'.') | Token::Literal(_));
    if parent.is_empty() || at + 1 == tokens.len() || tokens[at..].iter().any(is_complete) {
        return false;
    }
    tokens.push(Token::Special(b'.'));
    tokens.extend(scan(parent.as_bytes(), usize::MAX));
    true
}

/// `user@domain.` loses its dot; `user@domain..` and `user@.` are left for others to refuse.
pub(crate) fn strip_last_dot(tokens: &mut Vec<Token>) {
    if let [.., before, Token::Special(b'.')] = &tokens[..]
        && !matches!(before, Token::Special(b'.' | b'@'))
    {
        tokens.pop();
    }
}

pub(crate) fn position_of_last(tokens: &[Token], special: u8) -> Option<usize> {
    tokens.iter().rposition(|token| *token == Token::Special(special))
}
