//! Where a way ends: files, commands, mailboxes, other transports, and users that are not there.

use super::course::{Account, Authority, Course};
use super::expand::{Expansion, internal, lossy, same};
use crate::copy::Prelude;
use crate::failure::Failure;
use crate::process::client::Answer;
use crate::process::{Reply, Request, Task};
use crate::transports::pass;
use mail::{Address, DsnStatus};
use params::expand::{Options, expand};
use qmgr::{Job, JobRecipient, Member, Success};
use std::borrow::Cow;
use std::sync::Arc;

/// What was asked for cannot be known now, and that was reported.
pub(super) struct Reported;

impl Expansion<'_> {
    /// A file that an alias or file names; a Maildir if the name ends in `/`.
    pub(super) async fn file(&mut self, course: Course, path: Vec<u8>) {
        let place = [course.uid().to_string().as_bytes(), b" ", &path].concat();
        if self.duplicates.been_here("file", &place) {
            return;
        }
        if !self.agent.settings.allows_files(course.origin) {
            let failure = Failure::new(DsnStatus::new(5, 7, 1), "mail to file is restricted");
            return self.fail_to_owner(&course, failure).await;
        }
        if self.is_probe() {
            let said = format!("delivers to file: {}", lossy(&path));
            return self.sent(&course, said, Success::Delivered);
        }
        let Some(task) = self.authority_task(&course) else {
            return self.fail(&course, Failure::of_configuration(5));
        };
        let is_maildir = path.ends_with(b"/");
        let request = Request::File { path, prelude: self.prelude(&course) };
        let answer = self.conversation.ask(&task, &request, Some(&self.job.message.content)).await;
        match self.take_answer(answer) {
            Ok(said) => self.sent(&course, said, Success::Delivered),
            // Postfix: of a Maildir the sender is told, of a file the list's owner.
            Err(failure) if is_maildir => self.fail(&course, failure),
            Err(failure) => self.fail_to_owner(&course, failure).await,
        }
    }

    /// A command that an alias or file names.
    pub(super) async fn command(&mut self, course: Course, command: Vec<u8>) {
        let Some(task) = self.authority_task(&course) else {
            return self.fail(&course, Failure::of_configuration(5));
        };
        let facts = course.facts(&self.agent.settings.extensions, &self.job.message.envelope.client);
        let request = Request::Command { command: command.clone(), prelude: self.prelude(&course), facts };
        self.run_command(course, &task, request, &command).await
    }

    async fn run_command(&mut self, course: Course, task: &Task, request: Request, command: &[u8]) {
        let uid = course.uid().to_string();
        let place = [&course.name.user[..], b":", uid.as_bytes(), b" ", command].concat();
        if self.duplicates.been_here("command", &place) {
            return;
        }
        if self.is_probe() {
            let said = format!("delivers to command: {}", lossy(command));
            return self.sent(&course, said, Success::Delivered);
        }
        let answer = self.conversation.ask(task, &request, Some(&self.job.message.content)).await;
        match self.take_answer(answer) {
            Ok(said) => self.sent(&course, said, Success::Delivered),
            Err(failure) => self.fail_to_owner(&course, failure).await,
        }
    }

    fn authority_task(&self, course: &Course) -> Option<Task> {
        Some(match course.authority.as_ref()? {
            Authority::User { user } => self.user_task(user),
            Authority::Alias { table, name, includes } => self.alias_task(table, name, includes),
        })
    }

    fn take_answer(&self, answer: Answer) -> Result<String, Failure> {
        self.log_notes(answer.notes);
        match answer.reply? {
            Reply::Delivered { said, notes } => {
                self.log_notes(notes);
                Ok(said)
            }
            Reply::Failed { failure, notes } => {
                self.log_notes(notes);
                Err(failure)
            }
            _ => Err(Failure::of_system("not an answer to a delivery")),
        }
    }

    fn prelude(&self, course: &Course) -> Prelude {
        Prelude {
            sender: course.sender.clone(),
            original_to: course.original.clone(),
            delivered_to: course.delivered.clone(),
            now: (self.agent.now)(),
        }
    }

    /// The user's mailbox, or what takes its place. False: there is no such user.
    pub(super) async fn mailbox(&mut self, mut course: Course) -> bool {
        if self.duplicates.been_here("mailbox", &course.name.local) {
            return true;
        }
        let (tables, local) = (&self.agent.tables, &self.agent.settings.local);
        let transport = tables.mailbox_transport_maps.get(&course.name.user, true).await;
        match self.or_parameter(&course, transport, &local.mailbox_transport) {
            Ok(None) => {}
            Ok(Some(transport)) => {
                self.pass(course, &lossy(&transport)).await;
                return true;
            }
            Err(Reported) => return true,
        }
        let account = match self.account(&course).await {
            Ok(Some(account)) => account,
            Ok(None) => return false,
            Err(Reported) => return true,
        };
        let task = self.user_task(&account.name);
        course.person = Some(account);
        let command = tables.mailbox_command_maps.get(&course.name.user, true).await;
        match self.or_parameter(&course, command, &local.mailbox_command) {
            Ok(None) => self.own_mailbox(course, &task).await,
            Ok(Some(command)) => {
                let client = &self.job.message.envelope.client;
                let facts = course.facts(&self.agent.settings.extensions, client);
                let (prelude, wanted) = (self.prelude(&course), command.clone());
                let request = Request::MailboxCommand { command: wanted, prelude, facts };
                self.run_command(course, &task, request, &command).await;
            }
            Err(Reported) => {}
        }
        true
    }

    /// What a table has for the user, else the parameter's value; None: neither.
    fn or_parameter(
        &mut self,
        course: &Course,
        found: tables::Found,
        parameter: &str,
    ) -> Result<Option<Vec<u8>>, Reported> {
        match found {
            Ok(Some(value)) => Ok(Some(value.to_vec())),
            Ok(None) => Ok((!parameter.is_empty()).then(|| parameter.as_bytes().to_vec())),
            Err(later) => {
                self.warn(format_args!("{later}"));
                self.fail(course, Failure::of_system("table lookup failure"));
                Err(Reported)
            }
        }
    }

    async fn own_mailbox(&mut self, mut course: Course, task: &Task) {
        if self.is_probe() {
            let local = &self.agent.settings.local;
            let place =
                if local.home_mailbox.is_empty() { &local.mail_spool_directory } else { &local.home_mailbox };
            let kind = if place.ends_with('/') { "maildir" } else { "mailbox" };
            return self.sent(&course, format!("delivers to {kind}"), Success::Delivered);
        }
        self.renew_delivered(&mut course);
        let request = Request::Mailbox { prelude: self.prelude(&course) };
        let answer = self.conversation.ask(task, &request, Some(&self.job.message.content)).await;
        match self.take_answer(answer) {
            Ok(said) => self.sent(&course, said, Success::Delivered),
            Err(failure) => self.fail(&course, failure),
        }
    }

    /// `require_home_directory`. True: it is not there, and that was reported.
    pub(super) async fn check_home(&mut self, course: &Course) -> bool {
        if !self.agent.settings.local.require_home_directory {
            return false;
        }
        let account = match self.account(course).await {
            Ok(Some(account)) => account,
            Ok(None) => return false,
            Err(Reported) => return true,
        };
        let answer = self.conversation.ask(&self.user_task(&account.name), &Request::Home, None).await;
        match self.take_answer(answer) {
            Ok(_) => false,
            Err(failure) => {
                self.fail(course, failure);
                true
            }
        }
    }

    /// The user of this name.
    pub(super) async fn account(&mut self, course: &Course) -> Result<Option<Account>, Reported> {
        let Ok(name) = String::from_utf8(course.name.user.clone()) else { return Ok(None) };
        if name.contains(['\0', '/', ':', '\n']) {
            return Ok(None);
        }
        let find = self.agent.find_account;
        let asked = name.clone();
        let found = tokio::task::spawn_blocking(move || find(&asked)).await;
        match found.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(account) => Ok(account),
            Err(why) => {
                self.warn(format_args!("error looking up passwd info for {name}: {why}"));
                self.fail(course, Failure::new(DsnStatus::new(4, 0, 0), "user lookup error"));
                Err(Reported)
            }
        }
    }

    /// Neither alias nor user: `fallback_transport`, `luser_relay`, or back to the sender.
    pub(super) async fn unknown(&mut self, mut course: Course) {
        if self.duplicates.been_here("unknown", &course.name.local) {
            return;
        }
        let (tables, local) = (&self.agent.tables, &self.agent.settings.local);
        let transport = tables.fallback_transport_maps.get(&course.name.user, true).await;
        match self.or_parameter(&course, transport, &local.fallback_transport) {
            Ok(None) => {}
            Ok(Some(transport)) => return self.pass(course, &lossy(&transport)).await,
            Err(Reported) => return,
        }
        let user = lossy(&course.name.user);
        let unknown = || Failure::new(DsnStatus::new(5, 1, 1), format!("unknown user: \"{user}\""));
        if !local.luser_relay.is_empty() {
            course.unmatched = None;
            let relay = self.expand_luser_relay(&course).into_bytes();
            let standard = self.agent.router.standard_external(&relay, route::Context::Local);
            return match same(&standard, course.recipient.as_bytes()) {
                true => self.fail(&course, unknown()),
                false => self.address(course, &relay).await,
            };
        }
        if ["mailer-daemon", "postmaster"].iter().any(|name| same(name.as_bytes(), &course.name.user)) {
            self.warn(format_args!("required alias not found: {user}"));
            return self.sent(&course, "discarded".into(), Success::Delivered);
        }
        self.fail(&course, unknown())
    }

    fn expand_luser_relay(&self, course: &Course) -> String {
        let name = &course.name;
        let delimiter = name.delimiter(&self.agent.settings.extensions).map(|d| char::from(d).to_string());
        let person = course.person.as_ref();
        let lookup = |wanted: &str| {
            let text = match wanted {
                "user" => lossy(&name.user),
                "home" => person?.home.clone(),
                "shell" => person?.shell.clone(),
                "domain" => lossy(name.domain.as_deref()?),
                "local" | "mailbox" => lossy(&name.local),
                "recipient" => internal(&course.recipient),
                "extension" => lossy(name.extension.as_deref()?),
                "recipient_delimiter" => delimiter.clone()?,
                _ => return None,
            };
            Some(Cow::Owned(text))
        };
        let pattern = &self.agent.settings.local.luser_relay;
        let expanded = expand(pattern, Options { recursive: false, filter: None }, &lookup);
        expanded.map_or_else(|_| pattern.clone(), |expanded| expanded.text)
    }

    /// Has another transport deliver: `transport:nexthop`, with this job's nexthop if none is named.
    async fn pass(&mut self, course: Course, destination: &str) {
        let (transport, nexthop) = destination.split_once(':').unwrap_or((destination, ""));
        let id = self.job.message.id;
        self.agent.log.info(format_args!("{id}: passing <{}> to transport={transport}", course.recipient));
        let Some((agent, log)) = self.agent.transports.find(transport) else {
            self.warn(format_args!("{id}: there is no transport {transport} in master.cf"));
            return self.fail(&course, Failure::of_system("mail transport unavailable"));
        };
        let nexthop: Arc<str> = if nexthop.is_empty() { self.job.nexthop.clone() } else { nexthop.into() };
        let job = Job {
            message: self.job.message.clone(),
            purpose: self.job.purpose,
            sender: self.job.sender.clone(),
            nexthop,
            recipients: vec![JobRecipient { index: self.recipient.index, address: course.recipient.clone() }],
            reuse: self.job.reuse,
            reports: self.job.reports.clone(),
        };
        let member = member_of(&course, self.is_all(&course));
        let is_all = member.is_none();
        let fate = pass(agent, log, job, member).await;
        if is_all {
            return self.note_reported(fate);
        }
        let failure = Failure::of_system(format!("passed to transport={transport}"));
        let outcome = self.outcome(fate, failure);
        self.note_fate(fate, outcome);
    }
}

fn member_of(course: &Course, is_all: bool) -> Option<Member> {
    let address: Address = course.recipient.clone();
    (!is_all).then(|| Member { address, is_of_list: course.is_of_list, return_to: None })
}
