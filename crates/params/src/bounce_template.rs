//! The words of a report, built in or from `bounce_template_file` (bounce(5)), and what `postconf -t` and `-b` print of them.

use std::fmt;
use std::time::Duration;

/// The templates of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    pub failure: Template,
    pub delay: Template,
    pub success: Template,
    pub verify: Template,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `failure`, `delay`, `success`, `verify`.
    class: &'static str,
    /// The file, or `[built-in]`: what warnings begin with.
    origin: String,
    pub charset: String,
    /// The text has octets above 127.
    pub is_8bit: bool,
    /// None: as `header_from_format` has it.
    pub from: Option<String>,
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

    /// Reads a template file. What is wrong with it is said in the warnings; a template with a mistake stays the built-in one.
    /// Texts are not expanded.
    pub fn read(path: &str, file: &[u8]) -> (Templates, Vec<String>) {
        let mut templates = Templates::built_in();
        let mut warnings = Vec::new();
        let mut found = sections(path, file, &mut warnings);
        found.retain(|section| {
            let is_known = CLASSES.iter().any(|class| section.name == format!("{class}_template"));
            if !is_known {
                let Section { name, line, .. } = section;
                warnings.push(format!(
                    "{path}, line {line}: unknown template name: {name} -- ignoring this template"
                ));
            }
            is_known
        });
        for template in templates.each_mut() {
            let name = format!("{}_template", template.class);
            for section in found.iter().filter(|section| section.name == name) {
                match template.replaced(path, &section.text) {
                    Ok(replaced) => *template = replaced,
                    Err(problem) => warnings.extend(problem.warnings(path, template.class)),
                }
            }
        }
        (templates, warnings)
    }

    /// The same for a server: a text that cannot be expanded with the `values` in force is a mistake too.
    pub fn parse(path: &str, file: &[u8], values: &Values<'_>) -> (Templates, Vec<String>) {
        let (mut templates, mut warnings) = Templates::read(path, file);
        let mut defaults = Templates::built_in();
        for (template, default) in templates.each_mut().into_iter().zip(defaults.each_mut()) {
            if let Err(problem) = template.expand(values) {
                warnings.push(format!(
                    "{path}: {problem} in {} template -- ignoring this template",
                    template.class
                ));
                *template = default.clone();
            }
        }
        (templates, warnings)
    }

    /// As a template file has them: what `postconf -t` prints.
    pub fn dump(&self) -> Vec<u8> {
        let each = self.each().map(Template::dump);
        each.join(&b"\n\n"[..])
    }

    /// The texts with all names replaced, as `postconf -b` prints them, and what there is to warn of. The error is fatal.
    pub fn dump_expanded(&self, values: &Values<'_>) -> Result<(Vec<u8>, Vec<String>), String> {
        let (mut texts, mut warnings) = (Vec::new(), Vec::new());
        for template in self.each() {
            let (lines, said) = template.expand(values).map_err(|problem| template.fatal(&problem))?;
            warnings.extend(said);
            let head = format!("expanded_{}_text = <<EOF\n", template.class);
            texts.push([head.as_bytes(), &lines.join(&b'\n'), b"\nEOF"].concat());
        }
        Ok((texts.join(&b"\n\n"[..]), warnings))
    }

    fn each(&self) -> [&Template; 4] {
        [&self.failure, &self.delay, &self.success, &self.verify]
    }

    fn each_mut(&mut self) -> [&mut Template; 4] {
        [&mut self.failure, &mut self.delay, &mut self.success, &mut self.verify]
    }
}

const CLASSES: [&str; 4] = ["failure", "delay", "success", "verify"];

/// Why a template is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    EmptyHeader(String),
    NonAsciiHeader(String),
    UnknownHeader(String),
    InapplicableHeader(String),
    NoText,
    EightBitText,
    /// The line.
    BadSyntax(String),
    /// The name, and the line.
    Undefined(String, String),
}

