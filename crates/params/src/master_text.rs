//! Entries of master.cf as postconf(1) prints and writes them: in columns, long ones folded.

use crate::master_cf::{FIELD_NAMES, FIELDS, MasterCf, Service};
use crate::word::{BLANKS, words};

/// Lines longer than this are folded.
const LINE_LIMIT: usize = 80;
const INDENT: &str = "    ";
/// Where the fields begin if those before leave room.
const COLUMNS: [usize; FIELDS] = [0, 11, 17, 25, 33, 41, 49, 57];

/// How an entry or a field is printed.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    pub fold: bool,
    /// What becomes of the value behind `-o` (`postconf -x`).
    pub option_value: &'a dyn Fn(&str) -> String,
}

/// Leaves values as they are.
pub const PLAIN: Style<'static> = Style { fold: false, option_value: &str::to_string };
/// As entries are written to the file.
pub const FOLDED: Style<'static> = Style { fold: true, option_value: &str::to_string };

/// One entry, without a line end at its end. `words` are a service's.
pub fn entry_text(words: &[String], style: Style<'_>) -> String {
    let mut out = Folder::default();
    for (word, goal) in words.iter().zip(COLUMNS) {
        if out.len > 0 {
            out.add(" ");
            out.add(&" ".repeat(goal.saturating_sub(out.len)));
        }
        out.add(word);
    }
    out.arguments(&words[FIELDS.min(words.len())..], style, 3);
    out.text
}

/// One entry with its words one blank apart (`postconf -Mj`).
pub fn entry_line(words: &[String], style: Style<'_>) -> String {
    let mut out = Folder::default();
    out.add(&words[..FIELDS.min(words.len())].join(" "));
    out.arguments(&words[FIELDS.min(words.len())..], Style { fold: false, ..style }, 0);
    out.text
}

/// `name/type/field = value`; the field `command` has the arguments, too.
pub fn field_text(
    words: &[String],
    field: usize,
    style: Style<'_>,
    show_name: bool,
    show_value: bool,
) -> String {
    let mut out = Folder::default();
    if show_name {
        out.add(&format!("{}/{}/{}", words[0], words[1], FIELD_NAMES[field]));
    }
    if show_name && show_value {
        out.add(" = ");
    }
    if show_value {
        if out.len > 0 && out.len + words[field].len() > LINE_LIMIT {
            out.fold();
        }
        out.add(&words[field]);
        if field == FIELDS - 1 {
            out.arguments(&words[FIELDS..], style, 1);
        }
    }
    out.text
}

/// A setting with its words one blank apart, folded if asked for.
pub fn setting_text(text: &str, fold: bool) -> String {
    let mut out = Folder::default();
    for word in text.split([' ', '\t', '\r', '\n']).filter(|w| !w.is_empty()) {
        if out.len > 0 {
            out.part(word.len(), fold, 0);
        }
        out.add(word);
    }
    out.text
}

#[derive(Default)]
struct Folder {
    text: String,
    /// Of the current line.
    len: usize,
}

impl Folder {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.len += text.len();
    }

    fn fold(&mut self) {
        self.text.push('\n');
        self.text.push_str(INDENT);
        self.len = INDENT.len();
    }

    /// A blank or a new line before `next_len` more characters.
    fn part(&mut self, next_len: usize, fold: bool, extra: usize) {
        if !fold || self.len + extra + next_len < LINE_LIMIT {
            self.add(" ");
        } else {
            self.fold();
        }
    }

    fn arguments(&mut self, words: &[String], style: Style<'_>, extra: usize) {
        let mut rest = words.iter().peekable();
        while let Some(option) = rest.next_if(|w| w.starts_with('-') && *w != "--") {
            let value = if option[1..].starts_with('o') { rest.next() } else { None };
            match value {
                Some(value) => {
                    self.option_with_value(option, &(style.option_value)(value), style.fold, extra)
                }
                None => {
                    let text = if is_read_as_one(option) { option.clone() } else { braced(option) };
                    self.word(&text, style.fold);
                }
            }
        }
        if let Some(first) = rest.next() {
            // Postfix: the first one gets braces only if it would not be read as one word without them.
            let text = if is_read_as_one(first) { first.clone() } else { braced(first) };
            self.word(&text, style.fold);
        }
        rest.for_each(|word| self.word(&braced(word), style.fold));
    }

    fn word(&mut self, word: &str, fold: bool) {
        if self.len > INDENT.len() {
            self.part(word.len(), fold, 1);
        }
        self.add(word);
    }

    /// These get a line of their own.
    fn option_with_value(&mut self, option: &str, value: &str, fold: bool, extra: usize) {
        let value = braced(value);
        self.len = LINE_LIMIT;
        self.part(option.len() + value.len() + extra, fold, 1);
        self.add(option);
        self.add(" ");
        self.add(&value);
        self.len = LINE_LIMIT;
    }
}

fn is_read_as_one(word: &str) -> bool {
    !word.starts_with('{') && words(word, BLANKS).map(|(_, w)| w).eq([word])
}

