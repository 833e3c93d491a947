//! Lists of patterns, as mydestination, relay_domains and mynetworks are: `name`, `.domain`, `network`, `/file`, `type:table`, each
//! with `!` before it. Files and tables are looked into by who can; here they are only named.

use crate::network::Network;
use crate::word::{COMMA_SPACE, words};
use std::cell::Cell;
use std::net::IpAddr;

/// How deep files may name files in a list; it has no parameter.
const DEPTH_LIMIT: usize = 10;
/// How many files one list may lead to; it has no parameter.
const FILES_LIMIT: usize = 1000;

/// A list of patterns, in order. The first that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchList {
    pub items: Vec<MatchItem>,
    /// A word that begins with `#` and all behind it, which Postfix leaves out with a warning.
    pub comment: Option<String>,
}

/// A pattern, or its opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchItem {
    /// What it means for the list if the pattern matches: false with an odd number of `!`.
    pub matches: bool,
    pub pattern: Pattern,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `/name`: the patterns in a file, to be put in its place.
    File(String),
    /// `type:name`: matches what the table has.
    Table(String),
    /// A network or an address.
    Network(Network),
    /// A name, in lower case. As a parent domain it may begin with a dot.
    Name(String),
    /// Looks like a network and is none: Postfix's text. A lookup that comes to it fails for now.
    Broken(String),
}

/// How a lookup in a list ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<E> {
    Yes,
    No,
    TryLater(E),
}

