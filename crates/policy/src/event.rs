//! What restrictions have to say in the log. Every value prints Postfix's exact text.
//!
//! Octets that do not print are already `?` here; where the lines go is `logger`'s business.

use crate::session::{Command, Session};
use crate::text::printable;
use mail::{Address, QueueId};
use std::fmt;

/// A line for the log, without the program's name.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// What was done with a request, and who made it.
    Action(ActionLine<'a>),
    Info(Info<'a>),
    Warning(Warning<'a>),
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Action(line) => line.fmt(f),
            Event::Info(info) => info.fmt(f),
            Event::Warning(warning) => write!(f, "warning: {warning}"),
        }
    }
}

/// `NOQUEUE: reject: RCPT from name[address]: 554 5.7.1 …; from=<> to=<> proto=ESMTP helo=<>`
#[derive(Clone, Debug, PartialEq)]
pub struct ActionLine<'a> {
    pub queue_id: Option<QueueId>,
    pub action: Action,
    pub command: Command,
    pub namaddr: &'a str,
    /// The reply, or what the action says.
    pub text: &'a str,
    pub sender: Option<&'a Address>,
    pub recipient: Option<&'a Address>,
    pub protocol: &'a str,
    /// Empty: there was none.
    pub helo: &'a str,
    /// How addresses are shown (`info_log_address_format = internal`).
    pub internal: bool,
    pub utf8: bool,
}

impl<'a> ActionLine<'a> {
    /// The line for this moment of the session.
    pub fn new(session: &Session<'a>, action: Action, text: &'a str) -> ActionLine<'a> {
        ActionLine {
            queue_id: session.queue_id,
            action,
            command: session.command,
            namaddr: session.namaddr,
            text,
            sender: session.sender,
            recipient: session.recipient,
            protocol: &session.client.protocol,
            helo: &session.client.helo,
            internal: false,
            utf8: true,
        }
    }

    fn address(&self, address: &Address) -> String {
        let external;
        let octets = if self.internal || address.is_null() {
            address.as_bytes()
        } else {
            external = address.external();
            &external
        };
        printable(octets, b'?', self.utf8)
    }
}

impl fmt::Display for ActionLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.queue_id {
            Some(id) => write!(f, "{id}: ")?,
            None => f.write_str("NOQUEUE: ")?,
        }
        write!(f, "{}: {} from {}: {};", self.action.as_str(), self.command, self.namaddr, self.text)?;
        if let Some(sender) = self.sender {
            write!(f, " from=<{}>", self.address(sender))?;
        }
        if let Some(recipient) = self.recipient {
            write!(f, " to=<{}>", self.address(recipient))?;
        }
        write!(f, " proto={}", self.protocol)?;
        if !self.helo.is_empty() {
            write!(f, " helo=<{}>", printable(self.helo.as_bytes(), b'?', self.utf8))?;
        }
        Ok(())
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Reject,
    /// It would have been rejected (`warn_if_reject`).
    RejectWarning,
    Permit,
    Hold,
    Discard,
    Filter,
    Redirect,
    Bcc,
    Info,
    Warn,
}

impl Action {
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Reject => "reject",
            Action::RejectWarning => "reject_warning",
            Action::Permit => "permit",
            Action::Hold => "hold",
            Action::Discard => "discard",
            Action::Filter => "filter",
            Action::Redirect => "redirect",
            Action::Bcc => "bcc",
            Action::Info => "info",
            Action::Warn => "warn",
        }
    }
}

/// Remarks.
#[derive(Clone, Debug, PartialEq)]
pub enum Info<'a> {
    /// A status code that speaks of another thing than what is rejected.
    MappedStatus {
        from: String,
        class: &'static str,
        to: String,
    },
    CompatMynetworksStyle {
        style: &'a str,
        namaddr: &'a str,
    },
    CompatRelayDomainsForDomain {
        domain: String,
    },
    CompatRelayDomainsForAddress {
        address: String,
    },
    CompatRelayDomainsForClient {
        name: &'a str,
    },
    CompatRelayRestrictions {
        recipient: String,
        namaddr: &'a str,
    },
    CompatRelayBeforeRecipient {
        recipient: String,
        namaddr: &'a str,
    },
    CompatFingerprintDigest,
}

