//! One recipient's way: through aliases and files to mailboxes, commands, other addresses.
//!
//! The order and the inheritance are Postfix's, down to what counts as a duplicate, so that set-ups that lean on them work.

use super::LocalAgent;
use super::course::{Authority, Course, Name, Origin};
use super::loops::{DeliveredTo, Duplicates};
use super::resubmit::{Bundle, Forwarded, Gathered};
use crate::command::Note;
use crate::destinations::{Destination, destinations};
use crate::failure::Failure;
use crate::process::client::Conversation;
use crate::reports::{log_notes, warn_of_status};
use mail::{Address, DsnStatus, Fate, Notify, Outcome};
use qmgr::{Expanded, Job, JobRecipient, Member, Purpose, Report, Success};
use route::Context;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tables::{Owner, TryLater};

/// How many steps may lie in one another before it is taken for an alias loop; it has no parameter.
pub(super) const LEVEL_LIMIT: u32 = 100;

/// What is left to do for a recipient, the nearest last.
enum Work {
    /// One local address.
    Recipient(Course),
    /// Destinations of a right side or a line.
    Destinations(Course, VecDeque<Destination>),
    Lines(Lines),
}

/// The lines of a file. After one of which something is left to be tried again the others wait too.
pub(super) struct Lines {
    pub(super) course: Course,
    pub(super) lines: VecDeque<Vec<Destination>>,
    /// The `.forward` that this is, to be remembered when it is done.
    pub(super) forward: Option<String>,
    /// How many deferrals there were when the last line began.
    deferrals: usize,
}

