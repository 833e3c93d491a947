//! What the worker and a delivery process say to each other over their stream socket.
//!
//! A request is a frame (length, then fields), then the content's octets; a reply is a frame. One at a time; the process
//! speaks first.

use super::forward::ForwardFile;
use crate::command::Note;
use crate::copy::Prelude;
use crate::failure::Failure;
use mail::{Address, Client, DsnStatus, Time};
use sys::fields::{BadMessage, Reader, Writer};

/// Octets of a frame, at most: a list that an alias includes is the longest there is.
pub(super) const FRAME_LIMIT: usize = 64 << 20;

/// Octets of the length that stands before a frame.
pub(super) const LENGTH_SIZE: usize = 4;

/// What the worker asks for. Content follows where there is a prelude.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To append a message to the user's mailbox.
    Mailbox { prelude: Prelude },
    /// To append it to a file that an alias or `.forward` names; to a Maildir if the name ends in `/`.
    File { path: Vec<u8>, prelude: Prelude },
    /// To run a command that an alias or `.forward` names.
    Command { command: Vec<u8>, prelude: Prelude, facts: Facts },
    /// To run `mailbox_command`, which the worker takes to be this.
    MailboxCommand { command: Vec<u8>, prelude: Prelude, facts: Facts },
    /// For the user's `.forward`. `is_first`: a delivery begins, and what files named before is over.
    Forward { facts: Facts, is_first: bool },
    /// For a list that the `.forward`, or another list, names.
    Include { path: Vec<u8> },
    /// Whether the user's home is there (`require_home_directory`).
    Home,
    /// To append a message to the virtual mailbox of this recipient.
    Virtual { recipient: Address, prelude: Prelude },
    /// To run pipe(8)'s command.
    Pipe { prelude: Prelude, facts: PipeFacts },
}

/// What commands and the names of `.forward` files may hold of a delivery. It came from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub sender: Address,
    pub recipient: Address,
    pub original_recipient: Option<Address>,
    /// The local part, in lower case, as far as it is valid.
    pub local: Vec<u8>,
    /// The local part without its extension.
    pub user: Vec<u8>,
    pub domain: Option<Vec<u8>>,
    pub extension: Option<Vec<u8>>,
    /// What stands before the extension, or would.
    pub recipient_delimiter: Option<u8>,
    pub client: Client,
}

/// What pipe(8)'s arguments may hold of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipeFacts {
    pub sender: Address,
    pub nexthop: String,
    pub size: u64,
    pub queue_id: String,
    pub client: Client,
    pub recipients: Vec<PipeRecipient>,
}

/// One of the recipients of a delivery to pipe(8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipeRecipient {
    pub address: Address,
    pub original: Address,
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It listens. With these rights; 0 while no owner is settled (files of root's aliases). And the list that its task leads to.
    Ready {
        uid: u32,
        gid: u32,
        list: Option<Vec<u8>>,
        notes: Vec<Note>,
    },
    /// In the log's words.
    Delivered {
        said: String,
        notes: Vec<Note>,
    },
    Failed {
        failure: Failure,
        notes: Vec<Note>,
    },
    /// None: there is none.
    Forward {
        file: Option<ForwardFile>,
        notes: Vec<Note>,
    },
    List {
        text: Vec<u8>,
        notes: Vec<Note>,
    },
    /// The process has read of no such thing. It ends.
    Refused {
        why: String,
    },
    /// What the process has read, or has been given, may no longer be so: a new one knows better. It ends.
    Outdated,
}

/// Why no reply came: the connection, or the process, is of no further use.
#[derive(Debug)]
pub(super) enum FrameError {
    Io(std::io::Error),
    Bad(BadMessage),
}

impl From<BadMessage> for FrameError {
    fn from(bad: BadMessage) -> FrameError {
        FrameError::Bad(bad)
    }
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FrameError::Io(e) => f.write_str(&crate::failure::strerror(e)),
            FrameError::Bad(bad) => write!(f, "{bad}"),
        }
    }
}

const MAILBOX: u8 = 1;
const FILE: u8 = 2;
const COMMAND: u8 = 3;
const MAILBOX_COMMAND: u8 = 4;
const FORWARD: u8 = 5;
const INCLUDE: u8 = 6;
const HOME: u8 = 7;
const VIRTUAL: u8 = 8;
const PIPE: u8 = 9;

