//! `regexp:` and `pcre:` tables: patterns, in their order. The two differ in their engine and in little else.

use crate::file_values::value_or_file;
use crate::rules::{BadReplacement, ReadRules, Replacement, Rules, lines, strip_negation, strip_word};
use crate::source::{is_space, show, trim, trim_start};
use crate::watched::{Content, FindError};
use crate::{OpenContext, OpenError, Report, Severity, Table, rules};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use sys::pcre::{self, Pcre};
use sys::posix_regex::{self, PosixRegex};

pub(crate) fn open_regexp(name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<Patterns<PosixRegex>>(name, context)
}

pub(crate) fn open_pcre(name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<Patterns<Pcre>>(name, context)
}

/// Places of a match and of its groups.
type Captures = [Option<Range<usize>>];

/// What compiles and matches patterns.
trait Engine: Sized + Send + Sync + 'static {
    const KIND: &'static str;
    type Flags;

    fn default_flags() -> Self::Flags;
    /// Switches what the letter stands for.
    fn switch(flags: &mut Self::Flags, letter: u8) -> Letter;
    fn compile(pattern: &[u8], flags: Self::Flags) -> Result<Self, String>;
    fn groups(&self) -> usize;
    fn find(&self, subject: &[u8], captures: &mut Captures) -> Result<bool, String>;
}

/// What became of a letter behind a pattern.
#[derive(PartialEq, Eq)]
enum Letter {
    Done,
    Obsolete,
    Unknown,
}

impl Engine for PosixRegex {
    const KIND: &'static str = "regexp";
    type Flags = posix_regex::Flags;

    fn default_flags() -> Self::Flags {
        posix_regex::Flags { extended: true, ignore_case: true, newline: false }
    }

    fn switch(flags: &mut Self::Flags, letter: u8) -> Letter {
        let flag = match letter {
            b'i' => &mut flags.ignore_case,
            b'm' => &mut flags.newline,
            b'x' => &mut flags.extended,
            _ => return Letter::Unknown,
        };
        *flag = !*flag;
        Letter::Done
    }

    fn compile(pattern: &[u8], flags: Self::Flags) -> Result<Self, String> {
        PosixRegex::new(pattern, flags)
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn find(&self, subject: &[u8], captures: &mut Captures) -> Result<bool, String> {
        self.find(subject, captures)
    }
}

impl Engine for Pcre {
    const KIND: &'static str = "pcre";
    type Flags = pcre::Flags;

    fn default_flags() -> Self::Flags {
        pcre::Flags { caseless: true, dot_all: true, ..pcre::Flags::default() }
    }

    fn switch(flags: &mut Self::Flags, letter: u8) -> Letter {
        let flag = match letter {
            b'i' => &mut flags.caseless,
            b'm' => &mut flags.multiline,
            b's' => &mut flags.dot_all,
            b'x' => &mut flags.extended,
            b'A' => &mut flags.anchored,
            b'E' => &mut flags.dollar_end_only,
            b'U' => &mut flags.ungreedy,
            b'X' => return Letter::Obsolete,
            _ => return Letter::Unknown,
        };
        *flag = !*flag;
        Letter::Done
    }

    fn compile(pattern: &[u8], flags: Self::Flags) -> Result<Self, String> {
        Pcre::new(pattern, flags)
            .map_err(|error| format!("error in regex at offset {}: {}", error.offset, error.text))
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn find(&self, subject: &[u8], captures: &mut Captures) -> Result<bool, String> {
        self.find(subject, captures)
    }
}

struct Patterns<E> {
    name: String,
    rules: Rules<Condition<E>>,
    /// The most places that any result needs.
    captures: usize,
    report: Report,
}

/// One pattern, or with regexp two: `/yes/!/no/`.
struct Condition<E> {
    first: Pattern<E>,
    second: Option<Pattern<E>>,
    /// The places that the result needs of the first one's match.
    captures: usize,
}

struct Pattern<E> {
    engine: E,
    is_positive: bool,
}

impl<E: Engine> ReadRules for Patterns<E> {
    const KIND: &'static str = E::KIND;

