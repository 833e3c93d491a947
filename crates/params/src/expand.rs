//! `$name` in values: `$name ${name} $(name) $$ ${name?text} ${name:text} ${name?{a}:{b}} ${{a} == {b} ? {c} : {d}}`.
//!
//! The same language serves parameters (looked up again in what comes out), and, once and with a filter, commands' arguments and
//! reply texts.

use crate::level::Level;
use crate::line::is_space;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;

/// How deep lookups and conditions may lie in one another; it has no parameter.
const NESTING_LIMIT: usize = 100;
/// How many pieces one expansion may visit, so that values which double at each level end, too; it has no parameter.
const STEP_LIMIT: usize = 100_000;

/// How to expand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Expand what comes out of a lookup, too.
    pub recursive: bool,
    /// Characters that may come out of a lookup; others become `_`. None: all may.
    pub filter: Option<&'a str>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    pub text: String,
    /// A name that is used for its value is not defined.
    pub undefined: bool,
}

/// What is wrong with the text, in Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError(pub String);

/// Expands `text`. `lookup` gives the value of a name, None if it is not defined.
pub fn expand<'v>(
    text: &str,
    options: Options<'_>,
    lookup: &dyn Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<Expansion, ExpandError> {
    let steps = Cell::new(0);
    let mut expander =
        Expander { lookup, options, scan: false, undefined: false, steps: &steps, out: String::new() };
    expander.run(text, 0)?;
    Ok(Expansion { text: expander.out, undefined: expander.undefined })
}

/// Calls `found` for each name in `text`, those in both branches of conditions, too.
pub fn names_in(text: &str, found: &mut dyn FnMut(&str)) -> Result<(), ExpandError> {
    let found = RefCell::new(found);
    let lookup = |name: &str| {
        (found.borrow_mut())(name);
        None
    };
    let (options, steps) = (Options::default(), Cell::new(0));
    Expander { lookup: &lookup, options, scan: true, undefined: false, steps: &steps, out: String::new() }
        .run(text, 0)
}

struct Expander<'f, 'v> {
    lookup: &'f dyn Fn(&str) -> Option<Cow<'v, str>>,
    options: Options<'f>,
    /// Visit every branch and write nothing.
    scan: bool,
    undefined: bool,
    steps: &'f Cell<usize>,
    out: String,
}

enum Item<'a> {
    Literal(String),
    Expression(&'a str),
}

impl Expander<'_, '_> {
    fn run(&mut self, text: &str, depth: usize) -> Result<(), ExpandError> {
        let mut rest = text;
        while let Some(item) = next_item(&mut rest, text)? {
            self.steps.set(self.steps.get() + 1);
            let too_much = depth > NESTING_LIMIT || self.steps.get() > STEP_LIMIT;
            match item {
                Item::Literal(literal) if too_much => return Err(too_deep(&literal)),
                Item::Expression(expression) if too_much => return Err(too_deep(expression)),
                Item::Literal(literal) if !self.scan => self.out.push_str(&literal),
                Item::Literal(_) => {}
                Item::Expression(expression) => self.expression(expression, depth + 1)?,
            }
        }
        Ok(())
    }

    fn expression(&mut self, text: &str, depth: usize) -> Result<(), ExpandError> {
        let (value, rest) = match left_brace(text) {
            Some(comparison) => self.comparison(comparison, depth)?,
            None => self.name(text)?,
        };
        let mut rest = rest.chars();
        match rest.next() {
            None => self.value(value, depth),
            Some('?') => self.if_set(&value, rest.as_str(), depth),
            Some(':') => self.if_unset(&value, rest.as_str(), depth),
            Some(_) => unreachable!("comparison() and name() stop at ? and : only"),
        }
    }

