//! Hands a message to postdrop, which alone may write to the maildrop.

use super::options::{Options, Trace};
use super::recipients::{HeaderRecipients, HeaderTooLong, of_argument, of_list};
use super::text::{LineEndings, Rules, Text};
use super::user;
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::sibling;
use mail::{Address, Recipient, xtext};
use maillog::printable;
use params::p;
use spool::maildrop::{RECEIPT_LIMIT, Receipt, Submission, Writer};
use std::fmt::Display;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

/// Octets of header that `-t` holds in memory where `message_size_limit` sets no limit.
const HEADER_SECTION_LIMIT: u64 = 64 << 20;

/// Takes a message from standard input and queues it.
pub(super) fn submit(program: &Program, instance: &Instance, options: &Options) -> Run {
    let settings = Settings::read(program, instance)?;
    let sender = sender(program, options)?;
    let origin = Origin { uid: user::uid(), sender: printable(sender.as_bytes()).into_owned() };
    if options.verp_delims.is_some() && sender.is_null() {
        return Err(origin.fatal("-V option requires non-null sender address"));
    }
    let mut recipients: Vec<Address> = options.recipients.iter().flat_map(|word| of_argument(word)).collect();
    let mut message: Box<dyn BufRead> = if options.trace == Some(Trace::Verify) {
        Box::new(Cursor::new(probe(&sender, &options.recipients)))
    } else {
        Box::new(io::stdin().lock())
    };
    let rules = Rules { dot_ends: options.dot_ends, ..settings.rules };
    let mut text = Text::new(&mut message, rules);
    let mut head = Vec::new();
    if options.takes_header_recipients {
        let found = read_header(&mut text, &mut head, &settings).map_err(|why| origin.fatal(why))?;
        recipients.extend(found);
    }
    if recipients.is_empty() {
        // Whoever writes to us shall not see a broken pipe.
        text.drain().map_err(|e| origin.unreadable(&e))?;
        return Err(origin.fatal(if options.takes_header_recipients {
            "No recipient addresses found in message header"
        } else {
            "Recipient addresses must be specified on the command line or via the -t option"
        }));
    }
    let postdrop = Postdrop::start(instance, &settings).map_err(|why| origin.fatal(why))?;
    let submission = submission(options, sender, recipients);
    let receipt = postdrop.feed(&origin, &submission, &head, &mut text)?;
    match receipt {
        Some(Receipt::Queued(_)) if options.trace.is_some() => {
            // The mail is on its way, whoever reads this.
            let _ =
                writeln!(io::stdout(), "Mail Delivery Status Report will be mailed to <{}>.", origin.sender);
            Ok(0)
        }
        Some(Receipt::Queued(_)) => Ok(0),
        Some(Receipt::Refused(why)) => {
            program.warning("mail_stream_cleanup: close error");
            Err(origin.fatal(why))
        }
        None | Some(Receipt::Begun(_)) => Err(origin.fatal("queue file write error")),
    }
}

/// What of the configuration a submission depends on.
struct Settings {
    rules: Rules,
    header_size_limit: usize,
    message_size_limit: u64,
    postdrop: PathBuf,
}

impl Settings {
    fn read(program: &Program, instance: &Instance) -> Result<Settings, Fatal> {
        let mut mistakes = Vec::new();
        let view = &instance.view;
        let line_endings = view.get(p::sendmail_fix_line_endings, &mut mistakes);
        let line_length_limit = view.get(p::line_length_limit, &mut mistakes);
        let header_size_limit = view.get(p::header_size_limit, &mut mistakes);
        let message_size_limit = view.get(p::message_size_limit, &mut mistakes);
        instance.say(program, &mistakes)?;
        let invalid = || Fatal::new(format!("invalid sendmail_fix_line_endings value: {line_endings}"));
        Ok(Settings {
            rules: Rules {
                line_endings: LineEndings::parse(&line_endings).ok_or_else(invalid)?,
                dot_ends: true,
                line_length_limit: line_length_limit as usize,
            },
            header_size_limit: header_size_limit as usize,
            message_size_limit: message_size_limit as u64,
            postdrop: sibling::path(instance, "postdrop"),
        })
    }
}

/// Who submits, for messages.
struct Origin {
    uid: u32,
    sender: String,
}

impl Origin {
    fn fatal(&self, why: impl Display) -> Fatal {
        Fatal::new(format!("{}({}): {why}", self.sender, self.uid))
    }

    fn unreadable(&self, error: &io::Error) -> Fatal {
        self.fatal(format_args!("error reading input: {}", reason(error)))
    }

    fn unwritable(&self, error: &io::Error) -> Fatal {
        self.fatal(format_args!("error writing queue file: {}", reason(error)))
    }
}

