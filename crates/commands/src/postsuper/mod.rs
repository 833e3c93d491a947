//! postsuper(1): deletes, holds, releases, requeues and expires messages.
//!
//! Through the server if one runs; else on the spool itself, as `mail_owner`, to whom all of it belongs.

mod request;
mod running;
mod stopped;

use crate::ids::{self, Word};
use crate::instance::Instance;
use crate::program::{Fatal, Program, Run, reason};
use crate::server::MAILDROP;
use mail::QueueId;
use nix::unistd::{User, getegid, geteuid, getgid, getuid, setgid, setgroups, setuid};
use params::service::Common;
use request::{Action, Request, Target};
use running::Running;
use spool::maildrop::Maildrop;
use spool::master_lock;
use spool::showq::Queue;
use spool::{Admin, Summary};
use std::collections::HashMap;
use std::io::{self, BufRead};
use std::path::Path;
use std::time::{Duration, SystemTime};
use stopped::Stopped;

/// How old half a letter must be to be removed by `-p`.
const LEFTOVER_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Lines of standard input that are taken at once.
const BATCH: usize = 1024;

pub(crate) fn main(program: &Program) -> Run {
    if getuid() != geteuid() || getgid() != getegid() {
        return Err(Fatal::new("this postfix command must not run as a set-uid process"));
    }
    let is_root = getuid().is_root();
    if !is_root && !owns_some_system(program) {
        return Err(Fatal::new("use of this command is reserved for the superuser"));
    }
    let request = Request::read(program)?;
    let instance = Instance::open(program, request.config_directory.as_deref())?;
    program.open_log(&instance.view);
    let common = instance.common(program)?;
    std::env::set_current_dir(&common.queue_directory)
        .map_err(|e| Fatal::new(format!("chdir {}: {}", common.queue_directory, reason(&e))))?;
    let server = master_lock::holder(Path::new(".")).map_err(|e| {
        Fatal::new(format!("open lock file {}: {}", master_lock::path(Path::new("")).display(), reason(&e)))
    })?;
    if is_root {
        become_owner(&common)?;
    }
    let mut system: Box<dyn System> = match server {
        Some(_) => Box::new(Running::connect(common.ipc_timeout)?),
        None => Box::new(Stopped::open(program)?),
    };
    let mut work = Work { program, request: &request, system: &mut *system, counts: [0; Action::COUNT] };
    work.run()?;
    work.report();
    Ok(0)
}

/// A mail system, running or not.
trait System {
    /// All messages, and where Postfix would have them.
    fn messages(&mut self) -> Result<Vec<(QueueId, Queue)>, Fatal>;

    /// Does something to messages, and tells of each, in their order, whether it was there and not yet as it should be.
    fn administer(
        &mut self,
        ids: &[QueueId],
        action: Admin,
        tell: &mut dyn FnMut(QueueId, bool),
    ) -> Result<(), Fatal>;
}

/// A request being done.
struct Work<'a> {
    program: &'a Program,
    request: &'a Request,
    system: &'a mut dyn System,
    /// By [`Action`].
    counts: [u64; Action::COUNT],
}