    /// A name and what stands behind it, from `?` or `:` on.
    fn name<'t>(&self, text: &'t str) -> Result<(Option<String>, &'t str), ExpandError> {
        let start = text.len() - text.trim_start_matches(is_space).len();
        let end = text[start..]
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(text.len(), |n| start + n);
        let rest = text[end..].trim_start_matches(is_space);
        if !(rest.is_empty() || rest.starts_with(['?', ':'])) {
            return Err(error(format!(
                "attribute name syntax error at: \"...{}>>>{}\"",
                &text[..end],
                first_20(&text[end..])
            )));
        }
        let value = (self.lookup)(&text[start..end]).map(Cow::into_owned);
        Ok((value, rest))
    }

    /// `{a} op {b}`: the value is `true` or empty.
    fn comparison<'t>(&self, text: &'t str, depth: usize) -> Result<(Option<String>, &'t str), ExpandError> {
        let (left, rest) = payload(text)?;
        let operator_len = rest.len() - rest.trim_start_matches(|c| "<>!=?+-*/~&|%".contains(c)).len();
        let Some(operator) = Operator::parse(&rest[..operator_len]) else {
            let operators = r#""==" or "!="" or "<"" or "<="" or ">="" or ">""#;
            return Err(error(format!("{operators} expected at: \"...{left}}}>>>{}\"", first_20(rest))));
        };
        let name_len = rest[operator_len..].find(|c: char| !c.is_ascii_alphanumeric());
        let name_len = name_len.unwrap_or(rest.len() - operator_len);
        let (sign, after) = rest.split_at(operator_len);
        let (suffix, after) = after.split_at(name_len);
        if !matches!(suffix, "" | "level") {
            return Err(error(format!("bad operator suffix at: \"...{sign}>>>{suffix}\"")));
        }
        let Some(right_text) = left_brace(after) else {
            let at = first_20(after);
            return Err(error(format!("\"{{expression}}\" expected at: \"...{{{left}}} {sign}>>>{at}\"")));
        };
        let (right, rest) = payload(right_text)?;
        let (left, right) = (self.operand(left, depth)?, self.operand(right, depth)?);
        if !(rest.is_empty() || rest.starts_with(['?', ':'])) {
            return Err(error(format!("\"?\" or \":\" expected at: \"...}}>>>{}\"", first_20(rest))));
        }
        if self.scan {
            return Ok((None, rest));
        }
        let order = if suffix == "level" { compare_levels(&left, &right)? } else { compare(&left, &right)? };
        Ok((Some(if operator.holds(order) { "true" } else { "" }.to_string()), rest))
    }

    fn operand(&self, text: &str, depth: usize) -> Result<String, ExpandError> {
        let mut inner = Expander { out: String::new(), undefined: false, ..*self };
        inner.run(text, depth)?;
        Ok(inner.out)
    }

    fn if_set(&mut self, value: &Option<String>, text: &str, depth: usize) -> Result<(), ExpandError> {
        let (branch, rest) = branch(text)?;
        if self.scan || is_set(value) {
            self.run(branch, depth)?;
        }
        match rest.strip_prefix(':') {
            None if rest.is_empty() => Ok(()),
            None => Err(error(format!("\":\" expected at: \"...{branch}}}>>>{}\"", first_20(rest)))),
            Some(rest) => self.if_unset(value, rest, depth),
        }
    }

    fn if_unset(&mut self, value: &Option<String>, text: &str, depth: usize) -> Result<(), ExpandError> {
        let (branch, rest) = branch(text)?;
        if self.scan || !is_set(value) {
            self.run(branch, depth)?;
        }
        match rest {
            "" => Ok(()),
            _ => Err(error(format!("unexpected input at: \"...{branch}}}>>>{}\"", first_20(rest)))),
        }
    }

    fn value(&mut self, value: Option<String>, depth: usize) -> Result<(), ExpandError> {
        match value {
            None => self.undefined = true,
            Some(_) if self.scan => {}
            Some(value) if self.options.recursive => self.run(&value, depth)?,
            Some(value) => {
                let filter = self.options.filter;
                let allowed = |c: char| filter.is_none_or(|f| f.contains(c));
                self.out.extend(value.chars().map(|c| if allowed(c) { c } else { '_' }));
            }
        }
        Ok(())
    }
}

/// The next piece of literal text or the next expression, its sign and braces taken off.
fn next_item<'a>(rest: &mut &'a str, whole: &str) -> Result<Option<Item<'a>>, ExpandError> {
    let mut literal = String::new();
    loop {
        let Some(dollar) = rest.find('$') else {
            literal.push_str(rest);
            *rest = "";
            return Ok((!literal.is_empty()).then_some(Item::Literal(literal)));
        };
        literal.push_str(&rest[..dollar]);
        if rest[dollar + 1..].starts_with('$') {
            literal.push('$');
            *rest = &rest[dollar + 2..];
            continue;
        }
        *rest = &rest[dollar..];
        if !literal.is_empty() {
            return Ok(Some(Item::Literal(literal)));
        }
        return next_expression(rest, whole).map(Some);
    }
}