/// The delivery to one recipient.
pub(super) struct Expansion<'a> {
    pub(super) agent: &'a LocalAgent,
    pub(super) job: &'a Job,
    pub(super) recipient: &'a JobRecipient,
    delivered_to: Arc<DeliveredTo>,
    pub(super) duplicates: Duplicates,
    pub(super) gathered: Gathered,
    pub(super) conversation: Conversation,
    started: Instant,
    work: Vec<Work>,
    /// The recipient itself was reported: it was no alias, and nothing else.
    is_reported: bool,
    /// How often something was deferred; the last of them, and the last bounce.
    deferrals: usize,
    deferred: Option<Outcome>,
    bounced: Option<Outcome>,
    expanded: Option<Expanded>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(
        agent: &'a LocalAgent,
        job: &'a Job,
        recipient: &'a JobRecipient,
        delivered_to: Arc<DeliveredTo>,
    ) -> Expansion<'a> {
        let limit = agent.settings.local.duplicate_filter_limit.max(0) as usize;
        Expansion {
            agent,
            job,
            recipient,
            delivered_to,
            duplicates: Duplicates::new(limit),
            gathered: Gathered::default(),
            conversation: Conversation::new(agent.processes.clone()),
            started: Instant::now(),
            work: Vec::new(),
            is_reported: false,
            deferrals: 0,
            deferred: None,
            bounced: None,
            expanded: None,
        }
    }

    pub(super) async fn run(mut self) {
        let envelope = &self.job.message.envelope;
        let recipient = &envelope.recipients[self.recipient.index as usize];
        let mut course = Course::new(&self.job.sender, &self.recipient.address, recipient);
        (course.ret, course.envid) = (envelope.ret, envelope.envid.clone());
        if !self.agent.settings.enable_original_recipient {
            course.original = None;
        }
        let top = course.clone();
        self.work.push(Work::Recipient(course));
        while let Some(work) = self.work.pop() {
            self.go_on(work).await;
        }
        // Postfix: while one member waits nothing is sent on; it would be sent again the next time.
        let bundles = self.gathered.take();
        if self.deferrals == 0 {
            for bundle in bundles {
                self.send_on(&top, bundle).await;
            }
        }
        self.settle();
    }

    async fn go_on(&mut self, work: Work) {
        match work {
            Work::Recipient(course) => self.recipient(course).await,
            Work::Destinations(course, mut rest) => {
                if let Some(next) = rest.pop_front() {
                    self.work.push(Work::Destinations(course.clone(), rest));
                    self.destination(course, next).await;
                }
            }
            Work::Lines(mut lines) => {
                let is_deferred = self.deferrals > lines.deferrals;
                let next = lines.lines.pop_front().filter(|_| !is_deferred);
                if let Some(next) = next {
                    let course = lines.course.clone();
                    lines.deferrals = self.deferrals;
                    self.work.push(Work::Lines(lines));
                    self.work.push(Work::Destinations(course, next.into()));
                } else if let Some(path) = lines.forward {
                    self.duplicates.been_here("forward-done", path.as_bytes());
                }
            }
        }
    }

    pub(super) fn add_lines(
        &mut self,
        course: Course,
        lines: VecDeque<Vec<Destination>>,
        forward: Option<String>,
    ) {
        let deferrals = self.deferrals;
        self.work.push(Work::Lines(Lines { course, lines, forward, deferrals }));
    }

    fn settle(&mut self) {
        if self.is_reported {
            return;
        }
        let outcome = match (self.deferred.take(), self.bounced.take()) {
            (Some(deferred), _) => deferred,
            (None, Some(bounced)) => bounced,
            (None, None) => self.outcome(Fate::Sent, sent("delivered")),
        };
        let expanded = self.expanded.take().filter(|_| outcome.fate != Fate::Deferred);
        self.job.reports.settle(outcome, expanded);
    }

    /// Sends gathered mail on as a new message.
    async fn send_on(&mut self, top: &Course, bundle: Bundle) {
        let envelope = &self.job.message.envelope;
        let is_of_list = bundle.is_of_list;
        let marks = self.agent.settings.prepends_delivered_header("forward");
        let message = Forwarded {
            sender: bundle.sender,
            recipients: bundle.recipients,
            delivered_to: marks.then(|| super::loops::fold(bundle.delivered.as_bytes())),
            content: self.job.message.content.clone(),
            ret: envelope.ret.filter(|_| !is_of_list),
            envid: envelope.envid.clone().filter(|_| !is_of_list),
            client: envelope.client.clone(),
            encoding: envelope.encoding,
            smtputf8: envelope.smtputf8,
            rewrite_local: envelope.rewrite_local,
        };
        match self.agent.forward.forward(message).await {
            // A member's report, though it bears the recipient's address: who wants to hear of success is told of the expansion.
            Ok(id) => {
                let outcome = self.outcome(Fate::Sent, sent(format!("forwarded as {id}")));
                self.report_as_member(top, outcome, Success::Relayed, None)
            }
            Err(why) => {
                self.agent.log.warning(format_args!("{}: cannot forward: {why}", self.job.message.id));
                self.fail(top, Failure::of_system("unable to forward message"))
            }
        }
    }

    /// One local address.
    async fn recipient(&mut self, mut course: Course) {
        course.level += 1;
        let place = [course.level.to_string().as_bytes(), b" ", course.recipient.as_bytes()].concat();
        if self.duplicates.been_here("recipient", &place) {
            return;
        }
        if self.delivered_to.has(&course.recipient) {
            let why = format!("mail forwarding loop for {}", internal(&course.recipient));
            return self.fail_to_owner(&course, Failure::new(DsnStatus::new(5, 4, 6), why)).await;
        }
        course.delivered.get_or_insert_with(|| course.recipient.clone());
        let (name, is_illegal) = Name::of(&course.recipient, &self.agent.settings.extensions);
        if name.domain.is_none() {
            self.warn(format_args!("no @ in recipient address: {}", lossy(&name.local)));
        }
        if is_illegal {
            let (id, local) = (self.job.message.id, lossy(course.recipient.local()));
            self.warn(format_args!("{id}: address with illegal extension: {local}"));
        }
        course.unmatched = name.extension.clone();
        course.name = name;
        if course.name.user.is_empty() {
            let why = format!("null username in \"{}\"", internal(&course.recipient));
            return self.fail(&course, Failure::new(DsnStatus::new(5, 1, 3), why));
        }
        self.switch(course).await;
    }

    /// Alias, `.forward`, mailbox: in this order.
    async fn switch(&mut self, mut course: Course) {
        course.level += 1;
        if let Some(plain) = course.recipient.as_bytes().strip_prefix(b"\\") {
            // `\user`: the mailbox, whatever aliases and files say.
            course.recipient = Address::from(plain);
            course.name.local.remove(0);
            course.name.user.remove(0);
            if !self.mailbox(course.clone()).await {
                self.unknown(course).await;
            }
            return;
        }
        course.unmatched = None;
        let (local, user) = (course.name.local.clone(), course.name.user.clone());
        if self.alias(course.clone(), &local).await {
            return;
        }
        if let Some(extension) = course.name.extension.clone() {
            let propagates = self.agent.settings.propagates(Origin::Alias);
            course.unmatched = Some(extension.clone()).filter(|_| propagates);
            if self.alias(course.clone(), &user).await {
                return;
            }
            course.unmatched = Some(extension);
        }
        // Mail that a list or a user's file sends to another user goes as a new message, with a record of its own.
        let is_of_another = course.owner.as_ref().is_some_and(|owner| !same(owner, &user));
        if is_of_another || course.origin == Some(Origin::Include) {
            return self.indirect(&course);
        }
        let is_taken = self.check_home(&course).await
            || self.forward_file(course.clone()).await
            || self.mailbox(course.clone()).await;
        if !is_taken {
            self.unknown(course).await;
        }
    }

    /// False: there is no such alias.
    async fn alias(&mut self, mut course: Course, name: &[u8]) -> bool {
        course.level += 1;
        if course.expanded_from.as_ref().is_some_and(|from| same(from, name)) {
            return false;
        }
        if course.level > LEVEL_LIMIT {
            self.fail_loop(&course, name);
            return true;
        }
        course.expanded_from = Some(name.to_vec());
        let agent = self.agent;
        for (spec, table) in &agent.tables.alias_maps {
            match table.get(name).await {
                Ok(None) => {}
                Ok(Some(right_side)) => {
                    self.expand_alias(course, spec, table.owner(), name, &right_side).await;
                    return true;
                }
                Err(_) => {
                    self.warn(format_args!("{}: lookup of '{}' failed", table.name(), lossy(name)));
                    self.fail(&course, Failure::of_system("alias database unavailable"));
                    return true;
                }
            }
        }
        false
    }

    pub(super) fn fail_loop(&mut self, course: &Course, name: &[u8]) {
        let why = format!("alias database loop for {}", lossy(name));
        self.warn(format_args!("{why}"));
        self.fail(course, Failure::new(DsnStatus::new(5, 4, 6), why));
    }

    async fn expand_alias(
        &mut self,
        mut course: Course,
        table: &str,
        owner: Owner,
        name: &[u8],
        right_side: &[u8],
    ) {
        if self.is_server_probe() {
            return self.sent(&course, format!("aliased to {}", lossy(right_side)), Success::Delivered);
        }
        course.origin = Some(Origin::Alias);
        course.person = match owner {
            Owner::Trusted => None,
            Owner::User(uid) => match self.find_owner(uid).await {
                Some(account) => Some(account),
                None => {
                    self.warn(format_args!("cannot find alias database owner for {table}"));
                    return self.fail(&course, Failure::of_system("cannot find alias database owner"));
                }
            },
            Owner::Unknown => {
                self.warn(format_args!("no owner UID for alias database {table}"));
                return self.fail(&course, Failure::of_system("mail system configuration error"));
            }
        };
        course.authority =
            Some(Authority::Alias { table: table.to_owned(), name: name.to_vec(), includes: Vec::new() });
        let notified = course.notify;
        if !self.set_list_owner(&mut course, name).await {
            return self.fail(&course, Failure::of_system("alias database unavailable"));
        }
        self.renew_delivered(&mut course);
        course.without_success();
        let all = destinations(right_side);
        if all.is_empty() {
            self.warn(format_args!("no recipient in alias lookup result for {}", lossy(name)));
            return self.fail(&course, Failure::of_system("alias database unavailable"));
        }
        self.note_expanded(notified, &course);
        self.work.push(Work::Destinations(course, all.into()));
    }

    /// `owner-name`, where there is such an alias, sends the list's mail, and hears of its failures. False: that cannot be known.
    async fn set_list_owner(&self, course: &mut Course, name: &[u8]) -> bool {
        let settings = &self.agent.settings.local;
        let alias = [b"owner-", name].concat();
        let found = match settings.owner_request_special {
            true => self.find_alias(&alias).await,
            false => Ok(None),
        };
        match found {
            Ok(Some(right_side)) => {
                let owner = if settings.expand_owner_alias { &right_side[..] } else { &alias[..] };
                let owner = self.agent.router.standard(&owner.into(), Context::Local);
                course.become_list_mail(&owner);
            }
            Ok(None) if settings.reset_owner_alias => course.owner = None,
            Ok(None) => {}
            Err(_) => return false,
        }
        true
    }

    /// The first right side that any table has; trouble is logged.
    async fn find_alias(&self, name: &[u8]) -> Result<Option<bytes::Bytes>, TryLater> {
        for (_, table) in &self.agent.tables.alias_maps {
            match table.get(name).await {
                Ok(None) => {}
                Ok(Some(right_side)) => return Ok(Some(right_side)),
                Err(later) => {
                    self.warn(format_args!("{} lookup error for \"{}\"", table.name(), lossy(name)));
                    return Err(later);
                }
            }
        }
        Ok(None)
    }

    /// An address that an alias or a file names, as it was written there.
    pub(super) async fn address(&mut self, mut course: Course, external: &[u8]) {
        course.level += 1;
        let router = &self.agent.router;
        let standard = router.standard_external(external, Context::Local);
        let address = Address::new(mail::header::unquote(&standard));
        let route = match router.resolve(&Address::null(), &address).await {
            Ok(route) => route,
            Err(route::Unresolved::TryLater(_)) => {
                return self.fail(&course, Failure::of_system("address resolver failure"));
            }
            Err(route::Unresolved::BadAddress { recipient }) => {
                let why = format!("bad recipient address syntax: {}", internal(&recipient));
                return self.fail(&course, Failure::new(DsnStatus::new(5, 1, 3), why));
            }
        };
        let recipient = self.with_extension(&course, route.recipient);
        course.recipient = recipient;
        match route.transport == self.agent.settings.transport {
            true => self.work.push(Work::Recipient(course)),
            false => self.indirect(&course),
        }
    }

    /// Puts back an extension that is to be passed on.
    fn with_extension(&self, course: &Course, address: Address) -> Address {
        let Some(extension) = &course.unmatched else { return address };
        let delimiter = course.name.delimiter(&self.agent.settings.extensions);
        let (local, rest) = address.as_bytes().split_at(address.local().len());
        Address::new([local, &delimiter.map_or(vec![], |d| vec![d]), extension, rest].concat())
    }

    /// An address whose mail goes on as a new message.
    fn indirect(&mut self, course: &Course) {
        if self.duplicates.been_here("indirect", course.recipient.as_bytes()) {
            return;
        }
        if self.is_probe() {
            let to = internal(&course.recipient);
            return self.sent(course, format!("forwards to {to}"), Success::Relayed);
        }
        let delivered = course.delivered.as_ref().unwrap_or(&course.recipient);
        let recipient = mail::Recipient {
            address: course.recipient.clone(),
            original: course.original.clone(),
            orcpt: course.orcpt.clone(),
            notify: course.notify,
        };
        self.gathered.add(delivered, &course.sender, course.is_of_list, recipient);
    }

    /// `frozen_delivered_to = no`: each expansion counts as a delivery of its own.
    pub(super) fn renew_delivered(&self, course: &mut Course) {
        if !self.agent.settings.local.frozen_delivered_to {
            course.delivered = Some(course.recipient.clone());
        }
    }

    /// Of a recipient whose sender wants reports of success it is told that it was expanded.
    pub(super) fn note_expanded(&mut self, notify: Notify, course: &Course) {
        if notify.has(Notify::SUCCESS) {
            let success = if course.is_of_list { Success::Delivered } else { Success::Expanded };
            self.expanded.get_or_insert(Expanded { address: course.recipient.clone(), success });
        }
    }

    /// A failure that a list's owner hears of, if the address is a list's.
    pub(super) async fn fail_to_owner(&mut self, course: &Course, failure: Failure) {
        let settings = &self.agent.settings.local;
        if !settings.owner_request_special {
            return self.fail(course, failure);
        }
        let local = course.recipient.local();
        let bare = self.agent.settings.extensions.split(local).map(|(bare, _)| bare);
        for name in std::iter::once(local).chain(bare) {
            let alias = [b"owner-", name].concat();
            match self.find_alias(&alias).await {
                Ok(None) => {}
                Ok(Some(right_side)) => {
                    let owner = if settings.expand_owner_alias { &right_side[..] } else { &alias[..] };
                    let owner = self.agent.router.standard(&owner.into(), Context::Local);
                    return self.report_failure(course, failure, Some(owner));
                }
                Err(_) => return self.fail(course, Failure::of_system("alias database unavailable")),
            }
        }
        self.fail(course, failure)
    }

    pub(super) fn fail(&mut self, course: &Course, failure: Failure) {
        self.report_failure(course, failure, None)
    }

    fn report_failure(&mut self, course: &Course, failure: Failure, return_to: Option<Address>) {
        let fate = if failure.is_temporary() { Fate::Deferred } else { Fate::Bounced };
        warn_of_status(&self.agent.log, &failure);
        let outcome = self.outcome(fate, failure);
        self.report(course, outcome, Success::Delivered, return_to)
    }

    pub(super) fn sent(&mut self, course: &Course, said: String, success: Success) {
        let outcome = self.outcome(Fate::Sent, sent(said));
        self.report(course, outcome, success, None)
    }

    fn report(&mut self, course: &Course, outcome: Outcome, success: Success, return_to: Option<Address>) {
        if !self.is_all(course) || return_to.is_some() {
            return self.report_as_member(course, outcome, success, return_to);
        }
        self.is_reported = true;
        self.deferrals += usize::from(outcome.fate == Fate::Deferred);
        self.job.reports.report(self.report_of(outcome, success));
    }

    fn report_as_member(
        &mut self,
        course: &Course,
        outcome: Outcome,
        success: Success,
        return_to: Option<Address>,
    ) {
        let member = Member { address: course.recipient.clone(), is_of_list: course.is_of_list, return_to };
        let fate = self.job.reports.report_member(member, self.report_of(outcome.clone(), success));
        self.note_fate(fate, outcome);
    }

    fn report_of(&self, outcome: Outcome, success: Success) -> Report {
        let relay = self.agent.settings.transport.clone();
        Report { relay, transfer: self.started.elapsed(), success, ..Report::new(outcome) }
    }

    /// Keeps in mind what the recipient is settled with.
    pub(super) fn note_fate(&mut self, fate: Fate, outcome: Outcome) {
        match fate {
            Fate::Sent => {}
            Fate::Bounced => self.bounced = Some(outcome),
            Fate::Deferred => {
                self.deferrals += 1;
                self.deferred = Some(Outcome { fate: Fate::Deferred, ..outcome });
            }
        }
    }

    /// The recipient itself was reported, by another agent.
    pub(super) fn note_reported(&mut self, fate: Fate) {
        self.is_reported = true;
        self.deferrals += usize::from(fate == Fate::Deferred);
    }

    /// Whether what becomes of this address becomes of the recipient: it was not expanded.
    pub(super) fn is_all(&self, course: &Course) -> bool {
        course.origin.is_none() && course.recipient == self.recipient.address && !self.is_reported
    }

    pub(super) fn outcome(&self, fate: Fate, failure: Failure) -> Outcome {
        let Failure { status, reason, diagnostic } = failure;
        let diagnostic = diagnostic.or_else(|| (fate != Fate::Sent).then(|| format!("X-Postfix; {reason}")));
        let (recipient, at) = (self.recipient.index, (self.agent.now)());
        Outcome { recipient, fate, status, reason, remote_mta: None, diagnostic, at }
    }

    pub(super) fn is_probe(&self) -> bool {
        self.job.purpose == Purpose::Probe
    }

    /// Address verification looks no further than an alias.
    pub(super) fn is_server_probe(&self) -> bool {
        const SERVER_PROBE: u32 = 1 << 8;
        let extra = &self.job.message.envelope.extra;
        let flags = extra.iter().find(|(name, _)| name == "trace_flags");
        let flags = flags.and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<u32>().ok());
        self.is_probe() && flags.is_some_and(|flags| flags & SERVER_PROBE != 0)
    }

    async fn find_owner(&self, uid: u32) -> Option<super::Account> {
        let find = move || nix::unistd::User::from_uid(uid.into()).ok().flatten().map(super::account);
        tokio::task::spawn_blocking(find).await.ok().flatten()
    }

    pub(super) fn log_notes(&self, notes: Vec<Note>) {
        log_notes(&self.agent.log, "local", notes);
    }

    pub(super) fn warn(&self, text: std::fmt::Arguments<'_>) {
        self.agent.log.warning(text);
    }
}

fn sent(said: impl Into<String>) -> Failure {
    Failure::new(DsnStatus::new(2, 0, 0), said)
}

pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    super::loops::fold(one) == super::loops::fold(other)
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Texts have addresses without quotes.
pub(super) fn internal(address: &Address) -> String {
    lossy(address.as_bytes())
}