impl Problem {
    fn warnings(&self, path: &str, class: &str) -> Vec<String> {
        match self {
            Problem::EightBitText => vec![
                format!("{path}: {self} in {class} template"),
                "please specify a charset value other than us-ascii".into(),
                "-- ignoring this template for now".into(),
            ],
            _ => vec![format!("{path}: {self} in {class} template -- ignoring this template")],
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::EmptyHeader(name) => write!(f, "empty \"{name}\" header value"),
            Problem::NonAsciiHeader(name) => write!(f, "non-ASCII \"{name}\" header value"),
            Problem::UnknownHeader(name) => write!(f, "unknown \"{name}\" header label"),
            Problem::InapplicableHeader(name) => write!(f, "inapplicable \"{name}\" header label"),
            Problem::NoText => f.write_str("missing message text"),
            Problem::EightBitText => f.write_str("8-bit message text"),
            Problem::BadSyntax(line) => write!(f, "bad $name syntax: {line}:"),
            Problem::Undefined(name, _) => write!(f, "undefined name ${name}"),
        }
    }
}

/// A template of a file.
struct Section {
    name: String,
    text: Vec<u8>,
    /// The line behind it.
    line: usize,
}

/// `name = value` and `name = <<END … END`.
fn sections(path: &str, file: &[u8], warnings: &mut Vec<String>) -> Vec<Section> {
    let mut found = Vec::new();
    let lines = file.strip_suffix(b"\n").unwrap_or(file).split(|b| *b == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let Some(equals) = line.iter().position(|b| *b == b'=') else {
            warnings
                .push(format!("{path}: missing '=' after attribute name: {}", String::from_utf8_lossy(line)));
            continue;
        };
        let name = String::from_utf8_lossy(line[..equals].trim_ascii()).into_owned();
        let value = line[equals + 1..].trim_ascii();
        let Some(end) = value.strip_prefix(b"<<").map(<[u8]>::trim_ascii) else {
            found.push(Section { name, text: value.to_vec(), line: number });
            continue;
        };
        let (mut text, mut last, mut has_end) = (Vec::new(), number, false);
        for (line, number) in lines.by_ref() {
            last = number;
            has_end = line == end;
            if has_end {
                break;
            }
            text.push(line);
        }
        if !has_end {
            let end = String::from_utf8_lossy(end);
            warnings.push(format!("{path}, line {}: missing \"{end}\" end marker", last + 1));
        }
        found.push(Section { name, text: text.join(&b'\n'), line: last + 1 });
    }
    found
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

    /// This template with what the file's says in place of it.
    fn replaced(&self, path: &str, text: &[u8]) -> Result<Template, Problem> {
        let mut template = Template { origin: path.into(), ..self.clone() };
        let mut lines = text.split(|b| *b == b'\n').peekable();
        while let Some((name, value)) = lines.peek().and_then(|line| split_header(line)) {
            template.set_header(name, value)?;
            lines.next();
        }
        let text: Vec<Vec<u8>> =
            lines.skip_while(|line| line.trim_ascii().is_empty()).map(<[u8]>::to_vec).collect();
        if text.is_empty() {
            return Err(Problem::NoText);
        }
        template.is_8bit = !text.iter().all(|line| line.is_ascii());
        if template.is_8bit && template.charset.eq_ignore_ascii_case("us-ascii") {
            return Err(Problem::EightBitText);
        }
        Ok(Template { text, ..template })
    }

    fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), Problem> {
        let label = || String::from_utf8_lossy(name).into_owned();
        if value.is_empty() {
            return Err(Problem::EmptyHeader(label()));
        }
        let value = std::str::from_utf8(value).ok().filter(|v| v.is_ascii());
        let value = value.ok_or_else(|| Problem::NonAsciiHeader(label()))?.to_owned();
        match label().to_ascii_lowercase().as_str() {
            "charset" => self.charset = value,
            "from" => self.from = Some(value),
            "subject" => self.subject = value,
            "postmaster-subject" if self.postmaster_subject.is_none() => {
                return Err(Problem::InapplicableHeader(label()));
            }
            "postmaster-subject" => self.postmaster_subject = Some(value),
            _ => return Err(Problem::UnknownHeader(label())),
        }
        Ok(())
    }

    fn dump(&self) -> Vec<u8> {
        let Template { class, charset, subject, .. } = self;
        let from = self.from.as_deref().unwrap_or("Mail Delivery System <MAILER-DAEMON>");
        let mut head =
            format!("{class}_template = <<EOF\nCharset: {charset}\nFrom: {from}\nSubject: {subject}\n");
        if let Some(subject) = &self.postmaster_subject {
            head += &format!("Postmaster-Subject: {subject}\n");
        }
        [head.as_bytes(), b"\n", &self.text.join(&b'\n'), b"\nEOF"].concat()
    }

    fn fatal(&self, problem: &Problem) -> String {
        let Template { origin, class, .. } = self;
        match problem {
            Problem::BadSyntax(line) => format!("{origin}: bad $name syntax in {class} template: {line}"),
            Problem::Undefined(_, line) => format!("{origin}: undefined $name in {class} template: {line}"),
            other => format!("{origin}: {other} in {class} template"),
        }
    }

    /// The text's lines with `$name` replaced, and what to warn about.
    pub fn expand(&self, values: &Values<'_>) -> Result<(Vec<Vec<u8>>, Vec<String>), Problem> {
        let mut warnings = Vec::new();
        let lines = self
            .text
            .iter()
            .map(|line| self.expand_line(line, values, &mut warnings))
            .collect::<Result<_, _>>()?;
        Ok((lines, warnings))
    }

    fn expand_line(
        &self,
        line: &[u8],
        values: &Values<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some(dollar) = rest.iter().position(|b| *b == b'$') {
            out.extend_from_slice(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            if let Some(tail) = rest.strip_prefix(b"$") {
                out.push(b'$');
                rest = tail;
                continue;
            }
            let (name, tail) = take_name(rest)
                .ok_or_else(|| Problem::BadSyntax(String::from_utf8_lossy(line).into_owned()))?;
            let value = self.value_of(name, values, warnings);
            let undefined = || Problem::Undefined(name.into(), String::from_utf8_lossy(line).into_owned());
            out.extend_from_slice(value.ok_or_else(undefined)?.as_bytes());
            rest = tail;
        }
        out.extend_from_slice(rest);
        Ok(out)
    }

    fn value_of(&self, name: &str, values: &Values<'_>, warnings: &mut Vec<String>) -> Option<String> {
        for (parameter, time) in [
            ("delay_warning_time", values.delay_warning_time),
            ("maximal_queue_lifetime", values.maximal_queue_lifetime),
        ] {
            let unit = name.strip_prefix(parameter).and_then(|rest| rest.strip_prefix('_'));
            if let Some(unit) = unit {
                let (_, divisor) = UNITS.iter().find(|(u, _)| *u == unit)?;
                let number = time.as_secs() / divisor;
                self.doubt(number, time, *divisor, unit, name, warnings);
                return Some(number.to_string());
            }
        }
        (values.parameter)(name)
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
    is_label.then(|| (name, line[colon + 1..].trim_ascii()))
}

/// `name…`, `{name}…` or `(name)…`, after the dollar.
fn take_name(text: &[u8]) -> Option<(&str, &[u8])> {
    let (open, text) = match text.first()? {
        b'{' => (Some(b'}'), &text[1..]),
        b'(' => (Some(b')'), &text[1..]),
        _ => (None, text),
    };
    let len = text.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let (name, mut rest) = text.split_at(len);
    if let Some(close) = open {
        rest = rest.strip_prefix(&[close])?;
    }
    Some((std::str::from_utf8(name).ok().filter(|n| !n.is_empty())?, rest))
}

/// For the fuzz target: parses `data` as a template file. Every mistake is a warning; nothing panics.
pub fn fuzz_template(data: &[u8]) {
    let values = Values {
        delay_warning_time: Duration::from_secs(3600),
        maximal_queue_lifetime: Duration::from_secs(432_000),
        parameter: &|name| (name.len() < 12).then(|| name.to_uppercase()),
    };
    let (templates, _) = Templates::parse("fuzz", data, &values);
    for template in [&templates.failure, &templates.delay, &templates.success, &templates.verify] {
        template.expand(&values).expect("checked by parse");
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
        let (lines, _) = template.expand(&values()).expect("expands");
        String::from_utf8(lines.join(&b'\n')).expect("ASCII")
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
        assert_eq!(t.failure.expand(&values()).expect("expands").1, Vec::<String>::new());
    }

    #[test]
    fn strange_numbers_are_warned_about() {
        let short = Values { delay_warning_time: Duration::from_secs(4), ..values() };
        let (_, warnings) = Templates::built_in().delay.expand(&short).expect("expands");
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
        let file = b"# comment\n\nfailure_template = <<EOF\nCharset: utf-8\nFrom: Postman <postman>\nSubject: Sorry\n\n\nCost: $$5, ${myhostname}\n$delay_warning_time_minutes m, t\xc3\xa4t\nEOF\nsuccess_template = <<X\nSubject: Good\n\nfine\nX\n";
        let (t, warnings) = Templates::parse("/etc/postfix/bounce.cf", file, &values());
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(text(&t.failure), "Cost: $5, mail.example.com\n240 m, t\u{e4}t");
        assert_eq!(
            (t.failure.subject.as_str(), t.failure.from.as_deref()),
            ("Sorry", Some("Postman <postman>"))
        );
        assert_eq!(t.failure.postmaster_subject.as_deref(), Some("Postmaster Copy: Undelivered Mail"));
        assert!(t.failure.is_8bit && t.failure.charset == "utf-8");
        assert_eq!((text(&t.success).as_str(), t.success.subject.as_str()), ("fine", "Good"));
        assert_eq!(t.delay, Templates::built_in().delay);
    }

    #[test]
    fn a_mistake_leaves_the_built_in_one() {
        for (file, warning) in [
            (&b"failure_template = <<E\nSubject:\n\nx\nE\n"[..], "empty \"Subject\" header value in failure"),
            (
                b"failure_template = <<E\nSubject: \xc3\xa4\n\nx\nE\n",
                "non-ASCII \"Subject\" header value in failure",
            ),
            (
                b"success_template = <<E\nPostmaster-Subject: y\n\nx\nE\n",
                "inapplicable \"Postmaster-Subject\" header label",
            ),
            (b"delay_template = <<E\nX-Y: y\n\nx\nE\n", "unknown \"X-Y\" header label in delay"),
            (b"verify_template = <<E\nSubject: y\n\n\nE\n", "missing message text in verify"),
            (b"verify_template = <<E\n\xc3\xa4\nE\n", "8-bit message text"),
            (b"verify_template = <<E\nx $nosuch y\nE\n", "undefined name $nosuch"),
            (b"verify_template = <<E\nx ${a y\nE\n", "bad $name syntax"),
            (b"verify_template = <<E\n$maximal_queue_lifetime_years\nE\n", "undefined name"),
            (b"verify_template = <<E\nfine\n", "missing \"E\" end marker"),
            (b"other_template = <<E\nfine\nE\n", "unknown template name: other_template"),
            (b"nonsense\n", "missing '=' after attribute name: nonsense"),
        ] {
            let (t, warnings) = Templates::parse("f", file, &values());
            assert!(warnings.first().is_some_and(|first| first.contains(warning)), "{warnings:?}");
            assert!(warning.contains("end marker") || t == Templates::built_in());
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
