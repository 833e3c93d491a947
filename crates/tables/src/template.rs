//! Queries and results of database servers: `%s` and its kind in them, which keys a table is asked for at all, and the
//! files that say so (`name = value`, as sqlite_table(5) and its kin).

use crate::source::{Lines, before_nul, trim};
use std::collections::HashMap;

/// The parameters of one table.
pub(crate) struct Parameters {
    path: String,
    values: HashMap<String, String>,
}

impl Parameters {
    /// A line that is no parameter is an error. Lines that begin with white space are complained of to `warn`.
    pub(crate) fn parse(path: &str, text: &[u8], warn: &mut dyn FnMut(&str)) -> Result<Parameters, String> {
        let mut values = HashMap::new();
        for line in Lines::new(path, text) {
            let line = match line {
                Ok(line) => line,
                Err(warning) => {
                    warn(&warning);
                    continue;
                }
            };
            let shown = String::from_utf8_lossy(trim(before_nul(&line.text))).into_owned();
            match shown.split_once('=') {
                Some((name, value)) => {
                    values.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                None => {
                    let line = line.number;
                    return Err(format!(
                        "{path}, line {line}: missing '=' after attribute name: \"{shown}\""
                    ));
                }
            }
        }
        Ok(Parameters { path: path.to_owned(), values })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A value that has to be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, String> {
        let value = self.get(name).unwrap_or_default();
        if value.is_empty() {
            return Err(format!("{}: bad string length 0 < 1: {name} = ", self.path));
        }
        Ok(value)
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, String> {
        let text = self.get(name).unwrap_or("0");
        text.parse().map_err(|_| format!("{}: bad numerical configuration: {name} = {text}", self.path))
    }

    /// `query`, or the one that the older parameters make.
    pub(crate) fn query(&self) -> Result<String, String> {
        if let Some(query) = self.get("query") {
            return Ok(query.to_owned());
        }
        let part = |name: &str| self.required(name);
        let (table, select, condition) = (part("table")?, part("select_field")?, part("where_field")?);
        let more = self.get("additional_conditions").unwrap_or_default();
        Ok(format!("SELECT {select} FROM {table} WHERE {condition}='%s' {more}"))
    }
}

/// A query or a result with places for a key and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// `%s` and `%S`: all of the text.
    All(Of),
    /// `%u` and `%U`: the part before the last `@`, or all of it.
    User(Of),
    /// `%d` and `%D`: the part behind it.
    Domain(Of),
    /// `%1` to `%9`: labels of the key's domain, from the right.
    Label(usize),
}

/// Lower-case letters stand for what the template is filled with, upper-case ones for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Value,
    Key,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Template, ()> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                literal.push(c);
                continue;
            }
            let piece = match chars.next() {
                Some('%') => {
                    literal.push('%');
                    continue;
                }
                Some('s') => Piece::All(Of::Value),
                Some('S') => Piece::All(Of::Key),
                Some('u') => Piece::User(Of::Value),
                Some('U') => Piece::User(Of::Key),
                Some('d') => Piece::Domain(Of::Value),
                Some('D') => Piece::Domain(Of::Key),
                Some(digit @ '1'..='9') => Piece::Label(digit as usize - '0' as usize),
                _ => return Err(()),
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template(pieces))
    }

    /// Fills the template; None: key or value lack a part that it names, so that the table is not asked, or the result
    /// left out.
    pub(crate) fn expand(&self, value: &str, key: &str, quote: fn(&str) -> String) -> Option<String> {
        let of = |which: Of| if which == Of::Value { value } else { key };
        let labels: Vec<&str> = domain(key).unwrap_or_default().split('.').collect();
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::All(which) => out.push_str(&quote(of(*which))),
                Piece::User(which) => out.push_str(&quote(user(of(*which))?)),
                Piece::Domain(which) => {
                    out.push_str(&quote(domain(of(*which)).filter(|domain| !domain.is_empty())?));
                }
                Piece::Label(number) => {
                    let at = labels.len().checked_sub(*number)?;
                    out.push_str(&quote(labels.get(at).filter(|label| !label.is_empty())?));
                }
            }
        }
        Some(out)
    }
}

fn domain(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// None: there is a domain, but nobody in it.
fn user(address: &str) -> Option<&str> {
    match address.rsplit_once('@') {
        None => Some(address),
        Some((user, _)) => (!user.is_empty()).then_some(user),
    }
}

/// `domain`: keys in other domains are not asked for.
pub(crate) struct DomainFilter(Vec<String>);

impl DomainFilter {
    pub(crate) fn parse(text: &str) -> DomainFilter {
        DomainFilter(crate::split_list(text).map(str::to_lowercase).collect())
    }

    pub(crate) fn admits(&self, key: &str) -> bool {
        let Some((user, domain)) = key.rsplit_once('@') else {
            return self.0.is_empty();
        };
        self.0.is_empty() || (!user.is_empty() && self.0.iter().any(|one| one.eq_ignore_ascii_case(domain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let quote = |text: &str| text.replace('\'', "''");
        for (template, value, key, expect) in [
            ("a='%s' 100%%", "o'x@d", "o'x@d", Some("a='o''x@d' 100%")),
            ("%u|%d", "joe@x.example", "", Some("joe|x.example")),
            ("%u", "joe", "", Some("joe")),
            ("%d", "joe", "", None),
            ("%u", "@x", "", None),
            ("%s/%S/%U/%D", "v", "k@d", Some("v/k@d/k/d")),
            ("%1.%2", "v", "k@a.b.c", Some("c.b")),
            ("%3", "v", "k@a.b", None),
            ("%2", "v", "k@.b", None),
            ("%1", "v", "k", None),
            ("", "v", "k", Some("")),
        ] {
            let parsed = Template::parse(template).unwrap();
            assert_eq!(parsed.expand(value, key, quote).as_deref(), expect, "{template} {value} {key}");
        }
        assert_eq!(Template::parse("%x"), Err(()));
        assert_eq!(Template::parse("a%"), Err(()));
    }

    #[test]
    fn parameters() {
        let text =
            b"# c\ndbpath = /x\ntable=t\nselect_field = a\n  b\nwhere_field = c\nexpansion_limit = x\n";
        let parameters = Parameters::parse("f", text, &mut |line| panic!("{line}")).unwrap();
        let error = Parameters::parse("f", b"\nbad\n", &mut |line| panic!("{line}")).err();
        assert_eq!(error.as_deref(), Some("f, line 2: missing '=' after attribute name: \"bad\""));
        assert_eq!(parameters.get("dbpath"), Some("/x"));
        assert_eq!(parameters.query().as_deref(), Ok("SELECT a  b FROM t WHERE c='%s' "));
        assert_eq!(parameters.required("none"), Err("f: bad string length 0 < 1: none = ".to_owned()));
        let bad = "f: bad numerical configuration: expansion_limit = x";
        assert_eq!(parameters.number("expansion_limit"), Err(bad.to_owned()));
    }

    #[test]
    fn domains() {
        let filter = DomainFilter::parse("a.example, B.example");
        for (key, expect) in [
            ("x@a.example", true),
            ("x@b.example", true),
            ("x@c.example", false),
            ("x", false),
            ("@a.example", false),
        ] {
            assert_eq!(filter.admits(key), expect, "{key}");
        }
        assert!(DomainFilter::parse("").admits("x"));
    }
}
