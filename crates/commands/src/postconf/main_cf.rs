//! Showing main.cf: `postconf`, `-n`, `-d`, with names or without.

use super::output::{Output, json};
use super::{Files, Request};
use crate::program::{Fatal, Program};
use params::expand::ExpandError;
use params::master_text::setting_text;
use params::names::{Class, Known};

pub(super) fn show(program: &Program, request: &Request, output: &mut Output) -> Result<(), Fatal> {
    let mut files = Files::read(program, request, false)?;
    if !request.has('d') {
        files.add_user_defined(program, request)?;
    }
    if request.operands.is_empty() {
        let listed = files.names.iter().filter(|(_, known)| is_wanted(request, known));
        let mut lines = Vec::new();
        for (name, known) in listed {
            lines.extend(setting(program, request, &files, name, known)?);
        }
        output.lines(&lines);
    } else {
        for name in &request.operands {
            match files.names.get(name) {
                Some(known) => output.lines(&Vec::from_iter(setting(program, request, &files, name, known)?)),
                None => program.warning(&format!("{name}: unknown parameter")),
            }
        }
    }
    if !request.has('d') {
        files.warn_of_unused(program, request, true)?;
    }
    Ok(())
}

fn is_wanted(request: &Request, known: &Known) -> bool {
    match known.class {
        Class::Builtin => request.classes.builtin,
        Class::Service => request.classes.service,
        Class::User => request.classes.user,
        Class::Unlisted => false,
    }
}

/// One parameter as it is shown; None if it has no value to show.
fn setting(
    program: &Program,
    request: &Request,
    files: &Files,
    name: &str,
    known: &Known,
) -> Result<Option<String>, Fatal> {
    let view = &files.view;
    let value = match (request.has('d'), request.has('n')) {
        (true, _) => view.default(name),
        (false, true) => view.lookup_set(name).map(Into::into),
        (false, false) => view.lookup(name),
    };
    let Some(value) = value else {
        return Ok(None);
    };
    if request.has('H') {
        return Ok(Some(name.to_string()));
    }
    let mut value = value.into_owned();
    if request.has('x') && !known.spec.is_some_and(|s| s.is_raw) {
        value = view.expand(&value).map_err(|ExpandError(why)| {
            program.warning(&why);
            Fatal::new("macro processing error")
        })?;
    }
    if request.has('j') {
        return Ok(Some(json(name, &value)));
    }
    let text = if request.has('h') { value } else { format!("{name} = {value}") };
    Ok(Some(setting_text(&text, request.has('f'))))
}
