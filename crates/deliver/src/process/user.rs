//! A user's process: appends to the user's mailbox, reads the user's `.forward` and does what that names.

use super::documents::Documents;
use super::files::{as_user, read_list};
use super::forward::{ForwardPath, Names};
use super::lookup::CarefulTable;
use super::{NotReady, Ready, Reply, Request, Rights, Servant};
use crate::command::{Command, Exported, Note, Program, censored};
use crate::copy::{Form, Prelude};
use crate::failure::{Failure, strerror};
use crate::mailbox::{Locking, Mailbox, Owner, Style};
use crate::process::Facts;
use nix::unistd::{Gid, Uid, User, geteuid};
use params::service::Local;
use params::{Service, View, p};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use tables::SourceFormat;

/// What files and commands of aliases and users have in common.
pub(super) struct Means {
    pub(super) local: Local,
    pub(super) exported: Exported,
    pub(super) host: String,
    pub(super) line_length_limit: usize,
    /// `default_privs`: what root's commands and files are left to. None: there is no such user.
    pub(super) default_rights: Option<Rights>,
    pub(super) documents: Documents,
}

/// Whose the files and commands are.
pub(super) struct Person<'a> {
    /// None: the default user, of whom nothing is told.
    pub(super) entry: Option<&'a User>,
    /// Other rights than the process's: it is root's, and root runs nothing.
    pub(super) rights: Option<(Uid, Gid)>,
}

/// The service that a task is of. The error: there is none, or it is another program.
pub(super) fn find_service<'a>(view: &'a View, name: &str, program: &str) -> Result<&'a Service, NotReady> {
    let mut services = view.config().master.services.iter();
    let found = services.find(|s| s.name_space() == name && s.program() == program);
    found.ok_or_else(|| NotReady::Refused(format!("{name}: no such {program} service")))
}

pub(super) fn prepare(
    view: &View,
    service: &str,
    name: &str,
    notes: &mut Vec<Note>,
) -> Result<Ready, NotReady> {
    let service = find_service(view, service, "local")?;
    let user = User::from_name(name).map_err(lookup_failure)?;
    let user = user.ok_or_else(|| NotReady::Refused(format!("unknown user: \"{name}\"")))?;
    let mut rights = Rights::of(&user);
    if !rights.are_within_reach() {
        return Err(NotReady::beyond_reach(user.uid));
    }
    let means = Means::read(&view.for_service(service));
    let is_root = geteuid().is_root();
    let (mailbox, spool) = place(&means, &user, is_root);
    rights.spool_gid = spool.gid.filter(|_| is_root);
    if spool.needs_root
        && let Err(note) = make_mailbox(&mailbox, &rights)
    {
        notes.push(note);
    }
    let mailbox_command = own_command(&view.for_service(service), &means.local, name, notes);
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let servant =
        UserServant { user, rights, mailbox, spool, mailbox_command, means, is_new: true, was_root: is_root };
    let greeting = Reply::Ready { uid, gid, list: None, notes: Vec::new() };
    let file_size_limit = servant.means.local.mailbox_size_limit.max(0) as u64;
    Ok(Ready { rights, servant: Box::new(servant), greeting, file_size_limit })
}

/// 4.0.0: the password file could not be asked.
pub(super) fn lookup_failure(_: nix::Error) -> Failure {
    Failure::new(mail::DsnStatus::new(4, 0, 0), "user lookup error")
}

/// How the mail spool directory is shared.
#[derive(PartialEq, Eq)]
struct Spool {
    /// The group that may make files there.
    gid: Option<Gid>,
    /// Nobody but root may.
    needs_root: bool,
}

/// `home_mailbox` below the user's home, or a file (or, with a `/` at its end, folders) in `mail_spool_directory`.
fn place(means: &Means, user: &User, is_root: bool) -> (Mailbox, Spool) {
    let local = &means.local;
    let mut spool = Spool { gid: None, needs_root: false };
    let mut locking = locking(local);
    let path = if !local.home_mailbox.is_empty() {
        format!("{}/{}", user.dir.display(), local.home_mailbox)
    } else if local.mail_spool_directory.ends_with('/') {
        format!("{}{}/", local.mail_spool_directory, user.name)
    } else {
        let meta = std::fs::metadata(&local.mail_spool_directory).ok();
        let mode = meta.as_ref().map(|meta| meta.mode());
        if mode.is_some_and(|mode| mode & 0o022 == 0o020) {
            spool.gid = meta.map(|meta| Gid::from_raw(meta.gid()));
        } else if mode.is_some_and(|mode| mode & 0o022 == 0) && is_root {
            spool.needs_root = true;
            locking.dotlock = false;
        }
        format!("{}/{}", local.mail_spool_directory, user.name)
    };
    let mailbox = Mailbox {
        owner: Owner::User(user.name.clone()),
        style: Style::of(&path),
        path: path.into(),
        host: means.host.clone(),
        size_limit: local.mailbox_size_limit.max(0) as u64,
        locking,
        is_ownership_strict: local.strict_mailbox_ownership,
        has_delivered_to: has(&local.prepend_delivered_header, "file"),
    };
    (mailbox, spool)
}