    fn read(name: &str, text: &[u8], context: &OpenContext) -> Box<dyn Content> {
        let reader = Reader { name, context, line: 0 };
        let mut table: Patterns<E> = Patterns {
            name: name.to_owned(),
            rules: Rules::new(),
            captures: 0,
            report: context.report.clone(),
        };
        for (line, text) in lines(name, text, context) {
            // What is wrong was said; the rule is left out.
            let _left_out = Reader { line, ..reader }.read_rule(trim(&text), &mut table);
        }
        for line in table.rules.open_ifs() {
            Reader { line, ..reader }.warn::<E>("IF has no matching ENDIF");
        }
        Box::new(table)
    }
}

impl<E: Engine> Content for Patterns<E> {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let captures = RefCell::new(vec![None; self.captures]);
        let result = self.rules.find(|line, condition| {
            let wanted = &mut captures.borrow_mut()[..condition.captures];
            let is_first = self.applies(line, &condition.first, key, wanted);
            is_first
                && condition.second.as_ref().is_none_or(|second| self.applies(line, second, key, &mut []))
        });
        Ok(result.map(|result| result.expand(key, &captures.borrow())))
    }
}

impl<E: Engine> Patterns<E> {
    fn applies(&self, line: usize, pattern: &Pattern<E>, key: &[u8], captures: &mut Captures) -> bool {
        match pattern.engine.find(key, captures) {
            Ok(is_match) => is_match == pattern.is_positive,
            Err(why) => {
                let text = format!("{} map {}, line {line}: {why}", E::KIND, self.name);
                (self.report)(Severity::Warning, &text);
                false
            }
        }
    }
}

/// The rule was complained of and is left out.
struct LeftOut;

#[derive(Clone, Copy)]
struct Reader<'a> {
    name: &'a str,
    context: &'a OpenContext,
    line: usize,
}

