//! Options as getopt(3) reads them, for commands whose callers rely on its quirks: clusters (`-oi`), attached values
//! (`-Fname`), options after operands, `--`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opt {
    pub(crate) letter: char,
    /// Its value, if its letter takes one.
    pub(crate) value: Option<OsString>,
}

impl Opt {
    /// The value as text; what is no UTF-8 in it shows as U+FFFD.
    pub(crate) fn text(&self) -> String {
        self.value.as_deref().map(|v| v.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// What getopt complains of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadOption {
    Unknown(char),
    NoValue(char),
}

/// In getopt's words, without the command's name before them.
impl std::fmt::Display for BadOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadOption::Unknown(letter) => write!(f, "invalid option -- '{letter}'"),
            BadOption::NoValue(letter) => write!(f, "option requires an argument -- '{letter}'"),
        }
    }
}

/// Options in their order, and the operands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) options: Vec<Result<Opt, BadOption>>,
    pub(crate) operands: Vec<OsString>,
}

/// Reads all arguments (without the command's name). `spec` lists the letters, those with a value followed by `:`.
/// `whole(argument)` may take an argument as it stands for an option of its own (sendmail's lone `-q`).
pub(crate) fn parse(args: &[OsString], spec: &str, whole: impl Fn(&OsStr) -> Option<Opt>) -> Parsed {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let bytes = arg.as_bytes();
        if let Some(option) = whole(arg) {
            parsed.options.push(Ok(option));
        } else if bytes == b"--" {
            parsed.operands.extend(args.by_ref().cloned());
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            read_cluster(&bytes[1..], spec, &mut args, &mut parsed.options);
        } else {
            parsed.operands.push(arg.clone());
        }
    }
    parsed
}

fn read_cluster<'a>(
    mut cluster: &[u8],
    spec: &str,
    rest: &mut impl Iterator<Item = &'a OsString>,
    options: &mut Vec<Result<Opt, BadOption>>,
) {
    while let Some((&byte, tail)) = cluster.split_first() {
        cluster = tail;
        let letter = char::from(byte);
        options.push(match takes_value(letter, spec) {
            None => Err(BadOption::Unknown(letter)),
            Some(false) => Ok(Opt { letter, value: None }),
            Some(true) => {
                let attached = (!tail.is_empty()).then(|| OsString::from_vec(tail.to_vec()));
                cluster = b"";
                let value = attached.or_else(|| rest.next().cloned());
                value.map_or(Err(BadOption::NoValue(letter)), |v| Ok(Opt { letter, value: Some(v) }))
            }
        });
    }
}

fn takes_value(letter: char, spec: &str) -> Option<bool> {
    let at = spec.find(letter).filter(|_| letter != ':')?;
    Some(spec[at + letter.len_utf8()..].starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(args: &[&str]) -> String {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let whole = |arg: &OsStr| (arg == "-q").then_some(Opt { letter: 'q', value: None });
        let parsed = parse(&args, "if:o:q:tv", whole);
        let options = parsed.options.iter().map(|o| match o {
            Ok(Opt { letter, value: Some(v) }) => format!("{letter}={}", v.to_string_lossy()),
            Ok(Opt { letter, value: None }) => letter.to_string(),
            Err(bad) => format!("<{bad}>"),
        });
        let operands = parsed.operands.iter().map(|o| o.to_string_lossy().into_owned());
        format!("{} | {}", options.collect::<Vec<_>>().join(" "), operands.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn rows() {
        for (args, expect) in [
            (&["-t", "-i"][..], "t i | "),
            (&["-ti", "-fme"], "t i f=me | "),
            (&["bob", "-f", "me", "-", "carol"], "f=me | bob - carol"),
            (&["-oi", "-oem", "--", "-t", "x"], "o=i o=em | -t x"),
            (&["-q", "-q15m", "-tq"], "q q=15m t <option requires an argument -- 'q'> | "),
            (&["-Z", "-f"], "<invalid option -- 'Z'> <option requires an argument -- 'f'> | "),
            (&["-:"], "<invalid option -- ':'> | "),
        ] {
            assert_eq!(show(args), expect, "{args:?}");
        }
    }
}
