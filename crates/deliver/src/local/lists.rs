//! Lists of destinations: an alias's right side, a user's `.forward`, an included list.

use super::course::{Authority, Course, Origin};
use super::expand::{Expansion, LEVEL_LIMIT, lossy};
use super::leaves::Reported;
use crate::command::Note;
use crate::destinations::{Destination, destinations, lines};
use crate::failure::Failure;
use crate::process::{ForwardFile, Reply, Request, Task, in_home};
use qmgr::Success;
use std::collections::VecDeque;

impl Expansion<'_> {
    pub(super) async fn destination(&mut self, course: Course, destination: Destination) {
        match destination {
            Destination::File(path) => self.file(course, path).await,
            Destination::HomeFile(path) => self.home_file(course, path).await,
            Destination::Command(_) if !self.agent.settings.allows_commands(course.origin) => {
                let why = "mail to command is restricted";
                self.fail(&course, Failure::new(mail::DsnStatus::new(5, 7, 1), why))
            }
            Destination::Command(command) => self.command(course, command).await,
            Destination::Include(path) => self.include(course, path).await,
            Destination::Address(external) => self.address(course, &external).await,
        }
    }

    async fn home_file(&mut self, course: Course, path: Vec<u8>) {
        let home = course.person.as_ref().map(|person| person.home.clone());
        if !path.starts_with(b"~/") {
            self.warn(format_args!("bad home directory syntax for: {}", lossy(&path)));
            return self.fail(&course, Failure::of_configuration(5));
        }
        match in_home(&path, home.as_deref()) {
            Some(path) => self.file(course, path).await,
            None => {
                self.warn(format_args!("unknown home directory for: {}", lossy(&path)));
                self.fail(&course, Failure::of_configuration(5))
            }
        }
    }

    fn parse_lines(&self, text: &[u8]) -> VecDeque<Vec<Destination>> {
        lines(text, self.agent.settings.line_length_limit)
            .map(destinations)
            .filter(|all| !all.is_empty())
            .collect()
    }

    /// The user's `.forward`. False: there is none, or it says nothing, or this is its own doing.
    pub(super) async fn forward_file(&mut self, mut course: Course) -> bool {
        course.level += 1;
        if self.agent.settings.local.forward_path.is_empty() {
            return false;
        }
        let account = match self.account(&course).await {
            Ok(Some(account)) => account,
            Ok(None) => return false,
            Err(Reported) => return true,
        };
        self.renew_delivered(&mut course);
        course.origin = Some(Origin::Forward);
        course.owner = Some(course.name.user.clone());
        course.authority = Some(Authority::User { user: account.name.clone() });
        let task = self.user_task(&account.name);
        course.person = Some(account);
        let facts = course.facts(&self.agent.settings.extensions, &self.job.message.envelope.client);
        let is_first = !self.conversation.has(&task);
        let answer = self.conversation.ask(&task, &Request::Forward { facts, is_first }, None).await;
        self.log_notes(answer.notes);
        match answer.reply {
            Ok(Reply::Forward { file: None, .. }) => return false,
            Ok(Reply::Forward { file: Some(file), notes }) => {
                return self.expand_forward_file(course, file, notes);
            }
            Ok(Reply::Failed { failure, .. }) | Err(failure) => self.fail(&course, failure),
            Ok(_) => self.fail(&course, Failure::of_system("not a .forward file")),
        }
        true
    }

    /// False: the mail goes to the mailbox.
    fn expand_forward_file(&mut self, mut course: Course, file: ForwardFile, notes: Vec<Note>) -> bool {
        let ForwardFile { path, has_extension, text } = file;
        if has_extension || !self.agent.settings.propagates(Origin::Forward) {
            course.unmatched = None;
        }
        if self.is_server_probe() {
            self.sent(&course, format!("forward via file: {path}"), Success::Delivered);
            return true;
        }
        if self.duplicates.been_here("forward", path.as_bytes()) {
            // In its own expansion it means the mailbox; once it is done, nothing more.
            return self.duplicates.was_here("forward-done", path.as_bytes());
        }
        self.log_notes(notes);
        let lines = self.parse_lines(&text.unwrap_or_default());
        if lines.is_empty() {
            return false;
        }
        course.expanded_from = Some(course.name.local.clone());
        let notified = course.notify;
        course.without_success();
        self.note_expanded(notified, &course);
        self.add_lines(course, lines, Some(path));
        true
    }

    /// `:include:`.
    async fn include(&mut self, mut course: Course, path: Vec<u8>) {
        course.level += 1;
        if course.level > LEVEL_LIMIT {
            return self.fail_loop(&course, &path);
        }
        let place = [course.uid().to_string().as_bytes(), b" ", &path].concat();
        if self.duplicates.been_here("include", &place) {
            return;
        }
        course.expanded_from = Some(course.name.local.clone());
        let text = match self.read_list(&mut course, &path).await {
            Ok(text) => text,
            Err(failure) => return self.fail(&course, failure),
        };
        course.origin = Some(Origin::Include);
        if course.owner.is_none() {
            course.owner = Some(course.recipient.as_bytes().to_vec());
        }
        if !self.agent.settings.propagates(Origin::Include) {
            course.unmatched = None;
        }
        let lines = self.parse_lines(&text);
        self.add_lines(course, lines, None);
    }

    /// Has the list read by whoever may. A list of a user's in an alias of root's lends that user's rights.
    async fn read_list(&mut self, course: &mut Course, path: &[u8]) -> Result<Vec<u8>, Failure> {
        match course.authority.clone() {
            Some(Authority::User { user }) => {
                let request = Request::Include { path: path.to_vec() };
                let answer = self.conversation.ask(&self.user_task(&user), &request, None).await;
                self.log_notes(answer.notes);
                match answer.reply? {
                    Reply::List { text, notes } => {
                        self.log_notes(notes);
                        Ok(text)
                    }
                    Reply::Failed { failure, notes } => {
                        self.log_notes(notes);
                        Err(failure)
                    }
                    _ => Err(Failure::of_system("not a list")),
                }
            }
            Some(Authority::Alias { table, name, mut includes }) => {
                includes.push(path.to_vec());
                let task = self.alias_task(&table, &name, &includes);
                let (greeting, notes) = self.conversation.greet(&task).await;
                self.log_notes(notes);
                let greeting = greeting?;
                course.authority = Some(Authority::Alias { table, name, includes });
                if course.person.is_none() && greeting.uid != 0 {
                    course.person = self.person_of(greeting.uid).await;
                }
                greeting.list.ok_or_else(|| Failure::of_system("not a list"))
            }
            None => Err(Failure::of_configuration(5)),
        }
    }

    async fn person_of(&self, uid: u32) -> Option<super::Account> {
        let find = move || nix::unistd::User::from_uid(uid.into()).ok().flatten().map(super::account);
        tokio::task::spawn_blocking(find).await.ok().flatten()
    }

    pub(super) fn user_task(&self, user: &str) -> Task {
        Task::User { service: self.agent.settings.service.clone(), user: user.to_owned() }
    }

    pub(super) fn alias_task(&self, table: &str, name: &[u8], includes: &[Vec<u8>]) -> Task {
        Task::Alias {
            service: self.agent.settings.service.clone(),
            table: table.to_owned(),
            name: name.to_vec(),
            includes: includes.to_vec(),
        }
    }
}