impl Work<'_> {
    fn run(&mut self) -> Result<(), Fatal> {
        if self.request.purges {
            self.purge()?;
        }
        for (actions, target) in &self.request.steps {
            match target {
                Target::Id(word) => self.take_words(actions, &[word.as_bytes().to_vec()])?,
                Target::Listed => self.take_input(actions)?,
                Target::All => self.take_all(actions)?,
            }
        }
        Ok(())
    }

    /// `-p`
    fn purge(&self) -> Result<(), Fatal> {
        match Maildrop::new(MAILDROP).purge(LEFTOVER_AGE, SystemTime::now()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Fatal::new(format!("open directory {MAILDROP}: {}", reason(&e))))
            }
            _ => Ok(()),
        }
    }

    fn take_input(&mut self, actions: &[Action]) -> Result<(), Fatal> {
        let mut words = Vec::new();
        for line in io::stdin().lock().split(b'\n') {
            words.push(line.map_err(|e| Fatal::new(format!("read stdin: {}", reason(&e))))?);
            if words.len() == BATCH {
                self.take_words(actions, &std::mem::take(&mut words))?;
            }
        }
        self.take_words(actions, &words)
    }

    /// Named messages: each is told of.
    fn take_words(&mut self, actions: &[Action], words: &[Vec<u8>]) -> Result<(), Fatal> {
        let mut ids = Vec::new();
        for word in words {
            match ids::read(word) {
                Word::Id(id) => ids.push(id),
                Word::Foreign => {}
                Word::Invalid => {
                    self.take_ids(actions, &std::mem::take(&mut ids))?;
                    let shown = maillog::printable(word);
                    self.program.warning(&format!("invalid mail queue id: {shown}"));
                }
            }
        }
        self.take_ids(actions, &ids)
    }

    fn take_ids(&mut self, actions: &[Action], ids: &[QueueId]) -> Result<(), Fatal> {
        // Where more than one thing is done, all of it is done to a message before the next.
        let at_once = if actions.len() > 1 { 1 } else { BATCH };
        for ids in ids.chunks(at_once) {
            for action in actions {
                let chosen = self.choose(*action, ids)?;
                self.act(*action, &chosen, true)?;
            }
        }
        Ok(())
    }

    /// All messages in the queues that were named.
    fn take_all(&mut self, actions: &[Action]) -> Result<(), Fatal> {
        for action in actions {
            let messages = self.system.messages()?;
            let mut ids: Vec<QueueId> =
                letters()?.into_iter().filter(|_| self.includes(*action, Queue::Maildrop)).collect();
            ids.extend(
                messages.iter().filter(|(_, queue)| self.includes(*action, *queue)).map(|(id, _)| *id),
            );
            self.act(*action, &ids, false)?;
        }
        Ok(())
    }

    /// Those of the named messages that are in a queue that was named.
    fn choose(&mut self, action: Action, ids: &[QueueId]) -> Result<Vec<QueueId>, Fatal> {
        let spool_queues = [Queue::Incoming, Queue::Active, Queue::Deferred, Queue::Hold];
        let applicable = spool_queues.map(|queue| self.request.names(queue));
        if ids.is_empty() || applicable == [true; 4] {
            return Ok(ids.to_vec());
        }
        let queues: HashMap<QueueId, Queue> = self.system.messages()?.into_iter().collect();
        let is_chosen = |id: &QueueId| queues.get(id).is_some_and(|queue| self.includes(action, *queue));
        Ok(ids.iter().copied().filter(|id| is_chosen(id) || self.includes(action, Queue::Maildrop)).collect())
    }

    /// Whether an action is meant for the messages of a queue.
    fn includes(&self, action: Action, queue: Queue) -> bool {
        self.request.names(queue) && action.is_for(queue)
    }

    fn act(&mut self, action: Action, ids: &[QueueId], tells: bool) -> Result<(), Fatal> {
        let (program, count) = (self.program, &mut self.counts[action as usize]);
        let mut tell = |id: QueueId, is_done: bool| {
            if is_done && tells {
                program.info(&format!("{id}: {}", action.done()));
            }
            *count += u64::from(is_done);
        };
        let takes_letters = self.request.names(Queue::Maildrop) && action.is_for(Queue::Maildrop);
        let mut messages = Vec::new();
        for id in ids {
            if takes_letters && remove_letter(*id)? {
                tell(*id, true);
            } else {
                messages.push(*id);
            }
        }
        self.system.administer(&messages, action.admin(), &mut tell)
    }

    /// Postfix: in this order, whatever the order of the options.
    fn report(&self) {
        for action in Action::REPORTED {
            if self.request.steps.iter().any(|(actions, _)| actions.contains(&action)) {
                let count = self.counts[action as usize];
                let plural = if count == 1 { "" } else { "s" };
                self.program.info(&format!("{}: {count} message{plural}", action.summary()));
            }
        }
    }
}

/// The names of the letters in the maildrop.
fn letters() -> Result<Vec<QueueId>, Fatal> {
    match Maildrop::new(MAILDROP).names() {
        Ok(names) => Ok(names),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Fatal::new(format!("open directory {MAILDROP}: {}", reason(&e)))),
    }
}

/// False: there is no such letter.
fn remove_letter(id: QueueId) -> Result<bool, Fatal> {
    match Maildrop::new(MAILDROP).remove(id) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Fatal::new(format!("remove file {MAILDROP}/{id}: {}", reason(&e)))),
    }
}

/// Whether the user is the owner of the mail system that was named: one that runs without root.
fn owns_some_system(program: &Program) -> bool {
    let Ok(instance) = Instance::open(program, request::config_directory(program).as_deref()) else {
        return false;
    };
    let owner = instance.view.get(params::p::mail_owner, &mut Vec::new());
    User::from_uid(getuid()).ok().flatten().is_some_and(|user| user.name == owner)
}

/// Gives root's rights up: what is written has to belong to `mail_owner`, and a folder that somebody got at shall lead nowhere.
fn become_owner(common: &Common) -> Result<(), Fatal> {
    let unknown =
        || Fatal::new(format!("unknown user name configured in main.cf: mail_owner = {}", common.mail_owner));
    let user = User::from_name(&common.mail_owner).ok().flatten().ok_or_else(unknown)?;
    let become_user = || {
        setgid(user.gid)?;
        setgroups(&[user.gid])?;
        setuid(user.uid)
    };
    become_user().map_err(|e| Fatal::new(format!("setuid({}): {}", user.uid, reason(&e.into()))))
}

/// Where Postfix would have a message that no server works on.
fn resting_queue(summary: &Summary) -> Queue {
    Queue::of_message(summary, false)
}
