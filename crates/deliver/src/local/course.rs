//! How far a delivery has come on its way through aliases and `.forward` files: what the next step inherits.

use super::loops::fold;
use crate::process::Facts;
use bytes::Bytes;
use mail::keys::Extensions;
use mail::{Address, Client, Notify, Recipient, Ret};

/// A step's state. Each step works on a copy, so that nothing has to be put back.
#[derive(Clone, Debug)]
pub(super) struct Course {
    /// How deep steps lie in one another.
    pub(super) level: u32,
    /// The message's, or a list's owner.
    pub(super) sender: Address,
    /// The address this step is for.
    pub(super) recipient: Address,
    /// As it came into the queue; None where the mail is a list's, or `enable_original_recipient` is off.
    pub(super) original: Option<Address>,
    pub(super) orcpt: Option<Bytes>,
    pub(super) notify: Notify,
    pub(super) ret: Option<Ret>,
    pub(super) envid: Option<Bytes>,
    pub(super) name: Name,
    /// An extension that nothing has matched yet: it may be passed on.
    pub(super) unmatched: Option<Vec<u8>>,
    /// Who is behind the list or file that led here. Set: other users' mail is sent on as a new message.
    pub(super) owner: Option<Vec<u8>>,
    /// The mail is a list's: what came with the recipient is no longer the members'.
    pub(super) is_of_list: bool,
    /// For Delivered-To:.
    pub(super) delivered: Option<Address>,
    /// What kind of list or file led here.
    pub(super) origin: Option<Origin>,
    /// The alias or user whose expansion led here.
    pub(super) expanded_from: Option<Vec<u8>>,
    pub(super) authority: Option<Authority>,
    /// Whose rights files and commands get; None: the default user's.
    pub(super) person: Option<Account>,
}

/// Kinds of lists and files (`allow_mail_to_commands`, `allow_mail_to_files`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Alias,
    Forward,
    Include,
}

impl Origin {
    /// As the parameters name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Origin::Alias => "alias",
            Origin::Forward => "forward",
            Origin::Include => "include",
        }
    }
}

/// Where a file, command or list is named: which process may be asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    Alias { table: String, name: Vec<u8>, includes: Vec<Vec<u8>> },
    User { user: String },
}

/// A user, as the password file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

/// The parts of a local address, in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name {
    /// The local part.
    pub(super) local: Vec<u8>,
    pub(super) domain: Option<Vec<u8>>,
    /// The local part without its extension.
    pub(super) user: Vec<u8>,
    pub(super) extension: Option<Vec<u8>>,
}

impl Name {
    /// Takes an address apart. The second value: its extension could lead out of a folder and was dropped.
    pub(super) fn of(address: &Address, extensions: &Extensions) -> (Name, bool) {
        let folded = Address::new(fold(address.as_bytes()));
        let mut local = folded.local().to_vec();
        let domain = folded.domain().map(<[u8]>::to_vec);
        let (user, extension) = match extensions.split(&local) {
            Some((user, extension)) => (user.to_vec(), Some(extension[1..].to_vec())),
            None => (local.clone(), None),
        };
        let is_illegal = extension.as_ref().is_some_and(|e| e.contains(&b'/'));
        if is_illegal {
            local.truncate(user.len());
        }
        (Name { local, domain, user, extension: extension.filter(|_| !is_illegal) }, is_illegal)
    }

    /// What stands before the extension, or would by `recipient_delimiter`.
    pub(super) fn delimiter(&self, extensions: &Extensions) -> Option<u8> {
        self.local.get(self.user.len()).or_else(|| extensions.recipient_delimiter.first()).copied()
    }
}

impl Course {
    /// At the start: a recipient as it came from the queue.
    pub(super) fn new(sender: &Address, address: &Address, recipient: &Recipient) -> Course {
        let original = recipient.original.as_ref().unwrap_or(&recipient.address);
        Course {
            level: 0,
            sender: sender.clone(),
            recipient: address.clone(),
            original: Some(original.clone()),
            orcpt: recipient.orcpt.clone(),
            notify: recipient.notify,
            ret: None,
            envid: None,
            name: Name::default(),
            unmatched: None,
            owner: None,
            is_of_list: false,
            delivered: None,
            origin: None,
            expanded_from: None,
            authority: None,
            person: None,
        }
    }

    /// RFC 3461 5.2.7: what is expanded is reported as that; its members are not to report success.
    pub(super) fn without_success(&mut self) {
        self.notify = match self.notify {
            Notify::SUCCESS => Notify::NEVER,
            notify => Notify::from_bits(notify.bits() & !Notify::SUCCESS.bits()),
        };
    }

    /// RFC 3461 5.2.7.3: from here on it is the mail of a list, which its owner sends.
    pub(super) fn become_list_mail(&mut self, owner: &Address) {
        self.sender = owner.clone();
        self.owner = Some(owner.as_bytes().to_vec());
        self.is_of_list = true;
        (self.original, self.orcpt, self.ret, self.envid) = (None, None, None, None);
    }

    pub(super) fn uid(&self) -> u32 {
        self.person.as_ref().map_or(0, |person| person.uid)
    }

    pub(super) fn facts(&self, extensions: &Extensions, client: &Client) -> Facts {
        Facts {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            original_recipient: self.original.clone(),
            local: self.name.local.clone(),
            user: self.name.user.clone(),
            domain: self.name.domain.clone(),
            extension: self.name.extension.clone(),
            recipient_delimiter: self.name.delimiter(extensions),
            client: client.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let extensions = Extensions::new("+-");
        for (address, expect) in [
            ("Alice@Example.COM", "alice | alice | - | example.com"),
            ("alice+Ext@x", "alice+ext | alice | ext | x"),
            ("alice+@x", "alice+ | alice |  | x"),
            ("list-request+q@x", "list-request+q | list | request+q | x"),
            ("alice+a/b@x", "alice | alice | - | x !"),
            ("alice+../../etc/passwd@x", "alice | alice | - | x !"),
            ("alice", "alice | alice | - | -"),
            ("+ext@x", "+ext | +ext | - | x"),
            ("@x", " |  | - | x"),
            ("\u{c9}mile@x", "\u{e9}mile | \u{e9}mile | - | x"),
        ] {
            let (name, is_illegal) = Name::of(&address.into(), &extensions);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let or_dash = |bytes: &Option<Vec<u8>>| bytes.as_deref().map_or("-".into(), text);
            let shown = format!(
                "{} | {} | {} | {}{}",
                text(&name.local),
                text(&name.user),
                or_dash(&name.extension),
                or_dash(&name.domain),
                if is_illegal { " !" } else { "" }
            );
            assert_eq!(shown, expect, "{address}");
        }
        let (name, _) = Name::of(&"alice-x@y".into(), &extensions);
        assert_eq!(name.delimiter(&extensions), Some(b'-'));
        let (name, _) = Name::of(&"alice@y".into(), &extensions);
        assert_eq!((name.delimiter(&extensions), name.delimiter(&Extensions::none())), (Some(b'+'), None));
    }

    #[test]
    fn what_members_may_report() {
        let mut course = Course::new(&"s".into(), &"a@b".into(), &Recipient::default());
        for (notify, expect) in [
            (Notify::default(), Notify::default()),
            (Notify::SUCCESS, Notify::NEVER),
            (Notify::SUCCESS.with(Notify::DELAY), Notify::DELAY),
            (Notify::FAILURE, Notify::FAILURE),
        ] {
            course.notify = notify;
            course.without_success();
            assert_eq!(course.notify, expect);
        }
    }
}