fn braced(word: &str) -> String {
    // Postfix writes an empty word, and one in braces of its own, without braces, and then reads something else.
    let needs_braces = word.is_empty() || word.starts_with('{') || word.contains(|c| BLANKS.contains(c));
    if needs_braces { format!("{{{word}}}") } else { word.to_string() }
}

/// For the fuzz target: any file is read, and what is printed of it is read the same.
pub fn fuzz_master_cf(data: &[u8]) {
    let master = MasterCf::parse("master.cf", data);
    assert_eq!(master.diagnostics().len(), master.mistakes.len());
    if !master.mistakes.is_empty() {
        return;
    }
    for service in master.services.iter().filter(|s| s.words.iter().all(|w| has_pairs_of_braces(w))) {
        let text = entry_text(&service.words, FOLDED).replace('\n', "");
        let (again, mistakes) = Service::parse(&text, 1);
        assert_eq!(mistakes, []);
        let again = again.expect("an entry");
        // Postfix: a word that was in braces and looks like an option is printed as one, and then it is one.
        if again.overrides.len() != service.overrides.len() {
            continue;
        }
        assert_eq!(entry_text(&again.words, FOLDED).replace('\n', ""), text);
    }
}

fn has_pairs_of_braces(word: &str) -> bool {
    let depths = word.chars().scan(0i64, |depth, c| {
        *depth += i64::from(c == '{') - i64::from(c == '}');
        Some(*depth)
    });
    let depths: Vec<i64> = depths.collect();
    depths.iter().all(|d| *d >= 0) && depths.last().is_none_or(|d| *d == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Service::parse(text, 1).0.expect("an entry").words
    }

    #[test]
    fn entries() {
        for (text, expect) in [
            ("smtp inet n - n - - smtpd", "smtp       inet  n       -       n       -       -       smtpd"),
            (
                "postlog unix-dgram n - n - 1 postlogd",
                "postlog    unix-dgram n  -       n       -       1       postlogd",
            ),
            (
                "relay unix - - n - - smtp -v -o a=b -o { c = d e }",
                "relay      unix  -       -       n       -       -       smtp -v\n    -o a=b\n    -o {c=d e}",
            ),
            (
                "bsmtp unix - n n - - pipe flags=Fq. user=bsmtp argv=/usr/lib/bsmtp/bsmtp -t$nexthop -f$sender $recipient",
                "bsmtp      unix  -       n       n       -       -       pipe flags=Fq.\n    user=bsmtp argv=/usr/lib/bsmtp/bsmtp -t$nexthop -f$sender $recipient",
            ),
        ] {
            assert_eq!(entry_text(&words(text), FOLDED), expect);
            let (again, mistakes) = Service::parse(expect, 1);
            assert_eq!((again.map(|s| s.words), mistakes), (Some(words(text)), vec![]));
        }
        assert_eq!(
            entry_text(&words("relay unix - - n - - smtp -o a=b -v"), PLAIN),
            "relay      unix  -       -       n       -       -       smtp -o a=b -v"
        );
    }

    #[test]
    fn on_one_line() {
        let words = words("12345  inet n n n - - spawn -o { a = 2 3 } user=nobody argv=/bin/sh -c {sleep 1}");
        let expect = "12345 inet n n n - - spawn -o {a=2 3} user=nobody argv=/bin/sh -c {sleep 1}";
        assert_eq!(entry_line(&words, PLAIN), expect);
    }

    #[test]
    fn fields() {
        let words = words("p unix - n n - - pipe -o x=y argv=z");
        assert_eq!(field_text(&words, 4, PLAIN, true, true), "p/unix/chroot = n");
        assert_eq!(field_text(&words, 7, PLAIN, true, true), "p/unix/command = pipe -o x=y argv=z");
        assert_eq!(field_text(&words, 7, PLAIN, false, true), "pipe -o x=y argv=z");
        assert_eq!(field_text(&words, 7, PLAIN, true, false), "p/unix/command");
        assert_eq!(field_text(&words, 7, FOLDED, false, true), "pipe\n    -o x=y\n    argv=z");
    }

    #[test]
    fn settings() {
        assert_eq!(setting_text("a =  b,\t c\n", false), "a = b, c");
        let long = format!("a = {}", "word ".repeat(20));
        assert_eq!(
            setting_text(&long, true),
            format!("a = {}\n    {}", ["word"; 15].join(" "), ["word"; 5].join(" "))
        );
    }

    proptest::proptest! {
        #[test]
        fn printed_is_read_the_same(args in "( (-v|-o [a-c]=[a-c]{0,2}|-o \\{ a = [b ]{0,5}\\}|[a-c=]{1,50}|\\{[a-c ]{0,5}\\}|[{}a -]{0,5})){0,5}") {
            fuzz_master_cf(format!("s unix - - n - - smtp{args}").as_bytes());
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            fuzz_master_cf(&bytes);
        }
    }
}
