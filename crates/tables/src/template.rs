//! Queries and results of database servers: `%s` and its kind in them, and which keys a table is asked for at all.

use crate::domains::Domains;
use crate::parameters::Parameters;
use crate::source::{before_nul, show};
use crate::{OpenContext, Report, Severity, TryLater};
use bytes::Bytes;

/// What a key goes into and what comes out: the same for all tables that ask servers.
pub(crate) struct Form {
    /// `type:name`
    pub(crate) table: String,
    pub(crate) query: Template,
    result_format: Template,
    needs: Needs,
    pub(crate) domains: Domains,
    /// 0 or less: as many results as there are.
    expansion_limit: i32,
    report: Report,
}

impl Form {
    /// `domain` and `expansion_limit` are read here. Errors are Postfix's words.
    pub(crate) fn new(
        kind: &str,
        parameters: &Parameters,
        query: &str,
        result_format: &str,
        context: &OpenContext,
    ) -> Result<Form, String> {
        let name = &parameters.name;
        let query = Template::parse(name, "query", query)?;
        let result_format = Template::parse(name, "result", result_format)?;
        let needs = query.needs(true).and(result_format.needs(false));
        Ok(Form {
            table: format!("{kind}:{name}"),
            query,
            result_format,
            needs,
            domains: Domains::parse(&parameters.get("domain").unwrap_or_default(), context)?,
            expansion_limit: parameters.number("expansion_limit", 0, 0)?,
            report: context.report.clone(),
        })
    }

    /// Another template that the key goes into (`search_base`).
    pub(crate) fn also(&mut self, template: &Template) {
        self.needs = self.needs.and(template.needs(true));
    }

    /// Whether the key is asked for: it is in one of the domains, and has the parts that the templates name.
    pub(crate) async fn admit(&self, key: &[u8]) -> Result<bool, TryLater> {
        match self.domains.admit(key).await {
            Ok(is_in) => Ok(is_in && self.has_parts(key)),
            Err(later) => {
                let (table, key) = (&self.table, show(key));
                self.warn(&format!("{table} 'domain' pattern match failed for '{key}'"));
                Err(later)
            }
        }
    }

    pub(crate) fn has_parts(&self, key: &[u8]) -> bool {
        if key.is_empty() {
            self.warn(&format!("table \"{}\": empty query string -- ignored", self.table));
            return false;
        }
        self.needs.are_in(key)
    }

    /// Collects what was found for a key.
    pub(crate) fn results<'a>(&'a self, key: &'a [u8]) -> Results<'a> {
        Results { form: self, key, joined: Vec::new(), count: 0 }
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.report)(Severity::Warning, text);
    }
}

/// What was found, put into `result_format` and joined with commas.
pub(crate) struct Results<'a> {
    form: &'a Form,
    key: &'a [u8],
    joined: Vec<u8>,
    count: i32,
}

