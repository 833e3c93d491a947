//! `-o name=value` in master.cf: what postconf(1) and master(8) pass over, and the service stops at.

use crate::diagnostic::{Diagnostic, Place};
use crate::view::View;
use crate::{Service, master_cf};

/// Programs whose arguments are their own.
const TAKE_ARGUMENTS: [&str; 2] = ["pipe", "spawn"];

/// What the programs say when they are started.
pub(super) fn advice(view: &View) -> Vec<Diagnostic> {
    let master = &view.config().master;
    master.services.iter().filter_map(|service| mistake(service, &master.path)).collect()
}

fn mistake(service: &Service, path: &str) -> Option<Diagnostic> {
    let words = &service.words[master_cf::FIELDS..];
    let pair = words.iter().position(|word| word == "-o").map(|at| words.get(at + 1).map(String::as_str));
    let values = words.iter().zip(words.iter().skip(1)).filter(|(option, _)| *option == "-o");
    let bare = values.map(|(_, value)| value).find(|value| !value.contains('='));
    let stray = service.args.first().filter(|_| !TAKE_ARGUMENTS.contains(&service.program()));
    let (text, mend) = match (pair, bare, stray) {
        (Some(None), ..) => ("invalid option: o".to_owned(), "write -o name=value".to_owned()),
        (_, Some(value), _) => {
            let text = format!("invalid \"-o {value}\" option value: missing '=' after attribute name");
            (text, form(value, &service.args))
        }
        (_, _, Some(argument)) if argument.starts_with('#') => {
            let text = format!("unexpected command-line argument: {argument}");
            (text, "comments have lines of their own, with # as the first character".to_owned())
        }
        (_, _, Some(argument)) => {
            let text = format!("unexpected command-line argument: {argument}");
            (text, "put braces round a value with blanks: -o { name = value }".to_owned())
        }
        _ => return None,
    };
    Some(
        Diagnostic::advice(text)
            .at(Place { file: path.to_owned(), line: service.line, span: 0..0 })
            .effect(format!("the service {} stops whenever it is started", service.name_space()))
            .mend(mend),
    )
}

/// The form that `name = value` should have had.
fn form(name: &str, rest: &[String]) -> String {
    match rest {
        [equals, value, ..] if equals == "=" => format!("no blanks round =: -o {name}={value}"),
        _ => format!("write -o {name}=value"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn options_that_stop_a_service() {
        for (options, expect) in [
            ("", ""),
            ("-o smtpd_banner=x -v", ""),
            ("-o { smtpd_banner = a b }", ""),
            ("-o", "invalid option: o -> write -o name=value"),
            (
                "-o smtpd_banner = x",
                "invalid \"-o smtpd_banner\" option value: missing '=' after attribute name -> no blanks round =: -o smtpd_banner=x",
            ),
            (
                "-o smtpd_banner=a b",
                "unexpected command-line argument: b -> put braces round a value with blanks: -o { name = value }",
            ),
            (
                "# x",
                "unexpected command-line argument: # -> comments have lines of their own, with # as the first character",
            ),
        ] {
            let said = advice(&view("", &format!("smtp inet n - n - - smtpd {options}\n")));
            let said: Vec<String> = said.iter().map(|d| format!("{} -> {}", d.message, d.mend)).collect();
            assert_eq!(said.concat(), expect, "{options}");
        }
        let pipe = view("", "x unix - n n - - pipe user=nobody argv=/bin/cat\n");
        assert!(advice(&pipe).is_empty());
    }
}
