//! Lookup keys: what is looked up in a table, and in which order, for an address, a host name or a network address.
//!
//! access(5), canonical(5), virtual(5), transport(5), generic(5) and their kin all search this way, so that a table row
//! means the same everywhere. The tables themselves, and folding of case, are `tables`' job; whether a domain is local is
//! `route`'s.

use crate::Address;
use crate::address::quote_local;
use bytes::Bytes;
use memchr::{memchr, memrchr};
use std::borrow::Cow;
use std::net::IpAddr;

/// One thing to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub text: Cow<'a, [u8]>,
    /// The whole name. Pattern tables (regexp, pcre, cidr, tcp …) are asked for whole names only, never for parts.
    pub is_whole: bool,
    /// What had to be taken off the local part, with its delimiter: `+list`. It is put back where
    /// `propagate_unmatched_extensions` says so.
    pub extension: Option<&'a [u8]>,
}

/// How a local part is split into name and extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Each of these characters is a delimiter; empty: nothing is split.
    pub recipient_delimiter: Bytes,
    /// `owner-x` and `x-request` are not split at `-`.
    pub owner_request_special: bool,
    /// This local part is never split.
    pub double_bounce_sender: Bytes,
}

impl Extensions {
    /// Nothing is split.
    pub fn none() -> Extensions {
        Extensions::new("")
    }

    /// Split at these, everything else as Postfix has it by default.
    pub fn new(recipient_delimiter: impl Into<Bytes>) -> Extensions {
        Extensions {
            recipient_delimiter: recipient_delimiter.into(),
            owner_request_special: true,
            double_bounce_sender: Bytes::from_static(b"double-bounce"),
        }
    }

    /// The name and the extension with its delimiter. The split is at the first delimiter; nothing is split that
    /// would leave an empty name.
    ///
    /// ```
    /// use mail::keys::Extensions;
    /// let plus = Extensions::new("+-");
    /// assert_eq!(plus.split(b"list+a-b"), Some((&b"list"[..], &b"+a-b"[..])));
    /// assert_eq!(plus.split(b"list-request"), None);
    /// ```
    pub fn split<'a>(&self, local: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if self.is_special(local) {
            return None;
        }
        let at = local.iter().position(|b| self.recipient_delimiter.contains(b))?;
        (at > 0).then(|| local.split_at(at))
    }

    fn is_special(&self, local: &[u8]) -> bool {
        let same = |name: &[u8]| local.eq_ignore_ascii_case(name);
        let starts =
            |name: &[u8]| local.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        let ends = |name: &[u8]| {
            local.len() > name.len() && local[local.len() - name.len()..].eq_ignore_ascii_case(name)
        };
        same(b"postmaster")
            || same(b"mailer-daemon")
            || same(&self.double_bounce_sender)
            || (self.owner_request_special
                && self.recipient_delimiter.contains(&b'-')
                && (starts(b"owner-") || ends(b"-request")))
    }
}

/// Whether `example.com` in a table also stands for its subdomains, or `.example.com` does
/// (`parent_domain_matches_subdomains`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// `a.b.c`, `b.c`, `c`.
    Plain,
    /// `a.b.c`, `.b.c`, `.c`.
    Dotted,
}

/// Which forms of an address are looked up. They are tried in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// `user+ext@domain`, then `user@domain`.
    pub address: bool,
    /// `user+ext`, then `user`, if the domain is local (myorigin, mydestination, inet_interfaces, proxy_interfaces).
    pub local_part_if_local: bool,
    /// `@domain`.
    pub at_domain: bool,
    /// `domain`, then its parents.
    pub domain: Option<Parents>,
    /// `user+ext@`, then `user@`.
    pub local_part_at: bool,
    /// Each form of the address is looked up as in a header, quoted where need be, and then, if that is another text,
    /// unquoted.
    pub unquoted_too: bool,
}