const READY: u8 = 1;
const DELIVERED: u8 = 2;
const FAILED: u8 = 3;
const FORWARD_FILE: u8 = 4;
const LIST: u8 = 5;
const REFUSED: u8 = 6;
const OUTDATED: u8 = 7;

/// A request's frame, with its length before it.
pub(super) fn encode_request(request: &Request, content_len: u64) -> Vec<u8> {
    let begin = |tag: u8| Writer::tagged(tag).number(content_len);
    let message = match request {
        Request::Mailbox { prelude } => write_prelude(begin(MAILBOX), prelude),
        Request::File { path, prelude } => write_prelude(begin(FILE).bytes(path), prelude),
        Request::Command { command, prelude, facts } => {
            write_facts(write_prelude(begin(COMMAND).bytes(command), prelude), facts)
        }
        Request::MailboxCommand { command, prelude, facts } => {
            write_facts(write_prelude(begin(MAILBOX_COMMAND).bytes(command), prelude), facts)
        }
        Request::Forward { facts, is_first } => {
            write_facts(begin(FORWARD).number(u64::from(*is_first)), facts)
        }
        Request::Include { path } => begin(INCLUDE).bytes(path),
        Request::Home => begin(HOME),
        Request::Virtual { recipient, prelude } => {
            write_prelude(begin(VIRTUAL).bytes(recipient.as_bytes()), prelude)
        }
        Request::Pipe { prelude, facts } => write_pipe_facts(write_prelude(begin(PIPE), prelude), facts),
    };
    with_length(&message.finish())
}

/// The request, and how many octets of content follow.
pub(super) fn decode_request(frame: &[u8]) -> Result<(Request, u64), BadMessage> {
    let (tag, mut fields) = Reader::open(frame)?;
    let content_len = fields.number()?;
    let fields_of = &mut fields;
    let request = match tag {
        MAILBOX => Request::Mailbox { prelude: read_prelude(fields_of)? },
        FILE => Request::File { path: fields_of.bytes()?.to_vec(), prelude: read_prelude(fields_of)? },
        COMMAND => Request::Command {
            command: fields_of.bytes()?.to_vec(),
            prelude: read_prelude(fields_of)?,
            facts: read_facts(fields_of)?,
        },
        MAILBOX_COMMAND => Request::MailboxCommand {
            command: fields_of.bytes()?.to_vec(),
            prelude: read_prelude(fields_of)?,
            facts: read_facts(fields_of)?,
        },
        FORWARD => {
            let is_first = fields_of.number()? != 0;
            Request::Forward { facts: read_facts(fields_of)?, is_first }
        }
        INCLUDE => Request::Include { path: fields_of.bytes()?.to_vec() },
        HOME => Request::Home,
        VIRTUAL => {
            Request::Virtual { recipient: fields_of.bytes()?.into(), prelude: read_prelude(fields_of)? }
        }
        PIPE => Request::Pipe { prelude: read_prelude(fields_of)?, facts: read_pipe_facts(fields_of)? },
        _ => return Err(BadMessage("an unknown request")),
    };
    fields.end()?;
    Ok((request, content_len))
}

/// A reply's frame, with its length before it.
pub(super) fn encode_reply(reply: &Reply) -> Vec<u8> {
    let message = match reply {
        Reply::Ready { uid, gid, list, notes } => {
            let message = Writer::tagged(READY).number(u64::from(*uid)).number(u64::from(*gid));
            write_notes(write_optional(message, list.as_deref()), notes)
        }
        Reply::Delivered { said, notes } => {
            write_notes(Writer::tagged(DELIVERED).bytes(said.as_bytes()), notes)
        }
        Reply::Failed { failure, notes } => {
            write_notes(write_failure(Writer::tagged(FAILED), failure), notes)
        }
        Reply::Forward { file, notes } => {
            let message = Writer::tagged(FORWARD_FILE);
            let message = match file {
                None => message.number(0),
                Some(file) => write_optional(
                    message.number(1).bytes(file.path.as_bytes()).number(u64::from(file.has_extension)),
                    file.text.as_deref(),
                ),
            };
            write_notes(message, notes)
        }
        Reply::List { text, notes } => write_notes(Writer::tagged(LIST).bytes(text), notes),
        Reply::Refused { why } => Writer::tagged(REFUSED).bytes(why.as_bytes()),
        Reply::Outdated => Writer::tagged(OUTDATED),
    };
    with_length(&message.finish())
}

