//! How a list is evaluated: a flat loop over its restrictions. Lists within lists (classes, and names in access tables)
//! are frames on a stack, so nothing here calls itself.
//!
//! A restriction says nothing (`Dunno`), permits, or refuses; the first of the latter two ends the list. Refusals are the
//! error of every function here, since nothing comes after one.

mod access;
mod address;
mod backup;
mod client;
mod delegate;
mod dns;
mod dnslist;
mod listed;
mod refuse;
mod rewrite;
mod server;

use crate::event::{Event, Info, Warning};
use crate::facts::{Facts, Resolved};
use crate::list::{Item, List, Mistake, Restriction};
use crate::names::{Access, Plain};
use crate::restrictions::Restrictions;
use crate::session::Session;
use crate::settings::Settings;
use crate::state::{Notice, Refusal, State};
use mail::{Address, DsnStatus, Reply};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// One evaluation: what it knows, and what it has gathered.
pub(crate) struct Evaluation<'a, F> {
    rules: &'a Restrictions,
    session: Session<'a>,
    state: &'a mut State,
    facts: &'a F,
    /// Something could not be told: what would be permitted is answered with this.
    defer_if_permit: Option<Refusal>,
    /// Something could not be told: what would be refused for good is answered with this.
    defer_if_reject: Option<Refusal>,
    /// The level of the list with the `warn_if_reject` that is in force.
    warn_if_reject: Option<usize>,
    /// How many lists deep this is.
    level: usize,
    /// Default actions of policy servers that are being carried out.
    default_actions: usize,
    /// The recipient's routing, once it was asked for.
    recipient: Option<Resolved>,
}

/// What a list says in the end, unless it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Dunno,
    Permit,
}

/// What one restriction says, unless it refuses.
enum Flow<'a> {
    Dunno,
    Permit,
    /// It is a list of its own.
    Enter(Box<Frame<'a>>),
}

type Step<'a> = Result<Flow<'a>, Reply>;

/// What replies name, and what a bare table in the list is searched for.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    name: Cow<'a, [u8]>,
    class: ReplyClass,
    bare: Option<Access>,
}

/// What is rejected, in the words of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyClass {
    Client,
    ReverseClient,
    Certificate,
    Sasl,
    Helo,
    Sender,
    Recipient,
    Etrn,
    Data,
    EndOfData,
}

/// A list that is being worked through.
struct Frame<'a> {
    list: ListRef<'a>,
    next: usize,
    target: Target<'a>,
    after: After,
}

enum ListRef<'a> {
    Configured(&'a List),
    /// From an access table.
    Found(Arc<List>),
}

/// What is left to do with a list's verdict, in the list that it stands in.
enum After {
    Nothing,
    /// Whoever permits here could be anybody: `restriction` with what it looked at.
    ForbidPermit {
        restriction: String,
        target: String,
    },
    /// A source-routed recipient is permitted by no table.
    DistrustPermit,
    /// It was the default action of a policy server.
    DefaultAction,
    /// Other keys of a client certificate come next.
    NextCertificateKey {
        table: crate::facts::Table,
        keys: Vec<crate::list::CertificateKey>,
    },
}