impl fmt::Display for Info<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OLD: &str = "using backwards-compatible default setting";
        match self {
            Info::MappedStatus { from, class, to } => {
                write!(f, "mapping DSN status {from} into {class} status {to}")
            }
            Info::CompatMynetworksStyle { style, namaddr } => {
                write!(f, "{OLD} mynetworks_style={style} to permit request from client \"{namaddr}\"")
            }
            Info::CompatRelayDomainsForDomain { domain } => {
                write!(f, "{OLD} relay_domains=$mydestination to accept mail for domain \"{domain}\"")
            }
            Info::CompatRelayDomainsForAddress { address } => {
                write!(f, "{OLD} relay_domains=$mydestination to accept mail for address \"{address}\"")
            }
            Info::CompatRelayDomainsForClient { name } => {
                write!(f, "{OLD} relay_domains=$mydestination to permit request from client \"{name}\"")
            }
            Info::CompatRelayRestrictions { recipient, namaddr } => write!(
                f,
                "{OLD} \"smtpd_relay_restrictions = (empty)\" to avoid \"Relay access denied\" error for \
                 recipient \"{recipient}\" from client \"{namaddr}\""
            ),
            Info::CompatRelayBeforeRecipient { recipient, namaddr } => write!(
                f,
                "{OLD} smtpd_relay_before_recipient_restrictions=no to reject recipient \"{recipient}\" from \
                 client \"{namaddr}\""
            ),
            Info::CompatFingerprintDigest => {
                write!(f, "{OLD} smtpd_tls_fingerprint_digest=md5 to compute certificate fingerprints")
            }
        }
    }
}