pub(super) fn decode_reply(frame: &[u8]) -> Result<Reply, BadMessage> {
    let (tag, mut fields) = Reader::open(frame)?;
    let fields_of = &mut fields;
    let reply = match tag {
        READY => Reply::Ready {
            uid: id(fields_of)?,
            gid: id(fields_of)?,
            list: read_optional(fields_of)?.map(<[u8]>::to_vec),
            notes: read_notes(fields_of)?,
        },
        DELIVERED => Reply::Delivered { said: lossy(fields_of)?, notes: read_notes(fields_of)? },
        FAILED => Reply::Failed { failure: read_failure(fields_of)?, notes: read_notes(fields_of)? },
        FORWARD_FILE => Reply::Forward { file: read_forward_file(fields_of)?, notes: read_notes(fields_of)? },
        LIST => Reply::List { text: fields_of.bytes()?.to_vec(), notes: read_notes(fields_of)? },
        REFUSED => Reply::Refused { why: lossy(fields_of)? },
        OUTDATED => Reply::Outdated,
        _ => return Err(BadMessage("not a reply")),
    };
    fields.end()?;
    Ok(reply)
}

/// The length of the frame that follows, checked.
pub(super) fn frame_length(length: [u8; LENGTH_SIZE]) -> Result<usize, BadMessage> {
    match u32::from_le_bytes(length) as usize {
        n if n <= FRAME_LIMIT => Ok(n),
        _ => Err(BadMessage("a frame is too long")),
    }
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_le_bytes()[..], frame].concat()
}

fn write_prelude(message: Writer, prelude: &Prelude) -> Writer {
    let message = message.number(prelude.now.micros() as u64).bytes(prelude.sender.as_bytes());
    [&prelude.original_to, &prelude.delivered_to]
        .into_iter()
        .fold(message, |message, address| write_optional(message, address.as_ref().map(|a| a.as_bytes())))
}

fn read_prelude(fields: &mut Reader<'_>) -> Result<Prelude, BadMessage> {
    let now = Time::from_micros(fields.number()? as i64);
    let sender = fields.bytes()?.into();
    let (original_to, delivered_to) = (read_address(fields)?, read_address(fields)?);
    Ok(Prelude { sender, original_to, delivered_to, now })
}

fn write_facts(message: Writer, facts: &Facts) -> Writer {
    let delimiter = facts.recipient_delimiter.map(|b| [b]);
    let message = message.bytes(facts.sender.as_bytes()).bytes(facts.recipient.as_bytes());
    let message = write_optional(message, facts.original_recipient.as_ref().map(|a| a.as_bytes()));
    let message = message.bytes(&facts.local).bytes(&facts.user);
    let message = [facts.domain.as_deref(), facts.extension.as_deref(), delimiter.as_ref().map(|d| &d[..])]
        .into_iter()
        .fold(message, write_optional);
    write_client(message, &facts.client)
}

fn read_facts(fields: &mut Reader<'_>) -> Result<Facts, BadMessage> {
    Ok(Facts {
        sender: fields.bytes()?.into(),
        recipient: fields.bytes()?.into(),
        original_recipient: read_address(fields)?,
        local: fields.bytes()?.to_vec(),
        user: fields.bytes()?.to_vec(),
        domain: read_optional(fields)?.map(<[u8]>::to_vec),
        extension: read_optional(fields)?.map(<[u8]>::to_vec),
        recipient_delimiter: read_optional(fields)?.and_then(|d| d.first().copied()),
        client: read_client(fields)?,
    })
}

fn write_pipe_facts(message: Writer, facts: &PipeFacts) -> Writer {
    let message = message
        .bytes(facts.sender.as_bytes())
        .bytes(facts.nexthop.as_bytes())
        .number(facts.size)
        .bytes(facts.queue_id.as_bytes());
    let message = write_client(message, &facts.client).number(facts.recipients.len() as u64);
    let write =
        |message: Writer, r: &PipeRecipient| message.bytes(r.address.as_bytes()).bytes(r.original.as_bytes());
    facts.recipients.iter().fold(message, write)
}

