//! Tables whose values are names of files (tls_server_sni_maps): the file's content, as base64, is what is stored, and a
//! lookup gives the content.

use crate::source::show;
use crate::{
    Found, Lookup, OpenContext, Owner, Report, Severity, Table, TryLater, braces, error_text, label,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
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

/// The value, or what [`read_files`] makes of it.
pub(crate) fn value_or_file(value: &[u8], context: &OpenContext) -> Result<Bytes, String> {
    if context.values_are_files {
        read_files(value, &|path: &Path| (context.open_file)(path))
    } else {
        Ok(Bytes::copy_from_slice(value))
    }
}

/// The content of the files that are named, as base64: several are joined with a line feed between them.
pub(crate) fn read_files(
    paths: &[u8],
    open_file: &dyn Fn(&Path) -> io::Result<File>,
) -> Result<Bytes, String> {
    let paths = String::from_utf8_lossy(paths);
    let is_separator = |c: char| c == ',' || braces::is_space(c);
    let mut content = Vec::new();
    let mut count = 0;
    for path in paths.split(is_separator).filter(|path| !path.is_empty()) {
        if count > 0 {
            content.push(b'\n');
        }
        count += 1;
        let failed = |doing: &str, error: &io::Error| format!("{doing} {path}: {}", error_text(error));
        let mut file = open_file(Path::new(path)).map_err(|error| failed("open", &error))?;
        file.read_to_end(&mut content).map_err(|error| failed("read", &error))?;
    }
    if count == 0 {
        return Err(format!("empty pathname list: >>{paths}<<'"));
    }
    Ok(STANDARD.encode(&content).into())
}

/// A value that a file was made into, as the file again.
fn decode(value: &[u8]) -> Result<Bytes, String> {
    let malformed = || format!("malformed BASE64 value: {:.30}", show(value));
    STANDARD.decode(value).map(Bytes::from).map_err(|_| malformed())
}

impl Decoded {
    fn decode(&self, key: &[u8], found: Found) -> Found {
        let Some(value) = found? else {
            return Ok(None);
        };
        decode(&value).map(Some).map_err(|why| {
            let text = format!("table {}: key {}: {why}", label(self.name()), show(key));
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
