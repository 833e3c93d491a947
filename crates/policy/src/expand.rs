//! `$name` in the text of a reply: `default_rbl_reply`, `rbl_reply_maps`, `smtpd_reject_footer`.
//!
//! The rules are those of main.cf (postconf(5)), but the names are those of the session: parameters cannot be had.

use crate::session::Session;
use std::borrow::Cow;

/// Why a template cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// There is no such name.
    Unknown(String),
    /// With the words of Postfix's warning.
    Syntax(String),
}

/// Expansions within expansions, at most.
const DEPTH_LIMIT: usize = 100;

/// Expands `$name`, `${name}`, `$(name)`, `${name?if set}`, `${name:if not}`, `${name?{if set}:{if not}}` and
/// `${{a} == {b} ? {yes} : {no}}`; `$$` is `$`. Of the values, octets that are not in `filter` become `_`.
///
/// ```
/// let lookup = |name: &str| (name == "who").then(|| b"you\x07"[..].into());
/// assert_eq!(policy::expand(b"$who, ${who?yes}", b"ouy", &lookup).unwrap(), b"you_, yes");
/// assert!(policy::expand(b"$none", b"", &lookup).is_err());
/// ```
pub fn expand<'a>(
    template: &[u8],
    filter: &[u8],
    lookup: &dyn Fn(&str) -> Option<Cow<'a, [u8]>>,
) -> Result<Vec<u8>, ExpandError> {
    let mut out = Vec::with_capacity(template.len() + 64);
    Expansion { filter, lookup }.text(template, &mut out, 0)?;
    Ok(out)
}

/// The names that every reply may use: those of the session.
pub fn session_value<'a>(
    session: &Session<'a>,
    myhostname: &'a str,
    localtime: &dyn Fn() -> String,
    name: &str,
) -> Option<Cow<'a, [u8]>> {
    let text = |text: &'a str| Some(Cow::Borrowed(text.as_bytes()));
    match name {
        "server_name" => text(myhostname),
        "client" => text(session.namaddr),
        "client_port" => Some(Cow::Owned(session.client.port.to_string().into_bytes())),
        "client_address" => text(&session.client.address),
        "client_name" => text(&session.client.name),
        "reverse_client_name" => text(session.reverse_name),
        "helo_name" => text(&session.client.helo),
        "localtime" => Some(Cow::Owned(localtime().into_bytes())),
        _ => {
            let (address, part) = match name.strip_prefix("sender") {
                Some(part) => (session.sender, part),
                None => (session.recipient, name.strip_prefix("recipient")?),
            };
            match (part, address) {
                ("" | "_name" | "_domain", None) => text(""),
                ("", Some(address)) if address.is_null() => text("<>"),
                ("_name", Some(address)) if address.is_null() => text("<>"),
                ("", Some(address)) => Some(Cow::Borrowed(address.as_bytes())),
                ("_name", Some(address)) => Some(Cow::Borrowed(address.local())),
                ("_domain", Some(address)) => Some(Cow::Borrowed(address.domain().unwrap_or_default())),
                _ => None,
            }
        }
    }
}

/// The value of a name or a comparison, None if there is no such name, and what stands behind it.
type Operand<'a, 't> = Result<(Option<Cow<'a, [u8]>>, &'t [u8]), ExpandError>;

struct Expansion<'e, 'a> {
    filter: &'e [u8],
    lookup: &'e dyn Fn(&str) -> Option<Cow<'a, [u8]>>,
}

