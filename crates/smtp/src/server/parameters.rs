//! The addresses and parameters of MAIL and RCPT (RFC 5321 4.1.2, RFC 1870, RFC 3461, RFC 4954, RFC 6531).

use super::commands::refuse;
use super::token::Token;
use super::{Config, Keywords, Mail, Notice, Peer, Rcpt, Verb};
use crate::address::{self, within_brackets};
use crate::text::printable;
use bytes::Bytes;
use mail::{Address, Encoding, Notify, Reply, Ret, xtext};

/// Why a command is refused, and what the log is to say about it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reply: Reply,
    pub(super) notice: Option<Notice>,
}

impl Refusal {
    pub(super) fn with(self, notice: Notice) -> Refusal {
        Refusal { notice: Some(notice), ..self }
    }
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Refusal {
        Refusal { reply, notice: None }
    }
}

/// MAIL, from its path on.
///
/// Postfix: parameters of a MAIL that is refused hold for the next one, until RSET or HELO. `lingering` keeps them.
pub(super) fn mail(
    config: &Config,
    peer: &Peer,
    path: &Token<'_>,
    rest: &[Token<'_>],
    lingering: &mut Mail,
) -> Result<Mail, Refusal> {
    if path.is_unclosed {
        return Err(bad_address(Verb::Mail));
    }
    let sender = address::parse(path.text, config.strict_rfc821_envelopes);
    let sender = sender.ok_or_else(|| illegal_address(Verb::Mail, path.text))?;
    let mut reader = MailReader { config, peer, mail: Mail { sender, ..lingering.clone() } };
    let read = rest.iter().try_for_each(|parameter| reader.take(parameter.text));
    *lingering = Mail { ret: None, envid: None, verp_delimiters: None, ..reader.mail.clone() };
    read?;
    reader.finish()
}

/// RCPT, from its path on.
pub(super) fn rcpt(
    config: &Config,
    peer: &Peer,
    path: &Token<'_>,
    rest: &[Token<'_>],
) -> Result<Rcpt, Refusal> {
    if path.is_unclosed {
        return Err(bad_address(Verb::Rcpt));
    }
    let recipient = recipient(path.text, config.strict_rfc821_envelopes, Verb::Rcpt)?;
    let mut rcpt = Rcpt { recipient, written: within_brackets(path.text).to_vec(), ..Rcpt::default() };
    for parameter in rest {
        take_rcpt_parameter(peer, &mut rcpt, parameter.text)?;
    }
    Ok(rcpt)
}

/// An address that is not the null one.
pub(super) fn recipient(text: &[u8], strict: bool, verb: Verb) -> Result<Address, Refusal> {
    match address::parse(text, strict) {
        Some(recipient) if !recipient.is_null() => Ok(recipient),
        _ => Err(illegal_address(verb, text)),
    }
}

/// `strict_smtputf8`: what is not ASCII must be announced.
pub(super) fn check_smtputf8(config: &Config, is_allowed: bool) -> Result<(), Refusal> {
    if config.strict_smtputf8 && !is_allowed {
        return Err(refuse(553, (5, 6, 7), "Must declare SMTPUTF8 to send unicode address"));
    }
    Ok(())
}

/// A decimal number without sign. Postfix: it ends at 2^63 - 1.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok().filter(|value| *value <= i64::MAX as u64)
}

/// The refusal of an address that cannot be understood or resolved.
pub(super) fn illegal_address(verb: Verb, text: &[u8]) -> Refusal {
    bad_address(verb).with(Notice::IllegalAddress { verb, address: text.to_vec() })
}

fn bad_address(verb: Verb) -> Refusal {
    match verb {
        Verb::Mail => refuse(501, (5, 1, 7), "Bad sender address syntax"),
        _ => refuse(501, (5, 1, 3), "Bad recipient address syntax"),
    }
}

fn unsupported(parameter: &[u8]) -> Refusal {
    refuse(555, (5, 5, 4), format!("Unsupported option: {}", printable(parameter)))
}

/// Parts `NAME=value`; without a value, the value is None.
fn split(parameter: &[u8]) -> (String, Option<&[u8]>) {
    let (name, value) = match memchr::memchr(b'=', parameter) {
        Some(at) => (&parameter[..at], Some(&parameter[at + 1..])),
        None => (parameter, None),
    };
    (printable(name).to_ascii_uppercase(), value)
}

fn check_dsn(peer: &Peer) -> Result<(), Refusal> {
    if peer.smtpd_discard_ehlo_keywords.has(Keywords::DSN) {
        return Err(refuse(501, (5, 7, 1), "DSN support is disabled"));
    }
    Ok(())
}

struct MailReader<'a> {
    config: &'a Config,
    peer: &'a Peer,
    mail: Mail,
}