/// The sender that `-f` names, or the user who runs this.
fn sender(program: &Program, options: &Options) -> Result<Address, Fatal> {
    let Some(given) = &options.sender else {
        let nobody = || Fatal::new(format!("no login name found for user ID {}", user::uid()));
        return user::login_name().map(|name| Address::from(name.as_str())).ok_or_else(nobody);
    };
    let addresses = of_list(given);
    if addresses.len() > 1 {
        program.warning(&format!("-f option specified malformed sender: {}", printable(given)));
    }
    Ok(addresses.into_iter().next().unwrap_or_default())
}

fn submission(options: &Options, sender: Address, recipients: Vec<Address>) -> Submission {
    let recipient = |address| Recipient { address, notify: options.notify, ..Recipient::default() };
    let mut extra = Vec::new();
    let mut add = |name: &str, value: &[u8]| extra.push((name.to_owned(), value.to_vec().into()));
    if options.is_from_gateway {
        add("rewrite_context", b"remote");
    }
    match options.trace {
        // Postfix's numbers for these in its attribute trace_flags.
        Some(Trace::Verify) => add("trace_flags", b"512"),
        Some(Trace::Record) => add("trace_flags", b"1024"),
        None => {}
    }
    if let Some(delims) = &options.verp_delims {
        add("verp_delims", delims);
    }
    Submission {
        sender: Some(sender),
        recipients: recipients.into_iter().map(recipient).collect(),
        full_name: options.full_name.clone().or_else(user::full_name).map(Into::into),
        encoding: options.encoding,
        ret: options.ret,
        envid: options.envid.as_ref().map(|id| xtext::encode(id).into()),
        extra,
        requeued: None,
    }
}

/// The message that `-bv` sends where there is none.
fn probe(sender: &Address, recipients: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    if !sender.is_null() {
        text.extend([b"From: ", sender.as_bytes(), b"\n"].concat());
    }
    text.extend(b"Subject: probe\nTo:");
    for (index, recipient) in recipients.iter().enumerate() {
        let end: &[u8] = if index + 1 < recipients.len() { b",\n" } else { b"\n" };
        text.extend([b"\t", &recipient[..], end].concat());
    }
    text
}

/// Reads the header into `head` and gives the recipients that it names.
fn read_header<R: BufRead>(
    text: &mut Text<R>,
    head: &mut Vec<u8>,
    settings: &Settings,
) -> Result<Vec<Address>, String> {
    let too_long = |_: HeaderTooLong| {
        "unable to extract recipients: message header length exceeds safety limit".to_owned()
    };
    let limit =
        if settings.message_size_limit > 0 { settings.message_size_limit } else { HEADER_SECTION_LIMIT };
    let mut header = HeaderRecipients::new(settings.header_size_limit);
    loop {
        let unreadable = |e| format!("error reading input: {}", reason(&e));
        let Some(piece) = text.next_piece().map_err(unreadable)? else { break };
        head.extend_from_slice(piece);
        if head.len() as u64 > limit {
            return Err("message file too big".to_owned());
        }
        if header.read(piece).map_err(too_long)? {
            break;
        }
    }
    header.finish().map_err(too_long)
}

/// A running postdrop. Dropped before the message's end, it takes nothing.
struct Postdrop {
    child: Child,
    output: ChildStdout,
}

impl Postdrop {
    fn start(instance: &Instance, settings: &Settings) -> Result<Postdrop, String> {
        let path = &settings.postdrop;
        let mut command = sibling::command(instance, path);
        let started = command.arg("-r").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            started.map_err(|e| format!("unable to execute {} -r: {}", path.display(), reason(&e)))?;
        let output = child.stdout.take().expect("it was asked for");
        Ok(Postdrop { child, output })
    }

    /// Writes the message and waits for what becomes of it.
    fn feed<R: BufRead>(
        mut self,
        origin: &Origin,
        submission: &Submission,
        head: &[u8],
        text: &mut Text<R>,
    ) -> Result<Option<Receipt>, Fatal> {
        let stdin = self.child.stdin.take().expect("it was asked for");
        let mut writer = Writer::new(stdin, submission).map_err(|e| origin.unwritable(&e))?;
        writer.write_all(head).map_err(|e| origin.unwritable(&e))?;
        while let Some(piece) = text.next_piece().map_err(|e| origin.unreadable(&e))? {
            writer.write_all(piece).map_err(|e| origin.unwritable(&e))?;
        }
        let stdin = writer.finish().map_err(|e| origin.unwritable(&e))?;
        drop(stdin);
        let mut lines = String::new();
        // What is no text is no receipt.
        let read = (&mut self.output).take(RECEIPT_LIMIT).read_to_string(&mut lines);
        // Its status says no more than the receipt.
        let _ = self.child.wait();
        Ok(read.ok().and_then(|_| lines.split_inclusive('\n').last().and_then(Receipt::parse)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes() {
        let names = [b"alice".to_vec(), b"bob".to_vec()];
        let text = probe(&Address::from("root"), &names);
        assert_eq!(text, b"From: root\nSubject: probe\nTo:\talice,\n\tbob\n");
        assert_eq!(probe(&Address::null(), &names[..1]), b"Subject: probe\nTo:\talice\n");
    }
}
