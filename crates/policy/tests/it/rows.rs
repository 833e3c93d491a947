//! Runs the row files. Each was recorded by `record.py` from Postfix 3.7.
//!
//! ```text
//! %main              main.cf for the whole file; also %zone, %table NAME, %policy (recipient, answer)
//! == title           a service: its own settings follow
//! ! line             what it logs when it starts (not compared here)
//! > client[address] helo sender recipient... +option...
//! < COMMAND reply    each refusal
//! P attributes       each request to the policy server
//! L line             each log line
//! ```
//!
//! In a row `-` leaves a command out, `<>` is the null sender and `\s` a blank. Options: `+login=NAME`, `+reverse=NAME`,
//! `+smtp` (HELO), `+utf8` (SMTPUTF8), `+data` (a message follows), `+vrfy=X`, `+etrn=X`, `+pipeline`, `+direct` (no
//! XCLIENT: the name is what the zone says), `+tls=CERTIFICATE`.

use crate::world::{World, now};
use mail::{Address, Client, QueueId, Reply};
use policy::{Command, NameStatus, Restrictions, Session, State};
use std::path::Path;

#[test]
fn every_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rows");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut rows, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for block in blocks(&text) {
            rows += block.rows.len();
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            wrong.extend(block.run().into_iter().map(|difference| format!("{name}: {difference}")));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {rows} rows differ", wrong.join("\n"), wrong.len());
    assert!(rows >= 150);
}

struct Block<'t> {
    title: &'t str,
    world: World,
    rows: Vec<(&'t str, Vec<&'t str>)>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let (head, rest) = text.split_once("\n== ").unwrap();
    let base = World::new(head);
    rest.split("\n== ").map(|block| Block::new(&base, block)).collect()
}

impl<'t> Block<'t> {
    fn new(base: &World, text: &'t str) -> Block<'t> {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let title = lines.next().unwrap();
        let mut block = Block { title, world: base.clone(), rows: Vec::new() };
        for line in lines {
            match line.split_at(2) {
                ("> ", row) => block.rows.push((row, Vec::new())),
                ("! ", _) => {}
                _ => match block.rows.last_mut() {
                    Some((_, expect)) => expect.push(line),
                    None => block.world.set(line),
                },
            }
        }
        block
    }

    /// What differs, row by row.
    fn run(&self) -> Vec<String> {
        let restrictions = self.world.restrictions();
        let mut found = Vec::new();
        for (row, expect) in &self.rows {
            let got = Peer::new(row).converse(&self.world, &restrictions);
            if got != *expect {
                let expect: Vec<String> = expect.iter().map(|line| (*line).to_owned()).collect();
                let only = |these: &[String], those: &[String]| {
                    let here: Vec<&String> = these.iter().filter(|line| !those.contains(line)).collect();
                    here.iter().map(|line| format!("\n    {line}")).collect::<String>()
                };
                let (missing, surplus) = (only(&expect, &got), only(&got, &expect));
                let order = if missing == surplus {
                    format!("\n  want {expect:#?}\n  got {got:#?}")
                } else {
                    String::new()
                };
                found.push(format!("{}: > {row}\n  missing{missing}\n  surplus{surplus}{order}", self.title));
            }
        }
        found
    }
}

/// A row's client.
struct Peer<'t> {
    name: &'t str,
    address: &'t str,
    helo: &'t str,
    sender: String,
    recipients: Vec<String>,
    options: Vec<(&'t str, &'t str)>,
}

impl<'t> Peer<'t> {
    fn new(row: &'t str) -> Peer<'t> {
        let mut words = row.split_whitespace().filter(|word| !word.starts_with('+'));
        let (name, address) = words.next().unwrap().trim_end_matches(']').split_once('[').unwrap();
        let helo = words.next().unwrap();
        let mut addresses = words.map(|word| word.replace("\\s", " "));
        let options = row.split_whitespace().filter_map(|word| word.strip_prefix('+'));
        Peer {
            name,
            address,
            helo: if helo == "-" { "" } else { helo },
            sender: addresses.next().unwrap(),
            recipients: addresses.collect(),
            options: options.map(|option| option.split_once('=').unwrap_or((option, ""))).collect(),
        }
    }

    fn option(&self, name: &str) -> Option<&'t str> {
        self.options.iter().find(|(option, _)| *option == name).map(|(_, value)| *value)
    }

