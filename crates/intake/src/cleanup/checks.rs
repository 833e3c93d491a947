//! header_checks, body_checks and what refuses malformed MIME: what a message's own text does to it.

use super::{Context, Facts, Incoming, Note, Received, Trouble};
use mail::header::Field;
use mail::mime::{Class, Event, Line, Mistake, Reader};
use mail::{Address, DsnStatus};
use route::checks::{Action, Checks, Spot, Verb};
use tables::Maps;

/// Octets of a header or line that the log shows; of one that is malformed fewer.
const SHOWN_LIMIT: usize = 200;
const MALFORMED_SHOWN_LIMIT: usize = 100;

/// What tables have decided on so far.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// REJECT, DISCARD, REDIRECT, PASS: the tables are not asked any more.
    is_settled: bool,
    pub(super) discard: bool,
    pub(super) hold: bool,
    pub(super) filter: Option<String>,
    pub(super) redirect: Option<Vec<u8>>,
    pub(super) bcc: Vec<Address>,
    /// The first mistake of each kind.
    mistakes: Vec<Mistake>,
}

/// Whether a message's headers or lines are looked at beyond its own header.
pub(super) fn looks_into_bodies(context: &Context, message: &Incoming) -> bool {
    let settings = &context.settings;
    message.options.checks && (!settings.checks.is_empty() || settings.strictness.is_any())
}

/// Looks for mistakes in what was just read.
pub(super) fn judge(
    context: &Context,
    message: &Incoming,
    facts: &mut Facts,
    reader: &mut Reader,
    event: &Event<'_>,
) {
    let settings = &context.settings;
    if !message.options.checks || settings.disable_mime_input_processing {
        return;
    }
    let mut strictness = settings.strictness;
    strictness.nesting = strictness.is_any() || settings.checks.has_header_checks();
    for (mistake, text) in strictness.find(reader, event) {
        if facts.verdicts.mistakes.contains(&mistake) {
            continue;
        }
        facts.verdicts.mistakes.push(mistake);
        let shown = lossy(&text[..text.len().min(MALFORMED_SHOWN_LIMIT)]);
        let to = facts.last_recipient.as_ref().map_or("unknown".into(), |to| lossy(&to.external()));
        let from = lossy(&message.envelope.sender.external());
        let (origin, why) = (origin(message), mistake.text());
        let text = format!("reject: mime-error {why}: {shown} from {origin}; from=<{from}> to=<{to}>");
        facts.notes.push(Note::Info(text));
    }
}

/// At the end: the worst mistake refuses the message, unless a table has refused it.
pub(super) fn conclude(facts: &mut Facts) {
    let Some(mistake) = facts.verdicts.mistakes.iter().min() else { return };
    let reason = format!("{} {}", Mistake::STATUS, mistake.text());
    if !matches!(facts.trouble, Some(Trouble::Rejected(_) | Trouble::Deferred(_))) {
        facts.fail(Trouble::Rejected(reason));
    }
}

/// Has the tables look at a header. None: it goes. `out` gets what goes before it.
pub(super) async fn check_header(
    context: &Context,
    message: &Incoming,
    facts: &mut Facts,
    class: Class,
    field: Field,
    out: &mut Vec<u8>,
) -> Option<Field> {
    let maps = context.settings.checks.for_header(class, &field);
    match check(message, facts, maps, Spot::Header, field.text()).await {
        Checked::Kept => Some(field),
        Checked::Dropped => None,
        Checked::Replaced(text) => Field::parse(&text),
        Checked::Preceded(text) => {
            let other = Field::parse(&text)?;
            other.write_to(out, context.settings.header_size_limit);
            Some(field)
        }
    }
}

/// Has the tables look at a line, and puts what becomes of it behind `out`.
pub(super) async fn check_line(
    context: &Context,
    message: &Incoming,
    facts: &mut Facts,
    line: &Line<'_>,
    out: &mut Vec<u8>,
) {
    let settings = &context.settings;
    let limit = settings.body_checks_size_limit;
    let mut put = |text: &[u8], is_ended: bool| {
        out.extend_from_slice(text);
        if is_ended {
            out.extend_from_slice(b"\r\n");
        }
    };
    if limit > 0 && line.offset >= limit {
        return put(&line.text, line.is_ended);
    }
    match check(message, facts, &settings.checks.body_checks, Spot::Body, &line.text).await {
        Checked::Kept => put(&line.text, line.is_ended),
        Checked::Dropped => {}
        Checked::Replaced(text) => put(&text, line.is_ended),
        Checked::Preceded(text) => {
            put(&text, true);
            put(&line.text, line.is_ended);
        }
    }
}

/// What becomes of a header or line.
enum Checked {
    Kept,
    Dropped,
    Replaced(Vec<u8>),
    Preceded(Vec<u8>),
}