impl Search {
    /// Rewriting by canonical(5), virtual(5) and generic(5).
    pub const REWRITE: Search = Search {
        address: true,
        local_part_if_local: true,
        at_domain: true,
        domain: None,
        local_part_at: false,
        unquoted_too: false,
    };

    /// Any other question about an address: whether a recipient exists, relocated(5), bcc maps, login maps, virtual
    /// mailboxes, maps that depend on the sender.
    pub const ADDRESS: Search = Search { unquoted_too: true, ..Search::REWRITE };

    /// access(5).
    pub const fn access(parents: Parents) -> Search {
        Search {
            address: true,
            local_part_if_local: false,
            at_domain: false,
            domain: Some(parents),
            local_part_at: true,
            unquoted_too: true,
        }
    }

    /// transport(5). The wild card `*` comes after all these and is the caller's.
    pub const fn transport(parents: Parents) -> Search {
        Search { local_part_at: false, ..Search::access(parents) }
    }
}

/// The keys for a mail address. The null sender has none: what stands for it is the caller's (`<>`).
///
/// ```
/// use mail::keys::{address_keys, Extensions, Search};
/// let address = mail::Address::from("joe+x@example.com");
/// let keys = address_keys(&address, Search::REWRITE, &Extensions::new("+"), true);
/// let texts: Vec<&[u8]> = keys.iter().map(|key| &*key.text).collect();
/// assert_eq!(texts, [&b"joe+x@example.com"[..], b"joe@example.com", b"joe+x", b"joe", b"@example.com"]);
/// ```
pub fn address_keys<'a>(
    address: &'a Address,
    search: Search,
    extensions: &Extensions,
    domain_is_local: bool,
) -> Vec<Key<'a>> {
    if address.is_null() {
        return Vec::new();
    }
    let (local, whole) = (address.local(), address.as_bytes());
    let at_domain = &whole[local.len()..];
    let bare = extensions.split(local);
    let mut keys = Keys { out: Vec::with_capacity(8), unquoted_too: search.unquoted_too };
    if search.address {
        keys.push_forms(local, at_domain, None, Some(whole));
        keys.push_bare(bare, at_domain);
    }
    let Some(domain) = address.domain() else {
        return keys.out;
    };
    if search.local_part_if_local && domain_is_local {
        keys.push_forms(local, b"", None, None);
        keys.push_bare(bare, b"");
    }
    if search.at_domain {
        keys.push(Cow::Borrowed(at_domain), false, None);
    }
    if let Some(parents) = search.domain {
        parts_of_domain(domain, parents).for_each(|part| keys.push(Cow::Borrowed(part), false, None));
    }
    if search.local_part_at {
        keys.push_forms(local, b"@", None, None);
        keys.push_bare(bare, b"@");
    }
    keys.out
}

/// The keys for a host name or a mail domain: itself, then its parents. A name that is a numerical address has no
/// parents.
pub fn domain_keys(domain: &[u8], parents: Parents) -> Vec<Key<'_>> {
    let is_address = std::str::from_utf8(domain).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    parts_of_domain(domain, parents)
        .take(if is_address { 1 } else { usize::MAX })
        .enumerate()
        .map(|(n, text)| Key { text: Cow::Borrowed(text), is_whole: n == 0, extension: None })
        .collect()
}

/// The keys for a network address in text form: itself, then shortened octet by octet, or group by group.
pub fn network_keys(address: &[u8]) -> Vec<Key<'_>> {
    let delimiter = if memchr(b':', address).is_some() { b':' } else { b'.' };
    let mut keys = Vec::with_capacity(8);
    let mut rest = Some(address);
    while let Some(text) = rest {
        // Postfix: `2001:db8::1` is followed by `2001:db8:`, and an empty key is not looked up.
        if !text.is_empty() {
            keys.push(Key { text: Cow::Borrowed(text), is_whole: keys.is_empty(), extension: None });
        }
        rest = memrchr(delimiter, text).map(|at| &text[..at]);
    }
    keys
}