pub(super) fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|w| w == word)
}

pub(super) fn locking(local: &Local) -> Locking {
    let kinds = &local.mailbox_delivery_lock;
    Locking {
        dotlock: has(kinds, "dotlock"),
        fcntl: has(kinds, "fcntl"),
        flock: has(kinds, "flock"),
        attempts: local.deliver_lock_attempts.max(1) as u32,
        delay: local.deliver_lock_delay,
        stale: local.stale_lock_time,
    }
}

/// A mailbox that is not there, in a spool directory where only root may make one.
fn make_mailbox(mailbox: &Mailbox, rights: &Rights) -> Result<(), Note> {
    let create = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mailbox.path);
    let path = mailbox.path.display();
    match create {
        Ok(file) => {
            let (uid, gid) = (rights.uid.as_raw(), rights.gid.as_raw());
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))
                .map_err(|e| Note::Warning(format!("{path}: cannot change file ownership: {}", strerror(&e))))
        }
        // There it is; or what is wrong will show when it is opened.
        Err(_) => Ok(()),
    }
}

/// What `mailbox_command_maps` and `mailbox_command` say for a user. None: no command, or the tables cannot be asked.
fn own_command(view: &View, local: &Local, user: &str, notes: &mut Vec<Note>) -> Option<Vec<u8>> {
    for spec in &local.mailbox_command_maps {
        let table = CarefulTable::open(view, spec, SourceFormat::Table);
        match table.get_or_say(user.as_bytes(), notes) {
            Ok(None) => {}
            Ok(Some(command)) => return Some(command.to_vec()),
            Err(_) => return None,
        }
    }
    Some(local.mailbox_command.clone().into_bytes()).filter(|command| !command.is_empty())
}

struct UserServant {
    user: User,
    rights: Rights,
    mailbox: Mailbox,
    spool: Spool,
    mailbox_command: Option<Vec<u8>>,
    means: Means,
    /// Nothing has been asked of it yet.
    is_new: bool,
    was_root: bool,
}

impl Servant for UserServant {
    fn serve(&mut self, request: Request, content: &mut dyn Read) -> Reply {
        if self.is_outdated(&request) {
            return Reply::Outdated;
        }
        self.is_new = false;
        match request {
            Request::Mailbox { prelude } => self.append(&prelude, content),
            Request::Forward { facts, is_first } => {
                if is_first {
                    self.means.documents = Documents::default();
                }
                self.find_forward(&facts)
            }
            Request::Include { path } => self.read_list(&path),
            Request::Home => self.look_home(),
            Request::File { path, prelude } => {
                self.means.append_to_file(&self.person(), &path, &prelude, content)
            }
            Request::Command { command, prelude, facts } => {
                match self.means.documents.has_command(&command) {
                    true => self.means.run(&self.person(), &command, &prelude, &facts, content),
                    false => refused_command(&command),
                }
            }
            Request::MailboxCommand { command, prelude, facts } => {
                match self.mailbox_command.as_ref() == Some(&command) {
                    true => self.means.run(&self.person(), &command, &prelude, &facts, content),
                    false => refused_command(&command),
                }
            }
            Request::Virtual { .. } | Request::Pipe { .. } => {
                Reply::Refused { why: "not a user's affair".into() }
            }
        }
    }
}