impl<'a> Expansion<'_, 'a> {
    fn text(&self, text: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), ExpandError> {
        if depth > DEPTH_LIMIT {
            return Err(syntax(format!("unreasonable macro call nesting: \"{}\"", lossy(text))));
        }
        let mut rest = text;
        while let Some(at) = rest.iter().position(|b| *b == b'$') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            let (expression, behind) = match rest.first() {
                Some(b'$') => {
                    out.push(b'$');
                    rest = &rest[1..];
                    continue;
                }
                Some(b'{') => bracketed(rest, b'{', b'}', text)?,
                Some(b'(') => bracketed(rest, b'(', b')', text)?,
                _ => rest.split_at(rest.iter().take_while(|b| is_name_octet(**b)).count()),
            };
            if expression.is_empty() {
                return Err(syntax(format!("empty macro name: \"{}\"", lossy(text))));
            }
            self.expression(expression, out, depth + 1)?;
            rest = behind;
        }
        out.extend_from_slice(rest);
        Ok(())
    }

    /// What stands between `${` and `}`.
    fn expression(&self, expression: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), ExpandError> {
        let expression = expression.trim_ascii_start();
        let (value, rest) = match expression.first() {
            Some(b'{') => self.comparison(expression, depth)?,
            _ => self.named(expression)?,
        };
        let is_set = value.as_deref().is_some_and(|value| !value.is_empty());
        let (if_set, rest) = match rest.split_first() {
            None => return self.put(value, expression, out),
            Some((b'?', rest)) => operand(rest)?,
            Some(_) => (&b""[..], rest),
        };
        if is_set {
            self.text(if_set, out, depth)?;
        }
        let Some((colon, rest)) = rest.split_first() else {
            return Ok(());
        };
        if *colon != b':' {
            return Err(syntax(format!(
                "\":\" expected at: \"...{}}}>>>{}\"",
                lossy(if_set),
                start_of(rest)
            )));
        }
        let (if_not, rest) = operand(rest)?;
        if !rest.is_empty() {
            return Err(syntax(format!(
                "unexpected input at: \"...{}}}>>>{}\"",
                lossy(if_not),
                start_of(rest)
            )));
        }
        if !is_set {
            self.text(if_not, out, depth)?;
        }
        Ok(())
    }

    fn put(
        &self,
        value: Option<Cow<'_, [u8]>>,
        expression: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ExpandError> {
        let value = value.ok_or_else(|| ExpandError::Unknown(lossy(expression.trim_ascii())))?;
        out.extend(value.iter().map(|b| if self.filter.contains(b) { *b } else { b'_' }));
        Ok(())
    }

    /// A name, and the operator with what follows it.
    fn named<'t>(&self, expression: &'t [u8]) -> Operand<'a, 't> {
        let len = expression.iter().take_while(|b| is_name_octet(**b)).count();
        let (name, rest) = expression.split_at(len);
        let rest = rest.trim_ascii_start();
        if !matches!(rest.first(), None | Some(b'?' | b':')) {
            let what = format!("\"...{}>>>{}\"", lossy(name), start_of(rest));
            return Err(syntax(format!("attribute name syntax error at: {what}")));
        }
        let name = std::str::from_utf8(name).unwrap_or_default();
        Ok(((self.lookup)(name), rest))
    }

    /// `{a} == {b}`: `true` or nothing.
    fn comparison<'t>(&self, expression: &'t [u8], depth: usize) -> Operand<'a, 't> {
        let (left, rest) = bracketed(expression, b'{', b'}', expression)?;
        let rest = rest.trim_ascii_start();
        let (operator, rest) = rest.split_at(rest.iter().take_while(|b| b"<>!=".contains(b)).count());
        let rest = rest.trim_ascii_start();
        let holds: fn(std::cmp::Ordering) -> bool = match operator {
            b"==" => |o| o.is_eq(),
            b"!=" => |o| o.is_ne(),
            b"<" => |o| o.is_lt(),
            b"<=" => |o| o.is_le(),
            b">=" => |o| o.is_ge(),
            b">" => |o| o.is_gt(),
            _ => {
                let all = r#""==" or "!=" or "<" or "<=" or ">=" or ">""#;
                return Err(syntax(format!(
                    "{all} expected at: \"...{}}}>>>{}\"",
                    lossy(left),
                    start_of(rest)
                )));
            }
        };
        if !rest.starts_with(b"{") {
            let here = format!("\"...{{{}}} {}>>>{}\"", lossy(left), lossy(operator), start_of(rest));
            return Err(syntax(format!("\"{{expression}}\" expected at: {here}")));
        }
        let (right, rest) = bracketed(rest, b'{', b'}', rest)?;
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.text(left, &mut a, depth)?;
        self.text(right, &mut b, depth)?;
        let value = if holds(compare(&a, &b)) { &b"true"[..] } else { b"" };
        let rest = rest.trim_ascii_start();
        match rest.first() {
            None | Some(b'?' | b':') => Ok((Some(Cow::Borrowed(value)), rest)),
            Some(_) => Err(syntax(format!("\"?\" or \":\" expected at: \"...}}>>>{}\"", start_of(rest)))),
        }
    }
}