/// A name and its parents. An empty name has none; a trailing dot ends the walk.
fn parts_of_domain(domain: &[u8], parents: Parents) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(domain), move |name| {
        let dot = 1 + memchr(b'.', name.get(1..)?)?;
        Some(&name[dot + usize::from(parents == Parents::Plain)..])
    })
    .take_while(|name| !name.is_empty())
}

/// The keys so far.
struct Keys<'a> {
    out: Vec<Key<'a>>,
    unquoted_too: bool,
}

impl<'a> Keys<'a> {
    fn push_bare(&mut self, bare: Option<(&'a [u8], &'a [u8])>, rest: &[u8]) {
        if let Some((name, extension)) = bare {
            self.push_forms(name, rest, Some(extension), None);
        }
    }

    /// `local` with `rest` behind it, in its one or two forms. `whole` is the two as they stand in the address, if
    /// this is all of it.
    fn push_forms(
        &mut self,
        local: &'a [u8],
        rest: &[u8],
        extension: Option<&'a [u8]>,
        whole: Option<&'a [u8]>,
    ) {
        let is_whole = whole.is_some();
        let is_quoted = needs_quotes(local);
        if is_quoted {
            let external = [&quote_local(local), rest].concat();
            self.push(Cow::Owned(external), is_whole, extension);
        }
        if !is_quoted || self.unquoted_too {
            let plain = if rest.is_empty() { Some(local) } else { whole };
            let internal = plain.map_or_else(|| Cow::Owned([local, rest].concat()), Cow::Borrowed);
            self.push(internal, is_whole, extension);
        }
    }

    fn push(&mut self, text: Cow<'a, [u8]>, is_whole: bool, extension: Option<&'a [u8]>) {
        if !text.is_empty() {
            self.out.push(Key { text, is_whole, extension });
        }
    }
}

