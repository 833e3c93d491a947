//! The words of reports on mail: built in, or from `bounce_template_file` (bounce(5)). Who gets which report is not decided here.

use crate::expand::{Expansion, Options, expand};
use crate::line::{is_comment_or_blank, is_space};
use crate::octets::{to_octets, to_text};
use crate::word::name_value;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The templates of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    pub failure: Template,
    pub delay: Template,
    pub success: Template,
    pub verify: Template,
}

/// The words of one kind of report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `failure`, `delay`, `success`, `verify`.
    pub class: &'static str,
    /// The file, or `[built-in]`: what messages begin with.
    origin: String,
    pub charset: String,
    /// The text has octets above 127.
    pub is_8bit: bool,
    /// None: as `header_from_format` has it.
    from: Option<String>,
    pub subject: String,
    /// None where the postmaster gets no copy.
    pub postmaster_subject: Option<String>,
    text: Vec<Vec<u8>>,
}

/// What `$name` in a template's text may stand for.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub delay_warning_time: Duration,
    pub maximal_queue_lifetime: Duration,
    /// Any other parameter of main.cf, expanded.
    pub parameter: &'a dyn Fn(&str) -> Option<String>,
}

impl Templates {
    /// Postfix's own.
    pub fn built_in() -> Templates {
        Templates {
            failure: Template::built_in(
                "failure",
                "Undelivered Mail Returned to Sender",
                Some("Postmaster Copy: Undelivered Mail"),
                FAILURE,
            ),
            delay: Template::built_in(
                "delay",
                "Delayed Mail (still being retried)",
                Some("Postmaster Warning: Delayed Mail"),
                DELAY,
            ),
            success: Template::built_in("success", "Successful Mail Delivery Report", None, SUCCESS),
            verify: Template::built_in("verify", "Mail Delivery Status Report", None, VERIFY),
        }
    }

    /// Reads a template file, and gives warnings; a template with a mistake stays the built-in one. The error is Postfix's text.
    pub fn parse(path: &str, file: &[u8]) -> Result<(Templates, Vec<String>), String> {
        let mut templates = Templates::built_in();
        let mut warnings = Vec::new();
        let sections = sections(path, file, &mut warnings)?;
        for template in templates.all_mut() {
            // The last one of a name is it.
            let text = sections.iter().rev().find(|(class, _)| *class == template.class);
            match text.map(|(_, text)| template.replaced(path, text)) {
                Some(Ok(replaced)) => *template = replaced,
                Some(Err(said)) => warnings.extend(said),
                None => {}
            }
        }
        Ok((templates, warnings))
    }

    /// Puts the built-in template in the place of each one that cannot be expanded, and gives warnings.
    pub fn checked(mut self, values: &Values<'_>) -> (Templates, Vec<String>) {
        let mut warnings = Vec::new();
        let built_in = Templates::built_in();
        for (template, built_in) in self.all_mut().into_iter().zip(built_in.all()) {
            if let Err(why) = template.expand(values, &mut Vec::new()) {
                warnings.push(format!("{why} -- ignoring this template"));
                *template = built_in.clone();
            }
        }
        (self, warnings)
    }

    /// In the order in which `postconf -t` shows them.
    pub fn all(&self) -> [&Template; 4] {
        [&self.failure, &self.delay, &self.success, &self.verify]
    }

    fn all_mut(&mut self) -> [&mut Template; 4] {
        [&mut self.failure, &mut self.delay, &mut self.success, &mut self.verify]
    }
}

