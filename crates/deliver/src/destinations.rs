//! What the right side of an alias, a `.forward` or an included list says (aliases(5)).
//!
//! Both sides read it: the worker to know where mail goes, a delivery process to know what it may be asked for.

use mail::header::AddressList;
use mail::header::addresses::{Spaces, print_external, print_internal};

/// One of the places that mail is to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// `/file`
    File(Vec<u8>),
    /// `~/file`, or what looks like it, with the `~`.
    HomeFile(Vec<u8>),
    /// `|command`, without the bar.
    Command(Vec<u8>),
    /// `:include:/list`, without the word.
    Include(Vec<u8>),
    /// Anything else, as it was written.
    Address(Vec<u8>),
}

const INCLUDE: &[u8] = b":include:";

/// The destinations of an alias's right side, or of a line.
pub(crate) fn destinations(text: &[u8]) -> Vec<Destination> {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    // A line is as long as line_length_limit lets it be, a right side as its table.
    let list = AddressList::parse(text, usize::MAX);
    let destinations = list.addresses().map(|tokens| {
        let internal = print_internal(tokens, Spaces::None);
        let is_include = internal.get(..INCLUDE.len()).is_some_and(|word| word.eq_ignore_ascii_case(INCLUDE));
        match internal.first() {
            Some(b'/') => Destination::File(internal),
            Some(b'~') => Destination::HomeFile(internal),
            Some(b'|') => Destination::Command(internal[1..].to_vec()),
            _ if is_include => Destination::Include(internal[INCLUDE.len()..].to_vec()),
            _ => Destination::Address(print_external(tokens, Spaces::None)),
        }
    });
    destinations.collect()
}

/// The lines of a `.forward` or a list that are no comments. One longer than `line_length_limit` counts as several.
pub(crate) fn lines(text: &[u8], line_length_limit: usize) -> impl Iterator<Item = &[u8]> {
    let pieces = text.split_inclusive(|b| *b == b'\n').flat_map(move |l| l.chunks(line_length_limit.max(1)));
    pieces.filter(|line| !line.starts_with(b"#"))
}

/// For the fuzz target of that name.
pub fn fuzz_destinations(data: &[u8]) {
    for line in lines(data, 2048) {
        for destination in destinations(line) {
            let (text, prefix) = match &destination {
                Destination::File(text) | Destination::HomeFile(text) => (text, &b""[..]),
                Destination::Command(text) => (text, &b"|"[..]),
                Destination::Include(text) => (text, INCLUDE),
                Destination::Address(_) => continue,
            };
            // Quoted as a whole it is the same again.
            let mut quoted = vec![b'"'];
            for b in prefix.iter().chain(text) {
                if b"\"\\".contains(b) {
                    quoted.push(b'\\');
                }
                quoted.push(*b);
            }
            quoted.push(b'"');
            assert_eq!(destinations(&quoted), [destination]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |destination: &Destination| {
            let (kind, text) = match destination {
                Destination::File(text) => ("file", text),
                Destination::HomeFile(text) => ("home", text),
                Destination::Command(text) => ("run", text),
                Destination::Include(text) => ("list", text),
                Destination::Address(text) => ("to", text),
            };
            format!("{kind} {}", String::from_utf8_lossy(text))
        };
        destinations(text.as_bytes()).iter().map(show).collect::<Vec<_>>().join("; ")
    }

    /// What local(8) of Postfix 3.7 made of such lines.
    #[test]
    fn rows() {
        for (text, expect) in [
            ("alice, bob@example.com, Carol <carol>", "to alice; to bob@example.com; to carol"),
            ("\"quoted name\"", "to \"quoted name\""),
            ("x y z@remote.example", "to x; to y; to z@remote.example"),
            ("/var/mail/x , ~/x, ~bob/x", "file /var/mail/x; home ~/x; home ~bob/x"),
            ("|/bin/cat", "run /bin/cat"),
            ("|/bin/cat -x", "run /bin/cat; to -x"),
            ("\"|/bin/cat  -x 'y'\"", "run /bin/cat  -x 'y'"),
            ("|\"cat >/tmp/out; id\"", "run cat >/tmp/out; id"),
            ("\"| /bin/false\"", "run  /bin/false"),
            ("\"|\"", "run "),
            (":include:/etc/list", "list /etc/list"),
            ("\":Include:/etc/a list\"", "list /etc/a list"),
            ("\\alice", "to alice"),
            ("Bob B <bob>, (comment) carol (x)", "to bob; to carol"),
            ("@remote.example, <>, \"\"", "to @remote.example; to \"\""),
            ("a\\,b@c", "to \"a,b\"@c"),
            ("", ""),
            ("x\0, y", "to x"),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    #[test]
    fn comments_and_long_lines() {
        let lines = |text: &'static str| {
            lines(text.as_bytes(), 4).map(|l| l.escape_ascii().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(lines("a\n#x\n\nb"), ["a\\n", "\\n", "b"]);
        assert_eq!(lines("abcdef#h\n"), ["abcd", "ef#h", "\\n"]);
    }

    proptest::proptest! {
        #[test]
        fn anything(text in "([a-c]{1,2}|[ \t\"(),.:;<>@!%|/~]|\\\\|\\[|:include:){0,30}") {
            fuzz_destinations(text.as_bytes());
        }
    }
}
