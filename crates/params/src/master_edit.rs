//! Edits of master.cf that leave comments, order and other entries as they are (`postconf -Me`, `-M#`, `-MX`, `-Fe`, `-Pe`, `-PX`).

use crate::diagnostic::Diagnostic;
use crate::line::{is_comment_or_blank, is_space};
use crate::master_cf::{BAD_COUNT, FIELDS, Service};
use crate::master_text::{FOLDED, entry_text};
use crate::octets;
use crate::word::{BLANKS, words};

/// One edit, for the entries whose name and type fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterEdit {
    pub pattern: ServicePattern,
    pub action: MasterAction,
    /// As it was typed, for messages.
    pub raw: String,
}

/// `name/type`, each of which may be `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePattern {
    pub name: String,
    pub kind: String,
}

/// What to do with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterAction {
    /// Put this entry in its place, or add it.
    Replace(String),
    CommentOut,
    Remove,
    /// Give a field, by its index, a value; `command` takes the arguments along.
    SetField(usize, String),
    SetParameter(String, String),
    RemoveParameter(String),
}

impl ServicePattern {
    /// Cuts `name/type/rest` into at least `min` and at most `max` parts; missing ones are `*`. None if it has another form.
    pub fn split(text: &str, min: usize, max: usize) -> Option<Vec<String>> {
        let mut parts: Vec<String> = text.split('/').filter(|p| !p.is_empty()).map(str::to_string).collect();
        let is_good = !text.starts_with('/')
            && (min..=max).contains(&parts.len())
            && parts.iter().all(|p| p == "*" || !p.contains('*'));
        parts.resize(max.max(parts.len()), "*".to_string());
        is_good.then_some(parts)
    }

    pub fn matches(&self, name: &str, kind: &str) -> bool {
        (self.name == "*" || self.name == name) && (self.kind == "*" || self.kind == kind)
    }
}

/// Gives master.cf's new content and warnings. The error is what stands behind `fatal: `.
pub fn edit_master(
    path: &str,
    bytes: &[u8],
    edits: &[MasterEdit],
) -> Result<(Vec<u8>, Vec<Diagnostic>), String> {
    let mut editor = Editor::new(path, bytes, edits);
    editor.run()?;
    let warnings = editor.finish()?;
    Ok((editor.out, warnings))
}

struct Editor<'a> {
    path: &'a str,
    lines: Vec<&'a [u8]>,
    /// The next line to read.
    next: usize,
    edits: &'a [MasterEdit],
    /// How many entries each edit fitted.
    counts: Vec<usize>,
    out: Vec<u8>,
}