    /// The commands of the session up to DATA.
    fn commands(&self) -> Vec<&'static str> {
        let has = |option| self.option(option).is_some();
        let hello = if has("smtp") { "HELO" } else { "EHLO" };
        let mut commands = vec![];
        commands.extend((!self.helo.is_empty()).then_some(hello));
        commands.extend(has("etrn").then_some("ETRN"));
        commands.extend(has("vrfy").then_some("VRFY"));
        commands.extend((self.sender != "-").then_some("MAIL"));
        commands.extend(self.recipients.iter().filter(|_| self.sender != "-").map(|_| "RCPT"));
        commands
    }

    /// Every refusal, then every request, then every log line.
    fn converse(&self, world: &World, restrictions: &Restrictions) -> Vec<String> {
        world.log.lock().unwrap().clear();
        let mut said = Vec::new();
        self.talk(world, restrictions, &mut said);
        let log = std::mem::take(&mut *world.log.lock().unwrap());
        let (mut requests, lines): (Vec<String>, Vec<String>) =
            log.into_iter().partition(|l| l.starts_with("P "));
        said.append(&mut requests);
        said.extend(lines);
        said
    }

    fn talk(&self, world: &World, restrictions: &Restrictions, said: &mut Vec<String>) {
        let has = |option| self.option(option).is_some();
        let (name, name_status) = match self.name {
            "unknown" => ("unknown", NameStatus::NotFound),
            "tempfail" => ("unknown", NameStatus::TryLater),
            name => (name, NameStatus::Ok),
        };
        let reverse = self.option("reverse").map(|reverse| (reverse, NameStatus::Ok));
        let (reverse_name, reverse_name_status) = reverse.unwrap_or((name, name_status));
        let client = self.client(name);
        let namaddr = format!("{name}[{}]", self.address);
        let tls = self.option("tls").map(|certificate| world.tls(certificate));
        let session = Session {
            command: if has("direct") { Command::Connect } else { Command::Xclient },
            namaddr: &namaddr,
            name_status,
            reverse_name,
            reverse_name_status,
            peer: Some(if has("direct") { self.address } else { "127.0.0.1" }.parse().unwrap()),
            improper_pipelining: has("pipeline"),
            tls: tls.as_ref(),
            ..bare_session(&client)
        };
        let mut talk = Talk { world, restrictions, state: State::default(), said };
        let connected = now(restrictions.connect(&session, &mut talk.state, world));
        if talk.is_refused(&session, connected) {
            let error = format!("7.0 Error: access denied for {namaddr}");
            return self.commands().into_iter().for_each(|command| talk.refuse_as_protocol(command, &error));
        }
        let mut greeted = Client { helo: self.helo.into(), ..client.clone() };
        if !self.helo.is_empty() && !has("smtp") {
            greeted.protocol = "ESMTP".into();
        }
        let session = self.greet(&mut talk, session, &greeted);
        if let Some(domain) = self.option("etrn") {
            let at_etrn = Session { command: Command::Etrn, etrn_domain: Some(domain), ..session };
            let answer = now(restrictions.etrn(&at_etrn, &mut talk.state, world));
            talk.is_refused(&at_etrn, answer);
        }
        if let Some(address) = self.option("vrfy") {
            let address = Address::from(address);
            let at_vrfy = Session { command: Command::Vrfy, recipient: Some(&address), ..session };
            let answer = now(restrictions.rcpt(&at_vrfy, &mut talk.state, world));
            talk.is_refused(&at_vrfy, answer);
        }
        if self.sender != "-" {
            self.send(&mut talk, session);
        }
    }

    fn client(&self, name: &str) -> Client {
        let login = self.option("login").unwrap_or_default();
        Client {
            name: name.into(),
            address: self.address.into(),
            port: 4321,
            protocol: "SMTP".into(),
            sasl_username: login.into(),
            sasl_method: if login.is_empty() { "" } else { "XCLIENT" }.into(),
            ..Client::default()
        }
    }

    /// HELO or EHLO. While that is being asked about the protocol is not ESMTP yet.
    fn greet<'a>(&self, talk: &mut Talk<'_>, session: Session<'a>, greeted: &'a Client) -> Session<'a> {
        if self.helo.is_empty() {
            return session;
        }
        let command = if self.option("smtp").is_some() { Command::Helo } else { Command::Ehlo };
        let greeting = Client { protocol: "SMTP".into(), ..greeted.clone() };
        let at_helo = Session { command, client: &greeting, ..session };
        let answer = now(talk.restrictions.helo(&at_helo, &mut talk.state, talk.world));
        match talk.is_refused(&at_helo, answer) {
            true => session,
            false => Session { client: greeted, ..session },
        }
    }

    /// MAIL, every RCPT, and the message.
    fn send(&self, talk: &mut Talk<'_>, session: Session<'_>) {
        let sender = internal(if self.sender == "<>" { "" } else { &self.sender });
        let smtputf8 = self.option("utf8").is_some();
        let session = Session { command: Command::Mail, sender: Some(&sender), smtputf8, ..session };
        let answer = now(talk.restrictions.mail(&session, &mut talk.state, talk.world));
        if talk.is_refused(&session, answer) {
            talk.state.forget_message();
            let refused = self.recipients.iter();
            return refused.for_each(|_| talk.refuse_as_protocol("RCPT", "5.1 Error: need MAIL command"));
        }
        let mut session = Session { command: Command::Rcpt, instance: "I", ..session };
        let mut accepted = Vec::new();
        for recipient in &self.recipients {
            let recipient = internal(recipient);
            let at_rcpt = Session { recipient: Some(&recipient), ..session };
            let answer = now(talk.restrictions.rcpt(&at_rcpt, &mut talk.state, talk.world));
            let disconnects = matches!(&answer, Err(reply) if matches!(reply.code, 421 | 521));
            if !talk.is_refused(&at_rcpt, answer) {
                accepted.push(recipient);
                session.recipient_count += 1;
                session.queue_id = QueueId::parse(b"QID");
            }
            if disconnects {
                return talk.said.push("< QUIT closed".into());
            }
        }
        let session = Session { recipient: accepted.first().filter(|_| accepted.len() == 1), ..session };
        if self.option("data").is_some() && !accepted.is_empty() {
            talk.send_message(session);
        }
    }
}