/// Lists within lists, at most.
const DEPTH_LIMIT: usize = 100;

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(crate) fn new(
        rules: &'a Restrictions,
        session: &Session<'a>,
        state: &'a mut State,
        facts: &'a F,
        earlier: Option<Refusal>,
    ) -> Self {
        Evaluation {
            rules,
            session: *session,
            state,
            facts,
            defer_if_permit: earlier,
            defer_if_reject: None,
            warn_if_reject: None,
            level: 0,
            default_actions: 0,
            recipient: None,
        }
    }

    /// What later stages are to know of.
    pub(crate) fn into_deferral(self) -> Option<Refusal> {
        self.defer_if_permit
    }

    /// Asks a list. What it gathers stays for the next one.
    pub(crate) async fn run(&mut self, list: &'a List, target: Target<'a>) -> Result<Verdict, Reply> {
        let mut outer: Vec<Frame<'a>> = Vec::new();
        let mut frame = Frame { list: ListRef::Configured(list), next: 0, target, after: After::Nothing };
        self.warn_if_reject = None;
        loop {
            self.level = outer.len() + 1;
            let mut flow = match frame.list.get().items.get(frame.next) {
                Some(item) if !self.state.effects.discard => {
                    frame.next += 1;
                    if item.restriction == Restriction::Plain(Plain::WarnIfReject) {
                        self.warn_if_reject.get_or_insert(self.level);
                        continue;
                    }
                    self.apply(frame.list.get(), item, &frame.target).await?
                }
                _ => match outer.pop() {
                    None => return Ok(Verdict::Dunno),
                    Some(parent) => {
                        let after = std::mem::replace(&mut frame, parent).after;
                        self.after_dunno(after, &frame.target).await?
                    }
                },
            };
            while let Flow::Permit = flow {
                let Some(parent) = outer.pop() else {
                    return Ok(Verdict::Permit);
                };
                let after = std::mem::replace(&mut frame, parent).after;
                flow = self.after_permit(after)?;
            }
            match flow {
                Flow::Enter(inner) => outer.push(std::mem::replace(&mut frame, *inner)),
                Flow::Dunno | Flow::Permit => {
                    let level = outer.len() + 1;
                    self.warn_if_reject = self.warn_if_reject.filter(|warned| *warned < level);
                    if self.defer_if_permit.is_some() && self.defer_if_reject.is_some() {
                        return Ok(Verdict::Dunno);
                    }
                }
            }
        }
    }

    /// Carries an earlier failure to decide through to the end: what would be accepted is put off.
    pub(crate) fn refuse_if_deferred(&mut self) -> Result<(), Reply> {
        self.warn_if_reject = None;
        match self.defer_if_permit.clone() {
            Some(refusal) => Err(self.refuse(refusal)),
            None => Ok(()),
        }
    }

    pub(crate) fn recipient_target(&self) -> Target<'a> {
        let recipient = self.session.recipient.map_or(&b""[..], Address::as_bytes);
        Target::new(recipient, ReplyClass::Recipient, Some(Access::Recipient))
    }

    /// Logs a remark about a default of old and the recipient it was in force for.
    pub(crate) fn say_compat(&self, info: impl FnOnce(String, &'a str) -> Info<'a>) {
        let recipient = self.session.recipient.map_or(&b""[..], Address::as_bytes);
        self.say(info(self.printable(recipient), self.session.namaddr));
    }

    async fn apply(&mut self, list: &List, item: &Item, target: &Target<'a>) -> Step<'a> {
        match &item.restriction {
            Restriction::Plain(plain) => self.plain(*plain, list, item, target).await,
            Restriction::Table(access, table) => {
                self.check_access(*access, table, list.name(item), target).await
            }
            Restriction::BareTable(table) => match target.bare {
                Some(access) => self.check_access(access, table, "", target).await,
                None => {
                    self.warn(Warning::BareTable { class: target.class.as_str(), table: &table.name });
                    Err(self.server_error())
                }
            },
            Restriction::Certificate(table, keys) => self.check_certificate(table, keys, target).await,
            Restriction::ServerTable(whose, record, table) => {
                self.check_server_access(*whose, *record, table, list.name(item), target).await
            }
            Restriction::DnsList(dns_list, name) => {
                self.check_dns_list(*dns_list, name, list.name(item)).await
            }
            Restriction::Server(service) => self.check_policy_service(service, target).await,
            Restriction::Sleep(time) => {
                self.facts.sleep(*time).await;
                Ok(Flow::Dunno)
            }
            Restriction::Class(class) => self.enter_class(*class, list.name(item), target),
            Restriction::Mistake(mistake) => self.mistake(list, item, mistake),
        }
    }

    fn enter_class(&mut self, class: usize, name: &str, target: &Target<'a>) -> Step<'a> {
        // tables are to say it first, as in Postfix, which knows no limit here
        if self.level > 2 * DEPTH_LIMIT {
            self.warn(Warning::ClassRecursion(name));
            return Err(self.server_error());
        }
        let list = self.rules.classes.get(class).expect("there is a list for every class's name");
        Ok(Flow::enter(ListRef::Configured(list), target.clone(), After::Nothing))
    }

    fn mistake(&mut self, list: &List, item: &Item, mistake: &Mistake) -> Step<'a> {
        self.warn(list.warning(item, mistake));
        match mistake {
            Mistake::NeedsDomain => Ok(Flow::Dunno),
            _ => Err(self.server_error()),
        }
    }

    async fn plain(&mut self, plain: Plain, list: &List, item: &Item, target: &Target<'a>) -> Step<'a> {
        let name = list.name(item);
        let settings = self.settings();
        match plain {
            Plain::Permit => {
                let flow = self.permit(name, target, None).await;
                self.warn_of_ignored(list, item, "permit", false);
                flow
            }
            Plain::Defer => {
                let code = settings.defer_code;
                let flow = self.reject(code, DsnStatus::new(4, 3, 2), target.rejected("Try again later"));
                self.warn_of_ignored(list, item, "defer", true);
                flow
            }
            Plain::Reject => {
                let code = settings.reject_code;
                let flow = self.reject(code, DsnStatus::new(5, 7, 1), target.rejected("Access denied"));
                self.warn_of_ignored(list, item, "reject", true);
                flow
            }
            Plain::DeferIfPermit => {
                let text = target.rejected("defer_if_permit requested");
                self.defer_or_reject(450, DsnStatus::new(4, 7, 0), text)
            }
            Plain::DeferIfReject => {
                let text = target.rejected("defer_if_reject requested");
                self.defer_if_reject(450, DsnStatus::new(4, 7, 0), text);
                Ok(Flow::Dunno)
            }
            Plain::WarnIfReject => Ok(Flow::Dunno),
            Plain::RejectUnauthPipelining => self.reject_unauth_pipelining(target),
            Plain::RejectPlaintextSession => self.reject_plaintext_session(),
            Plain::RejectMultiRecipientBounce => self.reject_multi_recipient_bounce(target),
            Plain::RejectUnknownClientHostname => self.reject_unknown_client_hostname(),
            Plain::RejectUnknownReverseClientHostname => self.reject_unknown_reverse_client_hostname(),
            Plain::PermitInetInterfaces => self.permit_inet_interfaces(name).await,
            Plain::PermitMynetworks => self.permit_mynetworks(name, target).await,
            Plain::PermitSaslAuthenticated => self.permit_sasl_authenticated(name).await,
            Plain::PermitTlsAllClientcerts => self.permit_tls_clientcerts(name, true, target).await,
            Plain::PermitTlsClientcerts => self.permit_tls_clientcerts(name, false, target).await,
            Plain::RejectMapsRbl => self.reject_maps_rbl().await,
            Plain::RejectInvalidHeloHostname => self.reject_invalid_helo_hostname(),
            Plain::RejectNonFqdnHeloHostname => self.reject_non_fqdn_helo_hostname(),
            Plain::RejectUnknownHeloHostname => self.reject_unknown_helo_hostname().await,
            Plain::PermitNakedIpAddress => self.permit_naked_ip_address(name).await,
            Plain::RejectNonFqdnSender => self.reject_non_fqdn_address(ReplyClass::Sender),
            Plain::RejectUnknownSenderDomain => self.reject_unknown_address(ReplyClass::Sender).await,
            Plain::RejectUnlistedSender => self.reject_unlisted(ReplyClass::Sender).await,
            Plain::RejectUnverifiedSender => self.reject_unverified(ReplyClass::Sender).await,
            Plain::RejectSenderLoginMismatch
            | Plain::RejectAuthenticatedSenderLoginMismatch
            | Plain::RejectKnownSenderLoginMismatch
            | Plain::RejectUnauthenticatedSenderLoginMismatch => {
                self.reject_login_mismatch(plain, name).await
            }
            Plain::PermitAuthDestination => self.permit_auth_destination(name).await,
            Plain::PermitMxBackup => self.permit_mx_backup(name).await,
            Plain::RejectUnauthDestination => self.reject_unauth_destination(false).await,
            Plain::DeferUnauthDestination => self.reject_unauth_destination(true).await,
            Plain::CheckRelayDomains => {
                let flow = self.check_relay_domains(name).await;
                self.warn_of_ignored(list, item, "check_relay_domains", true);
                flow
            }
            Plain::RejectNonFqdnRecipient => self.reject_non_fqdn_address(ReplyClass::Recipient),
            Plain::RejectUnknownRecipientDomain => self.reject_unknown_address(ReplyClass::Recipient).await,
            Plain::RejectUnlistedRecipient => self.reject_unlisted(ReplyClass::Recipient).await,
            Plain::RejectUnverifiedRecipient => self.reject_unverified(ReplyClass::Recipient).await,
        }
    }

    /// Says that nobody will ever come to what stands behind this restriction. `unless_warned`: it does not end the
    /// list under `warn_if_reject`.
    fn warn_of_ignored(&self, list: &List, item: &Item, after: &'static str, unless_warned: bool) {
        if unless_warned && self.warn_if_reject.is_some() {
            return;
        }
        let behind = list.items.iter().find(|other| other.name.start > item.name.start);
        if let Some(behind) = behind {
            self.warn(Warning::Ignored { what: list.name(behind), after });
        }
    }

    async fn after_dunno(&mut self, after: After, target: &Target<'a>) -> Step<'a> {
        match after {
            After::NextCertificateKey { table, keys } => self.check_certificate(&table, &keys, target).await,
            After::DefaultAction => {
                self.default_actions -= 1;
                Ok(Flow::Dunno)
            }
            After::Nothing | After::ForbidPermit { .. } | After::DistrustPermit => Ok(Flow::Dunno),
        }
    }

    fn after_permit(&mut self, after: After) -> Step<'a> {
        match after {
            After::Nothing | After::NextCertificateKey { .. } => Ok(Flow::Permit),
            After::DistrustPermit => Ok(Flow::Dunno),
            After::DefaultAction => {
                self.default_actions -= 1;
                Ok(Flow::Permit)
            }
            After::ForbidPermit { restriction, target } => self.forbid_permit(&restriction, target),
        }
    }

    fn settings(&self) -> &'a Settings {
        &self.rules.settings
    }

    fn printable(&self, octets: &[u8]) -> String {
        crate::text::printable(octets, b'?', self.settings().smtputf8_enable)
    }

    fn say(&self, info: Info<'_>) {
        self.facts.log(&Event::Info(info));
    }

    fn warn(&self, warning: Warning<'_>) {
        self.facts.log(&Event::Warning(warning));
    }
}

impl<'a> Flow<'a> {
    fn enter(list: ListRef<'a>, target: Target<'a>, after: After) -> Flow<'a> {
        Flow::Enter(Box::new(Frame { list, next: 0, target, after }))
    }

    /// Has `after` done with the verdict of the list that is entered, if one is.
    fn then(mut self, after: After) -> Flow<'a> {
        if let Flow::Enter(frame) = &mut self {
            frame.after = after;
        }
        self
    }
}