/// A template's class and its text.
type Section = (&'static str, Vec<u8>);

/// `name = value` and `name = <<END … END`.
fn sections(path: &str, file: &[u8], warnings: &mut Vec<String>) -> Result<Vec<Section>, String> {
    let mut found = Vec::new();
    let mut lines = file.split_inclusive(|b| *b == b'\n').zip(2..);
    while let Some((raw, mut number)) = lines.next() {
        let line = to_text(without_end(raw));
        if is_comment_or_blank(&line) {
            continue;
        }
        let said = |number: usize, what: String| format!("{path}, line {number}: {what}");
        let (name, value) = name_value(&line).map_err(|why| said(number, format!("{why}: \"{line}\"")))?;
        let mut text = to_octets(value).into_owned();
        if let Some(end) = end_marker(value).map_err(|why| said(number, why.to_string()))? {
            let (body, last) = body(&mut lines, end);
            text = body;
            number = last.number.unwrap_or(number);
            if last.is_missing {
                warnings.push(said(number, format!("missing \"{end}\" end marker")));
            }
        }
        let class = CLASSES.into_iter().find(|class| name.strip_suffix("_template") == Some(class));
        match class {
            Some(class) => found.push((class, text)),
            None => {
                warnings
                    .push(said(number, format!("unknown template name: {name} -- ignoring this template")));
            }
        }
    }
    Ok(found)
}

const CLASSES: [&str; 4] = ["failure", "delay", "success", "verify"];

/// `END` of `<<END`. None: the value stands for itself.
fn end_marker(value: &str) -> Result<Option<&str>, &'static str> {
    match value.strip_prefix("<<").map(|end| end.trim_start_matches(is_space)) {
        None => Ok(None),
        Some("") => Err("missing end marker after <<"),
        Some(end) => Ok(Some(end)),
    }
}

/// How a text ends.
struct Last {
    /// None: nothing follows its first line.
    number: Option<usize>,
    is_missing: bool,
}

/// The lines up to the one that is `end`.
fn body<'a>(lines: &mut impl Iterator<Item = (&'a [u8], usize)>, end: &str) -> (Vec<u8>, Last) {
    let mut text: Vec<u8> = Vec::new();
    let mut last = Last { number: None, is_missing: true };
    for (raw, number) in lines {
        last.number = Some(number);
        let line = without_end(raw);
        if line == to_octets(end).as_ref() {
            // Postfix: an end marker without a line end counts, and is missed.
            last.is_missing = !raw.ends_with(b"\n");
            break;
        }
        // Postfix: empty lines at the start leave nothing.
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
    }
    (text, last)
}

fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

impl Template {
    fn built_in(
        class: &'static str,
        subject: &str,
        postmaster_subject: Option<&str>,
        text: &str,
    ) -> Template {
        Template {
            class,
            origin: "[built-in]".into(),
            charset: "us-ascii".into(),
            is_8bit: false,
            from: None,
            subject: subject.into(),
            postmaster_subject: postmaster_subject.map(str::to_owned),
            text: text.lines().map(|line| line.as_bytes().to_vec()).collect(),
        }
    }

    /// This template with what the file's says in place of it. The error is what to warn of.
    fn replaced(&self, path: &str, text: &[u8]) -> Result<Template, Vec<String>> {
        let mut template = Template { origin: path.into(), ..self.clone() };
        let said = |what: String| format!("{path}: {what} in {} template", self.class);
        let ignored = |what: String| vec![format!("{} -- ignoring this template", said(what))];
        let mut lines = text.split(|b| *b == b'\n').peekable();
        while let Some((name, value)) = lines.peek().and_then(|line| split_header(line)) {
            template.set_header(name, value).map_err(ignored)?;
            lines.next();
        }
        let is_blank = |line: &&[u8]| line.iter().all(|b| is_space(char::from(*b)));
        template.text = lines.skip_while(is_blank).map(<[u8]>::to_vec).collect();
        if template.text.is_empty() {
            return Err(ignored("missing message text".to_string()));
        }
        template.is_8bit = !template.text.iter().all(|line| line.is_ascii());
        if template.is_8bit && template.charset.eq_ignore_ascii_case("us-ascii") {
            return Err(vec![
                said("8-bit message text".to_string()),
                "please specify a charset value other than us-ascii".to_string(),
                "-- ignoring this template for now".to_string(),
            ]);
        }
        Ok(template)
    }

    fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let name = to_text(name);
        if value.is_empty() {
            return Err(format!("empty \"{name}\" header value"));
        }
        let value = to_text(value).into_owned();
        if !value.is_ascii() {
            return Err(format!("non-ASCII \"{name}\" header value"));
        }
        match name.to_ascii_lowercase().as_str() {
            "charset" => self.charset = value,
            "from" => self.from = Some(value),
            "subject" => self.subject = value,
            "postmaster-subject" if self.postmaster_subject.is_none() => {
                return Err(format!("inapplicable \"{name}\" header label"));
            }
            "postmaster-subject" => self.postmaster_subject = Some(value),
            _ => return Err(format!("unknown \"{name}\" header label")),
        }
        Ok(())
    }

    /// What a report's `From:` says. `is_obsolete`: `header_from_format` is.
    pub fn from(&self, is_obsolete: bool) -> &str {
        match &self.from {
            Some(from) => from,
            None if is_obsolete => "MAILER-DAEMON (Mail Delivery System)",
            None => "Mail Delivery System <MAILER-DAEMON>",
        }
    }

    /// The template as it stands in a file (`postconf -t`), but for its name and end marker.
    pub fn source(&self, is_obsolete: bool) -> Vec<u8> {
        let from = self.from(is_obsolete);
        let mut source = format!("Charset: {}\nFrom: {from}\nSubject: {}\n", self.charset, self.subject);
        if let Some(subject) = &self.postmaster_subject {
            source.push_str(&format!("Postmaster-Subject: {subject}\n"));
        }
        let lines = self.text.iter().map(|line| [line, &b"\n"[..]].concat());
        [source.into_bytes(), b"\n".to_vec()].into_iter().chain(lines).collect::<Vec<_>>().concat()
    }

    /// The text's lines with `$name` replaced; what to warn about is added to `warnings`. The error is Postfix's text.
    pub fn expand(&self, values: &Values<'_>, warnings: &mut Vec<String>) -> Result<Vec<Vec<u8>>, String> {
        self.text.iter().map(|line| self.expand_line(line, values, warnings)).collect()
    }

    fn expand_line(
        &self,
        line: &[u8],
        values: &Values<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>, String> {
        let line = to_text(line);
        let said = RefCell::new(Vec::new());
        let bad_unit = Cell::new(None);
        let lookup = |name: &str| match self.time_in_units(name, values, &mut said.borrow_mut()) {
            Some(Ok(number)) => Some(Cow::Owned(number.to_string())),
            Some(Err(why)) => {
                bad_unit.set(Some(why));
                Some(Cow::Borrowed(""))
            }
            None => (values.parameter)(name).map(Cow::Owned),
        };
        let expanded = expand(&line, Options::default(), &lookup);
        warnings.append(&mut said.take());
        let Template { origin, class, .. } = self;
        match (bad_unit.take(), expanded) {
            (Some(why), _) => Err(why),
            (None, Ok(Expansion { text, undefined: false })) => Ok(to_octets(&text).into_owned()),
            (None, Ok(_)) => Err(format!("{origin}: undefined $name in {class} template: {line}")),
            (None, Err(why)) => {
                warnings.push(why.0);
                Err(format!("{origin}: bad $name syntax in {class} template: {line}"))
            }
        }
    }

    /// The value of `delay_warning_time_hours` and its like. None: `name` is none of these.
    fn time_in_units(
        &self,
        name: &str,
        values: &Values<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<Result<u64, String>> {
        let of = |parameter: &str| name.strip_prefix(parameter).and_then(|rest| rest.strip_prefix('_'));
        let (unit, time) = match (of("delay_warning_time"), of("maximal_queue_lifetime")) {
            (Some(unit), _) => (unit, values.delay_warning_time),
            (None, Some(unit)) => (unit, values.maximal_queue_lifetime),
            (None, None) => return None,
        };
        let Some((_, divisor)) = UNITS.iter().find(|(u, _)| *u == unit) else {
            let why = format!("{}: unrecognized suffix \"{unit}\" in parameter \"{name}\"", self.origin);
            return Some(Err(why));
        };
        let number = time.as_secs() / divisor;
        self.doubt(number, time, *divisor, unit, name, warnings);
        Some(Ok(number))
    }

    /// Postfix warns of numbers that a reader will not make sense of.
    fn doubt(
        &self,
        number: u64,
        time: Duration,
        divisor: u64,
        unit: &str,
        name: &str,
        warnings: &mut Vec<String>,
    ) {
        let (what, change) = if number > 999 && divisor < 86_400 {
            (format!("excessive result \"{number}\""), "increase")
        } else if number == 0 && time > Duration::ZERO && divisor > 1 {
            ("zero result".to_owned(), "reduce")
        } else {
            return;
        };
        let Template { origin, class, .. } = self;
        warnings.push(format!("{origin}: {what} in {class} template conversion of parameter \"{name}\""));
        warnings.push(format!("please {change} time unit \"{unit}\" of \"{name}\" in {class} template"));
        warnings.push("for instructions see the bounce(5) manual".into());
    }
}

const UNITS: [(&str, u64); 5] =
    [("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400), ("weeks", 604_800)];

/// `Name: value`, or None for a line that is no header.
fn split_header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = line[..colon].trim_ascii_end();
    let is_label = !name.is_empty() && name.iter().all(|b| (33..127).contains(b));
    let value = &line[colon..];
    // Postfix: blanks at the end are part of the value.
    let skipped = value.iter().take_while(|b| **b == b':' || is_space(char::from(**b))).count();
    is_label.then(|| (name, &value[skipped..]))
}

/// For the fuzz target: reads `data` as a template file. Every mistake is said; nothing panics, and what is checked expands.
pub fn fuzz_template(data: &[u8]) {
    let values = Values {
        delay_warning_time: Duration::from_secs(3600),
        maximal_queue_lifetime: Duration::from_secs(432_000),
        parameter: &|name| (name.len() < 12).then(|| name.to_uppercase()),
    };
    let Ok((templates, _)) = Templates::parse("fuzz", data) else {
        return;
    };
    let (templates, _) = templates.checked(&values);
    for template in templates.all() {
        template.expand(&values, &mut Vec::new()).expect("is checked");
    }
}

const FAILURE: &str = "\
This is the mail system at host $myhostname.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system
";

const DELAY: &str = "\
This is the mail system at host $myhostname.

####################################################################
# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #
####################################################################

Your message could not be delivered for more than $delay_warning_time_hours hour(s).
It will be retried until it is $maximal_queue_lifetime_days day(s) old.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system
";

const SUCCESS: &str = "\
This is the mail system at host $myhostname.

Your message was successfully delivered to the destination(s)
listed below. If the message was delivered to mailbox you will
receive no further notifications. Otherwise you may still receive
notifications of mail delivery errors from other systems.

                   The mail system
";

const VERIFY: &str = "\
This is the mail system at host $myhostname.

Enclosed is the mail delivery report that you requested.

                   The mail system
";

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values<'static> {
        Values {
            delay_warning_time: Duration::from_secs(4 * 3600),
            maximal_queue_lifetime: Duration::from_secs(5 * 86_400),
            parameter: &|name| (name == "myhostname").then(|| "mail.example.com".into()),
        }
    }

    fn text(template: &Template) -> String {
        let lines = template.expand(&values(), &mut Vec::new()).expect("expands");
        String::from_utf8(lines.join(&b'\n')).expect("UTF-8")
    }

    #[test]
    fn the_built_in_ones_expand() {
        let t = Templates::built_in();
        assert!(
            text(&t.failure).starts_with("This is the mail system at host mail.example.com.\n\nI'm sorry")
        );
        assert!(
            text(&t.delay).contains("for more than 4 hour(s).\nIt will be retried until it is 5 day(s) old.")
        );
        assert!(text(&t.success).ends_with("                   The mail system"));
        let mut warnings = Vec::new();
        t.failure.expand(&values(), &mut warnings).expect("expands");
        assert_eq!(warnings, Vec::<String>::new());
        let source = t.success.source(false);
        assert!(source.starts_with(
            b"Charset: us-ascii\nFrom: Mail Delivery System <MAILER-DAEMON>\nSubject: Successful Mail Delivery Report\n\nThis"
        ));
    }

    #[test]
    fn strange_numbers_are_warned_about() {
        let short = Values { delay_warning_time: Duration::from_secs(4), ..values() };
        let mut warnings = Vec::new();
        Templates::built_in().delay.expand(&short, &mut warnings).expect("expands");
        // As logged by Postfix 3.7.11.
        assert_eq!(
            warnings,
            [
                "[built-in]: zero result in delay template conversion of parameter \"delay_warning_time_hours\"",
                "please reduce time unit \"hours\" of \"delay_warning_time_hours\" in delay template",
                "for instructions see the bounce(5) manual",
            ]
        );
    }

    #[test]
    fn a_file_replaces_what_it_names() {
        let file = b"# comment\n\nfailure_template = <<EOF\nCharset: utf-8\nFrom: Postman <postman>\nSubject: Sorry\n\n\nCost: $$5, ${myhostname?{$myhostname}}\n$delay_warning_time_minutes m, t\xc3\xa4t\nEOF\nsuccess_template = <<X\nSubject: Good\n\nfine\nX\n";
        let (t, warnings) = Templates::parse("/etc/postfix/bounce.cf", file).expect("readable");
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(text(&t.failure), "Cost: $5, mail.example.com\n240 m, t\u{e4}t");
        assert_eq!((t.failure.subject.as_str(), t.failure.from(false)), ("Sorry", "Postman <postman>"));
        assert_eq!(t.failure.postmaster_subject.as_deref(), Some("Postmaster Copy: Undelivered Mail"));
        assert!(t.failure.is_8bit && t.failure.charset == "utf-8");
        assert_eq!((text(&t.success).as_str(), t.success.subject.as_str()), ("fine", "Good"));
        assert_eq!(t.delay, Templates::built_in().delay);
        assert_eq!(t.clone().checked(&values()), (t, Vec::new()));
    }

    #[test]
    fn a_mistake_leaves_the_built_in_one() {
        let ignored = "-- ignoring this template";
        for (file, expect) in [
            (
                &b"failure_template = <<E\nSubject:\n\nx\nE\n"[..],
                format!("f: empty \"Subject\" header value in failure template {ignored}"),
            ),
            (
                b"failure_template = <<E\nSubject: \xc3\xa4\n\nx\nE\n",
                format!("f: non-ASCII \"Subject\" header value in failure template {ignored}"),
            ),
            (
                b"success_template = <<E\nPostmaster-Subject: y\n\nx\nE\n",
                format!("f: inapplicable \"Postmaster-Subject\" header label in success template {ignored}"),
            ),
            (
                b"delay_template = <<E\nX-Y: y\n\nx\nE\n",
                format!("f: unknown \"X-Y\" header label in delay template {ignored}"),
            ),
            (
                b"verify_template = <<E\nSubject: y\n\n\nE\n",
                format!("f: missing message text in verify template {ignored}"),
            ),
            (
                b"verify_template = <<E\n\xc3\xa4\nE\n",
                "f: 8-bit message text in verify template|please specify a charset value other than us-ascii|-- ignoring this template for now".to_string(),
            ),
            (
                b"other_template = <<E\nfine\nE\n",
                format!("f, line 4: unknown template name: other_template {ignored}"),
            ),
        ] {
            let (t, warnings) = Templates::parse("f", file).expect("readable");
            assert_eq!(warnings.join("|"), expect);
            assert_eq!(t, Templates::built_in());
        }
    }

    #[test]
    fn ends_of_texts() {
        for (file, expect) in [
            (&b"verify_template = <<E\nfine\n"[..], "f, line 3: missing \"E\" end marker"),
            (b"verify_template = <<E\nfine\nE", "f, line 4: missing \"E\" end marker"),
            (b"verify_template = <<E\n\nfine\nE\n", ""),
            (b"verify_template = fine\n", ""),
            (b"verify_template = a\nverify_template = <<E\nfine\nE\n", ""),
        ] {
            let (t, warnings) = Templates::parse("f", file).expect("readable");
            assert_eq!((warnings.join("|").as_str(), text(&t.verify).as_str()), (expect, "fine"));
        }
        for (file, expect) in [
            (&b"# x\nnonsense\n"[..], "f, line 3: missing '=' after attribute name: \"nonsense\""),
            (b"verify_template = <<\nx\n", "f, line 2: missing end marker after <<"),
        ] {
            assert_eq!(Templates::parse("f", file), Err(expect.to_string()));
        }
    }

    #[test]
    fn texts_that_do_not_expand() {
        for (line, expect) in [
            ("x $nosuch y", "f: undefined $name in verify template: x $nosuch y"),
            ("x ${a y", "f: bad $name syntax in verify template: x ${a y"),
            (
                "$maximal_queue_lifetime_years",
                "f: unrecognized suffix \"years\" in parameter \"maximal_queue_lifetime_years\"",
            ),
        ] {
            let file = format!("verify_template = <<E\n{line}\nE\n");
            let (t, _) = Templates::parse("f", file.as_bytes()).expect("readable");
            assert_eq!(t.verify.expand(&values(), &mut Vec::new()), Err(expect.to_string()));
            let (checked, warnings) = t.checked(&values());
            assert_eq!(warnings, [format!("{expect} -- ignoring this template")]);
            assert_eq!(checked, Templates::built_in());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(data: Vec<u8>) {
            fuzz_template(&data);
        }

        #[test]
        fn no_text_panics(text in "((failure|delay)_template = <<E\n)?(Subject: |\\$|\\{|[a-z_:]{1,9}|\n|E\n){0,40}") {
            fuzz_template(text.as_bytes());
        }
    }
}