/// There is more than `expansion_limit` allows.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Results<'_> {
    /// Empty values are ignored with a warning, those without a part that the format names without one.
    pub(crate) fn add(&mut self, value: &[u8]) -> Result<(), TooMany> {
        let form = self.form;
        let value = before_nul(value);
        if value.is_empty() {
            let (table, key) = (&form.table, show(self.key));
            form.warn(&format!("table \"{table}\": empty lookup result for: \"{key}\" -- ignored"));
            return Ok(());
        }
        let Some(result) = form.result_format.expand(value, self.key, &mut |text, out| {
            out.extend_from_slice(text);
        }) else {
            return Ok(());
        };
        if !self.joined.is_empty() {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(&result);
        self.count += 1;
        let is_limited = form.expansion_limit > 0;
        if is_limited && self.count > form.expansion_limit { Err(TooMany) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Option<Bytes> {
        (!self.joined.is_empty()).then(|| self.joined.into())
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

/// Appends a text as it has to be written there.
pub(crate) type Quote<'a> = &'a mut dyn FnMut(&[u8], &mut Vec<u8>);

impl Template {
    /// `name` is the table's and `kind` what the template is for: both are for the error's text.
    pub(crate) fn parse(name: &str, kind: &str, text: &str) -> Result<Template, String> {
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
                _ => return Err(format!("db_common_parse: {name}: Invalid {kind} template: {text}")),
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

    /// Whether it is the same for every key.
    pub(crate) fn is_fixed(&self) -> bool {
        !self.0.iter().any(|piece| !matches!(piece, Piece::Literal(_)))
    }

    /// The parts of a key that are in it. In a query the lower-case letters stand for the key, too.
    fn needs(&self, is_query: bool) -> Needs {
        let mut needs = Needs::default();
        let of_key = |of: &Of| is_query || *of == Of::Key;
        for piece in &self.0 {
            match piece {
                Piece::User(of) => needs.user |= of_key(of),
                Piece::Domain(of) => needs.domain |= of_key(of),
                Piece::Label(number) => needs.labels = needs.labels.max(*number),
                Piece::Literal(_) | Piece::All(_) => {}
            }
        }
        needs
    }

    /// The template with a key in all places.
    pub(crate) fn fill(&self, key: &[u8], quote: Quote) -> Vec<u8> {
        self.expand(key, key, quote).unwrap_or_default()
    }

    /// Fills the template; None: the value lacks a part that it names, so that the result is left out.
    pub(crate) fn expand(&self, value: &[u8], key: &[u8], quote: Quote) -> Option<Vec<u8>> {
        let of = |which: Of| if which == Of::Value { value } else { key };
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::All(which) => quote(of(*which), &mut out),
                Piece::User(which) => quote(user(of(*which))?, &mut out),
                Piece::Domain(which) => quote(domain(of(*which))?, &mut out),
                Piece::Label(number) => quote(labels(key).nth_back(number - 1)?, &mut out),
            }
        }
        Some(out)
    }
}

/// Parts of a key without which there is nothing to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Needs {
    user: bool,
    domain: bool,
    labels: usize,
}

impl Needs {
    fn and(self, other: Needs) -> Needs {
        Needs {
            user: self.user | other.user,
            domain: self.domain | other.domain,
            labels: self.labels.max(other.labels),
        }
    }

    fn are_in(self, key: &[u8]) -> bool {
        (!self.user || user(key).is_some())
            && (!(self.domain || self.labels > 0) || domain(key).is_some())
            && labels(key).count() >= self.labels
    }
}

/// What is behind the last `@`, if that is something.
fn domain(address: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'@', address)?;
    Some(&address[at + 1..]).filter(|domain| !domain.is_empty())
}

/// None: there is a domain, but nobody in it.
fn user(address: &[u8]) -> Option<&[u8]> {
    match memchr::memrchr(b'@', address) {
        None => Some(address),
        Some(at) => (at > 0).then(|| &address[..at]),
    }
}

/// The labels of an address's domain. Postfix: dots in a row count once.
fn labels(address: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let domain = domain(address).unwrap_or_default();
    domain.split(|&octet| octet == b'.').filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn templates() {
        let mut quote = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(String::from_utf8_lossy(text).replace('\'', "''").as_bytes());
        };
        for (template, value, key, expect) in [
            ("a='%s' 100%%", "o'x@d", "o'x@d", Some("a='o''x@d' 100%")),
            ("%u|%d", "joe@x.example", "", Some("joe|x.example")),
            ("%u", "joe", "", Some("joe")),
            ("%d", "joe", "", None),
            ("%d", "joe@", "", None),
            ("%u", "@x", "", None),
            ("%s/%S/%U/%D", "v", "k@d", Some("v/k@d/k/d")),
            ("%1.%2", "v", "k@a.b.c", Some("c.b")),
            ("%3", "v", "k@a.b", None),
            ("%2", "v", "k@.b", None),
            ("%2", "v", "k@a..b", Some("a")),
            ("%1", "v", "k", None),
            ("", "v", "k", Some("")),
        ] {
            let parsed = Template::parse("t", "query", template).unwrap();
            let expanded = parsed.expand(value.as_bytes(), key.as_bytes(), &mut quote);
            assert_eq!(expanded.as_deref(), expect.map(str::as_bytes), "{template} {value} {key}");
        }
        let error = Template::parse("t", "query", "%x");
        assert_eq!(error, Err("db_common_parse: t: Invalid query template: %x".to_owned()));
        assert!(Template::parse("t", "result", "a%").is_err());
    }

    fn form(text: &str, result_format: &str, said: &Arc<Mutex<Vec<String>>>) -> Form {
        let log = Arc::clone(said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        let parameters = Parameters::parse("/t", text.as_bytes(), &mut |_| {}).unwrap();
        Form::new("mysql", &parameters, &parameters.query().unwrap(), result_format, &context).unwrap()
    }

    #[test]
    fn keys_that_are_asked_for() {
        let said = Arc::default();
        for (query, result_format, key, expect) in [
            ("x %s", "%s", "k", true),
            ("x %s", "%s", "", false),
            ("x", "%s", "@d", true),
            ("x %u", "%s", "@d", false),
            ("x %u", "%s", "k", true),
            ("x %d", "%s", "@d", true),
            ("x %d", "%s", "k", false),
            ("x %s", "%d %u", "k", true),
            ("x %s", "%D", "k", false),
            ("x %s", "%U", "@d", false),
            ("x %s", "%2", "k@d", false),
            ("x %2", "%s", "k@a.d", true),
        ] {
            let form = form(&format!("query = {query}\n"), result_format, &said);
            assert_eq!(form.has_parts(key.as_bytes()), expect, "{query} {result_format} {key}");
        }
        assert_eq!(*said.lock().unwrap(), ["table \"mysql:/t\": empty query string -- ignored"]);
    }

    #[test]
    fn results() {
        let said = Arc::default();
        for (limit, result_format, values, expect) in [
            (0, "%s", &["a", "b,c"][..], Some("a,b,c")),
            (0, "<%s>", &["", "b", "c\0d"], Some("<b>,<c>")),
            (0, "%d", &["a", "b@c"], Some("c")),
            (0, "%s", &[], None),
            (2, "%s", &["a", "b"], Some("a,b")),
        ] {
            let form = form(&format!("query = x\nexpansion_limit = {limit}\n"), result_format, &said);
            let mut results = form.results(b"k");
            values.iter().for_each(|value| results.add(value.as_bytes()).unwrap());
            assert_eq!(results.finish().as_deref(), expect.map(str::as_bytes), "{values:?}");
        }
        assert_eq!(*said.lock().unwrap(), ["table \"mysql:/t\": empty lookup result for: \"k\" -- ignored"]);
        let form = form("query = x\nexpansion_limit = 1\n", "%s", &said);
        let mut results = form.results(b"k");
        results.add(b"a").unwrap();
        assert!(results.add(b"b").is_err());
    }
}