impl<'a> Editor<'a> {
    fn new(path: &'a str, bytes: &'a [u8], edits: &'a [MasterEdit]) -> Editor<'a> {
        let lines = bytes.split_inclusive(|&b| b == b'\n').collect();
        Editor {
            path,
            lines,
            next: 0,
            edits,
            counts: vec![0; edits.len()],
            out: Vec::with_capacity(bytes.len() + 80),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let mut matched = false;
        while let Some(raw) = self.lines.get(self.next).copied() {
            self.next += 1;
            let line = octets::to_text(raw);
            if is_comment_or_blank(&line) {
                self.out.extend_from_slice(raw);
            } else if line.starts_with(is_space) {
                self.continuation(raw, matched);
            } else {
                matched = self.entry(raw, &line)?;
            }
        }
        Ok(())
    }

    fn continuation(&mut self, raw: &[u8], matched: bool) {
        if !matched {
            self.out.extend_from_slice(raw);
        } else if self.comments_out() {
            self.out.push(b'#');
            self.out.extend_from_slice(raw);
        }
    }

    /// The first line of an entry. Gives whether an edit fits it.
    fn entry(&mut self, raw: &[u8], line: &str) -> Result<bool, String> {
        let (name, kind) = self.name_and_kind(line)?;
        let edits = self.edits;
        let fitting: Vec<usize> = (0..edits.len()).filter(|&i| edits[i].fits(&name, &kind)).collect();
        let mut words: Option<Vec<String>> = None;
        for &index in &fitting {
            self.counts[index] += 1;
            match &edits[index].action {
                MasterAction::Replace(entry) if self.counts[index] == 1 => {
                    words = Some(parse_new(entry, &edits[index].raw)?);
                }
                MasterAction::Replace(_) | MasterAction::CommentOut | MasterAction::Remove => {}
                action => {
                    let old = match words.take() {
                        Some(words) => words,
                        None => self.whole_entry(raw)?,
                    };
                    words = Some(changed(old, action)?);
                }
            }
        }
        match words {
            Some(words) => self.write_entry(&words),
            None if fitting.is_empty() => self.out.extend_from_slice(raw),
            None => self.continuation(raw, true),
        }
        Ok(!fitting.is_empty())
    }

    fn name_and_kind(&self, line: &str) -> Result<(String, String), String> {
        let at = format!("file {}: line {}:", self.path, self.next);
        let options = "-Me, -Fe, -Pe, -X, or -#";
        let mut fields = line.split(|c| BLANKS.contains(c)).filter(|w| !w.is_empty());
        let (Some(name), Some(kind)) = (fields.next(), fields.next()) else {
            return Err(format!("{at} specify service name and type on the same line"));
        };
        if name.contains('=') {
            return Err(format!("{at} service name syntax \"{name}\" is unsupported with {options}"));
        }
        if kind.contains(['=', '/']) {
            return Err(format!("{at} service type syntax \"{kind}\" is unsupported with {options}"));
        }
        Ok((name.to_string(), kind.to_string()))
    }

    /// The words of an entry and the lines that continue it; comments among them go out before it.
    fn whole_entry(&mut self, first: &[u8]) -> Result<Vec<String>, String> {
        let mut text = octets::to_text(first).into_owned();
        while let Some(raw) = self.lines.get(self.next).copied() {
            let line = octets::to_text(raw);
            if !line.starts_with(|c| is_space(c) || c == '#') {
                break;
            }
            self.next += 1;
            if is_comment_or_blank(&line) {
                self.out.extend_from_slice(raw);
            } else {
                text.push_str(&line);
            }
        }
        parse(&text).map_err(|why| {
            if why == BAD_COUNT { format!("file {}: line {}: {why}", self.path, self.next) } else { why }
        })
    }

    fn finish(&mut self) -> Result<Vec<Diagnostic>, String> {
        let mut warnings = Vec::new();
        let edits = self.edits;
        for (edit, _) in edits.iter().zip(self.counts.clone()).filter(|(_, count)| *count == 0) {
            match &edit.action {
                MasterAction::Replace(entry) => {
                    let words = parse_new(entry, &edit.raw)?;
                    self.write_entry(&words);
                }
                MasterAction::CommentOut | MasterAction::Remove => {}
                _ => warnings
                    .push(Diagnostic::warning(format!("unmatched service_name/type: \"{}\"", edit.raw))),
            }
        }
        Ok(warnings)
    }

    fn write_entry(&mut self, words: &[String]) {
        if self.out.last().is_some_and(|&b| b != b'\n') {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(&octets::to_octets(&entry_text(words, FOLDED)));
        self.out.push(b'\n');
    }

    fn comments_out(&self) -> bool {
        self.edits.iter().any(|e| e.action == MasterAction::CommentOut)
    }
}

impl MasterEdit {
    /// An entry is replaced by one of its own name and type, too.
    fn fits(&self, name: &str, kind: &str) -> bool {
        let is_same = |entry: &str| {
            let mut fields = words(entry, BLANKS).map(|(_, word)| word);
            fields.next() == Some(name) && fields.next() == Some(kind)
        };
        self.pattern.matches(name, kind)
            || matches!(&self.action, MasterAction::Replace(entry) if is_same(entry))
    }
}

/// As `parse`, for an entry from the command line.
fn parse_new(entry: &str, raw: &str) -> Result<Vec<String>, String> {
    parse(entry).map_err(|why| if why == BAD_COUNT { format!("{why}: \"{raw}\"") } else { why })
}

/// The words of an entry whose fields are good. The error is Postfix's text.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let (service, mistakes) = Service::parse(text, 0);
    let said = mistakes.iter().find_map(|kind| kind.postconf_text(text));
    match (service, said) {
        (_, Some(why)) => Err(why),
        (Some(service), None) => Ok(service.words),
        (None, None) => Ok(words(text, BLANKS).map(|(_, word)| word.to_string()).collect()),
    }
}

fn changed(words: Vec<String>, action: &MasterAction) -> Result<Vec<String>, String> {
    match action {
        MasterAction::SetField(field, value) => with_field(words, *field, value),
        MasterAction::SetParameter(name, value) => Ok(with_parameter(words, name, Some(value))),
        MasterAction::RemoveParameter(name) => Ok(with_parameter(words, name, None)),
        MasterAction::Replace(_) | MasterAction::CommentOut | MasterAction::Remove => Ok(words),
    }
}

fn with_field(mut old: Vec<String>, field: usize, value: &str) -> Result<Vec<String>, String> {
    if field < FIELDS - 1 {
        old[field] = value.to_string();
        let text = old.iter().take(FIELDS).cloned().collect::<Vec<_>>().join(" ");
        let (_, mistakes) = Service::parse(&text, 0);
        let said = mistakes.iter().find_map(|kind| kind.postconf_text(value));
        return said.map_or(Ok(old), Err);
    }
    let text = format!("{} {value}", old[..field].join(" "));
    parse(&text)
}

/// `-o name=value` with another value, or gone; at the end of the options if it is new.
fn with_parameter(old: Vec<String>, name: &str, value: Option<&String>) -> Vec<String> {
    let setting = value.map(|value| format!("{name}={value}"));
    let (fields, rest) = old.split_at(FIELDS);
    let mut out = fields.to_vec();
    let mut rest = rest.iter().peekable();
    let mut found = false;
    while let Some(word) = rest.next_if(|w| w.starts_with('-') && *w != "--") {
        let argument = if word == "-o" { rest.next() } else { None };
        let is_it = argument.is_some_and(|a| a.split_once('=').is_some_and(|(n, _)| n == name));
        if is_it {
            found = true;
            out.extend(setting.iter().flat_map(|s| ["-o".to_string(), s.clone()]));
        } else {
            out.push(word.clone());
            out.extend(argument.cloned());
        }
    }
    if !found {
        out.extend(setting.into_iter().flat_map(|s| ["-o".to_string(), s]));
    }
    out.extend(rest.cloned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# top\nsmtp inet n - n - - smtpd\n#  -o a=b\nrelay unix - - n - - smtp\n   -o c=d\n# in\n   -o e=f\nsmtp unix - - n - - smtp\n";
    const RELAY: &str = "relay unix - - n - - smtp\n   -o c=d\n# in\n   -o e=f\n";

    fn check(pattern: (&str, &str), action: MasterAction) -> Result<(String, Vec<String>), String> {
        let pattern = ServicePattern { name: pattern.0.into(), kind: pattern.1.into() };
        let edit = MasterEdit { pattern, action, raw: "raw".into() };
        let (bytes, warnings) = edit_master("m", FILE.as_bytes(), &[edit])?;
        Ok((String::from_utf8(bytes).unwrap(), warnings.iter().map(|w| w.to_string()).collect()))
    }

    #[test]
    fn edits() {
        use MasterAction::*;
        for (pattern, action, expect) in [
            (("relay", "unix"), Remove, FILE.replace(RELAY, "# in\n")),
            (
                ("relay", "unix"),
                CommentOut,
                FILE.replace(RELAY, "#relay unix - - n - - smtp\n#   -o c=d\n# in\n#   -o e=f\n"),
            ),
            (
                ("relay", "*"),
                SetField(4, "y".into()),
                FILE.replace(
                    RELAY,
                    "# in\nrelay      unix  -       -       y       -       -       smtp\n    -o c=d\n    -o e=f\n",
                ),
            ),
            (
                ("relay", "unix"),
                SetField(7, "lmtp -v".into()),
                FILE.replace(RELAY, "# in\nrelay      unix  -       -       n       -       -       lmtp -v\n"),
            ),
            (
                ("relay", "unix"),
                SetParameter("c".into(), "g".into()),
                FILE.replace(
                    RELAY,
                    "# in\nrelay      unix  -       -       n       -       -       smtp\n    -o c=g\n    -o e=f\n",
                ),
            ),
            (
                ("relay", "unix"),
                RemoveParameter("c".into()),
                FILE.replace(
                    RELAY,
                    "# in\nrelay      unix  -       -       n       -       -       smtp\n    -o e=f\n",
                ),
            ),
            (
                ("relay", "unix"),
                SetParameter("n".into(), "1".into()),
                FILE.replace(
                    RELAY,
                    "# in\nrelay      unix  -       -       n       -       -       smtp\n    -o c=d\n    -o e=f\n    -o n=1\n",
                ),
            ),
            (
                ("new", "unix"),
                Replace("new unix - - n - - smtp".into()),
                format!("{FILE}new        unix  -       -       n       -       -       smtp\n"),
            ),
            (
                ("smtp", "inet"),
                Replace("25 inet n - n - - smtpd".into()),
                FILE.replace("smtp inet n - n - - smtpd\n", "25         inet  n       -       n       -       -       smtpd\n"),
            ),
        ] {
            assert_eq!(check(pattern, action.clone()), Ok((expect, vec![])), "{action:?}");
        }
    }

    #[test]
    fn mistakes() {
        use MasterAction::*;
        for (action, expect) in [
            (SetField(4, "x".into()), "invalid chroot field \"x\" in \"x\""),
            (Replace("a b".into()), "bad field count: \"raw\""),
            (
                Replace("a tcp - - n - - smtp".into()),
                "invalid type field \"tcp\" in \"a tcp - - n - - smtp\"",
            ),
        ] {
            let said = check(("relay", "unix"), action);
            assert!(said.as_ref().is_err_and(|e| e.starts_with(expect)), "{said:?}");
        }
        let said = check(("none", "unix"), SetField(4, "y".into())).unwrap();
        assert_eq!(
            said,
            (FILE.to_string(), vec!["warning: unmatched service_name/type: \"raw\"".to_string()])
        );
    }

    #[test]
    fn patterns() {
        let split = |text| ServicePattern::split(text, 1, 3).map(|p| p.join(" "));
        assert_eq!(split("smtp"), Some("smtp * *".into()));
        assert_eq!(split("smtp/inet/command"), Some("smtp inet command".into()));
        assert_eq!(split("*/unix"), Some("* unix *".into()));
        for bad in ["", "/smtp", "a/b/c/d", "s*/unix"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
