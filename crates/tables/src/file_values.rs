//! Tables whose values are names of files (tls_server_sni_maps): the file's content, as base64, is what is stored, and a
//! lookup gives the content.

use crate::{Found, Lookup, OpenContext, Owner, Report, Severity, Table, TryLater, braces, error_text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A table whose values are base64.
struct Decoded {
    inner: Arc<dyn Table>,
    report: Report,
}

/// Wraps a table whose values are files; the table itself if they are not.
pub(crate) fn wrap(inner: Arc<dyn Table>, context: &OpenContext) -> Arc<dyn Table> {
    if !context.values_are_files {
        return inner;
    }
    Arc::new(Decoded { inner, report: context.report.clone() })
}

/// The value, or the content of the files it names, as base64: several files are joined with a line feed between them.
pub(crate) fn value_or_file(value: &[u8], context: &OpenContext) -> Result<Bytes, String> {
    if !context.values_are_files {
        return Ok(Bytes::copy_from_slice(value));
    }
    let paths = String::from_utf8_lossy(value);
    let mut content = Vec::new();
    for (n, path) in
        paths.split(|c: char| c == ',' || braces::is_space(c)).filter(|path| !path.is_empty()).enumerate()
    {
        if n > 0 {
            content.push(b'\n');
        }
        let opened = (context.open_file)(Path::new(path));
        opened
            .and_then(|mut file| file.read_to_end(&mut content))
            .map_err(|error| format!("open {path}: {}", error_text(&error)))?;
    }
    if content.is_empty() && paths.trim().is_empty() {
        return Err(format!("empty pathname list: >>{paths}<<'"));
    }
    Ok(STANDARD.encode(&content).into())
}

/// A value that a file was made into, as the file again.
fn decode(value: &[u8]) -> Result<Bytes, String> {
    let malformed = || format!("malformed BASE64 value: {:.30}", String::from_utf8_lossy(value));
    STANDARD.decode(value).map(Bytes::from).map_err(|_| malformed())
}

impl Decoded {
    fn decode(&self, key: &[u8], found: Found) -> Found {
        let Some(value) = found? else {
            return Ok(None);
        };
        decode(&value).map(Some).map_err(|why| {
            let text = format!("table {}: key {}: {why}", self.name(), String::from_utf8_lossy(key));
            (self.report)(Severity::Warning, &text);
            TryLater(text)
        })
    }
}

impl Table for Decoded {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        match self.inner.get(key) {
            Lookup::Ready(found) => Lookup::Ready(found.map(|found| self.decode(key, found))),
            Lookup::Pending(future) => {
                Lookup::Pending(Box::pin(async move { self.decode(key, future.await) }))
            }
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_pattern(&self) -> bool {
        self.inner.is_pattern()
    }

    /// A value that cannot be decoded is left out, with a warning.
    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        self.inner.visit(&mut |key, value| {
            if let Ok(Some(content)) = self.decode(key, Ok(Some(Bytes::copy_from_slice(value)))) {
                visit(key, &content);
            }
        })
    }

    fn owner(&self) -> Owner {
        self.inner.owner()
    }
}