impl UserServant {
    fn person(&self) -> Person<'_> {
        let default = self.means.default_rights.filter(|_| self.user.uid.is_root());
        Person { entry: Some(&self.user), rights: default.map(|r| (r.uid, r.gid)) }
    }

    /// Whether, at the beginning of a delivery, the password file or the mail spool directory asks for other rights than this
    /// process has.
    fn is_outdated(&self, request: &Request) -> bool {
        let is_mailbox = matches!(request, Request::Mailbox { .. });
        let begins = is_mailbox
            || matches!(request, Request::Forward { is_first: true, .. } | Request::MailboxCommand { .. });
        if self.is_new || !begins {
            return false;
        }
        if User::from_name(&self.user.name).is_ok_and(|user| user.as_ref() != Some(&self.user)) {
            return true;
        }
        let (mailbox, spool) = place(&self.means, &self.user, self.was_root);
        is_mailbox && (spool != self.spool || spool.needs_root && !mailbox.path.exists())
    }

    fn append(&self, prelude: &Prelude, content: &mut dyn Read) -> Reply {
        let mut warnings = Vec::new();
        let mut append = || self.mailbox.deliver(prelude, content, &mut warnings);
        let result = match self.mailbox.style {
            Style::Mbox => self.rights.with_spool_group(append),
            Style::Maildir => Ok(append()),
        };
        let result = result.unwrap_or_else(|e| Err(Failure::of_system(format!("setegid: {}", e.desc()))));
        reply(result, warnings.into_iter().map(Note::Warning).collect())
    }

    fn find_forward(&mut self, facts: &Facts) -> Reply {
        let local = &self.means.local;
        let path = ForwardPath {
            patterns: &local.forward_path,
            filter: &local.forward_expansion_filter,
            user: &self.user,
        };
        let mut notes = Vec::new();
        let file = match path.find(facts, &mut notes) {
            Ok(file) => file,
            Err(why) => return Reply::Refused { why },
        };
        if let Some(text) = file.as_ref().and_then(|file| file.text.as_ref()) {
            self.learn(text);
        }
        Reply::Forward { file, notes }
    }

    fn learn(&mut self, text: &[u8]) {
        let home = self.user.dir.display().to_string();
        self.means.documents.add_lines(text, self.means.line_length_limit, Some(&home));
    }

    fn read_list(&mut self, path: &[u8]) -> Reply {
        if !self.means.documents.has_list(path) {
            let why = format!("no .forward of {} names :include:{}", self.user.name, path.escape_ascii());
            return Reply::Refused { why };
        }
        match read_list(path) {
            Ok(list) => {
                self.learn(&list.text);
                Reply::List { text: list.text, notes: Vec::new() }
            }
            Err((note, failure)) => Reply::Failed { failure, notes: vec![note] },
        }
    }

    fn look_home(&self) -> Reply {
        match std::fs::metadata(&self.user.dir) {
            Ok(_) => Reply::Delivered { said: String::new(), notes: Vec::new() },
            Err(e) => {
                let home = self.user.dir.display();
                let why = format!("cannot access home directory {home}: {}", strerror(&e));
                Reply::Failed { failure: Failure::of_system(why), notes: Vec::new() }
            }
        }
    }
}

pub(super) fn refused_command(command: &[u8]) -> Reply {
    Reply::Refused { why: format!("nothing names the command |{}", command.escape_ascii()) }
}

pub(super) fn reply(result: Result<String, Failure>, notes: Vec<Note>) -> Reply {
    match result {
        Ok(said) => Reply::Delivered { said, notes },
        Err(failure) => Reply::Failed { failure, notes },
    }
}

impl Means {
    pub(super) fn read(view: &View) -> Means {
        // Mistakes were told when the configuration was built; here values that can be used are enough.
        let mut mistakes = Vec::new();
        let local: Local = view.load(&mut mistakes);
        let default_user = User::from_name(&local.default_privs).ok().flatten();
        Means {
            exported: Exported::read(view, &mut mistakes),
            host: view.get(p::myhostname, &mut mistakes),
            line_length_limit: view.get(p::line_length_limit, &mut mistakes).max(1) as usize,
            default_rights: default_user.as_ref().filter(|u| !u.uid.is_root()).map(Rights::of),
            documents: Documents::default(),
            local,
        }
    }