impl Reader<'_> {
    fn warn<E: Engine>(&self, text: &str) -> LeftOut {
        self.context.warn(&format!("{} map {}, line {}: {text}", E::KIND, self.name, self.line));
        LeftOut
    }

    fn read_rule<E: Engine>(&self, text: &[u8], table: &mut Patterns<E>) -> Result<(), LeftOut> {
        if !text.first().is_some_and(u8::is_ascii_alphanumeric) {
            return self.read_match(text, table);
        }
        if let Some(rest) = strip_word(text, "if") {
            return self.read_if(trim_start(rest), table);
        }
        if let Some(rest) = strip_word(text, "endif") {
            if !table.rules.push_end_if() {
                return Err(self.warn::<E>("ignoring ENDIF without matching IF"));
            }
            if !trim(rest).is_empty() {
                self.warn::<E>("ignoring extra text after ENDIF");
            }
            return Ok(());
        }
        Err(self.warn::<E>("ignoring unrecognized request"))
    }

    fn read_match<E: Engine>(&self, text: &[u8], table: &mut Patterns<E>) -> Result<(), LeftOut> {
        let (first, mut rest) = self.read_pattern::<E>(text)?;
        let mut second = None;
        if E::KIND == "regexp" && rest.starts_with(b"!") {
            let pattern;
            (pattern, rest) = self.read_pattern::<E>(rest)?;
            second = Some(pattern);
        }
        let text = trim_start(rest);
        if text.is_empty() {
            self.warn::<E>("no replacement text: using empty string");
        }
        let text = value_or_file(text, self.context).map_err(|why| self.skip::<E>(&why))?;
        let result = Replacement::parse(&text).map_err(|bad| self.refuse_replacement::<E>(&bad))?;
        let groups = result.groups();
        if groups > 0 && !first.is_positive {
            return Err(self.skip::<E>("$number found in negative match replacement text"));
        }
        if groups > 0 && !self.context.allow_substitution {
            return Err(self.skip::<E>("regular expression substitution is not allowed"));
        }
        let first = self.compile::<E>(first)?;
        if groups > first.engine.groups() {
            return Err(self.skip::<E>(&format!("out of range replacement index \"{groups}\"")));
        }
        let second = second.map(|second| self.compile::<E>(second)).transpose()?;
        let captures = if groups > 0 { groups + 1 } else { 0 };
        table.captures = table.captures.max(captures);
        table.rules.push_match(self.line, Condition { first, second, captures }, result);
        Ok(())
    }

    fn read_if<E: Engine>(&self, text: &[u8], table: &mut Patterns<E>) -> Result<(), LeftOut> {
        let (pattern, rest) = self.read_pattern::<E>(text)?;
        let rest = trim_start(rest);
        if !rest.is_empty() {
            self.warn::<E>(&format!("ignoring extra text after IF statement: \"{}\"", show(rest)));
            self.warn::<E>("do not prepend whitespace to statements between IF and ENDIF");
        }
        let first = self.compile::<E>(pattern)?;
        table.rules.push_if(self.line, Condition { first, second: None, captures: 0 });
        Ok(())
    }

    /// `/pattern/flags`, with `!` before it, and what is behind it.
    fn read_pattern<'t, E: Engine>(&self, text: &'t [u8]) -> Result<(Uncompiled<'t, E>, &'t [u8]), LeftOut> {
        let (is_positive, text) = strip_negation(text);
        let Some((&delimiter, text)) = text.split_first() else {
            return Err(self.skip::<E>("no regexp"));
        };
        let Some(end) = end_of_pattern(text, delimiter) else {
            let skipping = if E::KIND == "pcre" { "ignoring" } else { "skipping" };
            let delimiter = show(std::slice::from_ref(&delimiter)).into_owned();
            return Err(
                self.warn::<E>(&format!("no closing regexp delimiter \"{delimiter}\": {skipping} this rule"))
            );
        };
        let (pattern, mut rest) = (&text[..end], &text[end + 1..]);
        let mut flags = E::default_flags();
        while let Some((&letter, tail)) = rest.split_first() {
            if is_space(letter) || (E::KIND == "regexp" && letter == b'!') {
                break;
            }
            let shown = char::from(letter);
            match E::switch(&mut flags, letter) {
                Letter::Done => {}
                Letter::Obsolete => {
                    self.warn::<E>(&format!("ignoring obsolete regexp option \"{shown}\""));
                }
                Letter::Unknown => return Err(self.skip::<E>(&format!("unknown regexp option \"{shown}\""))),
            }
            rest = tail;
        }
        Ok((Uncompiled { pattern, flags, is_positive }, rest))
    }

    fn compile<E: Engine>(&self, pattern: Uncompiled<E>) -> Result<Pattern<E>, LeftOut> {
        let Uncompiled { pattern, flags, is_positive } = pattern;
        let engine = E::compile(pattern, flags).map_err(|why| self.warn::<E>(&why))?;
        Ok(Pattern { engine, is_positive })
    }

    fn skip<E: Engine>(&self, why: &str) -> LeftOut {
        self.warn::<E>(&format!("{why}: skipping this rule"))
    }

    fn refuse_replacement<E: Engine>(&self, bad: &BadReplacement) -> LeftOut {
        let out_of_range = if E::KIND == "pcre" { "out of range" } else { "out-of-range" };
        match bad {
            BadReplacement::Truncated(text) => {
                self.context.warn(&format!("truncated macro reference: \"{}\"", show(text)));
            }
            BadReplacement::EmptyName(text) => {
                self.context.warn(&format!("empty macro name: \"{}\"", show(text)));
            }
            BadReplacement::NotNumeric(name) => {
                self.warn::<E>(&format!("non-numeric replacement index \"{}\"", show(name)));
            }
            BadReplacement::OutOfRange(name) => {
                self.warn::<E>(&format!("{out_of_range} replacement index \"{}\"", show(name)));
            }
        }
        self.skip::<E>("bad replacement syntax")
    }
}

struct Uncompiled<'t, E: Engine> {
    pattern: &'t [u8],
    flags: E::Flags,
    is_positive: bool,
}

/// Where the delimiter is that no backslash is before.
fn end_of_pattern(text: &[u8], delimiter: u8) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            octet if octet == delimiter => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
