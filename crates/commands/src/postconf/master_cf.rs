//! Showing master.cf: `-M`, `-F`, `-P`, with patterns or without.

use super::output::{Output, json};
use super::{Files, Request};
use crate::program::{Fatal, Program};
use params::Service;
use params::expand::ExpandError;
use params::master_cf::{FIELD_NAMES, FIELDS};
use params::master_edit::ServicePattern;
use params::master_text::{Style, entry_line, entry_text, field_text, setting_text};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What an operand asks for.
struct Wanted {
    raw: String,
    service: ServicePattern,
    /// A field's or parameter's name, or `*`.
    part: String,
    count: usize,
}

pub(super) fn show(program: &Program, request: &Request, output: &mut Output) -> Result<(), Fatal> {
    let mut files = Files::read(program, request, true)?;
    files.add_user_defined(program, request)?;
    let mut wanted = request.operands.iter().map(|o| parse(request, o)).collect::<Result<Vec<_>, _>>()?;
    for service in &files.view.config().master.services {
        if wanted.is_empty() {
            output.lines(&lines(program, request, &files, service, "*")?);
        }
        for want in wanted.iter_mut().filter(|w| w.service.matches(&service.words[0], &service.words[1])) {
            let lines = lines(program, request, &files, service, &want.part)?;
            want.count += usize::from(!lines.is_empty() || !request.has('P'));
            output.lines(&lines);
        }
    }
    for want in wanted.iter().filter(|w| w.count == 0) {
        program.warning(&format!("unmatched request: \"{}\"", want.raw));
    }
    files.warn_of_unused(program, request, false)
}

fn parse(request: &Request, operand: &str) -> Result<Wanted, Fatal> {
    let (max, form) = match () {
        _ if request.has('M') => (2, "-M option requires service_name[/type]"),
        _ if request.has('F') => (3, "-F option requires service_name[/type[/field]]"),
        _ => (3, "-P option requires service_name[/type[/parameter]]"),
    };
    let mut parts = ServicePattern::split(operand, 1, max).ok_or_else(|| Fatal::new(form))?.into_iter();
    let mut next = || parts.next().unwrap_or_else(|| "*".to_string());
    let (name, kind, part) = (next(), next(), next());
    if request.has('F') {
        check_field(&part)?;
    }
    Ok(Wanted { raw: operand.to_string(), service: ServicePattern { name, kind }, part, count: 0 })
}

/// The index of a field, None for `*`.
pub(super) fn check_field(name: &str) -> Result<Option<usize>, Fatal> {
    match FIELD_NAMES.iter().position(|n| *n == name) {
        None if name != "*" => Err(Fatal::new(format!("invalid service attribute name: \"{name}\""))),
        index => Ok(index),
    }
}

fn lines(
    program: &Program,
    request: &Request,
    files: &Files,
    service: &Service,
    part: &str,
) -> Result<Vec<String>, Fatal> {
    let view = files.view.for_service(service);
    let trouble = RefCell::new(None);
    let expanded = |value: &str| match request.has('x').then(|| view.expand(value)) {
        None => value.to_string(),
        Some(Ok(text)) => text,
        Some(Err(ExpandError(why))) => {
            trouble.borrow_mut().get_or_insert(why);
            String::new()
        }
    };
    let style = Style { fold: request.has('f'), option_value: &expanded };
    let lines = match () {
        _ if request.has('M') && request.has('j') => {
            vec![json(&service.name_space(), &entry_line(&service.words, style))]
        }
        _ if request.has('M') => vec![entry_text(&service.words, style)],
        _ if request.has('F') => {
            let fields = check_field(part)?.map_or(0..FIELDS, |index| index..index + 1);
            let words = &service.words;
            let name = |field| field_text(words, field, style, true, false);
            let text = |field| match request.has('j') {
                true => json(&name(field), &field_text(words, field, style, false, true)),
                false => field_text(words, field, style, !request.has('h'), !request.has('H')),
            };
            fields.map(text).collect()
        }
        _ => parameters(request, service, part, &expanded),
    };
    match trouble.into_inner() {
        None => Ok(lines),
        Some(why) => {
            program.warning(&why);
            Err(Fatal::new("macro processing error"))
        }
    }
}

fn parameters(
    request: &Request,
    service: &Service,
    part: &str,
    expanded: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let is_read_only = |name: &str| params::registry::find(name).is_some_and(|spec| spec.is_read_only);
    let settings = service.overrides.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let settings: BTreeMap<&str, &str> = settings.filter(|(name, _)| !is_read_only(name)).collect();
    let wanted = settings.into_iter().filter(|(name, _)| part == "*" || part == *name);
    wanted
        .map(|(name, value)| {
            let name = format!("{}/{name}", service.name_space());
            let text = match () {
                _ if request.has('j') => return json(&name, &expanded(value)),
                _ if request.has('H') => name,
                _ if request.has('h') => expanded(value),
                _ => format!("{name} = {}", expanded(value)),
            };
            setting_text(&text, request.has('f'))
        })
        .collect()
}
