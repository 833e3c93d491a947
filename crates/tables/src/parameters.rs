//! The parameters of one table: a file of `name = value` lines (sqlite_table(5) and its kin), or, where the table's name
//! is no path, main.cf's `name_parameter`.

use crate::source::{Lines, before_nul, trim};
use crate::{MainCf, OpenContext, Owner, error_text};
use std::collections::HashMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The parameters of one table. Errors are Postfix's words for what ends its process.
pub(crate) struct Parameters {
    /// The path, or the name in main.cf.
    pub(crate) name: String,
    source: Source,
}

enum Source {
    File(HashMap<String, String>),
    MainCf(MainCf),
}

/// Whether the parameters of a table of this name are in a file of their own.
pub(crate) fn is_path(name: &str) -> bool {
    name.starts_with(['/', '.'])
}

impl Parameters {
    /// Reads them, and tells whose word they are. The file's metadata are of before it was read.
    pub(crate) fn read(
        name: &str,
        context: &OpenContext,
    ) -> Result<(Parameters, Owner, Option<Metadata>), String> {
        if !is_path(name) {
            let source = Source::MainCf(context.main_cf.clone());
            return Ok((Parameters { name: name.to_owned(), source }, Owner::Trusted, None));
        }
        let mut text = Vec::new();
        let mut read = || {
            let mut file = (context.open_file)(Path::new(name))?;
            let metadata = file.metadata()?;
            file.read_to_end(&mut text)?;
            Ok(metadata)
        };
        let metadata = read().map_err(|error| format!("open {name}: {}", error_text(&error)))?;
        let parameters = Parameters::parse(name, &text, &mut |warning| context.warn(warning))?;
        Ok((parameters, Owner::of(metadata.uid()), Some(metadata)))
    }

    /// A line that is no parameter is an error. Lines that begin with white space, and parameters that are there twice,
    /// are complained of to `warn`.
    pub(crate) fn parse(path: &str, text: &[u8], warn: &mut dyn FnMut(&str)) -> Result<Parameters, String> {
        let mut values: HashMap<String, String> = HashMap::new();
        for line in Lines::new(path, text) {
            let line = match line {
                Ok(line) => line,
                Err(warning) => {
                    warn(&warning);
                    continue;
                }
            };
            let number = line.number;
            let shown = String::from_utf8_lossy(trim(before_nul(&line.text))).into_owned();
            let Some((name, value)) = shown.split_once('=') else {
                return Err(format!("{path}, line {number}: missing '=' after attribute name: \"{shown}\""));
            };
            let (name, value) = (name.trim(), value.trim());
            if let Some(earlier) = values.insert(name.to_owned(), value.to_owned()) {
                warn(&format!("{path}, line {number}: overriding earlier entry: {name}={earlier}"));
            }
        }
        Ok(Parameters { name: path.to_owned(), source: Source::File(values) })
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        match &self.source {
            Source::File(values) => values.get(name).cloned(),
            Source::MainCf(main_cf) => main_cf(&format!("{}_{name}", self.name)),
        }
    }

    /// The value, if there is one that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A value that may not be empty.
    pub(crate) fn filled(&self, name: &str, default: &str) -> Result<String, String> {
        let value = self.get(name).unwrap_or_else(|| default.to_owned());
        if value.is_empty() {
            return Err(self.complain("bad string length 0 < 1: ", name, " = "));
        }
        Ok(value)
    }

    /// A number that is at least `min` (0: any), as a C program reads it.
    pub(crate) fn number(&self, name: &str, default: i32, min: i32) -> Result<i32, String> {
        let number = match self.get(name) {
            None => default,
            Some(text) => text
                .trim_start()
                .parse()
                .map_err(|_| self.complain("bad numerical configuration: ", name, &format!(" = {text}")))?,
        };
        if min != 0 && number < min {
            let rest = format!(" parameter value {number} < {min}");
            return Err(self.complain("invalid ", name, &rest));
        }
        Ok(number)
    }

    /// `yes` or `no`; None where it is not set.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("yes") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("no") => Ok(Some(false)),
            Some(text) => Err(self.complain("bad boolean configuration: ", name, &format!(" = {text}"))),
        }
    }

    /// `query`, or the one that the older parameters make.
    pub(crate) fn query(&self) -> Result<String, String> {
        if let Some(query) = self.text("query") {
            return Ok(query);
        }
        let part = |name: &str| self.filled(name, "");
        let (table, select, condition) = (part("table")?, part("select_field")?, part("where_field")?);
        let more = self.get("additional_conditions").unwrap_or_default();
        Ok(format!("SELECT {select} FROM {table} WHERE {condition}='%s' {more}"))
    }

    fn complain(&self, what: &str, name: &str, rest: &str) -> String {
        let table = &self.name;
        match self.source {
            Source::File(_) => format!("{table}: {what}{name}{rest}"),
            Source::MainCf(_) => format!("{what}{table}_{name}{rest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_file() {
        let text = b"# c\ndbpath = /x\ntable=t\nselect_field = a\n  b\nwhere_field = c\nn = x\nm = -3\ny = YES\nn=y\ne =\n";
        let mut said = Vec::new();
        let parameters = Parameters::parse("f", text, &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!(said, ["f, line 10: overriding earlier entry: n=x"]);
        let error = Parameters::parse("f", b"\nbad\n", &mut |line| panic!("{line}")).err();
        assert_eq!(error.as_deref(), Some("f, line 2: missing '=' after attribute name: \"bad\""));
        assert_eq!(parameters.get("dbpath").as_deref(), Some("/x"));
        assert_eq!(parameters.query().as_deref(), Ok("SELECT a  b FROM t WHERE c='%s' "));
        assert_eq!(parameters.filled("none", ""), Err("f: bad string length 0 < 1: none = ".to_owned()));
        assert_eq!(parameters.filled("e", "x"), Err("f: bad string length 0 < 1: e = ".to_owned()));
        assert_eq!(parameters.number("n", 0, 0), Err("f: bad numerical configuration: n = y".to_owned()));
        assert_eq!(parameters.number("m", 0, 0), Ok(-3));
        assert_eq!(parameters.number("m", 0, 1), Err("f: invalid m parameter value -3 < 1".to_owned()));
        assert_eq!((parameters.flag("y"), parameters.flag("z")), (Ok(Some(true)), Ok(None)));
        assert_eq!(parameters.flag("m"), Err("f: bad boolean configuration: m = -3".to_owned()));
    }

    #[test]
    fn main_cf() {
        let value = |name: &str| name.ends_with("_n").then(|| "x".to_owned());
        let context =
            OpenContext { main_cf: Arc::new(value), ..OpenContext::plain(Arc::new(|_, _: &str| {})) };
        let (parameters, owner, _) = Parameters::read("foo", &context).unwrap();
        assert_eq!(owner, Owner::Trusted);
        assert_eq!(parameters.get("n").as_deref(), Some("x"));
        assert_eq!(parameters.filled("a", ""), Err("bad string length 0 < 1: foo_a = ".to_owned()));
        assert_eq!(parameters.number("n", 0, 0), Err("bad numerical configuration: foo_n = x".to_owned()));
        assert_eq!(parameters.flag("n"), Err("bad boolean configuration: foo_n = x".to_owned()));
    }
}
