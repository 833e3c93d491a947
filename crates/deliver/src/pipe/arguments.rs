//! The arguments of pipe(8)'s command: `$name` in them, once for each recipient where it is about recipients.
//!
//! Every value becomes part of one argument, whatever is in it.

use super::Attributes;
use crate::process::PipeFacts;
use mail::Address;
use mail::keys::Extensions;
use params::expand::{Options, names_in};
use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Names of whose value each recipient has one.
const OF_RECIPIENTS: [&str; 6] =
    ["recipient", "original_recipient", "user", "extension", "mailbox", "domain"];
const OTHERS: [&str; 12] = [
    "nexthop",
    "sender",
    "size",
    "client_address",
    "client_hostname",
    "client_port",
    "client_protocol",
    "client_helo",
    "sasl_method",
    "sasl_username",
    "sasl_sender",
    "queue_id",
];

/// The command's arguments for a delivery. The error: the name that there is not.
pub(crate) fn expand(
    attributes: &Attributes,
    extensions: &Extensions,
    facts: &PipeFacts,
) -> Result<Vec<OsString>, String> {
    let mut all = Vec::new();
    let common = Common::new(attributes, facts);
    for argument in &attributes.argv {
        let names = names(argument)?;
        if !names.iter().any(|name| OF_RECIPIENTS.contains(&name.as_str())) {
            all.push(fill_in(argument, &|name| common.get(name)));
            continue;
        }
        for recipient in &facts.recipients {
            let own = Own::new(attributes, extensions, &recipient.address, &recipient.original);
            // Postfix: of a recipient without a user name an argument about it is left out.
            if own.user.is_empty() && names.iter().any(|name| name == "user") {
                continue;
            }
            all.push(fill_in(argument, &|name| own.get(name).or_else(|| common.get(name))));
        }
    }
    Ok(all)
}

/// The first name in a service's arguments that there is not.
pub(crate) fn unknown_name(attributes: &Attributes) -> Option<String> {
    attributes.argv.iter().find_map(|argument| names(argument).err())
}

/// The names in an argument, if all are known.
fn names(argument: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    // What is wrong with the form shows when it is filled in.
    let _ = names_in(argument, &mut |name| names.push(name.to_owned()));
    match names.iter().find(|n| !OF_RECIPIENTS.contains(&n.as_str()) && !OTHERS.contains(&n.as_str())) {
        Some(unknown) => Err(unknown.clone()),
        None => Ok(names),
    }
}

/// Octets that are no UTF-8 travel through the text as private characters.
fn fill_in(argument: &str, value: &dyn Fn(&str) -> Option<Vec<u8>>) -> OsString {
    let lookup = |name: &str| value(name).map(|octets| Cow::Owned(to_text(&octets)));
    let options = Options { recursive: false, filter: None };
    let filled = params::expand::expand(argument, options, &lookup).map(|e| e.text);
    OsString::from_vec(to_octets(&filled.unwrap_or_else(|_| argument.to_owned())))
}

/// The first of 128 characters that stand for octets above 127 which are not part of UTF-8: in the last private plane.
const STAND_IN: u32 = 0x10_FE00;

fn to_text(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(STAND_IN + u32::from(*b))));
    }
    text
}

fn to_octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(STAND_IN).and_then(|n| u8::try_from(n).ok()) {
            Some(octet) => octets.push(octet),
            None => octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    // An argument ends at a NUL.
    octets.retain(|b| *b != 0);
    octets
}

/// What is the same for all recipients.
struct Common<'a> {
    facts: &'a PipeFacts,
    sender: Vec<u8>,
    nexthop: String,
}