/// A session under way.
struct Talk<'t> {
    world: &'t World,
    restrictions: &'t Restrictions,
    state: State,
    said: &'t mut Vec<String>,
}

impl Talk<'_> {
    fn is_refused(&mut self, session: &Session<'_>, answer: Result<(), Reply>) -> bool {
        let command = match session.command {
            Command::Xclient => Command::Connect,
            command => command,
        };
        let is_refused = answer.is_err();
        self.said.extend(answer.err().map(|reply| format!("< {command} {reply}")));
        is_refused
    }

    /// What the protocol's machine answers, not the restrictions.
    fn refuse_as_protocol(&mut self, command: &str, text: &str) {
        let code = if self.restrictions.settings().soft_bounce { "403 4" } else { "503 5" };
        self.said.push(format!("< {command} {code}.{text}"));
    }

    fn send_message(&mut self, session: Session<'_>) {
        let at_data = Session { command: Command::Data, ..session };
        let answer = now(self.restrictions.data(&at_data, &mut self.state, self.world));
        if !self.is_refused(&at_data, answer) {
            let at_end = Session { command: Command::EndOfMessage, size: 17, ..session };
            let answer = now(self.restrictions.end_of_data(&at_end, &mut self.state, self.world));
            self.is_refused(&at_end, answer);
        }
    }
}

/// A session that has just begun.
pub(crate) fn bare_session(client: &Client) -> Session<'_> {
    Session {
        command: Command::Connect,
        client,
        namaddr: "",
        name_status: NameStatus::Ok,
        reverse_name: "",
        reverse_name_status: NameStatus::Ok,
        peer: None,
        server_address: "127.0.0.1",
        server_port: 2500,
        tls: None,
        sender: None,
        recipient: None,
        recipient_count: 0,
        etrn_domain: None,
        queue_id: None,
        instance: "",
        size: 0,
        smtputf8: false,
        improper_pipelining: false,
    }
}

/// Takes the quotes off a local part and resolves nothing else.
fn internal(address: &str) -> Address {
    // RFC 5321 C: a source route is passed over
    let address = match address.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, address)) => address,
        None => address,
    };
    match address.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((local, domain)) => Address::from(format!("{local}{domain}").as_str()),
        None => Address::from(address),
    }
}
