//! `sqlite:/file`: sqlite_table(5). The file names a database and a query.

use crate::open::OpenError;
use crate::parameters::{Parameters, is_path};
use crate::template::{Form, TooMany};
use crate::watched::{Content, FindError, Load, LoadError, Loaded, Stamp, Watched};
use crate::{OpenContext, Table};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) fn open(name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    let (table, load_context) = (name.to_owned(), context.clone());
    let load: Load = Box::new(move |_| load_table(&table, &load_context).map_err(LoadError::Unusable));
    let paths = if is_path(name) { vec![name.into()] } else { Vec::new() };
    Watched::open(format!("sqlite:{name}"), false, paths, load, context).map_err(OpenError::Unusable)
}

fn load_table(name: &str, context: &OpenContext) -> Result<Loaded, String> {
    let (parameters, owner, metadata) = Parameters::read(name, context)?;
    let table = Sqlite::open(&parameters, context)?;
    let stamp = metadata.map(|metadata| Stamp::new(0, &metadata));
    Ok(Loaded { content: Box::new(table), stamp, owner })
}

struct Sqlite {
    name: String,
    connection: Mutex<Connection>,
    form: Form,
}

impl Sqlite {
    fn open(parameters: &Parameters, context: &OpenContext) -> Result<Sqlite, String> {
        let name = &parameters.name;
        let path = parameters.filled("dbpath", "")?;
        let query = parameters.query()?;
        let result_format = parameters.filled("result_format", "%s")?;
        let form = Form::new("sqlite", parameters, &query, &result_format, context)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| {
            // The wrapper adds the path, which the library does not say.
            let why = reason(&error).replace(&format!(": {path}"), "");
            format!("sqlite:{name}: Can't open database: {why}")
        })?;
        Ok(Sqlite { name: name.clone(), connection: Mutex::new(connection), form })
    }

    fn ask(&self, query: &str, key: &str) -> Result<Option<Bytes>, FindError> {
        let failed = |what: &str, error: rusqlite::Error| {
            let text = format!("dict_sqlite_lookup: {}: SQL {what}: {}", self.name, reason(&error));
            FindError::Unreadable(text)
        };
        let said = |what: String| {
            let text = format!("dict_sqlite_lookup: {}: {what}", self.name);
            self.form.warn(&text);
            FindError::Said(text)
        };
        let step_failed =
            |error: rusqlite::Error| said(format!("SQL step failed for query '{query}': {}", reason(&error)));
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare(query).map_err(|error| failed("prepare failed", error))?;
        let mut rows = statement.query([]).map_err(step_failed)?;
        let mut results = self.form.results(key.as_bytes());
        while let Some(row) = rows.next().map_err(step_failed)? {
            let value = row.get_ref(0).map_err(step_failed)?;
            let Some(value) = text_of(value) else {
                continue;
            };
            results
                .add(value.as_bytes())
                .map_err(|TooMany| said(format!("Expansion limit exceeded for key '{key}'")))?;
        }
        Ok(results.finish())
    }
}

impl Content for Sqlite {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let Ok(text) = std::str::from_utf8(key) else {
            return Ok(None);
        };
        let is_in = self.form.domains.admit_now(key).map_err(|later| FindError::Said(later.0))?;
        if !is_in || !self.form.has_parts(key) {
            return Ok(None);
        }
        let query = self.form.query.fill(key, &mut |text, out| {
            for &octet in text {
                out.extend(std::iter::repeat_n(octet, if octet == b'\'' { 2 } else { 1 }));
            }
        });
        self.ask(&String::from_utf8_lossy(&query), text)
    }
}

/// A value as text; None for NULL.
fn text_of(value: ValueRef) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

/// The library's own words.
fn reason(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn lookups() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        let connection = Connection::open(&database).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE a (k TEXT, v TEXT); \
                 INSERT INTO a VALUES ('joe@x.example', 'one'), ('joe@x.example', 'two@y'), ('o''x@x.example', 'three'), \
                 ('e@x.example', ''), ('n@x.example', NULL);",
            )
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&said);
        let context =
            OpenContext::plain(Arc::new(move |_, text: &str| log.lock().unwrap().push(text.to_owned())));
        let table = |more: &str| {
            let path = folder.path().join("t.cf");
            std::fs::write(&path, format!("dbpath = {}\n{more}", database.display())).unwrap();
            open(path.to_str().unwrap(), &context)
        };
        let query = "query = SELECT v FROM a WHERE k = '%s'\n";
        for (more, key, expect) in [
            ("", "joe@x.example", Ok(Some("one,two@y"))),
            ("", "o'x@x.example", Ok(Some("three"))),
            ("", "none@x.example", Ok(None)),
            ("", "e@x.example", Ok(None)),
            ("", "n@x.example", Ok(None)),
            ("result_format = <%u@%D>\n", "joe@x.example", Ok(Some("<one@x.example>,<two@x.example>"))),
            ("result_format = %d\n", "joe@x.example", Ok(Some("y"))),
            ("domain = y.example\n", "joe@x.example", Ok(None)),
            ("expansion_limit = 1\n", "joe@x.example", Err(())),
            ("expansion_limit = 2\n", "joe@x.example", Ok(Some("one,two@y"))),
        ] {
            let table = table(&format!("{query}{more}")).unwrap();
            let found = crate::get_now(table.as_ref(), key.as_bytes()).map_err(|_| ());
            assert_eq!(found, expect.map(|v| v.map(|v| Bytes::from_static(v.as_bytes()))), "{more}{key}");
        }
        assert!(said.lock().unwrap()[0].ends_with("empty lookup result for: \"e@x.example\" -- ignored"));
        let old =
            table("table = a\nselect_field = v\nwhere_field = k\nadditional_conditions = ORDER BY v DESC\n")
                .unwrap();
        assert_eq!(crate::get_now(old.as_ref(), b"joe@x.example"), Ok(Some("two@y,one".into())));
        let broken = table("query = SELECT a FROM nowhere\n").unwrap();
        assert!(crate::get_now(broken.as_ref(), b"x").is_err());
        let last = said.lock().unwrap().last().unwrap().clone();
        assert!(last.contains("SQL prepare failed: no such table: nowhere"), "{last}");
        assert!(table("query = %x\n").err().unwrap().to_string().ends_with("Invalid query template: %x"));
    }
}
