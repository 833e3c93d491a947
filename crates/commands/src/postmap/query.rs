//! Asking tables, and listing them.

use super::{Command, Keys, message};
use crate::program::{Fatal, Run, reason};
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use tables::{SourceFormat, Table, TryLater};

/// Prints the value of the key in the first table that has it; the exit status is 1 if none has.
pub(super) fn query(command: &Command, key: &[u8]) -> Run {
    if key == b"-" {
        return query_many(command);
    }
    for spec in &command.options.tables {
        let table = open(command, spec)?;
        if let Some(value) = get(command, table.as_ref(), str::to_owned, key)? {
            print(&[&value, b"\n"])?;
            return Ok(0);
        }
    }
    Ok(1)
}

/// The tables of the command line, each opened when it is first asked.
struct Tables<'a> {
    command: &'a Command<'a>,
    open: Vec<Option<Arc<dyn Table>>>,
    out: Vec<u8>,
    is_found: bool,
}

fn query_many(command: &Command) -> Run {
    let open = vec![None; command.options.tables.len()];
    let mut tables = Tables { command, open, out: Vec::new(), is_found: false };
    let unreadable = |error: io::Error| Fatal::new(format!("read stdin: {}", reason(&error)));
    let lines = io::stdin().lock().split(b'\n');
    match command.options.keys {
        Keys::Message { headers, body, mime } if headers || body => {
            let mut reader = message::Reader::new(headers, body, mime);
            for line in lines {
                let is_over = reader.line(&line.map_err(unreadable)?, &mut |key| tables.find(key))?;
                if is_over {
                    break;
                }
            }
            reader.end(&mut |key| tables.find(key))?;
        }
        _ => {
            for line in lines {
                tables.find(&line.map_err(unreadable)?)?;
            }
        }
    }
    print(&[&tables.out])?;
    Ok(u8::from(!tables.is_found))
}

/// Cdb and lmdb files up to this size are read whole for `-q -`.
const MAPPED_LIMIT_BYTES: u64 = 1 << 30;

/// Printed at once beyond this.
const BUFFER_BYTES: usize = 4096;

impl Tables<'_> {
    fn find(&mut self, line: &[u8]) -> Result<(), Fatal> {
        let key = before_nul(line);
        for (n, spec) in self.command.options.tables.iter().enumerate() {
            let table = match &self.open[n] {
                Some(table) => Arc::clone(table),
                None => Arc::clone(self.open[n].insert(open(self.command, spec)?)),
            };
            if let Some(value) = get(self.command, table.as_ref(), tables::label, key)? {
                self.out.extend_from_slice(&pair(self.command, key, &value));
                self.is_found = true;
                break;
            }
        }
        if self.out.len() >= BUFFER_BYTES {
            print(&[&std::mem::take(&mut self.out)])?;
        }
        Ok(())
    }
}

/// Prints all entries of the first table.
pub(super) fn list(command: &Command) -> Run {
    let Some(spec) = command.options.tables.first() else {
        return Ok(1);
    };
    if spec.starts_with("proxy:") {
        return Err(Fatal::new("can't sequence maps via the proxy service"));
    }
    let table = open(command, spec)?;
    let name = table.name();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut printed = Ok(());
    let listed = table.visit(&mut |key, value| {
        if key.is_empty() {
            command.program.warning(&format!("table {name}: empty lookup key value is not allowed"));
        } else if value.is_empty() {
            warn_of_empty(command, name, key);
        }
        if printed.is_ok() {
            printed = out.write_all(&pair(command, key, value));
        }
    });
    match listed {
        None => {
            let label = tables::label(name);
            return Err(command.fatal(format!("table {label}: sequence operation is not supported")));
        }
        Some(Err(later)) => return Err(refuse(command, name, "sequence", &later)),
        Some(Ok(())) => {}
    }
    printed.and_then(|()| out.flush()).map_err(write_error)?;
    Ok(0)
}

fn open(command: &Command, spec: &str) -> Result<Arc<dyn Table>, Fatal> {
    let (kind, name) = command.type_and_name(spec);
    let mut context = command.context();
    if matches!(kind, "cdb" | "lmdb") && command.options.action.is_many() {
        // Many keys are not worth reading page by page what Postfix's libraries have mapped.
        context.memory_limit_bytes = MAPPED_LIMIT_BYTES;
    }
    let table = tables::open(&format!("{kind}:{name}"), &context);
    command.say_all();
    table.map_err(|error| Fatal::new(error.to_string()))
}

/// `label` makes of the table's name what complaints about the value call it: Postfix has the database file's suffix in some
/// of them.
fn get(
    command: &Command,
    table: &dyn Table,
    label: fn(&str) -> String,
    key: &[u8],
) -> Result<Option<Vec<u8>>, Fatal> {
    let found = tables::get_now(table, key);
    command.say_all();
    match found {
        Ok(value) => {
            if value.as_ref().is_some_and(|value| value.is_empty()) {
                warn_of_empty(command, &label(table.name()), key);
            }
            Ok(value.map(|value| {
                let mut value = Vec::from(value);
                value.truncate(before_nul(&value).len());
                value
            }))
        }
        Err(later) => Err(refuse(command, table.name(), "query", &later)),
    }
}

/// What ends the command when a table cannot be asked, in the words that Postfix has for it.
fn refuse(command: &Command, table: &str, operation: &str, later: &TryLater) -> Fatal {
    let text = &later.0;
    let label = tables::label(table);
    if let Some(why) = text.strip_prefix(&format!("{table} is unavailable. ")) {
        if why.starts_with("error reading ") || why.contains(": SQL prepare failed: ") {
            return command.fatal(why);
        }
        return command.fatal(format!("table {label}: {operation} error: {why}"));
    }
    // What is wrong with the content was said; there is no errno to add.
    if text.starts_with("table ") || text.starts_with(&format!("{label}: key ")) {
        return command.fatal(format!("table {label}: {operation} error"));
    }
    let why = text.strip_prefix(&format!("{table}: ")).unwrap_or(text);
    command.fatal(format!("table {label}: {operation} error: {why}"))
}

fn warn_of_empty(command: &Command, table: &str, key: &[u8]) {
    let key = String::from_utf8_lossy(key);
    command.program.warning(&format!("table {table}: key {key}: empty string result is not allowed"));
    command.program.warning(&format!("table {table} should return NO RESULT in case of NOT FOUND"));
}

/// A key with its value, as a line.
fn pair(command: &Command, key: &[u8], value: &[u8]) -> Vec<u8> {
    let between: &[u8] = match command.options.format {
        SourceFormat::Table => b"\t",
        SourceFormat::Aliases => b":\t",
    };
    [key, between, before_nul(value), b"\n"].concat()
}

/// Postfix prints C's strings: the content of a file (-F) may have a NUL in it.
fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|&octet| octet == 0).next().unwrap_or_default()
}

fn print(parts: &[&[u8]]) -> Result<(), Fatal> {
    let mut out = io::stdout().lock();
    parts.iter().try_for_each(|part| out.write_all(part)).and_then(|()| out.flush()).map_err(write_error)
}

fn write_error(error: io::Error) -> Fatal {
    Fatal::new(format!("write stdout: {}", reason(&error)))
}