/// What the administrator should change, or know.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning<'a> {
    UnknownRestriction(&'a str),
    /// Three lines: this one, [`NotAllowedForSecurity`](Self::NotAllowedForSecurity), [`UseDunno`](Self::UseDunno).
    ReturnsOk {
        restriction: &'a str,
        target: String,
    },
    NotAllowedForSecurity,
    UseDunno,
    BareTable {
        class: &'static str,
        table: &'a str,
    },
    NeedsTable {
        restriction: &'a str,
        argument: &'a str,
    },
    NeedsDomain(&'a str),
    NeedsServer,
    NeedsNumber,
    UnexpectedTable(&'a str),
    PolicyService(&'a str),
    ReplyPattern(&'a str),
    Ignored {
        what: &'a str,
        after: &'static str,
    },
    NoSasl(&'a str),
    NoClientCertificate(&'static str),
    CertificateLookup {
        fingerprint: &'a str,
        public_key_fingerprint: &'a str,
    },
    WillBeRemoved {
        restriction: &'static str,
        mail_name: &'a str,
        instead: &'static str,
    },
    NakedIpAddress,
    ReplyCode(String),
    // access tables
    TableInTable {
        table: &'a str,
        value: String,
    },
    DoNotSpecifyTables,
    DefineClass,
    Recursion {
        table: &'a str,
        value: String,
    },
    ClassRecursion(&'a str),
    EmptyValue {
        table: &'a str,
    },
    NoFilter {
        table: &'a str,
        datum: String,
    },
    NeedsTransport {
        table: &'a str,
        datum: String,
    },
    NeedsUserAtDomain {
        table: &'a str,
        datum: String,
    },
    NeedsHeader {
        table: &'a str,
        datum: String,
    },
    ProxyFilter {
        table: &'a str,
        action: &'static str,
    },
    NotInEtrn {
        table: &'a str,
        action: &'static str,
    },
    BeforeMail {
        table: &'a str,
        action: &'static str,
    },
    PrependTooLate {
        table: &'a str,
    },
    NoDomainInAddress(String),
    MalformedUtf8 {
        server: &'a str,
        action: String,
    },
    // the DNS and what leans on it
    RblLookup {
        query: &'a str,
        why: String,
    },
    RblRefused {
        query: &'a str,
        answer: String,
    },
    RblTemplate {
        domain: &'a str,
        template: &'a str,
    },
    RblReplyCode(String),
    MacroName(&'a str),
    MacroSyntax(String),
    ServerLookup {
        record: &'static str,
        domain: String,
        why: &'static str,
    },
    ServerAddress {
        record: &'static str,
        host: &'a str,
        class: &'static str,
        name: String,
        why: String,
    },
    ServerAddressLimit {
        record: &'static str,
        limit: usize,
        class: &'static str,
        name: String,
    },
    MxBackupNetworks {
        address: String,
        host: &'a str,
    },
    VerifyService,
    // local_header_rewrite_clients
    RewriteClients(&'a str),
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Warning::*;
        match self {
            UnknownRestriction(name) => write!(f, "unknown smtpd restriction: \"{name}\""),
            ReturnsOk { restriction, target } => {
                write!(f, "restriction {restriction} returns OK for {target}")
            }
            NotAllowedForSecurity => f.write_str("this is not allowed for security reasons"),
            UseDunno => f.write_str("use DUNNO instead of OK if you want to make an exception"),
            BareTable { class, table } => write!(
                f,
                "specify one of (check_client_access, check_reverse_client_hostname_access, check_helo_access, \
                 check_sender_access, check_recipient_access, check_etrn_access) before {class} restriction \
                 \"{table}\""
            ),
            NeedsTable { restriction, argument } => {
                write!(f, "restriction {restriction}: bad argument \"{argument}\": need maptype:mapname")
            }
            NeedsDomain(name) => write!(f, "restriction {name} requires domain name argument"),
            NeedsServer => {
                f.write_str("restriction check_policy_service must be followed by transport:server")
            }
            NeedsNumber => f.write_str("restriction sleep must be followed by number"),
            UnexpectedTable(name) => write!(f, "check_access: unexpected dictionary: {name}"),
            PolicyService(why) => f.write_str(why),
            ReplyPattern(why) => write!(f, "RBL reply error: {why}"),
            Ignored { what, after } => write!(f, "restriction `{what}' after `{after}' is ignored"),
            NoSasl(name) => write!(f, "restriction `{name}' ignored: no SASL support"),
            NoClientCertificate(name) => {
                write!(f, "{name} is requested, but \"smtpd_tls_ask_ccert = no\"")
            }
            CertificateLookup { fingerprint, public_key_fingerprint } => write!(
                f,
                "relay_clientcerts: lookup error for fingerprint '{fingerprint}', pkey fingerprint \
                 {public_key_fingerprint}"
            ),
            WillBeRemoved { restriction, mail_name, instead } => write!(
                f,
                "support for restriction \"{restriction}\" will be removed from {mail_name}; use \"{instead}\" \
                 instead"
            ),
            NakedIpAddress => f.write_str(
                "restriction permit_naked_ip_address is deprecated. Use permit_mynetworks or \
                 permit_sasl_authenticated instead",
            ),
            ReplyCode(reply) => write!(f, "SMTP reply code configuration error: {reply}"),
            TableInTable { table, value } => {
                write!(f, "access table {table} has entry with lookup table: {value}")
            }
            DoNotSpecifyTables => f.write_str("do not specify lookup tables inside SMTPD access maps"),
            DefineClass => f.write_str("define a restriction class and specify its name instead."),
            Recursion { table, value } => {
                write!(f, "access table {table} entry {value} causes unreasonable recursion")
            }
            ClassRecursion(name) => write!(f, "restriction class {name} causes unreasonable recursion"),
            EmptyValue { table } => write!(f, "access table {table} entry  has empty value"),
            NoFilter { table, datum } => {
                write!(f, "access table {table} entry \"{datum}\" has FILTER entry without value")
            }
            NeedsTransport { table, datum } => {
                write!(f, "access table {table} entry \"{datum}\" requires transport:destination")
            }
            NeedsUserAtDomain { table, datum } => {
                write!(f, "access table {table} entry \"{datum}\" requires user@domain target")
            }
            NeedsHeader { table, datum } => {
                write!(f, "access table {table} entry \"{datum}\" requires header: text")
            }
            ProxyFilter { table, action } => write!(
                f,
                "access table {table}: with smtpd_proxy_filter specified, action {action} is unavailable"
            ),
            NotInEtrn { table, action } => {
                write!(f, "access table {table}: action {action} is unavailable in smtpd_etrn_restrictions")
            }
            BeforeMail { table, action } => write!(
                f,
                "access table {table}: with smtpd_delay_reject=no, action {action} is always skipped in Client \
                 host or Helo command restrictions"
            ),
            PrependTooLate { table } => write!(
                f,
                "access table {table}: action PREPEND must be used before smtpd_end_of_data_restrictions"
            ),
            NoDomainInAddress(address) => write!(f, "check_mail_access: no @domain in address: {address}"),
            MalformedUtf8 { server, action } => {
                write!(f, "malformed UTF-8 in policy server {server} response: \"{action}\"")
            }
            RblLookup { query, why } => write!(f, "{query}: RBL lookup error: {why}"),
            RblRefused { query, answer } => {
                write!(f, "{query}: {answer} is not a listing: the list refuses to answer this resolver")
            }
            RblTemplate { domain, template } => {
                write!(f, "rbl_reject_reply: bad rbl reply template for domain {domain}: {template}")
            }
            RblReplyCode(reply) => write!(f, "rbl response code configuration error: {reply}"),
            MacroName(name) => write!(f, "unknown macro name \"{name}\" in expansion request"),
            MacroSyntax(why) => f.write_str(why),
            ServerLookup { record, domain, why } => {
                write!(f, "Unable to look up {record} host for {domain}: {why}")
            }
            ServerAddress { record, host, class, name, why } => {
                write!(f, "Unable to look up {record} host {host} for {class} {name}: {why}")
            }
            ServerAddressLimit { record, limit, class, name } => write!(
                f,
                "check_server_access: {record} server address count limit ({limit}) exceeded for {class} {name} \
                 -- ignoring the remainder"
            ),
            MxBackupNetworks { address, host } => write!(
                f,
                "all_auth_mx_addr: permit_mx_backup_networks lookup error for address {address} for {host}"
            ),
            VerifyService => f.write_str("verify service failure"),
            RewriteClients(what) => {
                write!(f, "parameter local_header_rewrite_clients: invalid request: {what}")
            }
        }
    }
}