/// What follows `?` or `:`: `{text}` with blanks round it, or everything.
fn operand(text: &[u8]) -> Result<(&[u8], &[u8]), ExpandError> {
    match text.trim_ascii_start() {
        braced if braced.starts_with(b"{") => {
            bracketed(braced, b'{', b'}', text).map(|(inside, rest)| (inside, rest.trim_ascii_start()))
        }
        _ => Ok((text, b"")),
    }
}

/// What stands in the brackets that `text` begins with, and what stands behind them.
fn bracketed<'t>(
    text: &'t [u8],
    open: u8,
    close: u8,
    whole: &[u8],
) -> Result<(&'t [u8], &'t [u8]), ExpandError> {
    let mut depth = 0;
    for (at, b) in text.iter().enumerate() {
        depth += i32::from(*b == open) - i32::from(*b == close);
        if depth == 0 {
            return Ok((&text[1..at], &text[at + 1..]));
        }
    }
    Err(syntax(format!("truncated macro reference: \"{}\"", lossy(whole))))
}

/// Numbers as such, anything else as octets.
fn compare(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

fn is_name_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn syntax(text: String) -> ExpandError {
    ExpandError::Syntax(text)
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// As much of a text as Postfix shows of it.
fn start_of(octets: &[u8]) -> String {
    lossy(&octets[..octets.len().min(20)])
}

/// The body of the fuzz target `reply_template`: a template gives text or an error, and values are filtered.
pub fn fuzz_template(data: &[u8]) {
    let value = [data, b"\n"].concat();
    let lookup = |name: &str| (name.len() < 3).then_some(Cow::Borrowed(&value[..]));
    if let Ok(text) = expand(data, b"", &lookup) {
        assert!(data.contains(&b'\n') || !text.contains(&b'\n'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expect: Result<&str, &str>) {
        let lookup = |name: &str| match name {
            "a" => Some(Cow::Borrowed(&b"A"[..])),
            "n10" => Some(Cow::Borrowed(&b"10"[..])),
            "empty" => Some(Cow::Borrowed(&b""[..])),
            "bad" => Some(Cow::Borrowed(&b"x\ty"[..])),
            _ => None,
        };
        let got = expand(template.as_bytes(), b"AB10xy", &lookup).map(|out| String::from_utf8(out).unwrap());
        let got = got.map_err(|e| match e {
            ExpandError::Unknown(name) => format!("unknown {name}"),
            ExpandError::Syntax(why) => why,
        });
        assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{template}");
    }

    #[test]
    fn templates() {
        for (template, expect) in [
            ("", Ok("")),
            ("no names", Ok("no names")),
            ("$a $(a) ${a} ${ a }.", Ok("A A A A.")),
            ("5$$", Ok("5$")),
            ("$bad", Ok("x_y")),
            ("${a?yes $a}${empty?no}", Ok("yes A")),
            ("${a:no}${empty:yes}", Ok("yes")),
            ("${a?{1}:{2}}${empty ? {1} : {2}}", Ok("12")),
            ("${a??x}", Ok("?x")),
            ("${{$a} == {A} ? {same} : {other}}", Ok("same")),
            ("${{$a}!={A}?{same}:{other}}", Ok("other")),
            ("${{$n10} > {9} ? {more}}", Ok("more")),
            ("$none", Err("unknown none")),
            ("${none?x}${none:y}", Ok("y")),
            ("$", Err("empty macro name: \"$\"")),
            ("${}", Err("empty macro name: \"${}\"")),
            ("${a", Err("truncated macro reference: \"${a\"")),
            ("${a b}", Err("attribute name syntax error at: \"...a>>>b\"")),
            ("${a?{x}y}", Err("\":\" expected at: \"...x}>>>\"")),
        ] {
            check(template, expect);
        }
    }

    #[test]
    fn depth() {
        let deep = format!("{}x{}", "${a?{".repeat(200), "}}".repeat(200));
        let lookup = |_: &str| Some(Cow::Borrowed(&b"A"[..]));
        let got = expand(deep.as_bytes(), b"A", &lookup);
        assert!(
            matches!(got, Err(ExpandError::Syntax(why)) if why.starts_with("unreasonable macro call nesting"))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_template(template: Vec<u8>) {
            fuzz_template(&template);
        }

        #[test]
        fn likely_templates(template in "[$a{}?:=< ]{0,24}") {
            fuzz_template(template.as_bytes());
        }
    }
}
