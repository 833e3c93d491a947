//! What cidr, regexp and pcre tables share: rules in their order with IF and ENDIF, from a file or from main.cf itself,
//! and results with `$1` in them.

use crate::source::Lines;
use crate::watched::{Content, Load, LoadError, Loaded, Stamp, Watched};
use crate::{OpenContext, OpenError, Owner, Table, braces, error_text};
use bytes::Bytes;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One rule. `C` is what decides whether it applies.
pub(crate) enum Rule<C> {
    Match {
        line: usize,
        condition: C,
        result: Replacement,
    },
    /// What is up to `end`, the place of its ENDIF, applies only if this does. None: there is no ENDIF.
    If {
        line: usize,
        condition: C,
        end: Option<usize>,
    },
    EndIf,
}

/// The rules of one table.
pub(crate) struct Rules<C> {
    rules: Vec<Rule<C>>,
    /// The places of IFs without their ENDIF so far.
    open: Vec<usize>,
}

impl<C> Rules<C> {
    pub(crate) fn new() -> Rules<C> {
        Rules { rules: Vec::new(), open: Vec::new() }
    }

    pub(crate) fn push_match(&mut self, line: usize, condition: C, result: Replacement) {
        self.rules.push(Rule::Match { line, condition, result });
    }

    pub(crate) fn push_if(&mut self, line: usize, condition: C) {
        self.open.push(self.rules.len());
        self.rules.push(Rule::If { line, condition, end: None });
    }

    /// Whether there was an IF for it.
    pub(crate) fn push_end_if(&mut self) -> bool {
        let Some(begin) = self.open.pop() else {
            return false;
        };
        let here = self.rules.len();
        if let Rule::If { end, .. } = &mut self.rules[begin] {
            *end = Some(here);
        }
        self.rules.push(Rule::EndIf);
        true
    }

    /// The lines of IFs without ENDIF, the last one first.
    pub(crate) fn open_ifs(&self) -> impl Iterator<Item = usize> {
        self.open.iter().rev().filter_map(|&at| match &self.rules[at] {
            Rule::If { line, .. } => Some(*line),
            _ => None,
        })
    }

    /// The result of the first rule that applies, as `applies` says of a line and a condition.
    pub(crate) fn find(&self, mut applies: impl FnMut(usize, &C) -> bool) -> Option<&Replacement> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            match rule {
                Rule::Match { line, condition, result } if applies(*line, condition) => return Some(result),
                Rule::If { line, condition, end } if !applies(*line, condition) => at = (*end)?,
                _ => {}
            }
            at += 1;
        }
        None
    }
}

/// A result: literal text, and groups of the match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Bytes),
    Group(usize),
}

impl Replacement {
    pub(crate) fn literal(text: &[u8]) -> Replacement {
        Replacement(vec![Piece::Literal(Bytes::copy_from_slice(text))])
    }

    /// Reads `$1`, `${1}`, `$(1)` and `$$`.
    pub(crate) fn parse(text: &[u8]) -> Result<Replacement, BadReplacement> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((&octet, tail)) = rest.split_first() {
            rest = tail;
            if octet != b'$' {
                literal.push(octet);
            } else if let Some(tail) = rest.strip_prefix(b"$") {
                literal.push(b'$');
                rest = tail;
            } else {
                let name;
                (name, rest) = macro_name(rest).ok_or_else(|| BadReplacement::Truncated(text.to_vec()))?;
                if name.is_empty() {
                    return Err(BadReplacement::EmptyName(text.to_vec()));
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                }
                pieces.push(Piece::Group(group_number(name)?));
            }
        }
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        Ok(Replacement(pieces))
    }

    /// The highest group that is used; 0 if none is.
    pub(crate) fn groups(&self) -> usize {
        self.0
            .iter()
            .map(|piece| if let Piece::Group(number) = piece { *number } else { 0 })
            .max()
            .unwrap_or(0)
    }

    /// The text, for a match of the subject with these captures.
    pub(crate) fn expand(&self, subject: &[u8], captures: &[Option<Range<usize>>]) -> Bytes {
        if let [Piece::Literal(text)] = &self.0[..] {
            return text.clone();
        }
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Group(number) => {
                    let place = captures.get(*number).cloned().flatten();
                    out.extend_from_slice(place.and_then(|place| subject.get(place)).unwrap_or(b""));
                }
            }
        }
        out.into()
    }
}

/// What is wrong with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadReplacement {
    Truncated(Vec<u8>),
    EmptyName(Vec<u8>),
    NotNumeric(Vec<u8>),
    OutOfRange(Vec<u8>),
}

/// The name behind a `$`, and what is behind it. None: a brace that is not closed.
fn macro_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (open, close) = match text.first() {
        Some(b'{') => (b'{', b'}'),
        Some(b'(') => (b'(', b')'),
        _ => {
            let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
            let end = text.iter().position(|octet| !is_name(octet)).unwrap_or(text.len());
            return Some(text.split_at(end));
        }
    };
    let mut level = 0;
    for (at, &octet) in text.iter().enumerate() {
        if octet == open {
            level += 1;
        } else if octet == close {
            level -= 1;
        }
        if level == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

fn group_number(name: &[u8]) -> Result<usize, BadReplacement> {
    if !name.iter().all(u8::is_ascii_digit) {
        return Err(BadReplacement::NotNumeric(name.to_vec()));
    }
    let number = std::str::from_utf8(name).ok().and_then(|digits| digits.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| BadReplacement::OutOfRange(name.to_vec()))
}

/// Reads the rules of a table from the lines of its text.
pub(crate) trait ReadRules: Send + Sync + 'static {
    /// `cidr`, `regexp`, `pcre`.
    const KIND: &'static str;

    /// `name` is the file's, or the whole of an inline table.
    fn read(name: &str, text: &[u8], context: &OpenContext) -> Box<dyn Content>;
}

