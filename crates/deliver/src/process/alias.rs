//! The process of an alias table's entry: runs the commands and writes the files that the entry names, or that lists do to
//! which it leads.
//!
//! Whose rights it takes is read off the table's file, by this process, as root: its owner's; if that is root the default
//! user's (`default_privs`), unless a list on the way is somebody else's.

use super::files::{as_user, read_list};
use super::lookup::CarefulTable;
use super::user::{Means, Person, find_service, refused_command};
use super::{NotReady, Ready, Reply, Request, Rights, Servant};
use crate::command::Note;
use crate::failure::Failure;
use nix::unistd::{Uid, User, geteuid};
use params::View;
use std::io::Read;
use tables::SourceFormat;

/// An entry of an alias table.
pub(super) struct Entry<'a> {
    pub(super) view: &'a View,
    pub(super) table: &'a str,
    pub(super) name: &'a [u8],
}

impl Entry<'_> {
    pub(super) fn prepare(
        &self,
        service: &str,
        includes: &[Vec<u8>],
        notes: &mut Vec<Note>,
    ) -> Result<Ready, NotReady> {
        let service = find_service(self.view, service, "local")?;
        let view = &self.view.for_service(service);
        Entry { view, ..*self }.follow(includes, notes)
    }

    fn follow(&self, includes: &[Vec<u8>], notes: &mut Vec<Note>) -> Result<Ready, NotReady> {
        let mut means = Means::read(self.view);
        if !means.local.alias_maps.iter().any(|spec| spec == self.table) {
            return Err(NotReady::Refused(format!("alias_maps has no {}", self.table)));
        }
        let (right_side, owner) = self.look_up(notes)?;
        let mut person = match owner {
            tables::Owner::Trusted => None,
            tables::Owner::User(uid) => Some(self.find_owner(uid, notes)?),
            tables::Owner::Unknown => {
                notes.push(Note::Warning(format!("no owner UID for alias database {}", self.table)));
                return Err(NotReady::Failed(Failure::of_system("mail system configuration error")));
            }
        };
        means.documents.add(&right_side, home(&person).as_deref());
        let mut list = None;
        for path in includes {
            if !means.documents.has_list(path) {
                let why = format!("{} does not lead to :include:{}", self.table, path.escape_ascii());
                return Err(NotReady::Refused(why));
            }
            let read = match &person {
                None => read_list(path),
                Some(user) => as_user(user.uid, user.gid, || read_list(path))?,
            };
            let read = read.map_err(|(note, failure)| {
                notes.push(note);
                NotReady::Failed(failure)
            })?;
            if person.is_none() {
                person = self.find_list_owner(path, read.owner, notes)?;
            }
            means.documents = Default::default();
            means.documents.add_lines(&read.text, means.line_length_limit, home(&person).as_deref());
            list = Some(read.text);
        }
        self.ready(means, person, list)
    }

    /// The entry as this process reads it.
    fn look_up(&self, notes: &mut Vec<Note>) -> Result<(Vec<u8>, tables::Owner), NotReady> {
        let table = CarefulTable::open(self.view, self.table, SourceFormat::Aliases);
        let found = table.get_or_say(self.name, notes);
        match found {
            Ok(Some(right_side)) => Ok((right_side.to_vec(), table.owner())),
            Ok(None) => {
                let why = format!("{} has no entry {}", self.table, self.name.escape_ascii());
                Err(NotReady::Refused(why))
            }
            Err(_) => Err(NotReady::Failed(Failure::of_system("alias database unavailable"))),
        }
    }

    fn find_owner(&self, uid: u32, notes: &mut Vec<Note>) -> Result<User, NotReady> {
        let found = User::from_uid(Uid::from_raw(uid));
        if let Ok(Some(user)) = found {
            return Ok(user);
        }
        let why = found.err().map_or(String::new(), |e| format!(": {}", e.desc()));
        notes.push(Note::Warning(format!("cannot find alias database owner for {}{why}", self.table)));
        Err(NotReady::Failed(Failure::of_system("cannot find alias database owner")))
    }

    /// Of a list in an alias of root's: its owner is not to have the default user's rights, but has his own.
    fn find_list_owner(
        &self,
        path: &[u8],
        owner: Uid,
        notes: &mut Vec<Note>,
    ) -> Result<Option<User>, NotReady> {
        if owner.is_root() {
            return Ok(None);
        }
        let found = User::from_uid(owner);
        if let Ok(Some(user)) = found {
            return Ok(Some(user));
        }
        let why = found.err().map_or(String::new(), |e| format!(": {}", e.desc()));
        let path = String::from_utf8_lossy(path);
        notes.push(Note::Warning(format!("cannot find username for uid {owner}{why}")));
        notes.push(Note::Warning(format!("{path}: cannot find :include: file owner username")));
        Err(NotReady::Failed(Failure::of_configuration(4)))
    }

    fn ready(&self, means: Means, person: Option<User>, list: Option<Vec<u8>>) -> Result<Ready, NotReady> {
        let rights = match &person {
            Some(user) => Rights::of(user),
            None => means.default_rights.ok_or_else(|| {
                let why = format!("default_privs: unknown or privileged user {}", means.local.default_privs);
                NotReady::Failed(Failure::of_system(why))
            })?,
        };
        if geteuid().is_root() && rights.uid.is_root() {
            return Err(NotReady::Failed(Failure::of_system("files and commands of root's")));
        }
        let (uid, gid) = person.as_ref().map_or((0, 0), |user| (user.uid.as_raw(), user.gid.as_raw()));
        let greeting = Reply::Ready { uid, gid, list, notes: Vec::new() };
        let file_size_limit = means.local.mailbox_size_limit.max(0) as u64;
        let servant = AliasServant { means, person };
        Ok(Ready { rights, servant: Box::new(servant), greeting, file_size_limit })
    }
}

fn home(person: &Option<User>) -> Option<String> {
    person.as_ref().map(|user| user.dir.display().to_string())
}

struct AliasServant {
    means: Means,
    /// None: nobody but the default user.
    person: Option<User>,
}

impl Servant for AliasServant {
    fn serve(&mut self, request: Request, content: &mut dyn Read) -> Reply {
        let person = Person { entry: self.person.as_ref(), rights: None };
        match request {
            Request::File { path, prelude } => self.means.append_to_file(&person, &path, &prelude, content),
            Request::Command { command, prelude, facts } => {
                match self.means.documents.has_command(&command) {
                    true => self.means.run(&person, &command, &prelude, &facts, content),
                    false => refused_command(&command),
                }
            }
            _ => Reply::Refused { why: "not an alias's affair".into() },
        }
    }
}
