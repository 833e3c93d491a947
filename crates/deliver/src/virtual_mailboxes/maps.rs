//! Where a virtual mailbox lies and whose it is, as virtual(8)'s tables say.
//!
//! The worker asks to know what becomes of the mail, a delivery process to know what it may do: both with the same code, each
//! with tables of its own.

use crate::failure::Failure;
use mail::Address;
use mail::keys::{Extensions, Search, address_keys};
use params::list::Pattern;
use params::service::Virtual;
use params::{Diagnostic, View, p};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tables::{Lookup, TryLater};

/// A table to look up keys in.
pub(crate) trait Find: Send + Sync {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a>;

    /// Whether it is asked for whole addresses only.
    fn is_pattern(&self) -> bool;
}

/// virtual(8)'s tables.
pub(crate) struct Maps<T> {
    virtual_mailbox_maps: Vec<T>,
    virtual_uid_maps: Vec<T>,
    virtual_gid_maps: Vec<T>,
    virtual_mailbox_base: String,
    virtual_minimum_uid: i64,
    extensions: Extensions,
    /// Domains whose addresses may be looked up without their domain.
    mydestination: Vec<String>,
}

/// A virtual mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Ends in `/` if it is a Maildir.
    pub(crate) path: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Why a recipient has no mailbox now: what is logged, and what becomes of the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) warning: String,
    pub(crate) failure: Failure,
}

impl<T: Find> Maps<T> {
    pub(crate) fn read(
        view: &View,
        settings: &Virtual,
        mut open: impl FnMut(&String) -> T,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Maps<T> {
        let mut all = |specs: &[String]| specs.iter().map(&mut open).collect();
        Maps {
            virtual_mailbox_maps: all(&settings.virtual_mailbox_maps),
            virtual_uid_maps: all(&settings.virtual_uid_maps),
            virtual_gid_maps: all(&settings.virtual_gid_maps),
            virtual_mailbox_base: settings.virtual_mailbox_base.clone(),
            virtual_minimum_uid: i64::from(settings.virtual_minimum_uid),
            extensions: Extensions {
                owner_request_special: view.get(p::owner_request_special, mistakes),
                double_bounce_sender: view.get(p::double_bounce_sender, mistakes).into(),
                ..Extensions::new(view.get(p::recipient_delimiter, mistakes))
            },
            mydestination: own_names(view, mistakes),
        }
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &T> {
        self.virtual_mailbox_maps.iter().chain(&self.virtual_uid_maps).chain(&self.virtual_gid_maps)
    }

    /// None: there is no such mailbox.
    pub(crate) async fn find(&self, recipient: &Address) -> Result<Option<Place>, Trouble> {
        let recipient = folded(recipient);
        let misconfigured = |warning: String| Trouble { warning, failure: Failure::of_configuration(4) };
        let found = self.look_up(&self.virtual_mailbox_maps, &recipient).await;
        let found = found
            .map_err(|_| misconfigured(format!("table virtual_mailbox_maps: lookup {recipient}: Success")))?;
        let Some(mailbox) = found else { return Ok(None) };
        let uid = self.id(&self.virtual_uid_maps, "uid", &recipient, self.virtual_minimum_uid);
        let uid = uid.await.map_err(misconfigured)?;
        let gid = self.id(&self.virtual_gid_maps, "gid", &recipient, 1).await.map_err(misconfigured)?;
        let path = format!("{}/{}", self.virtual_mailbox_base, String::from_utf8_lossy(&mailbox));
        Ok(Some(Place { path, uid, gid }))
    }

    /// The same, where tables answer at once.
    pub(crate) fn find_now(&self, recipient: &Address) -> Result<Option<Place>, Trouble> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.find(recipient)).poll(&mut context) {
            Poll::Ready(found) => found,
            Poll::Pending => Err(Trouble {
                warning: format!("virtual_mailbox_maps: lookup {recipient}: it has to be waited for"),
                failure: Failure::of_configuration(4),
            }),
        }
    }

    async fn id(&self, maps: &[T], kind: &str, recipient: &Address, least: i64) -> Result<u32, String> {
        let title = format!("virtual_{kind}_maps");
        let found = self.look_up(maps, recipient).await.ok().flatten();
        let text = found.ok_or_else(|| format!("recipient {recipient}: not found in {title}"))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let id = leading_number(&text).filter(|n| *n >= least.max(1)).and_then(|n| u32::try_from(n).ok());
        // The highest means "nobody in particular" to the system calls that change rights.
        id.filter(|id| *id != u32::MAX)
            .ok_or_else(|| format!("recipient {recipient}: bad {kind} {text} in {title}"))
    }

    async fn look_up(&self, maps: &[T], recipient: &Address) -> Result<Option<bytes::Bytes>, TryLater> {
        let is_local =
            recipient.domain().is_some_and(|d| self.mydestination.iter().any(|m| m.as_bytes() == d));
        for key in address_keys(recipient, Search::ADDRESS, &self.extensions, is_local) {
            for table in maps.iter().filter(|table| key.is_whole || !table.is_pattern()) {
                match table.find(&key.text).await? {
                    Some(value) if value.is_empty() => {
                        return Err(TryLater("an empty string result".into()));
                    }
                    Some(value) => return Ok(Some(value)),
                    None => {}
                }
            }
        }
        Ok(None)
    }
}

