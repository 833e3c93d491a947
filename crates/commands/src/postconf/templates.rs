//! `-b` and `-t`: the words of bounces, expanded or as they stand. In Postfix bounce(8) prints them, and so it is that which speaks.

use super::Request;
use super::output::Output;
use crate::instance::{self, Instance};
use crate::program::{Fatal, Program, Run};
use params::bounce_template::{Template, Templates, Values};
use params::diagnostic::Severity;
use params::{Diagnostic, View, p};

pub(super) fn show(program: &Program, request: &Request, output: &mut Output) -> Run {
    if request.operands.len() > 1 {
        return Err(Fatal::new("options -b and -t require at most one template file"));
    }
    let instance = Instance::open(program, request.directory.as_deref())?;
    let common = instance.common(program)?;
    let view = match request.operands.first() {
        Some(file) => instance.view.with("bounce_template_file", file),
        None => instance.view.clone(),
    };
    let bounce = Program::new(format!("{}/bounce", common.syslog_name), Vec::new(), 1, program.voice());
    let shown = bounce.run_with(|bounce| {
        let text = text(bounce, &view, request.has('b'))?;
        output.octets(&text);
        Ok(0)
    });
    Ok(shown)
}

fn text(bounce: &Program, view: &View, is_expanded: bool) -> Result<Vec<u8>, Fatal> {
    let mut mistakes = Vec::new();
    let path = view.get(p::bounce_template_file, &mut mistakes);
    let is_obsolete = view.get(p::header_from_format, &mut mistakes) == "obsolete";
    let delay_warning_time = view.get(p::delay_warning_time, &mut mistakes);
    let maximal_queue_lifetime = view.get(p::maximal_queue_lifetime, &mut mistakes);
    say(bounce, &mistakes)?;
    let parameter = |name: &str| {
        view.lookup(name)?;
        view.expand(&format!("${{{name}}}")).ok()
    };
    let values = Values { delay_warning_time, maximal_queue_lifetime, parameter: &parameter };
    let templates = read(bounce, &path)?;
    let texts = templates.all().map(|template| match is_expanded {
        true => expanded(bounce, template, &values),
        false => Ok([
            format!("{}_template = <<EOF\n", template.class).into_bytes(),
            template.source(is_obsolete),
            b"EOF\n".to_vec(),
        ]
        .concat()),
    });
    Ok(texts.into_iter().collect::<Result<Vec<_>, _>>()?.join(&b'\n'))
}

fn read(bounce: &Program, path: &str) -> Result<Templates, Fatal> {
    if path.is_empty() {
        return Ok(Templates::built_in());
    }
    let (templates, warnings) = Templates::parse(path, &instance::read_file(path)?).map_err(Fatal::new)?;
    warnings.iter().for_each(|w| bounce.warning(w));
    Ok(templates)
}

fn expanded(bounce: &Program, template: &Template, values: &Values<'_>) -> Result<Vec<u8>, Fatal> {
    let mut warnings = Vec::new();
    let lines = template.expand(values, &mut warnings);
    warnings.iter().for_each(|w| bounce.warning(w));
    let start = format!("expanded_{}_text = <<EOF", template.class).into_bytes();
    let lines = std::iter::once(start).chain(lines.map_err(Fatal::new)?).chain([b"EOF\n".to_vec()]);
    Ok(lines.collect::<Vec<_>>().join(&b'\n'))
}

fn say(bounce: &Program, mistakes: &[Diagnostic]) -> Result<(), Fatal> {
    for mistake in mistakes.iter().filter(|m| m.severity > Severity::Advice) {
        if mistake.is_fatal() {
            return Err(Fatal::from_diagnostic(mistake, None));
        }
        bounce.report(mistake, None);
    }
    Ok(())
}