    pub(super) fn append_to_file(
        &self,
        person: &Person<'_>,
        path: &[u8],
        prelude: &Prelude,
        content: &mut dyn Read,
    ) -> Reply {
        if !self.documents.has_file(path) {
            return Reply::Refused { why: format!("nothing names the file {}", path.escape_ascii()) };
        }
        let path_text = String::from_utf8_lossy(path);
        let mailbox = Mailbox {
            owner: Owner::File,
            style: Style::of(&path_text),
            path: PathBuf::from(OsStr::from_bytes(path)),
            host: self.host.clone(),
            size_limit: self.local.mailbox_size_limit.max(0) as u64,
            locking: locking(&self.local),
            is_ownership_strict: false,
            has_delivered_to: has(&self.local.prepend_delivered_header, "file"),
        };
        let mut warnings = Vec::new();
        let mut append = || mailbox.deliver(prelude, content, &mut warnings);
        let result = match person.rights {
            None => append(),
            Some((uid, gid)) => match as_user(uid, gid, append) {
                Ok(result) => result,
                Err(NotReady::Failed(failure)) => Err(failure),
                Err(NotReady::Refused(why)) => return Reply::Refused { why },
            },
        };
        reply(result, warnings.into_iter().map(Note::Warning).collect())
    }

    /// Runs a command that something names.
    pub(super) fn run(
        &self,
        person: &Person<'_>,
        command: &[u8],
        prelude: &Prelude,
        facts: &Facts,
        content: &mut dyn Read,
    ) -> Reply {
        let mut notes = Vec::new();
        let directory = match self.directory(person, facts) {
            Ok(directory) => directory,
            Err(note) => {
                notes.push(note);
                return Reply::Failed { failure: Failure::of_configuration(4), notes };
            }
        };
        let form =
            Form { delivered_to: has(&self.local.prepend_delivered_header, "command"), ..Form::command() };
        let runnable = Command {
            program: Program::Text { command, shell: &self.local.local_command_shell },
            service: "local",
            environment: self.environment(person, facts),
            directory: directory.as_deref(),
            time_limit: self.local.command_time_limit,
            rights: person.rights,
        };
        let result = runnable.run(&form, prelude, content, &mut notes);
        let said = |_| format!("delivered to command: {}", String::from_utf8_lossy(command));
        reply(result.map(said), notes)
    }

    fn environment(&self, person: &Person<'_>, facts: &Facts) -> Vec<(String, OsString)> {
        let client = &facts.client;
        let home = person.entry.map(|user| user.dir.as_os_str().as_bytes());
        let shell = person.entry.map(|user| user.shell.as_os_str().as_bytes());
        let original = facts.original_recipient.as_ref().map(|a| a.as_bytes());
        let not_empty = |text: &'_ str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        let known = [
            ("HOME", home),
            ("LOGNAME", Some(&facts.user[..])),
            ("USER", Some(&facts.user)),
            ("SENDER", Some(facts.sender.as_bytes())),
            ("RECIPIENT", Some(facts.recipient.as_bytes())),
            ("LOCAL", Some(&facts.local)),
            ("SHELL", shell),
            ("DOMAIN", facts.domain.as_deref()),
            ("EXTENSION", facts.extension.as_deref()),
            ("ORIGINAL_RECIPIENT", original.filter(|o| !o.is_empty())),
        ];
        let of_client = [
            ("CLIENT_HOSTNAME", not_empty(&client.name)),
            ("CLIENT_ADDRESS", not_empty(&client.address)),
            ("CLIENT_HELO", not_empty(&client.helo)),
            ("CLIENT_PROTOCOL", not_empty(&client.protocol)),
            ("SASL_METHOD", not_empty(&client.sasl_method)),
            ("SASL_SENDER", not_empty(&client.sasl_sender)),
            ("SASL_USERNAME", not_empty(&client.sasl_username)),
        ];
        let filter = &self.local.command_expansion_filter;
        let known = known.into_iter().map(|(name, value)| (name, value.map(<[u8]>::to_vec)));
        let all = known
            .chain(of_client)
            .filter_map(|(name, value)| Some((name.to_owned(), censored(&value?, filter))));
        self.exported.0.iter().cloned().chain(all).collect()
    }

    /// `command_execution_directory`, expanded. None: none is set.
    fn directory(&self, person: &Person<'_>, facts: &Facts) -> Result<Option<String>, Note> {
        use params::expand::{Options, expand};
        let pattern = &self.local.command_execution_directory;
        if pattern.is_empty() {
            return Ok(None);
        }
        let bad = || {
            Note::Warning(format!("bad parameter value syntax for command_execution_directory: {pattern}"))
        };
        let names = Names::new(person.entry, facts).map_err(|_| bad())?;
        let filter = Some(self.local.execution_directory_expansion_filter.as_str());
        let lookup = |name: &str| names.get(name);
        let expanded = expand(pattern, Options { recursive: false, filter }, &lookup).map_err(|_| bad())?;
        Ok(Some(expanded.text).filter(|text| !text.is_empty()))
    }
}