impl ListRef<'_> {
    fn get(&self) -> &List {
        match self {
            ListRef::Configured(list) => list,
            ListRef::Found(list) => list,
        }
    }
}

impl<'a> Target<'a> {
    pub(crate) fn new(name: &'a [u8], class: ReplyClass, bare: Option<Access>) -> Target<'a> {
        Target { name: Cow::Borrowed(name), class, bare }
    }

    /// `<name>: Client host rejected: why`
    fn rejected(&self, why: impl AsRef<[u8]>) -> Vec<u8> {
        let class = self.class.as_str().as_bytes();
        [b"<", &*self.name, b">: ", class, b" rejected: ", why.as_ref()].concat()
    }

    /// `<name>: Client host what`
    fn with(&self, what: &[u8]) -> Vec<u8> {
        [b"<", &*self.name, b">: ", self.class.as_str().as_bytes(), b" ", what].concat()
    }
}

impl ReplyClass {
    const fn as_str(self) -> &'static str {
        match self {
            ReplyClass::Client => "Client host",
            ReplyClass::ReverseClient => "Unverified Client host",
            ReplyClass::Certificate => "Client certificate",
            ReplyClass::Sasl => "SASL login name",
            ReplyClass::Helo => "Helo command",
            ReplyClass::Sender => "Sender address",
            ReplyClass::Recipient => "Recipient address",
            ReplyClass::Etrn => "Etrn command",
            ReplyClass::Data => "Data command",
            ReplyClass::EndOfData => "End-of-data",
        }
    }
}

impl fmt::Display for ReplyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The notice that most refusals are.
const POLICY: Notice = Notice::Policy;
