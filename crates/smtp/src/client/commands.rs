//! The commands of a transaction, in Postfix's form.

use super::{Client, Stage, VerifyTarget, XforwardFeatures};
use bytes::Bytes;
use mail::{Address, Encoding, Notify, Ret, xtext};

/// A message as a server is to get it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub sender: &'a Address,
    pub recipients: &'a [Rcpt],
    /// Octets of content.
    pub size: u64,
    /// The content is converted to 7 bits on the way: SIZE is not announced, nor 8BITMIME.
    pub is_converted: bool,
    /// What BODY= is to say.
    pub body: Encoding,
    /// SMTPUTF8 was asked for; it is announced where the server knows it.
    pub smtputf8: bool,
    /// An address or a header needs it: the server must know it.
    pub requires_smtputf8: bool,
    pub ret: Option<Ret>,
    /// In xtext.
    pub envid: Option<&'a Bytes>,
    /// Whom the message came from, for `smtp_send_xforward_command`.
    pub client: Option<&'a ClientAttributes>,
    /// Find out only whether the recipients would be accepted (`smtp_address_verify_target`).
    pub verify: Option<VerifyTarget>,
}

impl<'a> Message<'a> {
    /// A message of which nothing else is known.
    pub fn new(sender: &'a Address, recipients: &'a [Rcpt], size: u64) -> Message<'a> {
        Message {
            sender,
            recipients,
            size,
            is_converted: false,
            body: Encoding::Unspecified,
            smtputf8: false,
            requires_smtputf8: false,
            ret: None,
            envid: None,
            client: None,
            verify: None,
        }
    }
}

/// A recipient as a server is to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    pub address: Address,
    /// `type;xtext`; see [`original_recipient`].
    pub orcpt: Option<Bytes>,
    pub notify: Notify,
}

/// ORCPT for a recipient: what the client said, or else the address before any rewriting (RFC 3461 5.2.1).
pub fn original_recipient(recipient: &mail::Recipient, smtputf8: bool) -> Option<Bytes> {
    if let Some(orcpt) = &recipient.orcpt {
        return Some(orcpt.clone());
    }
    let original = recipient.original.as_ref().unwrap_or(&recipient.address);
    if original.is_null() {
        return None;
    }
    let address = original.external();
    Some(match std::str::from_utf8(&address) {
        Ok(text) if smtputf8 && !text.is_ascii() => format!("utf-8;{}", utf8_xtext(text)).into(),
        _ => [&b"rfc822;"[..], &xtext::encode(&address)].concat().into(),
    })
}

/// RFC 6533 3: what is not printable ASCII, and `\`, `+` and `=`, as `\x{HEX}`.
fn utf8_xtext(text: &str) -> String {
    let encode = |c: char| match c {
        '\\' | '+' | '=' => format!("\\x{{{:X}}}", u32::from(c)),
        '!'..='~' => c.to_string(),
        _ => format!("\\x{{{:X}}}", u32::from(c)),
    };
    text.chars().map(encode).collect()
}

/// What XFORWARD says of a message's client; None where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAttributes {
    pub name: Option<String>,
    pub address: Option<String>,
    pub port: Option<String>,
    pub protocol: Option<String>,
    pub helo: Option<String>,
    /// The queue id here.
    pub ident: Option<String>,
    /// Addresses in headers are rewritten as local mail's are.
    pub is_local: bool,
}

impl ClientAttributes {
    pub fn new(client: &mail::Client, ident: &str, is_local: bool) -> ClientAttributes {
        let known = |text: &str| {
            let is_known = !text.is_empty() && !text.eq_ignore_ascii_case("unknown");
            is_known.then(|| text.to_owned())
        };
        let literal =
            |address: String| if address.contains(':') { format!("IPv6:{address}") } else { address };
        ClientAttributes {
            name: known(&client.name),
            address: known(&client.address).map(literal),
            port: (client.port > 0).then(|| client.port.to_string()),
            protocol: known(&client.protocol),
            helo: Some(client.helo.clone()).filter(|helo| !helo.is_empty()),
            ident: Some(ident.to_owned()).filter(|ident| !ident.is_empty()),
            is_local,
        }
    }

    /// The two commands, each if it has something to say.
    fn commands(&self, takes: XforwardFeatures) -> [Option<String>; 2] {
        let source = if self.is_local { "LOCAL" } else { "REMOTE" }.to_owned();
        let name_address = [
            ("NAME", takes.name, self.name.as_ref()),
            ("ADDR", takes.addr, self.address.as_ref()),
            ("PORT", takes.port, self.port.as_ref()),
        ];
        let protocol_helo = [
            ("PROTO", takes.proto, self.protocol.as_ref()),
            ("HELO", takes.helo, self.helo.as_ref()),
            ("IDENT", takes.ident, self.ident.as_ref()),
            ("SOURCE", takes.source, Some(&source)),
        ];
        [xforward(&name_address), xforward(&protocol_helo)]
    }
}