/// Whether the external form of this local part is another.
fn needs_quotes(local: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_+=".contains(b);
    let is_surely_plain = !local.is_empty() && local.iter().all(is_plain);
    !is_surely_plain && quote_local(local) != local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(keys: &[Key]) -> String {
        let show = |key: &Key| {
            let text = String::from_utf8_lossy(&key.text);
            let extension =
                key.extension.map_or(String::new(), |e| format!("({})", String::from_utf8_lossy(e)));
            format!("{}{text}{extension}", if key.is_whole { "=" } else { "" })
        };
        keys.iter().map(show).collect::<Vec<_>>().join(" | ")
    }

    fn check(address: &str, search: Search, is_local: bool, expect: &str) {
        let address = Address::from(address);
        assert_eq!(
            texts(&address_keys(&address, search, &Extensions::new("+-"), is_local)),
            expect,
            "{address}"
        );
    }

    /// These and the next are what smtpd, cleanup and trivial-rewrite of Postfix 3.7 log of their searches with -v.
    #[test]
    fn canonical_virtual_generic() {
        let check = |address, is_local, expect| check(address, Search::REWRITE, is_local, expect);
        check("joe@example.com", false, "=joe@example.com | @example.com");
        check("joe@example.com", true, "=joe@example.com | joe | @example.com");
        check("joe+x@example.com", false, "=joe+x@example.com | joe@example.com(+x) | @example.com");
        check(
            "joe+x@example.com",
            true,
            "=joe+x@example.com | joe@example.com(+x) | joe+x | joe(+x) | @example.com",
        );
        check("joe", true, "=joe");
        check("joe+x", true, "=joe+x | joe(+x)");
        check("owner-list@example.com", false, "=owner-list@example.com | @example.com");
        check("list-request@example.com", false, "=list-request@example.com | @example.com");
        check("MAILER-DAEMON@example.com", false, "=MAILER-DAEMON@example.com | @example.com");
        check(
            "a b+x@example.com",
            true,
            "=\"a b+x\"@example.com | \"a b\"@example.com(+x) | \"a b+x\" | \"a b\"(+x) | @example.com",
        );
        check("@example.com", false, "=\"\"@example.com | @example.com");
        check("", true, "");
    }

    #[test]
    fn other_questions_about_addresses() {
        check(
            "a b+x@example.com",
            Search::ADDRESS,
            true,
            "=\"a b+x\"@example.com | =a b+x@example.com | \"a b\"@example.com(+x) | a b@example.com(+x) | \
             \"a b+x\" | a b+x | \"a b\"(+x) | a b(+x) | @example.com",
        );
    }

    #[test]
    fn access_and_transport() {
        check(
            "joe+x@a.example.com",
            Search::access(Parents::Plain),
            false,
            "=joe+x@a.example.com | joe@a.example.com(+x) | a.example.com | example.com | com | joe+x@ | joe@(+x)",
        );
        check(
            "joe@a.example.com",
            Search::transport(Parents::Dotted),
            false,
            "=joe@a.example.com | a.example.com | .example.com | .com",
        );
        check(
            "joe@[192.0.2.1]",
            Search::transport(Parents::Plain),
            false,
            "=joe@[192.0.2.1] | [192.0.2.1] | 0.2.1] | 2.1] | 1]",
        );
    }

    #[test]
    fn hosts_and_networks() {
        for (host, parents, expect) in [
            ("mx.example.com", Parents::Plain, "=mx.example.com | example.com | com"),
            ("mx.example.com", Parents::Dotted, "=mx.example.com | .example.com | .com"),
            ("example.com.", Parents::Plain, "=example.com. | com."),
            ("localhost", Parents::Plain, "=localhost"),
            ("192.0.2.1", Parents::Plain, "=192.0.2.1"),
            ("", Parents::Plain, ""),
        ] {
            assert_eq!(texts(&domain_keys(host.as_bytes(), parents)), expect);
        }
        for (address, expect) in [
            ("192.0.2.1", "=192.0.2.1 | 192.0.2 | 192.0 | 192"),
            ("2001:db8::1", "=2001:db8::1 | 2001:db8: | 2001:db8 | 2001"),
            ("::1", "=::1 | :"),
            ("unknown", "=unknown"),
            ("", ""),
        ] {
            assert_eq!(texts(&network_keys(address.as_bytes())), expect);
        }
    }

    #[test]
    fn splitting() {
        for (delimiters, local, expect) in [
            ("+", "joe+x", Some(("joe", "+x"))),
            ("+", "joe+", Some(("joe", "+"))),
            ("+", "joe+x+y", Some(("joe", "+x+y"))),
            ("+", "+x", None),
            ("", "joe+x", None),
            ("+", "owner-x+y", Some(("owner-x", "+y"))),
            ("+-", "owner-x+y", None),
            ("-", "-request", None),
            ("-", "x-request", None),
            ("b", "double-bounce", None),
            ("a", "PostMaster", None),
        ] {
            let extensions = Extensions::new(delimiters);
            let expect = expect.map(|(name, extension)| (name.as_bytes(), extension.as_bytes()));
            assert_eq!(extensions.split(local.as_bytes()), expect, "{delimiters} {local}");
        }
        let plain = Extensions { owner_request_special: false, ..Extensions::new("-") };
        assert_eq!(plain.split(b"x-request"), Some((&b"x"[..], &b"-request"[..])));
    }

    proptest::proptest! {
        /// Nothing panics, no key is empty, only the first form is whole.
        #[test]
        fn any_octets(address: Vec<u8>, local: bool) {
            let address = Address::new(address);
            for search in [Search::ADDRESS, Search::access(Parents::Dotted), Search::access(Parents::Plain)] {
                let keys = address_keys(&address, search, &Extensions::new("+-"), local);
                proptest::prop_assert!(keys.iter().all(|key| !key.text.is_empty()));
                proptest::prop_assert!(keys.iter().filter(|key| key.is_whole).count() <= 2);
            }
        }
    }
}