impl MailReader<'_> {
    fn take(&mut self, parameter: &[u8]) -> Result<(), Refusal> {
        let (name, value) = split(parameter);
        match (name.as_str(), value) {
            ("BODY", Some(value)) if value.eq_ignore_ascii_case(b"8BITMIME") => {
                self.mail.encoding = Encoding::EightBitMime;
            }
            ("BODY", Some(value)) if value.eq_ignore_ascii_case(b"7BIT") => {
                self.mail.encoding = Encoding::SevenBit;
            }
            ("SIZE", Some(value)) => self.take_size(value)?,
            ("SMTPUTF8", None) if self.takes_utf8() => self.mail.smtputf8 = true,
            ("AUTH", Some(value)) => self.take_auth(value)?,
            ("XVERP", value) if self.peer.may_verp => self.take_verp(value)?,
            ("RET", Some(value)) => self.take_ret(value)?,
            ("ENVID", Some(value)) => self.take_envid(value)?,
            _ => return Err(unsupported(parameter)),
        }
        Ok(())
    }

    fn takes_utf8(&self) -> bool {
        self.config.smtputf8_enable && !self.peer.smtpd_discard_ehlo_keywords.has(Keywords::SMTPUTF8)
    }

    fn take_size(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(refuse(501, (5, 5, 4), "Bad message size syntax"));
        }
        let Some(size) = number(value) else {
            self.mail.size = 0;
            return Err(refuse(552, (5, 3, 4), "Message size exceeds file system imposed limit"));
        };
        self.mail.size = size;
        Ok(())
    }

    fn take_auth(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.mail.sasl_sender.is_some() {
            return Err(refuse(503, (5, 5, 4), "Error: multiple AUTH= options"));
        }
        if value != b"<>" {
            self.mail.sasl_sender = Some(printable(value));
        }
        Ok(())
    }

    fn take_verp(&mut self, value: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(value) = value else {
            self.mail.verp_delimiters = Some(self.config.default_verp_delimiters.clone());
            return Ok(());
        };
        let filter = &self.config.verp_delimiter_filter;
        if value.len() != 2 || !value.iter().all(|b| filter.as_bytes().contains(b)) {
            return Err(refuse(501, (5, 5, 4), format!("Error: XVERP needs two characters from {filter}")));
        }
        self.mail.verp_delimiters = Some(printable(value));
        Ok(())
    }

    fn take_ret(&mut self, value: &[u8]) -> Result<(), Refusal> {
        check_dsn(self.peer)?;
        let ret = match value.to_ascii_uppercase().as_slice() {
            b"FULL" => Some(Ret::Full),
            b"HDRS" => Some(Ret::Headers),
            _ => None,
        };
        if ret.is_none() || self.mail.ret.is_some() {
            return Err(refuse(501, (5, 5, 4), "Bad RET parameter syntax"));
        }
        self.mail.ret = ret;
        Ok(())
    }

    fn take_envid(&mut self, value: &[u8]) -> Result<(), Refusal> {
        check_dsn(self.peer)?;
        let decoded = xtext::decode(value).filter(|text| is_printable(text) && !text.is_empty());
        match decoded {
            Some(text) if self.mail.envid.is_none() => self.mail.envid = Some(xtext::encode(&text).into()),
            _ => return Err(refuse(501, (5, 5, 4), "Bad ENVID parameter syntax")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Mail, Refusal> {
        let mail = self.mail;
        let limit = self.config.message_size_limit;
        if limit > 0 && mail.size > limit {
            let refusal = refuse(552, (5, 3, 4), "Message size exceeds fixed limit");
            let reply = refusal.reply.clone();
            return Err(refusal.with(Notice::SizeRefused { reply, sender: mail.sender }));
        }
        if mail.verp_delimiters.is_some() && mail.sender.is_null() {
            return Err(refuse(503, (5, 5, 4), "Error: XVERP requires non-null sender"));
        }
        check_smtputf8(self.config, mail.smtputf8 || mail.sender.as_bytes().is_ascii())?;
        Ok(mail)
    }
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|b| (b' '..=b'~').contains(b))
}

fn take_rcpt_parameter(peer: &Peer, rcpt: &mut Rcpt, parameter: &[u8]) -> Result<(), Refusal> {
    let (name, value) = split(parameter);
    match (name.as_str(), value) {
        ("NOTIFY", Some(value)) => {
            check_dsn(peer)?;
            let is_first = rcpt.notify.is_unset();
            rcpt.notify = notify(value)?;
            if rcpt.notify.is_unset() || !is_first {
                return Err(bad_notify());
            }
        }
        ("ORCPT", Some(value)) => {
            check_dsn(peer)?;
            let orcpt = orcpt(value).filter(|_| rcpt.orcpt.is_none());
            rcpt.orcpt =
                Some(orcpt.ok_or_else(|| refuse(501, (5, 5, 4), "Error: Bad ORCPT parameter syntax"))?);
        }
        _ => return Err(unsupported(parameter)),
    }
    Ok(())
}

fn bad_notify() -> Refusal {
    refuse(501, (5, 5, 4), "Error: Bad NOTIFY parameter syntax")
}

/// Postfix: empty words and repeated ones do no harm.
fn notify(list: &[u8]) -> Result<Notify, Refusal> {
    let mut notify = Notify::default();
    let words = list.split(|b| *b == b',' || b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for word in words {
        notify = notify.with(match word.to_ascii_uppercase().as_slice() {
            b"NEVER" => Notify::NEVER,
            b"SUCCESS" => Notify::SUCCESS,
            b"FAILURE" => Notify::FAILURE,
            b"DELAY" => Notify::DELAY,
            _ => {
                let notice = Notice::UnknownNotify { value: printable(word), list: printable(list) };
                return Err(bad_notify().with(notice));
            }
        });
    }
    if notify.has(Notify::NEVER) && notify != Notify::NEVER { Err(bad_notify()) } else { Ok(notify) }
}

/// `type;address`, with the address in xtext or, for `utf-8`, in RFC 6533's coding; in the form in which we pass it on.
///
/// Postfix takes any octets; control characters, which would get into reports, are refused here.
fn orcpt(value: &[u8]) -> Option<Bytes> {
    let semicolon = memchr::memchr(b';', value)?;
    let (kind, address) = (&value[..semicolon], &value[semicolon + 1..]);
    if kind.is_empty() {
        return None;
    }
    if kind.eq_ignore_ascii_case(b"utf-8") {
        return is_utf8_address(address).then(|| Bytes::copy_from_slice(value));
    }
    let decoded = xtext::decode(address)?;
    let is_clean = !decoded.iter().any(u8::is_ascii_control);
    is_clean.then(|| [kind, b";", &xtext::encode(&decoded)].concat().into())
}

/// Whether every `\x{…}` is a character (RFC 6533 3).
fn is_utf8_address(mut text: &[u8]) -> bool {
    while let Some(at) = memchr::memmem::find(text, b"\\x{") {
        let rest = &text[at + 3..];
        let Some(close) = memchr::memchr(b'}', rest) else { return false };
        let hex =
            std::str::from_utf8(&rest[..close]).ok().filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if code.and_then(char::from_u32).is_none_or(char::is_control) {
            return false;
        }
        text = &rest[close + 1..];
    }
    !text.iter().any(u8::is_ascii_control)
}
