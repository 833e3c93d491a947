//! pipe(8)'s process: runs the command that master.cf names, as the user that it names.

use super::user::{find_service, reply};
use super::{NotReady, PipeFacts, Ready, Reply, Request, Rights, Servant};
use crate::command::{Command, Exported, Note, Program};
use crate::copy::Prelude;
use crate::failure::{Failure, strerror};
use crate::pipe::{Attributes, MailSystem, expand, sender};
use mail::keys::Extensions;
use nix::unistd::{Gid, Uid, geteuid};
use params::registry::transport;
use params::{View, p};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub(super) fn prepare(view: &View, service: &str, notes: &mut Vec<Note>) -> Result<Ready, NotReady> {
    let service = find_service(view, service, "pipe")?;
    let mut mistakes = Vec::new();
    let view = view.for_service(service);
    let read = Attributes::parse(&service.args).and_then(|attributes| {
        let mail_owner = view.get(p::mail_owner, &mut mistakes);
        let setgid_group = view.get(p::setgid_group, &mut mistakes);
        let system = MailSystem { mail_owner: &mail_owner, setgid_group: &setgid_group };
        let rights = attributes.rights(&system)?;
        Ok((attributes, rights))
    });
    // If there is something wrong the worker knows it, and has not asked in good faith.
    let (attributes, (uid, gid)) =
        read.map_err(|why| NotReady::Refused(format!("{}: {why}", service.name_space())))?;
    let rights = Rights { uid, gid, spool_gid: None };
    if !rights.are_within_reach() {
        return Err(NotReady::beyond_reach(uid));
    }
    if let Some(root) = &attributes.chroot {
        enter(root).map_err(|why| {
            notes.push(Note::Fatal(why));
            let diagnostic = Some("x-unix; temporary failure".into());
            Failure { diagnostic, ..Failure::of_system("temporary failure") }
        })?;
    }
    let servant = PipeServant {
        extensions: Extensions {
            owner_request_special: view.get(p::owner_request_special, &mut mistakes),
            ..Extensions::new(view.get(p::recipient_delimiter, &mut mistakes))
        },
        exported: Exported::read(&view, &mut mistakes),
        time_limit: view.get_of_transport(service.service_name(), transport::time_limit, &mut mistakes),
        attributes,
    };
    Ok(servant.ready(rights))
}

/// `chroot=`: before root's rights are gone.
fn enter(root: &str) -> Result<(), String> {
    let entered = match geteuid().is_root() {
        true => nix::unistd::chroot(Path::new(root)).map_err(std::io::Error::from),
        false => Err(nix::errno::Errno::EPERM.into()),
    };
    entered.map_err(|e| format!("chroot({root}): {}", strerror(&e)))?;
    std::env::set_current_dir("/").map_err(|e| format!("chdir(/): {}", strerror(&e)))
}

struct PipeServant {
    attributes: Attributes,
    extensions: Extensions,
    exported: Exported,
    time_limit: Duration,
}

impl PipeServant {
    fn ready(self, rights: Rights) -> Ready {
        let (uid, gid) = (Uid::as_raw(rights.uid), Gid::as_raw(rights.gid));
        let greeting = Reply::Ready { uid, gid, list: None, notes: Vec::new() };
        Ready { rights, servant: Box::new(self), greeting, file_size_limit: 0 }
    }

    fn run(&self, prelude: &Prelude, facts: &PipeFacts, content: &mut dyn Read) -> Reply {
        let argv = match expand(&self.attributes, &self.extensions, facts) {
            Ok(argv) => argv,
            Err(unknown) => return Reply::Refused { why: format!("unknown macro name: \"{unknown}\"") },
        };
        let command = Command {
            program: Program::Argv(&argv),
            service: "pipe",
            environment: self.exported.0.clone(),
            directory: self.attributes.directory.as_deref(),
            time_limit: self.time_limit,
            rights: None,
        };
        let prelude = Prelude { sender: sender(&self.attributes, &prelude.sender), ..prelude.clone() };
        let mut notes = Vec::new();
        let result = command.run(&self.attributes.form(), &prelude, content, &mut notes);
        reply(result, notes)
    }
}

impl Servant for PipeServant {
    fn serve(&mut self, request: Request, content: &mut dyn Read) -> Reply {
        match request {
            Request::Pipe { prelude, facts } => self.run(&prelude, &facts, content),
            _ => Reply::Refused { why: "not an affair of pipe".into() },
        }
    }
}