fn xforward(attributes: &[(&str, bool, Option<&String>)]) -> Option<String> {
    let mut command = String::new();
    for (name, _, value) in attributes.iter().filter(|(_, is_taken, _)| *is_taken) {
        if let Some(value) = value {
            command.push_str(&format!(" {name}={}", ascii(xtext::encode(value.as_bytes()))));
        }
    }
    (!command.is_empty()).then(|| format!("XFORWARD{command}"))
}

fn ascii(octets: Vec<u8>) -> String {
    String::from_utf8(octets).expect("xtext is ASCII")
}

/// A command and what it is.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) stage: Stage,
    /// Index into the recipients, of RCPT.
    pub(super) recipient: usize,
    pub(super) line: Vec<u8>,
}

impl Planned {
    fn new(stage: Stage, line: impl Into<Vec<u8>>) -> Planned {
        Planned { stage, recipient: 0, line: line.into() }
    }
}

/// Whether an address can be in a command at all: nothing in it must look like the next command.
pub(super) fn is_sendable(address: &Address) -> bool {
    !address.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
}

impl<W> Client<W> {
    /// All commands up to DATA, RCPT for these recipients.
    pub(super) fn plan(&self, message: &Message<'_>, recipients: &[usize]) -> Vec<Planned> {
        let mut plan = Vec::with_capacity(recipients.len() + 4);
        if let Some(client) = message.client.filter(|_| self.settings.smtp_send_xforward_command) {
            let [name_address, protocol_helo] = client.commands(self.features.xforward);
            plan.extend(name_address.map(|line| Planned::new(Stage::XforwardNameAddress, line)));
            plan.extend(protocol_helo.map(|line| Planned::new(Stage::XforwardProtocolHelo, line)));
        }
        plan.push(Planned::new(Stage::Mail, self.mail_line(message)));
        for &recipient in recipients {
            let line = self.rcpt_line(&message.recipients[recipient]);
            plan.push(Planned { stage: Stage::Rcpt, recipient, line });
        }
        if message.verify != Some(VerifyTarget::Rcpt) {
            plan.push(Planned::new(Stage::Data, "DATA"));
        }
        plan
    }

    fn mail_line(&self, message: &Message<'_>) -> Vec<u8> {
        let mut line = [b"MAIL FROM:<", &self.path(message.sender)[..], b">"].concat();
        let mut add = |parameter: &str| line.extend_from_slice(parameter.as_bytes());
        if self.features.size && !message.is_converted {
            add(&format!(" SIZE={}", message.size));
        }
        if self.features.eightbitmime {
            match message.body {
                Encoding::EightBitMime => add(" BODY=8BITMIME"),
                Encoding::SevenBit => add(" BODY=7BIT"),
                Encoding::Unspecified => {}
            }
        }
        if self.features.dsn {
            if let Some(envid) = message.envid {
                add(&format!(" ENVID={}", ascii(canonical_xtext(envid))));
            }
            match message.ret {
                Some(Ret::Full) => add(" RET=FULL"),
                Some(Ret::Headers) => add(" RET=HDRS"),
                None => {}
            }
        }
        if self.features.smtputf8 && message.smtputf8 {
            add(" SMTPUTF8");
        }
        if self.features.auth.is_some() && self.settings.smtp_send_dummy_mail_auth {
            add(" AUTH=<>");
        }
        line
    }

    fn rcpt_line(&self, rcpt: &Rcpt) -> Vec<u8> {
        let mut line = [b"RCPT TO:<", &self.path(&rcpt.address)[..], b">"].concat();
        if !self.features.dsn {
            return line;
        }
        if let Some(orcpt) = rcpt.orcpt.as_ref().filter(|orcpt| orcpt.iter().all(|b| *b > b' ' && *b != 127))
        {
            line.extend_from_slice(b" ORCPT=");
            line.extend_from_slice(orcpt);
        }
        let names = [
            (Notify::NEVER, "NEVER"),
            (Notify::SUCCESS, "SUCCESS"),
            (Notify::FAILURE, "FAILURE"),
            (Notify::DELAY, "DELAY"),
        ];
        let notify: Vec<_> =
            names.iter().filter(|(bit, _)| rcpt.notify.has(*bit)).map(|(_, name)| *name).collect();
        if !notify.is_empty() {
            line.extend_from_slice(format!(" NOTIFY={}", notify.join(",")).as_bytes());
        }
        line
    }

    /// An address as it stands in brackets (`smtp_quote_rfc821_envelope`).
    fn path(&self, address: &Address) -> Vec<u8> {
        match (address.is_null(), self.settings.smtp_quote_rfc821_envelope) {
            (true, _) => Vec::new(),
            (false, true) => address.external(),
            (false, false) => address.as_bytes().to_vec(),
        }
    }
}

/// What came as xtext, as xtext without a doubt.
fn canonical_xtext(text: &[u8]) -> Vec<u8> {
    xtext::encode(&xtext::decode(text).unwrap_or_else(|| text.to_vec()))
}
