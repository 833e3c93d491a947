//! Options as C's getopt() reads them: `-abc`, `-ovalue`, `-o value`; the first argument that is none ends them, as does `--`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Options with their values, and what follows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) options: Vec<(char, Option<String>)>,
    pub(crate) operands: Vec<String>,
    /// What getopt() complains of, with the options read up to there.
    pub(crate) complaint: Option<String>,
}

/// `spec` has the options; a `:` behind one says that it takes a value.
pub(crate) fn parse(args: &[String], spec: &str) -> Parsed {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let text = |arg: &OsStr| arg.to_string_lossy().into_owned();
    let mut parsed = Parsed::default();
    let mut getopt = Getopt::new(&args, spec);
    while let Some(step) = getopt.next() {
        match step {
            Step::Option(letter, value) => parsed.options.push((letter, value.map(text))),
            Step::Complaint(complaint) => {
                parsed.complaint = Some(complaint);
                return parsed;
            }
        }
    }
    parsed.operands = getopt.operands().iter().map(|arg| text(arg)).collect();
    parsed
}

/// Reads options one by one, for who looks at arguments before they are read as options.
pub(crate) struct Getopt<'a> {
    args: &'a [OsString],
    spec: &'a str,
    /// The letters of the current argument that were not read yet.
    letters: &'a [u8],
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Option(char, Option<&'a OsStr>),
    /// What getopt() complains of. It can go on after that.
    Complaint(String),
}

impl<'a> Getopt<'a> {
    pub(crate) fn new(args: &'a [OsString], spec: &'a str) -> Getopt<'a> {
        Getopt { args, spec, letters: b"" }
    }

    /// The next option. None: what is left are operands.
    pub(crate) fn next(&mut self) -> Option<Step<'a>> {
        if self.letters.is_empty() {
            let arg = self.args.first()?.as_bytes();
            self.letters = arg.strip_prefix(b"-").filter(|letters| !letters.is_empty())?;
            self.args = &self.args[1..];
            if self.letters == b"-" {
                self.letters = b"";
                return None;
            }
        }
        let (&letter, rest) = self.letters.split_first()?;
        self.letters = rest;
        Some(self.read(char::from(letter)))
    }

    fn read(&mut self, letter: char) -> Step<'a> {
        let known = self.spec.find(letter).filter(|_| letter != ':');
        match known {
            None => Step::Complaint(format!("invalid option -- '{letter}'")),
            Some(at) if self.spec[at + letter.len_utf8()..].starts_with(':') => match self.take_value() {
                None => Step::Complaint(format!("option requires an argument -- '{letter}'")),
                value => Step::Option(letter, value),
            },
            Some(_) => Step::Option(letter, None),
        }
    }

    fn take_value(&mut self) -> Option<&'a OsStr> {
        let rest = std::mem::take(&mut self.letters);
        if rest.is_empty() { self.skip() } else { Some(OsStr::from_bytes(rest)) }
    }

    /// The arguments that were not begun yet, if the next option begins one.
    pub(crate) fn upcoming(&self) -> &'a [OsString] {
        if self.letters.is_empty() { self.args } else { &[] }
    }

    /// Leaves out an argument.
    pub(crate) fn skip(&mut self) -> Option<&'a OsStr> {
        let (first, rest) = self.args.split_first()?;
        self.args = rest;
        Some(first)
    }

    /// What follows the options.
    pub(crate) fn operands(&self) -> &'a [OsString] {
        self.args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str]) -> (String, Vec<String>, Option<String>) {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        let parsed = parse(&args, "ab:#");
        let show =
            |(letter, value): &(char, Option<String>)| format!("{letter}{}", value.as_deref().unwrap_or(""));
        (parsed.options.iter().map(show).collect::<Vec<_>>().join(" "), parsed.operands, parsed.complaint)
    }

    #[test]
    fn forms() {
        for (args, options, operands) in [
            (&["-a", "-b", "x", "y"][..], "a bx", &["y"][..]),
            (&["-a#bx", "--", "-a"], "a # bx", &["-a"]),
            (&["x", "-a"], "", &["x", "-a"]),
            (&["-", "-a"], "", &["-", "-a"]),
            (&["-b=x"], "b=x", &[]),
            (&[], "", &[]),
        ] {
            let operands: Vec<String> = operands.iter().map(|o| o.to_string()).collect();
            assert_eq!(check(args), (options.to_string(), operands, None), "{args:?}");
        }
        assert_eq!(check(&["-aZ"]).2.as_deref(), Some("invalid option -- 'Z'"));
        assert_eq!(check(&["-b"]).2.as_deref(), Some("option requires an argument -- 'b'"));
        assert_eq!(check(&["-:"]).2.as_deref(), Some("invalid option -- ':'"));
        assert_eq!(check(&["--a"]).2.as_deref(), Some("invalid option -- '-'"));
    }

    #[test]
    fn it_goes_on_after_a_complaint() {
        let args: Vec<OsString> = ["-aZb", "x", "-q", "-\u{e9}", "-b"].map(OsString::from).to_vec();
        let mut getopt = Getopt::new(&args, "ab:");
        let mut seen = String::new();
        loop {
            if getopt.upcoming().first().is_some_and(|arg| arg == "-q") {
                getopt.skip();
            }
            match getopt.next() {
                None => break,
                Some(Step::Option(letter, value)) => seen.push_str(&format!("{letter}{value:?};")),
                Some(Step::Complaint(complaint)) => seen.push_str(&format!("{complaint};")),
            }
        }
        let expect = "aNone;invalid option -- 'Z';bSome(\"x\");invalid option -- '\u{c3}';invalid option -- '\u{a9}';\
            option requires an argument -- 'b';";
        assert_eq!(seen, expect);
        assert!(getopt.operands().is_empty());
    }
}