/// The plain names in `mydestination`: virtual(8) as `local_transport` knows its users without a domain.
fn own_names(view: &View, mistakes: &mut Vec<Diagnostic>) -> Vec<String> {
    let list = view.get(p::mydestination, mistakes);
    let names = list.items.iter().filter(|item| item.matches).filter_map(|item| match &item.pattern {
        Pattern::Name(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

impl Find for std::sync::Arc<dyn tables::Table> {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        self.get(key)
    }

    fn is_pattern(&self) -> bool {
        tables::Table::is_pattern(&**self)
    }
}

/// Upper case does not count.
fn folded(address: &Address) -> Address {
    match std::str::from_utf8(address.as_bytes()) {
        Ok(text) => Address::from(text.to_lowercase().as_str()),
        Err(_) => address.folded(),
    }
}

/// The number that a text begins with, as C reads it; 0 if with none.
fn leading_number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let digits_at = usize::from(text.starts_with(['-', '+']));
    let len = text[digits_at..].bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 { Some(0) } else { text[..digits_at + len].parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::{Config, MainCf};
    use std::sync::Arc;
    use tables::{OpenContext, Table};

    fn maps(main_cf: &str) -> Maps<Arc<dyn Table>> {
        let (main, _) = MainCf::parse("main.cf", main_cf.as_bytes());
        let view = View::new(Config { main, ..Config::default() });
        let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
        let open = |spec: &String| tables::open_or_defer(spec, &context);
        let mut mistakes = Vec::new();
        Maps::read(&view, &view.load(&mut mistakes), open, &mut mistakes)
    }

    /// What virtual(8) of Postfix 3.7 made of such tables.
    #[test]
    fn rows() {
        let maps = maps(
            "virtual_mailbox_base = /var/vmail\n\
             virtual_mailbox_maps = inline:{ {mbox@v.example=mbox}, {ext@v.example=ext/}, {ext+own@v.example=own}, \
             {low@v.example=x}, {nogid@v.example=x}, {baduid@v.example=x}, {uid@v.example=u/}, {max@v.example=x}, \
             {nouid@v.example=x}, {@other.example=all/}, {user=local/} }\n\
             virtual_uid_maps = inline:{ {low@v.example=99}, {baduid@v.example=abc}, {uid@v.example=5001x}, \
             {max@v.example=4294967295}, {@v.example=5000}, {@other.example=5000}, {user=5000} }\n\
             virtual_gid_maps = inline:{ {nogid@v.example=0}, {@v.example=6000}, {@other.example=6000}, {user=6000} }\n\
             virtual_minimum_uid = 100\nrecipient_delimiter = +\nmydestination = local.example\n",
        );
        for (recipient, expect) in [
            ("mbox@v.example", "/var/vmail/mbox 5000 6000"),
            ("MBOX@V.Example", "/var/vmail/mbox 5000 6000"),
            ("ext@v.example", "/var/vmail/ext/ 5000 6000"),
            ("ext+x@v.example", "/var/vmail/ext/ 5000 6000"),
            ("ext+own@v.example", "/var/vmail/own 5000 6000"),
            ("low@v.example", "4.3.5 recipient low@v.example: bad uid 99 in virtual_uid_maps"),
            ("nogid@v.example", "4.3.5 recipient nogid@v.example: bad gid 0 in virtual_gid_maps"),
            ("baduid@v.example", "4.3.5 recipient baduid@v.example: bad uid abc in virtual_uid_maps"),
            ("max@v.example", "4.3.5 recipient max@v.example: bad uid 4294967295 in virtual_uid_maps"),
            ("uid@v.example", "/var/vmail/u/ 5001 6000"),
            ("any+x@other.example", "/var/vmail/all/ 5000 6000"),
            ("user+x@local.example", "/var/vmail/local/ 5000 6000"),
            ("user@v.example", "-"),
            ("nosuch@v.example", "-"),
        ] {
            let said = match maps.find_now(&recipient.into()) {
                Ok(None) => "-".to_owned(),
                Ok(Some(Place { path, uid, gid })) => format!("{path} {uid} {gid}"),
                Err(trouble) => format!("{} {}", trouble.failure.status, trouble.warning),
            };
            assert_eq!(said, expect, "{recipient}");
        }
    }

    #[test]
    fn what_is_missing_or_broken() {
        let without_uid = maps("virtual_mailbox_maps = static:x\nvirtual_mailbox_base = /v\n");
        let trouble = without_uid.find_now(&"a@b".into()).expect_err("no uid");
        assert_eq!(trouble.warning, "recipient a@b: not found in virtual_uid_maps");
        let broken = maps("virtual_mailbox_maps = fail:now\nvirtual_mailbox_base = /v\n");
        let trouble = broken.find_now(&"a@b".into()).expect_err("no table");
        assert_eq!(trouble.failure, Failure::of_configuration(4));
    }
}
