//! A driver for server sessions as plain as can be: it decides what the recorded configurations say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::hostname::{is_hostname, literal_address};
use mail::{Address, DsnStatus, Reply};
use smtp::framing::ForbidBareNewline;
use smtp::server::{
    Auth, Config, Event, Keywords, LookedUp, Notice, Peer, Sasl, Session, TlsLevel, Who, Xclient,
};
use std::collections::HashMap;
use std::time::Duration;

pub(crate) struct Driver {
    session: Session,
    settings: HashMap<String, String>,
    peer: Peer,
    client: (String, String),
    sender: Option<Address>,
    recipient: Option<Address>,
    queue_id: &'static str,
    login: Login,
    is_open: bool,
    pub(crate) log: Vec<String>,
}

/// An AUTH exchange.
#[derive(Default)]
struct Login {
    mechanism: String,
    said: Vec<Vec<u8>>,
}

impl Driver {
    pub(crate) fn new(settings: &[(String, String)]) -> Driver {
        let settings: HashMap<_, _> = settings.iter().cloned().collect();
        let config = config(&settings);
        let client = ("unknown".to_owned(), "192.0.2.9".to_owned());
        let mut driver = Driver {
            session: Session::new(config.into(), Peer::default(), false),
            settings,
            peer: Peer::default(),
            client,
            sender: None,
            recipient: None,
            queue_id: "NOQUEUE",
            login: Login::default(),
            is_open: true,
            log: Vec::new(),
        };
        driver.peer = driver.peer();
        let config = self::config(&driver.settings);
        driver.session = Session::new(config.into(), driver.peer.clone(), false);
        driver.session.set_sasl(driver.sasl());
        driver
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// What the server said since the last call.
    pub(crate) fn said(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(reply) = self.session.poll_output() {
            lines.extend(reply.to_wire().lines().map(str::to_owned));
        }
        if !self.is_open {
            lines.push("[closed]".into());
        }
        lines
    }

    pub(crate) fn take(&mut self, mut input: &[u8]) {
        while self.is_open {
            match self.session.poll_event(&mut input) {
                Event::Input | Event::Handshake => break,
                Event::Close => {
                    self.is_open = false;
                    self.log_end();
                    break;
                }
                event => self.answer(event),
            }
        }
        assert!(input.is_empty() || !self.is_open, "everything is taken");
    }

    pub(crate) fn shake_hands(&mut self) {
        self.session.handle_tls(None);
        self.session.set_sasl(self.sasl());
    }

    pub(crate) fn leave(&mut self) {
        self.session.handle_eof();
        self.take(&[]);
    }

    pub(crate) fn be_silent(&mut self) {
        self.session.handle_timeout();
        self.take(&[]);
    }

    /// The client went away after the recording's end.
    pub(crate) fn vanish(&mut self) {
        self.leave();
        self.said();
    }

    fn log_end(&mut self) {
        let who = format!("{}[{}]", self.client.0, self.client.1);
        if let Some(ending) = self.session.ending() {
            self.log.push(format!("{} after {} from {who}", ending.what, ending.after));
        }
        self.log.push(format!("disconnect from {who} {}", self.session.statistics()));
    }

    fn answer(&mut self, event: Event<'_>) {
        match event {
            Event::Notice(notice) => self.note(&notice),
            Event::Connect => self.connect(),
            Event::Helo(helo) => {
                let name = String::from_utf8_lossy(&helo.name).into_owned();
                self.judge("helo", &name, "Helo command rejected", Some(&name));
            }
            Event::Unknown { verb } => {
                if self.is_forbidden(&verb) {
                    self.session.break_rules()
                } else {
                    self.session.accept()
                }
            }
            Event::Auth(auth) => self.auth(auth),
            Event::AuthResponse(response) => {
                self.login.said.push(response.expose().to_vec());
                self.go_on_with_login();
            }
            Event::Mail(mail) => {
                self.sender = Some(mail.sender.clone());
                if resolves(&mail.sender) {
                    self.judge("sender", &mail.sender.to_string(), "Sender address rejected", None);
                } else {
                    self.session.refuse_address();
                }
            }
            Event::Rcpt(rcpt) => self.rcpt(rcpt.recipient),
            Event::Vrfy(vrfy) => {
                if resolves(&vrfy.recipient) {
                    self.recipient = Some(vrfy.recipient.clone());
                    self.judge("recipient", &vrfy.recipient.to_string(), "Recipient address rejected", None);
                } else {
                    self.session.refuse_address();
                }
                self.recipient = None;
            }
            Event::Etrn(domain) => self.judge("etrn", &domain, "Etrn command rejected", None),
            Event::BodyEnd => {
                self.session.queued("4Xyz");
                self.reset();
            }
            Event::BodyFailed(_) | Event::Reset => self.reset(),
            Event::Xclient(client) => self.become_client(*client),
            Event::Filter => self.filter(),
            Event::StartTls | Event::Data | Event::Xforward(_) => self.session.accept(),
            Event::Body(_) | Event::Pause(_) => {}
            Event::Input | Event::Handshake | Event::Close => unreachable!("handled by take"),
        }
    }

    /// The rules of command_filter.smtp.
    fn filter(&mut self) {
        let command = self.session.command().trim_ascii_start().to_vec();
        match command.split_at_checked(3) {
            Some((verb, rest)) if verb.eq_ignore_ascii_case(b"FOO") => {
                self.session.replace_command(&[b"NOOP", rest].concat());
            }
            Some((b"BAR", _)) => self.session.replace_command(b"FOO"),
            _ => self.session.accept(),
        }
    }

    fn reset(&mut self) {
        (self.sender, self.recipient, self.queue_id) = (None, None, "NOQUEUE");
    }

    fn note(&mut self, notice: &Notice) {
        let client = format!("{}[{}]", self.client.0, self.client.1);
        if let Notice::SizeRefused { sender, .. } = notice {
            self.sender = Some(sender.clone());
        }
        let who = Who { client: &client, queue_id: self.queue_id, context: &self.context(None) };
        let warning = if notice.is_warning() { "warning: " } else { "" };
        self.log.push(format!("{warning}{}", notice.line(who)));
    }

    fn context(&self, helo: Option<&str>) -> String {
        let mut context = String::new();
        if let Some(sender) = &self.sender {
            context += &format!(" from=<{sender}>");
        }
        if let Some(recipient) = &self.recipient {
            context += &format!(" to=<{recipient}>");
        }
        context += &format!(" proto={}", self.session.protocol());
        if let Some(helo) = helo.or(self.session.helo()) {
            context += &format!(" helo=<{helo}>");
        }
        context
    }

    fn connect(&mut self) {
        let who = format!("{}[{}]", self.client.0, self.client.1);
        match self.verdict("client", &who, "Client host rejected") {
            Some(reply) => {
                self.log_reject(&reply, None);
                self.session.deny(reply);
            }
            None => self.session.accept(),
        }
    }

    fn judge(&mut self, list: &str, what: &str, class: &str, helo: Option<&str>) {
        match self.verdict(list, what, class) {
            Some(reply) => {
                self.log_reject(&reply, helo);
                self.session.reply(reply);
            }
            None => self.session.accept(),
        }
    }

    fn log_reject(&mut self, reply: &Reply, helo: Option<&str>) {
        let line = format!(
            "{}: reject: {} from {}[{}]: {reply};{}",
            self.queue_id,
            self.session.stage(),
            self.client.0,
            self.client.1,
            self.context(helo)
        );
        self.log.push(line);
    }

    /// What `smtpd_LIST_restrictions` says: `reject`, `check_…_access static:{…}` or `check_…_access inline:{KEY=…}`.
    fn verdict(&self, list: &str, what: &str, class: &str) -> Option<Reply> {
        let rule = self.settings.get(&format!("smtpd_{list}_restrictions"))?;
        let action = if rule == "reject" || rule.ends_with(", reject") {
            "REJECT"
        } else if let Some((_, action)) = rule.split_once("static:{") {
            action.trim_end_matches('}')
        } else {
            let (_, table) = rule.split_once("inline:{")?;
            let (key, action) = table.trim_matches(|c| "{} ".contains(c)).split_once('=')?;
            (key.trim() == what).then_some(action.trim())?
        };
        let (code, status, text) = match action.splitn(3, ' ').collect::<Vec<_>>()[..] {
            [code, status, text] => (code.parse().unwrap(), DsnStatus::parse(status).unwrap(), text),
            _ if self.settings.contains_key("soft_bounce") => (454, DsnStatus::new(4, 7, 1), "Access denied"),
            _ => (554, DsnStatus::new(5, 7, 1), "Access denied"),
        };
        Some(Reply::new(code, status, format!("<{what}>: {class}: {text}")))
    }

    fn rcpt(&mut self, recipient: Address) {
        if !resolves(&recipient) {
            return self.session.refuse_address();
        }
        let first = self.recipient.replace(recipient.clone());
        let refused = self.verdict("recipient", &recipient.to_string(), "").is_some();
        self.judge("recipient", &recipient.to_string(), "Recipient address rejected", None);
        if !refused {
            self.queue_id = "*";
        }
        self.recipient = first.or(Some(recipient).filter(|_| !refused));
    }

    fn is_forbidden(&self, verb: &[u8]) -> bool {
        match self.settings.get("smtpd_forbidden_commands") {
            Some(words) => words.split(' ').any(|word| verb.eq_ignore_ascii_case(word.as_bytes())),
            None => {
                !verb[0].is_ascii_alphabetic()
                    || [&b"CONNECT"[..], b"GET", b"POST"].iter().any(|word| verb.eq_ignore_ascii_case(word))
            }
        }
    }

    fn peer(&self) -> Peer {
        let setting = |name: &str| self.settings.get(name).map_or("", String::as_str);
        let is_listed = |name: &str| setting(name).split(", ").any(|host| host == self.client.1);
        let forbid = self.settings.get("smtpd_forbid_bare_newline").map_or("normalize", String::as_str);
        Peer {
            name_and_address: format!("{}[{}]", self.client.0, self.client.1),
            smtpd_forbid_bare_newline: forbid.parse::<ForbidBareNewline>().unwrap(),
            smtpd_discard_ehlo_keywords: Keywords::parse(setting("smtpd_discard_ehlo_keywords")).0,
            may_xclient: is_listed("smtpd_authorized_xclient_hosts"),
            may_xforward: is_listed("smtpd_authorized_xforward_hosts"),
            may_verp: is_listed("smtpd_authorized_verp_clients"),
        }
    }

    fn become_client(&mut self, client: Xclient) {
        if let Some(name) = client.name {
            self.client.0 = match name {
                LookedUp::Found(name) => name,
                _ => "unknown".into(),
            };
        }
        if let Some(address) = client.address {
            self.client.1 = address.value().unwrap_or("unknown".into());
        }
        self.peer = Peer { may_xforward: self.peer.may_xforward, ..self.peer() };
        self.session.become_client(self.peer.clone());
    }

    fn sasl(&self) -> Sasl {
        let is_on = |name: &str| self.settings.get(name).is_some_and(|value| value == "yes");
        if !is_on("smtpd_sasl_auth_enable") || (is_on("smtpd_tls_auth_only") && !self.session.is_tls()) {
            return Sasl::Inactive;
        }
        Sasl::Active { mechanisms: "PLAIN LOGIN".into(), is_announced: true }
    }

    fn auth(&mut self, auth: Auth) {
        let said = auth.initial_response.iter().map(|response| response.expose().to_vec()).collect();
        self.login = Login { mechanism: auth.mechanism, said };
        if !["PLAIN", "LOGIN"].iter().any(|m| self.login.mechanism.eq_ignore_ascii_case(m)) {
            return self.refuse_login("Invalid authentication mechanism", None);
        }
        let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        let is_bad = |response: &Vec<u8>| !response.iter().all(is_base64);
        if self.login.said.iter().any(is_bad) {
            return self.refuse_login("Invalid base64 data in initial response", None);
        }
        self.go_on_with_login();
    }

    fn go_on_with_login(&mut self) {
        let prompts: &[&str] = if self.login.mechanism.eq_ignore_ascii_case("PLAIN") {
            &[""]
        } else {
            &["Username:", "Password:"]
        };
        let Ok(said) = self.login.said.iter().map(|r| BASE64.decode(r)).collect::<Result<Vec<_>, _>>() else {
            return self.refuse_login("Invalid base64 data", None);
        };
        if let Some(prompt) = prompts.get(said.len()) {
            return self.session.challenge(&BASE64.encode(prompt));
        }
        match said.join(&0).as_slice() {
            b"\0alice\0secret" | b"alice\0secret" => self.session.accept(),
            _ => self.refuse_login("(reason unavailable)", Some("alice")),
        }
    }

    fn refuse_login(&mut self, reason: &str, user: Option<&str>) {
        self.log.push(format!(
            "warning: {}: SASL {} authentication failed: {reason}, sasl_username={}",
            self.peer.name_and_address,
            self.login.mechanism,
            user.unwrap_or("(unavailable)")
        ));
        let text = format!("Error: authentication failed: {reason}");
        self.session.reply(Reply::new(535, DsnStatus::new(5, 7, 8), text));
    }
}

/// Whether the resolver would know what to do with an address.
fn resolves(address: &Address) -> bool {
    let local = address.local();
    let Some(domain) = address.domain() else { return true };
    let literal = domain.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    let is_domain = is_hostname(domain.strip_suffix(b".").unwrap_or(domain));
    !local.starts_with(b"-")
        && !local.ends_with(b"@")
        && (is_domain || literal.and_then(literal_address).is_some())
}

fn config(settings: &HashMap<String, String>) -> Config {
    let mut config = Config {
        myhostname: "mail.example.com".into(),
        smtpd_banner: "mail.example.com ESMTP Postfix".into(),
        smtpd_error_sleep_time: Duration::ZERO,
        ..Config::default()
    };
    for (name, value) in settings {
        let is_on = value == "yes";
        match name.as_str() {
            "message_size_limit" => config.message_size_limit = value.parse().unwrap(),
            "smtpd_hard_error_limit" => config.smtpd_hard_error_limit = value.parse().unwrap(),
            "smtpd_junk_command_limit" => config.smtpd_junk_command_limit = value.parse().unwrap(),
            "smtpd_recipient_limit" => config.smtpd_recipient_limit = value.parse().unwrap(),
            "smtpd_recipient_overshoot_limit" => {
                config.smtpd_recipient_overshoot_limit = value.parse().unwrap();
            }
            "smtpd_helo_required" => config.smtpd_helo_required = is_on,
            "disable_vrfy_command" => config.disable_vrfy_command = is_on,
            "strict_rfc821_envelopes" => config.strict_rfc821_envelopes = is_on,
            "smtputf8_enable" => config.smtputf8_enable = is_on,
            "strict_smtputf8" => config.strict_smtputf8 = is_on,
            "soft_bounce" => config.soft_bounce = is_on,
            "smtpd_command_filter" => config.smtpd_command_filter = true,
            "smtpd_forbid_unauth_pipelining" => config.smtpd_forbid_unauth_pipelining = is_on,
            "broken_sasl_auth_clients" => config.broken_sasl_auth_clients = is_on,
            "smtpd_noop_commands" => {
                let words = value.split([' ', ',']).filter(|word| !word.is_empty());
                config.smtpd_noop_commands = words.map(str::to_owned).collect();
            }
            "smtpd_tls_security_level" => {
                config.smtpd_tls_security_level = match value.as_str() {
                    "may" => TlsLevel::May,
                    _ => TlsLevel::Encrypt,
                };
            }
            // What the driver itself heeds, or nobody here.
            "smtpd_delay_reject"
            | "smtpd_timeout"
            | "mailbox_size_limit"
            | "smtpd_forbidden_commands"
            | "smtpd_forbid_bare_newline"
            | "smtpd_discard_ehlo_keywords"
            | "smtpd_client_restrictions"
            | "smtpd_helo_restrictions"
            | "smtpd_sender_restrictions"
            | "smtpd_recipient_restrictions"
            | "smtpd_authorized_verp_clients"
            | "smtpd_etrn_restrictions"
            | "smtpd_authorized_xclient_hosts"
            | "smtpd_authorized_xforward_hosts"
            | "smtpd_sasl_auth_enable"
            | "smtpd_sasl_type"
            | "smtpd_sasl_path"
            | "smtpd_tls_auth_only"
            | "smtpd_tls_cert_file"
            | "smtpd_tls_key_file" => {}
            _ => panic!("no dialogue may use {name} before this driver knows it"),
        }
    }
    config
}