/// Opens `kind:/file` or `kind:{ {rule}, {rule} … }`.
pub(crate) fn open<R: ReadRules>(name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let full_name = format!("{}:{name}", R::KIND);
    let (paths, load): (Vec<PathBuf>, Load) = if name.starts_with('{') {
        let text = inline_text(name).map_err(|why| OpenError::Unusable(format!("{} map: {why}", R::KIND)))?;
        let (name, context) = (name.to_owned(), context.clone());
        let load = move |_| {
            let content = R::read(&name, text.as_bytes(), &context);
            Ok(Loaded { content, stamp: None, owner: Owner::of(nix::unistd::getuid().as_raw()) })
        };
        (Vec::new(), Box::new(load))
    } else {
        let (path, context) = (PathBuf::from(name), context.clone());
        (vec![path.clone()], Box::new(move |_| load_file::<R>(&path, &context)))
    };
    Watched::open(full_name, true, paths, load, context).map_err(OpenError::Unusable)
}

fn load_file<R: ReadRules>(path: &Path, context: &OpenContext) -> Result<Loaded, LoadError> {
    let name = path.display().to_string();
    let read = || {
        let mut file = (context.open_file)(path)?;
        let metadata = file.metadata()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok((text, metadata))
    };
    let (text, metadata) = read().map_err(|error: std::io::Error| {
        let why = error_text(&error);
        LoadError::Unusable(match error.kind() {
            // Postfix: a pattern table that is a directory is empty; here nothing depends on such a slip.
            std::io::ErrorKind::IsADirectory => format!("{} map {name}: read error: {why}", R::KIND),
            _ => format!("open {name}: {why}"),
        })
    })?;
    Ok(Loaded {
        content: R::read(&name, &text, context),
        stamp: Some(Stamp::new(0, &metadata)),
        owner: Owner::of(metadata.uid()),
    })
}

/// An inline table as the lines of a file.
fn inline_text(name: &str) -> Result<String, String> {
    let mut text = String::new();
    for element in braces::elements(braces::inside(name)?) {
        text.push_str(braces::strip(element)?);
        text.push('\n');
    }
    Ok(text)
}

/// The logical lines of a table of rules; complaints about the rest go to the log.
pub(crate) fn lines<'a>(
    name: &'a str,
    text: &'a [u8],
    context: &'a OpenContext,
) -> impl Iterator<Item = (usize, Vec<u8>)> + 'a {
    Lines::new(name, text).filter_map(|line| match line {
        Ok(line) => Some((line.number, crate::source::before_nul(&line.text).to_vec())),
        Err(warning) => {
            context.warn(&warning);
            None
        }
    })
}

/// Takes `!` and blanks off the front; whether the pattern is to match (an even number of `!`).
pub(crate) fn strip_negation(mut text: &[u8]) -> (bool, &[u8]) {
    let mut is_positive = true;
    while let Some((&octet, rest)) = text.split_first() {
        match octet {
            b'!' => is_positive = !is_positive,
            octet if crate::source::is_space(octet) => {}
            _ => break,
        }
        text = rest;
    }
    (is_positive, text)
}

/// What is behind the word, if the text begins with it in any case and it ends there.
pub(crate) fn strip_word<'a>(text: &'a [u8], word: &str) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let is_word = head.eq_ignore_ascii_case(word.as_bytes());
    (is_word && !rest.first().is_some_and(u8::is_ascii_alphanumeric)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements() {
        let captures = [Some(0..4), Some(0..2), None, Some(2..2)];
        for (text, expect) in [
            ("plain", Ok("plain")),
            ("", Ok("")),
            ("$1-${1}-$(1)", Ok("ab-ab-ab")),
            ("$$1 $2|$3|", Ok("$1 ||")),
            ("$1.x", Ok("ab.x")),
            ("$1x", Err(BadReplacement::NotNumeric(b"1x".to_vec()))),
            ("$0", Err(BadReplacement::OutOfRange(b"0".to_vec()))),
            ("a$", Err(BadReplacement::EmptyName(b"a$".to_vec()))),
            ("${1", Err(BadReplacement::Truncated(b"${1".to_vec()))),
            ("${a{b}c}", Err(BadReplacement::NotNumeric(b"a{b}c".to_vec()))),
        ] {
            let result = Replacement::parse(text.as_bytes());
            let expanded = result.map(|replacement| replacement.expand(b"abcd", &captures));
            assert_eq!(expanded, expect.map(|text| Bytes::from_static(text.as_bytes())), "{text}");
        }
        assert_eq!(Replacement::parse(b"$2 $1").map(|replacement| replacement.groups()), Ok(2));
    }

    #[test]
    fn nesting() {
        let mut rules = Rules::new();
        let result = Replacement::literal;
        rules.push_if(1, "a");
        rules.push_match(2, "b", result(b"ab"));
        rules.push_if(3, "c");
        rules.push_match(4, "d", result(b"acd"));
        assert!(rules.push_end_if());
        assert!(rules.push_end_if());
        assert!(!rules.push_end_if());
        rules.push_match(7, "b", result(b"b"));
        rules.push_if(8, "e");
        rules.push_match(9, "f", result(b"ef"));
        assert_eq!(rules.open_ifs().collect::<Vec<_>>(), [8]);
        for (truths, expect) in [
            ("ab", Some("ab")),
            ("acd", Some("acd")),
            ("cd", None),
            ("bc", Some("b")),
            ("ef", Some("ef")),
            ("f", None),
        ] {
            let found = rules.find(|_, condition| truths.contains(condition));
            assert_eq!(found, expect.map(|text| result(text.as_bytes())).as_ref(), "{truths}");
        }
    }
}
