//! What is added for people to a mistake in a value: where it is, what comes of it, what to do.

use crate::diagnostic::Diagnostic;
use crate::view::View;

/// Adds what can be said from the value's text.
pub(crate) fn explain_value(view: &View, name: &str, diagnostic: Diagnostic) -> Diagnostic {
    let main = &view.config().main;
    let Some(entry) = main.entry(name).filter(|e| view.lookup_set(name) == Some(&e.value)) else {
        return explain_form(diagnostic);
    };
    let Some(at) = trailing_comment(&entry.value) else {
        return explain_form(diagnostic);
    };
    let place = main.place(entry, Some(at..entry.value.len()));
    let effect = match diagnostic.is_fatal() {
        true => "the text from # on is part of the value, and every program that needs it stops",
        false => "the list ends at the #",
    };
    diagnostic
        .at(place)
        .effect(effect)
        .mend("move the comment to a line of its own, with # as its first character")
}

/// Adds how values of the type are written.
fn explain_form(diagnostic: Diagnostic) -> Diagnostic {
    let forms = [
        ("bad boolean configuration", "write yes or no"),
        ("bad numerical configuration", "write a whole number without a unit, such as 10485760"),
        ("bad time value or unit", "write a number with s, m, h, d or w right behind it, such as 300s or 5m"),
        ("bad string length 0", "write a value, or remove the line: without it the default holds"),
    ];
    let form = forms.iter().find(|(said, _)| diagnostic.message.contains(said));
    match form.filter(|_| diagnostic.mend.is_empty()) {
        Some((_, mend)) => diagnostic.effect("every program that needs it stops").mend(*mend),
        None => diagnostic,
    }
}

/// The fatal mistake that keeps our own addresses from being known, told of the parameter that it is in.
pub(crate) fn no_own_addresses(view: &View, why: String) -> Diagnostic {
    let parameters = ["inet_interfaces", "proxy_interfaces", "inet_protocols", "mynetworks_style"];
    let name = parameters.into_iter().find(|name| why.contains(name)).unwrap_or("mynetworks_style");
    let diagnostic = Diagnostic::fatal(why).at(view.place(name));
    explain_value(view, name, diagnostic)
}

/// Where a comment seems to begin that somebody put behind a value.
pub(crate) fn trailing_comment(value: &str) -> Option<usize> {
    let hash = value.match_indices('#').find(|(at, _)| *at == 0 || value[..*at].ends_with([' ', '\t']));
    hash.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        for (value, expect) in
            [("all # x", Some(4)), ("# x", Some(0)), ("a#b", None), ("a#b #c", Some(4)), ("x\t#", Some(2))]
        {
            assert_eq!(trailing_comment(value), expect, "{value}");
        }
    }
}