fn next_expression<'a>(rest: &mut &'a str, whole: &str) -> Result<Item<'a>, ExpandError> {
    let text = &rest[1..];
    let (expression, after) = match text.chars().next() {
        Some('{') => enclosed(text, '{', '}', whole)?,
        Some('(') => enclosed(text, '(', ')', whole)?,
        _ => text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())),
    };
    *rest = after;
    if expression.is_empty() {
        return Err(error(format!("empty macro name: \"{whole}\"")));
    }
    Ok(Item::Expression(expression))
}

fn enclosed<'a>(
    text: &'a str,
    open: char,
    close: char,
    whole: &str,
) -> Result<(&'a str, &'a str), ExpandError> {
    let mut level = 0usize;
    for (offset, c) in text.char_indices() {
        if c == open {
            level += 1;
        } else if c == close {
            level -= 1;
        }
        if level == 0 {
            return Ok((&text[1..offset], &text[offset + 1..]));
        }
    }
    Err(error(format!("truncated macro reference: \"{whole}\"")))
}

/// `text` from its first `{` on, if only blanks come before it.
fn left_brace(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(is_space);
    text.starts_with('{').then_some(text)
}

/// What the braces hold that `text` begins with, and what follows them and blanks.
fn payload(text: &str) -> Result<(&str, &str), ExpandError> {
    match crate::word::closing_brace(text) {
        Some(end) => Ok((&text[1..end], text[end + 1..].trim_start_matches(is_space))),
        None => Err(error(format!("unbalanced {{}} in attribute expression: \"{text}\""))),
    }
}