fn read_pipe_facts(fields: &mut Reader<'_>) -> Result<PipeFacts, BadMessage> {
    let (sender, nexthop) = (fields.bytes()?.into(), fields.text()?);
    let (size, queue_id, client) = (fields.number()?, fields.text()?, read_client(fields)?);
    let count = fields.number()?;
    // What there is not, ends it.
    let recipients = (0..count)
        .map(|_| Ok(PipeRecipient { address: fields.bytes()?.into(), original: fields.bytes()?.into() }));
    let recipients = recipients.collect::<Result<_, BadMessage>>()?;
    Ok(PipeFacts { sender, nexthop, size, queue_id, client, recipients })
}

fn write_client(message: Writer, client: &Client) -> Writer {
    let texts = [
        &client.name,
        &client.address,
        &client.helo,
        &client.protocol,
        &client.sasl_method,
        &client.sasl_username,
        &client.sasl_sender,
    ];
    let message = texts.into_iter().fold(message, |message, text| message.bytes(text.as_bytes()));
    message.number(u64::from(client.port))
}

fn read_client(fields: &mut Reader<'_>) -> Result<Client, BadMessage> {
    Ok(Client {
        name: fields.text()?,
        address: fields.text()?,
        helo: fields.text()?,
        protocol: fields.text()?,
        sasl_method: fields.text()?,
        sasl_username: fields.text()?,
        sasl_sender: fields.text()?,
        port: u16::try_from(fields.number()?).map_err(|_| BadMessage("not a port"))?,
    })
}

fn write_failure(message: Writer, failure: &Failure) -> Writer {
    let message = message.bytes(failure.status.to_string().as_bytes()).bytes(failure.reason.as_bytes());
    write_optional(message, failure.diagnostic.as_ref().map(|d| d.as_bytes()))
}

fn read_failure(fields: &mut Reader<'_>) -> Result<Failure, BadMessage> {
    let status = DsnStatus::parse(&fields.text()?).ok_or(BadMessage("not a status code"))?;
    let reason = lossy(fields)?;
    let diagnostic = read_optional(fields)?.map(|d| String::from_utf8_lossy(d).into_owned());
    Ok(Failure { status, reason, diagnostic })
}

fn read_forward_file(fields: &mut Reader<'_>) -> Result<Option<ForwardFile>, BadMessage> {
    if fields.number()? == 0 {
        return Ok(None);
    }
    let (path, has_extension) = (lossy(fields)?, fields.number()? != 0);
    let text = read_optional(fields)?.map(<[u8]>::to_vec);
    Ok(Some(ForwardFile { path, has_extension, text }))
}

fn write_notes(message: Writer, notes: &[Note]) -> Writer {
    let write = |message: Writer, note: &Note| match note {
        Note::Warning(text) => message.number(0).bytes(text.as_bytes()),
        Note::Fatal(text) => message.number(1).bytes(text.as_bytes()),
        Note::BareFatal(text) => message.number(2).bytes(text.as_bytes()),
    };
    notes.iter().fold(message.number(notes.len() as u64), write)
}

fn read_notes(fields: &mut Reader<'_>) -> Result<Vec<Note>, BadMessage> {
    let count = fields.number()?;
    let note = |_| {
        let (kind, text) = (fields.number()?, lossy(fields)?);
        match kind {
            0 => Ok(Note::Warning(text)),
            1 => Ok(Note::Fatal(text)),
            2 => Ok(Note::BareFatal(text)),
            _ => Err(BadMessage("not a note")),
        }
    };
    (0..count).map(note).collect()
}

fn write_optional(message: Writer, bytes: Option<&[u8]>) -> Writer {
    match bytes {
        None => message.number(0),
        Some(bytes) => message.number(1).bytes(bytes),
    }
}

fn read_optional<'a>(fields: &mut Reader<'a>) -> Result<Option<&'a [u8]>, BadMessage> {
    match fields.number()? {
        0 => Ok(None),
        1 => Ok(Some(fields.bytes()?)),
        _ => Err(BadMessage("neither there nor not")),
    }
}

fn read_address(fields: &mut Reader<'_>) -> Result<Option<Address>, BadMessage> {
    Ok(read_optional(fields)?.map(Address::from))
}

fn id(fields: &mut Reader<'_>) -> Result<u32, BadMessage> {
    u32::try_from(fields.number()?).map_err(|_| BadMessage("not an id"))
}