impl<'a> Common<'a> {
    fn new(attributes: &Attributes, facts: &'a PipeFacts) -> Common<'a> {
        let sender = sender(attributes, &facts.sender);
        let quotes = attributes.flags.quotes_local && !sender.is_null();
        let nexthop = match attributes.flags.folds_host {
            true => facts.nexthop.to_lowercase(),
            false => facts.nexthop.clone(),
        };
        let sender = if quotes { sender.external() } else { sender.as_bytes().to_vec() };
        Common { facts, sender, nexthop }
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let client = &self.facts.client;
        let text = match name {
            "sender" => return Some(self.sender.clone()),
            "nexthop" => self.nexthop.clone(),
            "size" => self.facts.size.to_string(),
            "queue_id" => self.facts.queue_id.clone(),
            "client_address" => client.address.clone(),
            "client_hostname" => client.name.clone(),
            "client_port" if client.port == 0 => String::new(),
            "client_port" => client.port.to_string(),
            "client_protocol" => client.protocol.clone(),
            "client_helo" => client.helo.clone(),
            "sasl_method" => client.sasl_method.clone(),
            "sasl_username" => client.sasl_username.clone(),
            "sasl_sender" => client.sasl_sender.clone(),
            _ => return None,
        };
        Some(text.into_bytes())
    }
}

/// The envelope sender, or what stands for the null one.
pub(crate) fn sender(attributes: &Attributes, sender: &Address) -> Address {
    if sender.is_null() { attributes.null_sender.as_str().into() } else { sender.clone() }
}

/// What is a recipient's own.
struct Own {
    recipient: Vec<u8>,
    original: Vec<u8>,
    mailbox: Vec<u8>,
    user: Vec<u8>,
    extension: Vec<u8>,
    domain: Vec<u8>,
}

impl Own {
    fn new(attributes: &Attributes, extensions: &Extensions, recipient: &Address, original: &Address) -> Own {
        let whole = |address: &Address| {
            let quotes = attributes.flags.quotes_local && !address.is_null();
            fold(attributes, &if quotes { address.external() } else { address.as_bytes().to_vec() })
        };
        let plain = Address::new(fold(attributes, recipient.as_bytes()));
        let (user, extension) = match extensions.split(plain.local()) {
            Some((user, extension)) => (user, &extension[1..]),
            None => (plain.local(), &b""[..]),
        };
        Own {
            recipient: whole(recipient),
            original: whole(original),
            user: user.to_vec(),
            extension: extension.to_vec(),
            mailbox: plain.local().to_vec(),
            domain: plain.domain().unwrap_or_default().to_vec(),
        }
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let value = match name {
            "recipient" => &self.recipient,
            "original_recipient" => &self.original,
            "user" => &self.user,
            "extension" => &self.extension,
            "mailbox" => &self.mailbox,
            "domain" => &self.domain,
            _ => return None,
        };
        Some(value.clone())
    }
}

/// Flags `h` and `u`: parts of an address in lower case.
fn fold(attributes: &Attributes, address: &[u8]) -> Vec<u8> {
    let at = memchr::memrchr(b'@', address).unwrap_or(address.len());
    let (local, domain) = address.split_at(at);
    // Postfix: without a domain `u` folds all of it.
    let part = |part: &[u8], folds: bool| if folds { lower(part) } else { part.to_vec() };
    let flags = attributes.flags;
    [part(local, flags.folds_user), part(domain, flags.folds_host)].concat()
}

fn lower(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::PipeRecipient;
    use mail::Client;

    fn facts() -> PipeFacts {
        let recipient = |address: &str| PipeRecipient { address: address.into(), original: address.into() };
        PipeFacts {
            sender: "Sender@Remote.example".into(),
            nexthop: "Next.Hop".into(),
            size: 298,
            queue_id: "ABC".into(),
            client: Client { name: "c".into(), port: 7, ..Client::default() },
            recipients: ["Bob+Ext@All.Example", "d@all.example", "q q+x@all.example"].map(recipient).to_vec(),
        }
    }

    fn expand_with(flags: &str, argv: &[&str], facts: &PipeFacts) -> Result<String, String> {
        let mut words = vec![format!("flags={flags}"), "user=x".to_owned(), format!("argv={}", argv[0])];
        words.extend(argv[1..].iter().map(|w| (*w).to_owned()));
        let attributes = Attributes::parse(&words).expect("valid");
        let all = expand(&attributes, &Extensions::new("+"), facts)?;
        Ok(all.iter().map(|a| format!("[{}]", a.as_encoded_bytes().escape_ascii())).collect())
    }

    /// What pipe(8) of Postfix 3.7 gave its commands.
    #[test]
    fn rows() {
        for (flags, argument, expect) in [
            ("hqu", "s=$sender", "[s=Sender@Remote.example]"),
            ("hqu", "r=${recipient}", r#"[r=bob+ext@all.example][r=d@all.example][r=\"q q+x\"@all.example]"#),
            ("", "$recipient", "[Bob+Ext@All.Example][d@all.example][q q+x@all.example]"),
            ("h", "$recipient", "[Bob+Ext@all.example][d@all.example][q q+x@all.example]"),
            ("u", "$original_recipient", "[bob+ext@All.Example][d@all.example][q q+x@all.example]"),
            ("hqu", "u=$user", "[u=bob][u=d][u=q q]"),
            ("hqu", "e=$extension", "[e=ext][e=][e=x]"),
            ("hqu", "m=$mailbox", "[m=bob+ext][m=d][m=q q+x]"),
            ("", "d=$domain", "[d=All.Example][d=all.example][d=all.example]"),
            ("hqu", "n=$nexthop", "[n=next.hop]"),
            ("", "n=$(nexthop)", "[n=Next.Hop]"),
            ("", "${size}:$queue_id:$client_hostname:$client_port", "[298:ABC:c:7]"),
            ("", "ca=$client_address", "[ca=]"),
            ("", "$$x", "[$x]"),
            (
                "hqu",
                "${user} at $domain by $sender",
                "[bob at all.example by Sender@Remote.example][d at all.example by Sender@Remote.example][q q at all.example by Sender@Remote.example]",
            ),
            ("", "two words", "[two words]"),
        ] {
            assert_eq!(expand_with(flags, &[argument], &facts()).as_deref(), Ok(expect), "{argument}");
        }
        assert_eq!(expand_with("", &["x", "$nosuch"], &facts()), Err("nosuch".into()));
    }

    #[test]
    fn the_null_sender_and_null_users() {
        let mut facts = PipeFacts { sender: Address::null(), ..facts() };
        assert_eq!(expand_with("q", &["x", "$sender"], &facts).as_deref(), Ok("[x][MAILER-DAEMON]"));
        facts.recipients = vec![PipeRecipient { address: "@x".into(), ..PipeRecipient::default() }];
        assert_eq!(
            expand_with("", &["x", "$user", "$mailbox", "$domain"], &facts).as_deref(),
            Ok("[x][][x]")
        );
    }

    #[test]
    fn what_is_in_an_address_stays_in_its_argument() {
        let mut facts = facts();
        facts.recipients = vec![PipeRecipient {
            address: Address::new(&b"a b;$(id)\xff\xc3\xa9\0'\"@x"[..]),
            ..PipeRecipient::default()
        }];
        let expanded = expand_with("", &["cmd", "--", "$recipient"], &facts).expect("expanded");
        assert_eq!(expanded, r#"[cmd][--][a b;$(id)\xff\xc3\xa9\'\"@x]"#);
    }

    proptest::proptest! {
        #[test]
        fn octets_come_back(octets: Vec<u8>) {
            let without_nul: Vec<u8> = octets.iter().copied().filter(|b| *b != 0).collect();
            proptest::prop_assert_eq!(to_octets(&to_text(&octets)), without_nul);
        }
    }
}