async fn check(message: &Incoming, facts: &mut Facts, maps: &Maps, spot: Spot, text: &[u8]) -> Checked {
    if !message.options.checks || facts.verdicts.is_settled || maps.is_empty() {
        return Checked::Kept;
    }
    let answer = match Checks::ask(maps, text).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return Checked::Kept,
        Err(why) => {
            facts.notes.push(Note::Misconfigured(why.to_string()));
            let parameter = maps.parameter();
            facts.warn(format!("{parameter} map lookup problem -- message not accepted, try again later"));
            facts.fail(Trouble::Lookup);
            return Checked::Kept;
        }
    };
    match Action::parse(&answer, spot, maps.parameter()) {
        Ok(Action::Nothing) => Checked::Kept,
        Ok(Action::Drop) => Checked::Dropped,
        Ok(Action::Do(verb, argument)) => act(message, facts, verb, spot, text, argument),
        Err(mistake) => {
            facts.notes.push(Note::Misconfigured(mistake.to_string()));
            Checked::Kept
        }
    }
}

fn act(
    message: &Incoming,
    facts: &mut Facts,
    verb: Verb,
    spot: Spot,
    text: &[u8],
    argument: Vec<u8>,
) -> Checked {
    let argument = if verb == Verb::Reject { reject(facts, &argument) } else { argument };
    let verdicts = &mut facts.verdicts;
    if verb == Verb::Hold && verdicts.hold {
        return Checked::Kept;
    }
    let shown = argument.clone();
    let checked = match verb {
        Verb::Replace => Checked::Replaced(argument),
        Verb::Prepend => Checked::Preceded(argument),
        Verb::Strip => Checked::Dropped,
        _ => {
            verdicts.take(verb, argument);
            Checked::Kept
        }
    };
    let what = if spot == Spot::Header { "header" } else { "body" };
    facts.notes.push(Note::Info(describe(message, facts, verb, what, text, &shown)));
    checked
}

impl Verdicts {
    fn take(&mut self, verb: Verb, argument: Vec<u8>) {
        match verb {
            Verb::Bcc => self.bcc.push(Address::new(argument)),
            Verb::Discard => self.discard = true,
            Verb::Filter => self.filter = Some(lossy(&argument)),
            Verb::Hold => self.hold = true,
            Verb::Redirect => self.redirect = Some(argument),
            _ => {}
        }
        self.is_settled |= matches!(verb, Verb::Discard | Verb::Redirect | Verb::Pass | Verb::Reject);
    }
}

/// REJECT: with a status of class 4 the message may come again. Gives the reason with its status.
fn reject(facts: &mut Facts, text: &[u8]) -> Vec<u8> {
    let text = if text.is_empty() { "message content rejected".to_owned() } else { lossy(text) };
    let (status, rest) = DsnStatus::split_from(&text);
    let status = status.unwrap_or(DsnStatus::new(5, 7, 1));
    if !matches!(status.class(), 4 | 5) {
        let warning = format!("bad DSN action in {text} -- need 4.x.x or 5.x.x");
        facts.notes.push(Note::Misconfigured(warning));
    }
    let is_final = status.class() == 5;
    let status = status.with_class(if is_final { 5 } else { 4 });
    let reason = format!("{status} {rest}");
    facts.fail(match is_final {
        true => Trouble::Rejected(reason.clone()),
        false => Trouble::Deferred(reason.clone()),
    });
    reason.into_bytes()
}

fn describe(
    message: &Incoming,
    facts: &Facts,
    verb: Verb,
    what: &str,
    text: &[u8],
    argument: &[u8],
) -> String {
    let envelope = &message.envelope;
    let shown = lossy(&text[..text.len().min(SHOWN_LIMIT)]);
    let mut line = format!(
        "{}: {what} {shown} from {}; from=<{}>",
        verb.logged(),
        origin(message),
        lossy(&envelope.sender.external())
    );
    if let Some(to) = &facts.last_recipient {
        line.push_str(&format!(" to=<{}>", lossy(&to.external())));
    }
    if matches!(message.received, Received::Smtp(_)) {
        line.push_str(&format!(" proto={}", envelope.client.protocol));
        if !envelope.client.helo.is_empty() {
            line.push_str(&format!(" helo=<{}>", envelope.client.helo));
        }
    }
    if !argument.is_empty() {
        line.push_str(&format!(": {}", lossy(argument)));
    }
    line
}

/// Where the message came from, as the log has it.
fn origin(message: &Incoming) -> String {
    let client = &message.envelope.client;
    match message.received {
        Received::Smtp(_) => format!("{}[{}]", client.name, client.address),
        Received::Local { .. } => "local".to_owned(),
        Received::Internal | Received::Forwarded { .. } => "unknown".to_owned(),
    }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