fn lossy(fields: &mut Reader<'_>) -> Result<String, BadMessage> {
    Ok(String::from_utf8_lossy(fields.bytes()?).into_owned())
}

/// For the fuzz target of that name: frames of any octets, and what they come to when written again.
pub fn fuzz_delivery_frames(data: &[u8]) {
    if let Ok((request, content_len)) = decode_request(data) {
        let again = encode_request(&request, content_len);
        assert_eq!(decode_request(&again[LENGTH_SIZE..]), Ok((request, content_len)));
    }
    if let Ok(reply) = decode_reply(data) {
        assert_eq!(decode_reply(&encode_reply(&reply)[LENGTH_SIZE..]), Ok(reply));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        let prelude = Prelude {
            sender: "a@b".into(),
            original_to: None,
            delivered_to: Some("alice@example.com".into()),
            now: Time::from_micros(7),
        };
        let client = Client { name: "mx".into(), port: 25, sasl_sender: "s".into(), ..Client::default() };
        let facts = Facts {
            sender: "a@b".into(),
            recipient: "alice+x@c".into(),
            local: b"alice+x".to_vec(),
            user: b"alice".to_vec(),
            domain: Some(b"c".to_vec()),
            extension: Some(b"x".to_vec()),
            recipient_delimiter: Some(b'+'),
            client: client.clone(),
            ..Facts::default()
        };
        let pipe = PipeFacts {
            recipients: vec![PipeRecipient { address: "x@y".into(), original: Address::null() }],
            client,
            size: 99,
            ..PipeFacts::default()
        };
        let (command, path) = (b"/bin/x".to_vec(), b"/file".to_vec());
        vec![
            Request::Mailbox { prelude: prelude.clone() },
            Request::File { path: path.clone(), prelude: prelude.clone() },
            Request::Command { command: command.clone(), prelude: prelude.clone(), facts: facts.clone() },
            Request::MailboxCommand { command, prelude: prelude.clone(), facts: Facts::default() },
            Request::Forward { facts, is_first: true },
            Request::Include { path },
            Request::Home,
            Request::Virtual { recipient: "x@y".into(), prelude: prelude.clone() },
            Request::Pipe { prelude, facts: pipe },
        ]
    }

    fn replies() -> Vec<Reply> {
        let notes = vec![Note::Warning("w".into()), Note::Fatal("f".into()), Note::BareFatal("b".into())];
        let failure = Failure::of_system("no \u{fffd} space");
        let file = ForwardFile { path: "/h/.forward".into(), has_extension: true, text: Some(b"x".to_vec()) };
        vec![
            Reply::Ready { uid: 7, gid: 8, list: Some(b"a, b".to_vec()), notes: notes.clone() },
            Reply::Delivered { said: "delivered to maildir".into(), notes: vec![] },
            Reply::Failed { failure: failure.clone(), notes: notes.clone() },
            Reply::Failed { failure: Failure { diagnostic: Some("x".into()), ..failure }, notes: vec![] },
            Reply::Forward { file: None, notes: notes.clone() },
            Reply::Forward { file: Some(file), notes: vec![] },
            Reply::List { text: b"a\n".to_vec(), notes },
            Reply::Refused { why: "no".into() },
            Reply::Outdated,
        ]
    }

    #[test]
    fn requests_and_replies_come_back() {
        for request in requests() {
            let encoded = encode_request(&request, 99);
            let (length, frame) = encoded.split_first_chunk().expect("a length");
            assert_eq!(frame_length(*length), Ok(frame.len()));
            assert_eq!(decode_request(frame), Ok((request, 99)));
            assert!((0..frame.len()).all(|cut| decode_request(&frame[..cut]).is_err()));
        }
        for reply in replies() {
            let encoded = encode_reply(&reply);
            let frame = &encoded[LENGTH_SIZE..];
            assert_eq!(decode_reply(frame), Ok(reply));
            assert!((0..frame.len()).all(|cut| decode_reply(&frame[..cut]).is_err()));
        }
        assert!(frame_length([255; 4]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_octets(data: Vec<u8>, tag in 0u8..12) {
            fuzz_delivery_frames(&data);
            fuzz_delivery_frames(&[&[tag][..], &data].concat());
        }
    }
}