/// `{text}` with what follows it, or else all the text.
fn branch(text: &str) -> Result<(&str, &str), ExpandError> {
    match left_brace(text) {
        Some(braced) => payload(braced),
        None => Ok((text, "")),
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Eq,
    Ne,
    Lt,
    Le,
    Ge,
    Gt,
}

impl Operator {
    fn parse(sign: &str) -> Option<Operator> {
        Some(match sign {
            "==" => Operator::Eq,
            "!=" => Operator::Ne,
            "<" => Operator::Lt,
            "<=" => Operator::Le,
            ">=" => Operator::Ge,
            ">" => Operator::Gt,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Operator::Eq => order.is_eq(),
            Operator::Ne => order.is_ne(),
            Operator::Lt => order.is_lt(),
            Operator::Le => order.is_le(),
            Operator::Ge => order.is_ge(),
            Operator::Gt => order.is_gt(),
        }
    }
}

/// As numbers if both are all digits, else octet by octet.
fn compare(left: &str, right: &str) -> Result<Ordering, ExpandError> {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !(digits(left) && digits(right)) {
        return Ok(left.cmp(right));
    }
    let number = |s: &str| s.parse::<i64>().map_err(|_| error(format!("mac_exp_eval: bad conversion: {s}")));
    Ok(number(left)?.cmp(&number(right)?))
}

fn compare_levels(left: &str, right: &str) -> Result<Ordering, ExpandError> {
    let level = |text| Level::parse(text).map_err(ExpandError);
    Ok(level(left)?.cmp(&level(right)?))
}

fn is_set(value: &Option<String>) -> bool {
    value.as_ref().is_some_and(|v| !v.is_empty())
}

fn first_20(text: &str) -> &str {
    text.char_indices().nth(20).map_or(text, |(end, _)| &text[..end])
}

fn too_deep(text: &str) -> ExpandError {
    error(format!("unreasonable macro call nesting: \"{text}\""))
}

fn error(text: String) -> ExpandError {
    ExpandError(text)
}

/// For the fuzz target: expansion of any text with any short values ends, and scanning it accepts what expanding accepts.
pub fn fuzz_expand(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let values = text.split('\n').map(str::to_string).collect::<Vec<_>>();
    let lookup =
        |name: &str| name.len().checked_rem(4).and_then(|i| values.get(i)).map(|v| Cow::from(v.as_str()));
    let expanded = expand(&text, Options { recursive: false, filter: None }, &lookup);
    assert!(expanded.is_ok() || text.contains('$'));
    let _ = expand(&text, Options { recursive: true, filter: None }, &lookup);
    let _ =
        names_in(&text, &mut |name| assert!(name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())));
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &[(&str, &str)] = &[
        ("a", "A"),
        ("e", ""),
        ("r", "<$a>"),
        ("loop", "x$loop"),
        ("n3", "3"),
        ("n20", "20"),
        ("bad", "a;b c"),
    ];

    fn check(text: &str, options: Options<'_>) -> Result<String, String> {
        let lookup = |name: &str| VALUES.iter().find(|(n, _)| *n == name).map(|(_, v)| Cow::from(*v));
        expand(text, options, &lookup).map(|e| e.text).map_err(|e| e.0)
    }

    #[test]
    fn forms() {
        for (text, expect) in [
            ("", ""),
            ("x", "x"),
            ("$a${a}$(a)", "AAA"),
            ("$$a $$$a", "$a $A"),
            ("$a.b ${ a }", "A.b A"),
            ("$undefined.", "."),
            ("${a?yes}${e?yes}${u?yes}", "yes"),
            ("${a:no}${e:no}${u:no}", "nono"),
            ("${a?{yes}:{no}} ${e?{yes}:{no}} ${e?{yes}:no}", "yes no no"),
            ("${a ? {yes} : {no}}", "yes"),
            ("${a??foo:{b}ar}", "?foo:{b}ar"),
            ("${a?{$a}}", "A"),
            ("${{$a} == {A} ? {y} : {n}}", "y"),
            ("${{$a}!={A}?{y}:{n}}", "n"),
            ("${{$n3} < {$n20}}", "true"),
            ("${{x3} < {x20}}", ""),
            ("${{3.6} <=level {3.10} ? {y}}${{2} >level {10} ? {y}}", "y"),
            ("${{$n3} >= {$n20} : {small}}", "small"),
            ("${a?{${e:{inner}}}}", "inner"),
            ("$r", "<A>"),
            ("$(a?x)", "x"),
        ] {
            assert_eq!(
                check(text, Options { recursive: true, filter: None }),
                Ok(expect.to_string()),
                "{text}"
            );
        }
    }

    // As Debian's postconf says it; golden: crates/commands/tests/data/postconf.txt.
    #[test]
    fn errors() {
        for (text, expect) in [
            ("${a", "truncated macro reference: \"${a\""),
            ("$", "empty macro name: \"$\""),
            ("x ${}", "empty macro name: \"x ${}\""),
            ("${a-b}", "attribute name syntax error at: \"...a>>>-b\""),
            ("${a?{x}y}", "\":\" expected at: \"...x}>>>y\""),
            ("${a:{x}y}", "unexpected input at: \"...x}>>>y\""),
            (
                "${{a} = {b}}",
                r#""==" or "!="" or "<"" or "<="" or ">="" or ">" expected at: "...a}>>>= {b}""#,
            ),
            ("${{a} ==foo {b}}", "bad operator suffix at: \"...==>>>foo\""),
            ("${{a} == b}", "\"{expression}\" expected at: \"...{a} ==>>> b\""),
            ("${{a} == {b} x}", "\"?\" or \":\" expected at: \"...}>>>x\""),
            ("${{x} <level {1}}", "malformed compatibility level syntax: \"x\""),
            ("$loop", "unreasonable macro call nesting: \"x\""),
        ] {
            assert_eq!(
                check(text, Options { recursive: true, filter: None }),
                Err(expect.to_string()),
                "{text}"
            );
        }
    }

    #[test]
    fn once_and_filtered() {
        let options = Options { recursive: false, filter: Some("abc") };
        assert_eq!(check("$bad;$r", options), Ok("a_b_c;__a_".to_string()));
    }

    #[test]
    fn finds_names() {
        let mut names = Vec::new();
        names_in("$a ${b?$c} ${d?{$e}:{$f}} ${{$g} == {h}?{$i}:{$j}} $$k", &mut |n| {
            names.push(n.to_string())
        })
        .unwrap();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "i", "j"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "[$a-c{}()?:=<> 0-9]{0,40}") {
            fuzz_expand(text.as_bytes());
        }

        #[test]
        fn text_without_dollars_stays(text in "[^$]*") {
            proptest::prop_assert_eq!(check(&text, Options::default()), Ok(text));
        }
    }
}