impl MatchList {
    /// Reads a list. The error is Postfix's text without the parameter's name.
    pub fn parse(text: &str) -> Result<MatchList, &'static str> {
        let mut list = MatchList::default();
        for (offset, word) in words(text, COMMA_SPACE) {
            if word.starts_with('#') {
                list.comment = Some(text[offset..].trim_end().to_string());
                break;
            }
            list.items.push(MatchItem::parse(word)?);
        }
        Ok(list)
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The names of the files that are part of the list.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|i| match &i.pattern {
            Pattern::File(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Puts what `read` gives in the place of each file; a file that cannot be read becomes a pattern that fails.
    pub fn with_files(&self, read: &dyn Fn(&str) -> Result<String, String>) -> MatchList {
        let mut list = MatchList { items: Vec::new(), comment: self.comment.clone() };
        let left = Cell::new(FILES_LIMIT);
        self.items.iter().for_each(|item| item.unfold(read, DEPTH_LIMIT, &left, &mut list.items));
        list
    }

    /// Whether a host or domain name is in the list. `table` looks a name up in the table given as `type:name`.
    ///
    /// `parent`: `example.com` matches its subdomains, too (`parent_domain_matches_subdomains`); otherwise `.example.com` does.
    pub fn find_name<E: From<String>>(
        &self,
        name: &str,
        parent: bool,
        mut table: impl FnMut(&str, &str) -> Result<bool, E>,
    ) -> Match<E> {
        let name = name.to_lowercase();
        self.find(|pattern| match pattern {
            Pattern::Table(spec) => table_has_domain(&name, parent, |key| table(spec, key)),
            Pattern::Name(pattern) => Ok(pattern_matches_name(pattern, &name, parent)),
            Pattern::File(_) | Pattern::Network(_) => Ok(false),
            Pattern::Broken(why) if why.starts_with("open file") => Err(E::from(why.clone())),
            Pattern::Broken(_) => Ok(false),
        })
    }

    /// Whether an address is in the list. Names in it match nothing here.
    pub fn find_address<E: From<String>>(
        &self,
        address: IpAddr,
        mut table: impl FnMut(&str, &str) -> Result<bool, E>,
    ) -> Match<E> {
        self.find(|pattern| match pattern {
            Pattern::Table(spec) => table(spec, &address.to_string()),
            Pattern::Network(network) => Ok(network.contains(address)),
            Pattern::Broken(why) => Err(E::from(why.clone())),
            Pattern::File(_) | Pattern::Name(_) => Ok(false),
        })
    }

    fn find<E>(&self, mut matches: impl FnMut(&Pattern) -> Result<bool, E>) -> Match<E> {
        for item in &self.items {
            match matches(&item.pattern) {
                Err(error) => return Match::TryLater(error),
                Ok(true) if item.matches => return Match::Yes,
                Ok(true) => return Match::No,
                Ok(false) => {}
            }
        }
        Match::No
    }
}

impl MatchItem {
    fn parse(word: &str) -> Result<MatchItem, &'static str> {
        let text = word.trim_start_matches('!');
        if text.is_empty() {
            return Err("no pattern after '!'");
        }
        let matches = (word.len() - text.len()).is_multiple_of(2);
        Ok(MatchItem { matches, pattern: Pattern::parse(text) })
    }

    fn unfold(
        &self,
        read: &dyn Fn(&str) -> Result<String, String>,
        depth: usize,
        files_left: &Cell<usize>,
        out: &mut Vec<MatchItem>,
    ) {
        let Pattern::File(name) = &self.pattern else {
            return out.push(self.clone());
        };
        let may_go_on = depth > 0 && files_left.get() > 0;
        files_left.set(files_left.get().saturating_sub(1));
        let text = if may_go_on { read(name) } else { Err(format!("open file {name}: nested too deep")) };
        match text {
            Err(why) => out.push(MatchItem { matches: true, pattern: Pattern::Broken(why) }),
            Ok(text) => {
                let lines = text.lines().filter(|l| !l.starts_with('#'));
                let items = lines.filter_map(|l| MatchList::parse(l).ok()).flat_map(|list| list.items);
                for mut item in items {
                    item.matches = item.matches == self.matches;
                    item.unfold(read, depth - 1, files_left, out);
                }
            }
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Pattern {
        if text.starts_with('/') {
            return Pattern::File(text.to_string());
        }
        if is_table(text) {
            return Pattern::Table(text.to_string());
        }
        // Postfix: only what has nothing but an address's characters is tried as one, so that names stay names.
        let has_only = |set: &str| text.chars().all(|c| set.contains(c) || c.is_ascii_digit());
        let may_be_network = text.contains(['/', ':']) && has_only("abcdefABCDEF:.[]/");
        match Network::parse(text) {
            Ok(network) => Pattern::Network(network),
            Err(why) if may_be_network => Pattern::Broken(why),
            Err(_) => Pattern::Name(text.to_lowercase()),
        }
    }
}

/// Whether Postfix takes a pattern for `type:name`: it has a colon and does not begin with a bracket. So IPv6 needs its brackets.
pub fn is_table(text: &str) -> bool {
    !text.starts_with('[') && text.contains(':')
}

fn pattern_matches_name(pattern: &str, name: &str, parent: bool) -> bool {
    if pattern == name {
        return true;
    }
    let Some(head) = name.strip_suffix(pattern).filter(|head| !head.is_empty()) else {
        return false;
    };
    if parent { head.ends_with('.') } else { pattern.starts_with('.') }
}

/// The name itself, then its parent domains, with their dot unless `parent`.
fn table_has_domain<E>(
    name: &str,
    parent: bool,
    mut has: impl FnMut(&str) -> Result<bool, E>,
) -> Result<bool, E> {
    let mut key = name;
    loop {
        if has(key)? {
            return Ok(true);
        }
        match key.char_indices().skip(1).find(|(_, c)| *c == '.') {
            Some((dot, _)) => key = &key[if parent { dot + 1 } else { dot }..],
            None => return Ok(false),
        }
    }
}

/// For the fuzz target: any list is read or refused, and a lookup in it ends.
pub fn fuzz_list(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(list) = MatchList::parse(&text) {
        let list = list.with_files(&|_| Ok(text.to_string()));
        let table = |_: &str, key: &str| -> Result<bool, String> { Ok(key.len() > 3) };
        let _ = list.find_name("www.example.com", true, table);
        let _ = list.find_address(IpAddr::from([192, 0, 2, 1]), table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> Vec<String> {
        let list = MatchList::parse(text).unwrap();
        let show = |i: &MatchItem| format!("{}{:?}", if i.matches { "" } else { "!" }, i.pattern);
        list.items.iter().map(show).collect()
    }

    #[test]
    fn parses() {
        assert_eq!(
            patterns("Example.com, !.sub /etc/list !!hash:/etc/x cidr:{ {1.2.3.4 OK}, {b c} }"),
            [
                "Name(\"example.com\")",
                "!Name(\".sub\")",
                "File(\"/etc/list\")",
                "Table(\"hash:/etc/x\")",
                "Table(\"cidr:{ {1.2.3.4 OK}, {b c} }\")"
            ]
        );
        let list = MatchList::parse("a b # c d").unwrap();
        assert_eq!((list.items.len(), list.comment.as_deref()), (2, Some("# c d")));
        assert_eq!(MatchList::parse("a !"), Err("no pattern after '!'"));
        assert!(matches!(MatchList::parse("1.2.3.4/24").unwrap().items[0].pattern, Pattern::Broken(_)));
        assert!(matches!(MatchList::parse("1.2.3").unwrap().items[0].pattern, Pattern::Name(_)));
        assert!(matches!(MatchList::parse("[fe80::1]").unwrap().items[0].pattern, Pattern::Network(_)));
        assert!(matches!(MatchList::parse("fe80::1").unwrap().items[0].pattern, Pattern::Table(_)));
    }

    #[test]
    fn names() {
        let table = |_: &str, key: &str| -> Result<bool, String> {
            if key == "fail" {
                Err("table down".into())
            } else {
                Ok(key == "t.example" || key == ".d.example")
            }
        };
        for (list, name, parent, expect) in [
            ("example.com", "EXAMPLE.com", false, Match::Yes),
            ("example.com", "sub.example.com", false, Match::No),
            ("example.com", "sub.example.com", true, Match::Yes),
            ("example.com", "subexample.com", true, Match::No),
            (".example.com", "sub.example.com", false, Match::Yes),
            ("!a.example, .example", "a.example", false, Match::No),
            ("!a.example, .example", "b.example", false, Match::Yes),
            ("hash:x", "x.t.example", true, Match::Yes),
            ("hash:x", "x.t.example", false, Match::No),
            ("hash:x", "x.d.example", false, Match::Yes),
            ("a, hash:x, b", "fail", false, Match::TryLater("table down".to_string())),
        ] {
            let list = MatchList::parse(list).unwrap();
            assert_eq!(list.find_name(name, parent, table), expect, "{list:?} {name}");
        }
    }

    #[test]
    fn addresses() {
        let none = |_: &str, _: &str| -> Result<bool, String> { Ok(false) };
        let find =
            |list: &str, ip: &str| MatchList::parse(list).unwrap().find_address(ip.parse().unwrap(), none);
        assert_eq!(find("127.0.0.0/8 !10.0.0.1 10.0.0.0/8", "10.0.0.1"), Match::No);
        assert_eq!(find("127.0.0.0/8 !10.0.0.1 10.0.0.0/8", "10.0.0.2"), Match::Yes);
        assert_eq!(find("example.com [::1]/128", "::1"), Match::Yes);
        assert!(matches!(find("10.0.0.1/8 10.0.0.2", "10.0.0.2"), Match::TryLater(_)));
    }

    #[test]
    fn files() {
        let read = |name: &str| match name {
            "/a" => Ok("# x\nb.example !c.example\n/b\n".to_string()),
            "/b" => Ok("d.example\n".to_string()),
            "/loop" => Ok("/loop\n".to_string()),
            _ => Err(format!("open file {name}: No such file or directory")),
        };
        let list = MatchList::parse("!/a x").unwrap().with_files(&read);
        let expect = MatchList::parse("!b.example c.example !d.example x").unwrap();
        assert_eq!(list.items, expect.items);
        for name in ["/none", "/loop"] {
            let list = MatchList::parse(name).unwrap().with_files(&read);
            assert!(matches!(&list.items[0].pattern, Pattern::Broken(_)), "{name}");
            let none = |_: &str, _: &str| -> Result<bool, String> { Ok(false) };
            assert!(matches!(list.find_name("x", false, none), Match::TryLater(_)));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_list(text in "([!/a-c:., {}#]|1.2.3.0|/24|\\[::1\\]){0,12}") {
            fuzz_list(text.as_bytes());
        }
    }
}
