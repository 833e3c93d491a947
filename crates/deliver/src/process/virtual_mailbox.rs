//! virtual(8)'s process: appends to virtual mailboxes of one uid and gid.
//!
//! It looks up itself whose a recipient's mailbox is and where it lies. A mailbox that the tables give to somebody else it does
//! not touch, whatever the worker says.

use super::lookup::CarefulTable;
use super::user::{find_service, has, reply};
use super::{NotReady, Ready, Reply, Request, Rights, Servant};
use crate::command::Note;
use crate::mailbox::{Locking, Mailbox, Owner, Style};
use crate::virtual_mailboxes::maps::{Find, Maps, Place};
use mail::Address;
use nix::unistd::{Gid, Uid};
use params::service::Virtual;
use params::{View, p};
use std::io::Read;
use tables::{Lookup, SourceFormat};

pub(super) fn prepare(
    view: &View,
    service: &str,
    recipient: &Address,
    notes: &mut Vec<Note>,
) -> Result<Ready, NotReady> {
    let service = find_service(view, service, "virtual")?;
    let servant = VirtualServant::read(&view.for_service(service));
    let place = servant.maps.find_now(recipient).map_err(|trouble| {
        notes.extend(servant.complaints());
        notes.push(Note::Warning(trouble.warning));
        trouble.failure
    })?;
    let place = place.ok_or_else(|| NotReady::Refused(format!("no virtual mailbox of <{recipient}>")))?;
    let rights = Rights { uid: Uid::from_raw(place.uid), gid: Gid::from_raw(place.gid), spool_gid: None };
    if !rights.are_within_reach() {
        return Err(NotReady::beyond_reach(rights.uid));
    }
    let servant = VirtualServant { ids: (place.uid, place.gid), ..servant };
    let greeting = Reply::Ready { uid: place.uid, gid: place.gid, list: None, notes: Vec::new() };
    let file_size_limit = servant.settings.virtual_mailbox_limit.max(0) as u64;
    Ok(Ready { rights, servant: Box::new(servant), greeting, file_size_limit })
}

struct VirtualServant {
    settings: Virtual,
    host: String,
    maps: Maps<CarefulTable>,
    /// The uid and gid whose mailboxes these are.
    ids: (u32, u32),
}

impl Find for CarefulTable {
    fn find<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        Lookup::ready(self.get(key))
    }

    fn is_pattern(&self) -> bool {
        CarefulTable::is_pattern(self)
    }
}

impl VirtualServant {
    fn read(view: &View) -> VirtualServant {
        let mut mistakes = Vec::new();
        let settings: Virtual = view.load(&mut mistakes);
        let open = |spec: &String| CarefulTable::open(view, spec, SourceFormat::Table);
        let maps = Maps::read(view, &settings, open, &mut mistakes);
        VirtualServant { host: view.get(p::myhostname, &mut mistakes), settings, maps, ids: (0, 0) }
    }

    /// Those that the worker has not said, whose tables they are too: no answer came.
    fn complaints(&self) -> Vec<Note> {
        self.maps.tables().flat_map(CarefulTable::complaints).map(Note::Warning).collect()
    }

    fn mailbox(&self, recipient: &Address, place: &Place) -> Mailbox {
        let settings = &self.settings;
        let kinds = &settings.virtual_mailbox_lock;
        Mailbox {
            owner: Owner::Virtual(recipient.to_string()),
            style: Style::of(&place.path),
            path: place.path.clone().into(),
            host: self.host.clone(),
            size_limit: settings.virtual_mailbox_limit.max(0) as u64,
            locking: Locking {
                dotlock: has(kinds, "dotlock"),
                fcntl: has(kinds, "fcntl"),
                flock: has(kinds, "flock"),
                attempts: settings.deliver_lock_attempts.max(1) as u32,
                delay: settings.deliver_lock_delay,
                stale: settings.stale_lock_time,
            },
            is_ownership_strict: settings.strict_mailbox_ownership,
            has_delivered_to: true,
        }
    }
}

impl Servant for VirtualServant {
    fn serve(&mut self, request: Request, content: &mut dyn Read) -> Reply {
        let Request::Virtual { recipient, prelude } = request else {
            return Reply::Refused { why: "not an affair of virtual mailboxes".into() };
        };
        let place = match self.maps.find_now(&recipient) {
            Ok(Some(place)) if (place.uid, place.gid) == self.ids => place,
            Ok(_) => {
                return Reply::Refused { why: format!("the mailbox of <{recipient}> is somebody else's") };
            }
            // Perhaps a table has changed that only root may read: another process can.
            Err(trouble) => return Reply::Refused { why: trouble.warning },
        };
        let mut warnings = Vec::new();
        let result = self.mailbox(&recipient, &place).deliver(&prelude, content, &mut warnings);
        reply(result, warnings.into_iter().map(Note::Warning).collect())
    }
}
