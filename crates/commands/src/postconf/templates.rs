//! `postconf -t` and `-b`: the templates of reports, as they stand and with their texts expanded.

use super::Request;
use crate::instance::{Instance, read_file};
use crate::program::{Fatal, Program, Run};
use params::bounce_template::{Templates, Values};
use params::{View, p};
use std::io::Write;

pub(super) fn show(program: &Program, request: &Request) -> Run {
    if request.operands.len() > 1 {
        return Err(Fatal::new("options -b and -t require at most one template file"));
    }
    let instance = Instance::open(program, request.directory.as_deref())?;
    // With Postfix it is the bounce daemon that prints.
    let bounce = Program::new("postfix/bounce".to_owned(), Vec::new(), 1, program.voice());
    Ok(bounce.run_with(|bounce| print(bounce, &instance.view, request)))
}

fn print(bounce: &Program, view: &View, request: &Request) -> Run {
    let configured = || view.get(p::bounce_template_file, &mut Vec::new());
    let path = request.operands.first().cloned().unwrap_or_else(configured);
    let (templates, warnings) = match path.as_str() {
        "" => (Templates::built_in(), Vec::new()),
        path => Templates::read(path, &read(path)?),
    };
    warnings.iter().for_each(|warning| bounce.warning(warning));
    let text = if request.has('b') { expanded(bounce, view, &templates)? } else { templates.dump() };
    let mut out = std::io::stdout().lock();
    // A reader that goes away ends it in silence.
    let _ = out.write_all(&text).and_then(|()| out.write_all(b"\n"));
    Ok(0)
}

fn read(path: &str) -> Result<Vec<u8>, Fatal> {
    if std::path::Path::new(path).is_dir() {
        return Err(Fatal::new(format!("read {path}: Is a directory")));
    }
    read_file(path)
}

fn expanded(bounce: &Program, view: &View, templates: &Templates) -> Result<Vec<u8>, Fatal> {
    let parameter = |name: &str| {
        view.lookup(name)?;
        view.expand(&format!("${{{name}}}")).ok()
    };
    let mut mistakes = Vec::new();
    let values = Values {
        delay_warning_time: view.get(p::delay_warning_time, &mut mistakes),
        maximal_queue_lifetime: view.get(p::maximal_queue_lifetime, &mut mistakes),
        parameter: &parameter,
    };
    let (text, warnings) = templates.dump_expanded(&values).map_err(Fatal::new)?;
    warnings.iter().for_each(|warning| bounce.warning(warning));
    Ok(text)
}
