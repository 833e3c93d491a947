//! One job: from server to server until every recipient has met its fate (RFC 5321 5.1).

use super::SmtpAgent;
use super::connections::{Address, Endpoint, Kept, Owner};
use super::outbound::Outbound;
use super::recipients::{Recipients, Via};
use super::session::{Approach, Refused, Target, is_lost};
use super::tls::{Site, Wish};
use super::wire::Line;
use crate::content::Chunks;
use mail::{DsnStatus, Encoding};
use net::dial::DialError;
use net::idle::Reusable;
use net::mx::{self, NoServers};
use net::{Destination, Nexthop, Protocol};
use qmgr::{Job, Purpose, Reuse, Success, Verdict};
use smtp::client::{
    Client, ClientAttributes, Failure, LoopDetection, Message, PixWorkarounds, Rcpt, Scope, Server,
    original_recipient,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

/// `smtps`, where the server waits for the handshake and the client for the greeting.
const SMTPS_PORT: u16 = 465;
const SMTP_PORT: u16 = 25;

/// A job under way.
pub(super) struct Delivery<'a> {
    agent: &'a SmtpAgent,
    job: &'a Job,
    recipients: Recipients<'a>,
    reuse: Reuse,
    /// The name to keep the first good connection by.
    label: Option<Owner>,
    /// Under TLS, too, the connection at hand may be kept.
    may_keep: bool,
    /// A server said all that it had to say: what follows does not count against the destination.
    has_completed: bool,
    verdict: Verdict,
}

/// The servers of one next hop that are still to be tried, within the limits.
struct Tour {
    rest: VecDeque<mx::Server>,
    addresses: usize,
    address_limit: usize,
    sessions: usize,
    session_limit: usize,
}

/// What a session left behind.
enum End {
    Done,
    /// The same server is to be tried without TLS.
    FallsBack,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(agent: &'a SmtpAgent, job: &'a Job) -> Delivery<'a> {
        Delivery {
            agent,
            job,
            recipients: Recipients::new(job, &agent.settings, Instant::now()),
            reuse: Reuse::default(),
            label: None,
            may_keep: agent.settings.tls.connection_reuse,
            has_completed: false,
            verdict: Verdict::Alive,
        }
    }

    pub(super) async fn run(mut self) -> Verdict {
        let settings = &self.agent.settings;
        let (service, services) = (&settings.smtp_tcp_port, &settings.services);
        match Destination::parse(&self.job.nexthop, settings.protocol, service, services) {
            Ok(Destination::Inet(nexthops)) => self.visit_nexthops(&nexthops).await,
            Ok(Destination::Unix(path)) => self.visit_socket(&path).await,
            Err(mistake) => {
                settings.log.warning(format_args!("{mistake}"));
                let text = format!("mail system configuration error: {mistake}");
                self.trouble(Failure::ours(Scope::Site, DsnStatus::new(4, 3, 5), text));
            }
        }
        self.give_up();
        self.verdict
    }

    /// Those who are left get the last trouble for an answer.
    fn give_up(&mut self) {
        if self.recipients.is_empty() {
            return;
        }
        let failure = self.recipients.take_trouble().unwrap_or_else(|| {
            // There were addresses, but none that had not been tried before.
            let text = "server unavailable or unable to receive mail";
            Failure::ours(Scope::Site, DsnStatus::new(4, 3, 0), text)
        });
        self.fail_all(&failure, &Via::none(), true, true);
    }

    async fn visit_nexthops(&mut self, nexthops: &[Nexthop]) {
        let fallback_relay = &self.agent.settings.fallback_relay;
        let count = nexthops.len() + fallback_relay.len();
        for (at, nexthop) in nexthops.iter().chain(fallback_relay).enumerate() {
            let is_final = self.visit_nexthop(nexthop, at == 0, at + 1 == count).await;
            if self.recipients.is_empty() {
                return;
            }
            if is_final {
                self.excuse_configuration(nexthops, at >= nexthops.len());
                return;
            }
        }
    }

    /// A relayhost or fallback relay that cannot be used is a mistake that will be mended: no mail is returned for it.
    fn excuse_configuration(&mut self, nexthops: &[Nexthop], is_fallback: bool) {
        let settings = &self.agent.settings;
        let is_relayhost = || {
            let [first, ..] = nexthops else { return false };
            settings.protocol == Protocol::Smtp && first.text == settings.relayhost
        };
        let parameter = match is_fallback {
            true => "smtp_fallback_relay",
            false if is_relayhost() => "relayhost",
            false => return,
        };
        let Some(mut failure) = self.recipients.take_trouble() else { return };
        if failure.status.class() != 4 {
            settings.log.warning(format_args!("{parameter} configuration problem"));
            failure.status = DsnStatus::new(4, 3, 5);
        }
        self.trouble(failure);
    }

    /// Tries the servers of one next hop. Whether no other next hop is to be tried.
    async fn visit_nexthop(&mut self, nexthop: &Nexthop, is_first: bool, is_last: bool) -> bool {
        let settings = &self.agent.settings;
        if settings.helpful_warnings && !settings.tls.wrappermode && nexthop.port == SMTPS_PORT {
            settings.log.info(format_args!(
                "SMTPS wrappermode (TCP port 465) requires setting \"smtp_tls_wrappermode = yes\", and \
                 \"smtp_tls_security_level = encrypt\" (or stronger)"
            ));
        }
        let servers = match self.agent.locator.locate(nexthop).await {
            Ok(servers) => servers,
            Err(NoServers { status, reason, is_loop, is_mx_host, warnings }) => {
                self.warn(&warnings);
                self.trouble(Failure::ours(Scope::Site, status, reason));
                return is_last || is_loop || is_mx_host;
            }
        };
        self.warn(&servers.warnings);
        let is_last = is_last || servers.is_mx_host;
        if is_first {
            self.settle_reuse(nexthop).await;
        }
        let best = servers.list.first().map(|server| server.preference);
        let exchanged = servers.exchanged.as_ref();
        let mut tour = Tour::new(servers.list, settings.mx_address_limit, settings.mx_session_limit);
        if self.reuse.load {
            self.use_kept(nexthop, &mut tour, is_last).await;
        }
        while !self.recipients.is_empty()
            && let Some(server) = tour.next()
        {
            let is_best = best == Some(server.preference);
            self.visit_server(nexthop, &server, exchanged, is_best, &mut tour, is_last).await;
        }
        is_last
    }

    /// Whether connections may be taken and left, and under which name the first is left.
    async fn settle_reuse(&mut self, nexthop: &Nexthop) {
        let caching = &self.agent.settings.caching;
        // A list that cannot be asked keeps nothing open.
        let is_listed = caching.destinations.has(nexthop.host.as_bytes()).await.unwrap_or(false);
        self.reuse = match (is_listed, caching.on_demand) {
            (true, _) => Reuse { load: true, store: true },
            (false, true) => self.job.reuse,
            (false, false) => Reuse::default(),
        };
        if self.reuse.load || self.reuse.store {
            self.label = Some(self.owner(nexthop));
        }
    }

    fn owner(&self, nexthop: &Nexthop) -> Owner {
        let by_sender = self.agent.settings.logins.as_ref().is_some_and(|logins| logins.by_sender);
        Owner { destination: nexthop.text.clone(), sender: by_sender.then(|| self.job.sender.clone()) }
    }

    fn endpoint(&self, nexthop: &Nexthop, server: &mx::Server) -> Endpoint {
        let settings = &self.agent.settings;
        let is_private = settings.logins.is_some() || settings.tls.engine.is_some();
        Endpoint {
            address: Address::Inet(SocketAddr::new(server.address, server.port)),
            owner: is_private.then(|| self.owner(nexthop)),
        }
    }

    /// Sends over connections that other jobs left: of the destination, then of its best servers.
    async fn use_kept(&mut self, nexthop: &Nexthop, tour: &mut Tour, is_last: bool) {
        let connections = &self.agent.connections;
        if let Some((endpoint, kept)) = self.label.as_ref().and_then(|label| connections.take_for(label)) {
            self.use_one(endpoint, kept, tour, is_last).await;
        }
        for server in tour.best() {
            if self.recipients.is_empty() {
                return;
            }
            let endpoint = self.endpoint(nexthop, &server);
            if let Some(kept) = connections.take(&endpoint) {
                self.use_one(endpoint, kept, tour, is_last).await;
            }
        }
    }

    async fn use_one(&mut self, endpoint: Endpoint, mut kept: Kept, tour: &mut Tour, is_last: bool) {
        if !kept.connection.probe().await {
            return;
        }
        tour.pass(&endpoint.address);
        // No other way to send it, in the clear or not, is better than one that worked before.
        self.send(endpoint, kept, is_last && tour.is_over(), false).await;
    }

    async fn visit_server(
        &mut self,
        nexthop: &Nexthop,
        server: &mx::Server,
        exchanged: Option<&mx::MxOwner>,
        is_best: bool,
        tour: &mut Tour,
        is_last: bool,
    ) {
        let settings = &self.agent.settings;
        let site = Site {
            destination: &nexthop.text,
            host: &server.host,
            server: Some(server),
            exchanged,
            domain: (!nexthop.is_bracketed).then_some(nexthop.host.as_str()),
        };
        let Some(wish) = self.wish(&site, "TLS policy lookup").await else { return };
        let mut target = Target {
            destination: &nexthop.text,
            domain: &nexthop.host,
            address: Some(server.address),
            server: self.describe(server, is_best).await,
            wish,
            may_fall_back: self.may_fall_back(&nexthop.text, &server.host).await,
        };
        if !target.wish.allows(&server.host) {
            let (host, domain) = (&server.host, &nexthop.host);
            settings
                .log
                .warning(format_args!("MX name '{host}' does not match STS MX pattern for '{domain}'"));
            return;
        }
        if settings.tls.wrappermode && !target.wish.is_required() {
            settings.log.warning(format_args!(
                "smtp_tls_wrappermode requires \"smtp_tls_security_level = encrypt\" (or stronger)"
            ));
            return;
        }
        loop {
            let dialed = match self.agent.dialer.connect(server).await {
                Ok(dialed) => dialed,
                Err(error) => return self.not_reached(&error),
            };
            self.warn(dialed.warning.as_slice());
            let end = self.converse(dialed.stream, &target, self.endpoint(nexthop, server), tour, is_last);
            match end.await {
                End::Done => return,
                End::FallsBack => target.wish = Wish::IN_THE_CLEAR,
            }
        }
    }

    async fn visit_socket(&mut self, path: &str) {
        let settings = &self.agent.settings;
        let myhostname = &settings.conversation.myhostname;
        let name = format!("{myhostname}[{path}]");
        let site = Site { destination: path, host: myhostname, server: None, exchanged: None, domain: None };
        let Some(wish) = self.wish(&site, "TLS policy lookup error").await else { return };
        let target = Target {
            destination: path,
            domain: myhostname,
            address: None,
            server: Server {
                host: myhostname.clone(),
                address: path.to_owned(),
                name_and_address: name.clone(),
                relay: name,
                smtp_discard_ehlo_keywords: self.overlooked(path).await,
                ..Server::default()
            },
            // Optional TLS makes no sense here: nobody listens in.
            wish: if wish.is_optional() { Wish::IN_THE_CLEAR } else { wish },
            may_fall_back: false,
        };
        let owner = Owner { destination: format!("unix:{path}"), sender: None };
        let endpoint = Endpoint { address: Address::Unix(path.to_owned()), owner: Some(owner) };
        self.reuse = if settings.caching.on_demand { self.job.reuse } else { Reuse::default() };
        let mut tour = Tour::new(Vec::new(), 0, 0);
        if self.reuse.load
            && let Some(kept) = self.agent.connections.take(&endpoint)
        {
            self.use_one(endpoint.clone(), kept, &mut tour, true).await;
        }
        if self.recipients.is_empty() {
            return;
        }
        match self.agent.dialer.connect_unix(myhostname, Path::new(path)).await {
            Ok(dialed) => {
                self.converse(dialed.stream, &target, endpoint, &mut tour, true).await;
            }
            Err(error) => self.not_reached(&error),
        }
    }

    /// Greets a server and sends it what there is.
    async fn converse(
        &mut self,
        stream: net::Stream,
        target: &Target<'_>,
        endpoint: Endpoint,
        tour: &mut Tour,
        is_last: bool,
    ) -> End {
        let line = Line::new(stream, self.agent.settings.timeouts.clone());
        let approach = Approach { agent: self.agent, job: self.job, target };
        match approach.prepare(line).await {
            Ok(client) => {
                tour.count_session();
                let may_fall_back = target.may_fall_back && target.wish.is_optional();
                self.may_keep = target.wish.may_keep;
                self.send(endpoint, Reusable::new(client), is_last && tour.is_over(), may_fall_back).await
            }
            Err(Refused { failure, falls_back, is_lenient }) => {
                let via = Via { relay: target.server.relay.clone(), ..Via::none() };
                let is_last = is_last && tour.is_over() && !falls_back;
                self.fail_all(&failure, &via, is_last, !is_lenient);
                if falls_back { End::FallsBack } else { End::Done }
            }
        }
    }

    /// Sends the message to those who are left, and keeps or closes the connection.
    async fn send(&mut self, endpoint: Endpoint, kept: Kept, is_last: bool, may_fall_back: bool) -> End {
        let Kept { connection: mut client, uses, opened } = kept;
        let via = self.via(&client, uses);
        let envelope = &self.job.message.envelope;
        let order = self.recipients.left().to_vec();
        let mut rcpts: Vec<Rcpt> = order.iter().map(|at| self.rcpt(*at)).collect();
        let id = self.job.message.id.to_string();
        let settings = &self.agent.settings;
        let requires_smtputf8 = self.requires_smtputf8(&rcpts);
        let mut sender = self.job.sender.clone();
        if let Err(failure) =
            self.apply_generic(&mut sender, &mut rcpts, &client.server().name_and_address).await
        {
            self.fail_all(&failure, &via, is_last, true);
            self.part(endpoint, Kept { connection: client, uses, opened }, true).await;
            return End::Done;
        }
        let is_converted = !settings.rewriting.disable_mime_output_conversion
            && !client.features().eightbitmime
            && envelope.encoding != Encoding::SevenBit;
        let attributes = settings
            .conversation
            .smtp_send_xforward_command
            .then(|| ClientAttributes::new(&envelope.client, &id, envelope.rewrite_local));
        let message = Message {
            sender: &sender,
            recipients: &rcpts,
            size: envelope.size,
            is_converted,
            body: envelope.encoding,
            smtputf8: envelope.smtputf8,
            requires_smtputf8,
            ret: envelope.ret,
            envid: envelope.envid.as_ref(),
            client: attributes.as_ref(),
            verify: (self.job.purpose == Purpose::Probe).then_some(settings.address_verify_target),
        };
        let chunks = Chunks::new(&self.job.message.content);
        let mut content =
            Outbound::new(&settings.rewriting, &settings.log, self.job.message.id, chunks, is_converted);
        let recipients = &mut self.recipients;
        let mut report = |at: usize, result| recipients.decide(order[at], result, &via, is_last);
        let outcome = client.deliver(&message, &mut content, &mut report).await;
        self.agent.log_notices(&mut client, self.job.message.id);
        let mut end = End::Done;
        let mut is_good = true;
        let mut takes_leave = true;
        match outcome {
            Ok(()) => self.has_completed = true,
            Err(failure) => {
                let falls_back = may_fall_back && is_lost(&failure) && client.wire().tls.is_some();
                is_good = failure.scope != Scope::Site;
                // Postfix: a server for which the message is too big is left without a word.
                takes_leave = failure.status != DsnStatus::new(5, 3, 4) || failure.remote_mta.is_some();
                self.fail_all(&failure, &via, is_last && !falls_back, true);
                if falls_back {
                    end = End::FallsBack;
                }
            }
        }
        if takes_leave {
            self.part(endpoint, Kept { connection: client, uses, opened }, is_good).await;
        }
        end
    }

    /// Keeps a connection for others if they may use it, or closes it.
    async fn part(&mut self, endpoint: Endpoint, mut kept: Kept, is_good: bool) {
        let label = if is_good { self.label.take() } else { None };
        let has_tls = kept.connection.wire().tls.is_some();
        let may_keep =
            kept.connection.is_reusable() && self.reuse.store && is_good && (!has_tls || self.may_keep);
        let client = match may_keep {
            true => self.agent.connections.put(label, endpoint, kept),
            false => Some(kept.connection),
        };
        if let Some(client) = client {
            SmtpAgent::close(client).await;
        }
    }

    /// The same fate for all who are left. What is deferred for the server's sake counts against the destination.
    fn fail_all(&mut self, failure: &Failure, via: &Via, is_last: bool, counts: bool) {
        let is_deferred = self.recipients.fail_all(failure, via, is_last);
        let is_first = self.verdict == Verdict::Alive && !self.has_completed;
        if is_deferred && is_first && counts && failure.scope == Scope::Site {
            self.verdict = Verdict::Dead { status: failure.status, reason: failure.reason.clone() };
        }
    }

    fn trouble(&mut self, failure: Failure) {
        self.recipients.set_trouble(failure);
    }

    fn not_reached(&mut self, error: &DialError) {
        self.warn(error.warning().as_slice());
        self.agent.settings.log.info(format_args!("{error}"));
        self.trouble(Failure::ours(Scope::Site, error.status(), error.to_string()));
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.agent.settings.log.warning(format_args!("{warning}"));
        }
    }

    async fn describe(&self, server: &mx::Server, is_best_mx: bool) -> Server {
        let address = server.address.to_string();
        let name_and_address = format!("{}[{address}]", server.host);
        let detects_loops = self.agent.settings.protocol == Protocol::Smtp && server.port == SMTP_PORT;
        let nexthop = self.job.nexthop.to_string();
        Server {
            host: server.host.clone(),
            relay: format!("{name_and_address}:{}", server.port),
            name_and_address,
            port: server.port,
            smtp_discard_ehlo_keywords: self.overlooked(&address).await,
            smtp_pix_workarounds: self.pix_workarounds(&address).await,
            loop_detection: detects_loops.then_some(LoopDetection { nexthop, is_best_mx }),
            address,
        }
    }

    /// What is done if the server at an address is behind a PIX.
    async fn pix_workarounds(&self, address: &str) -> PixWorkarounds {
        let pix = &self.agent.settings.pix;
        let mut workarounds = match pix.by_address.get(address.as_bytes(), true).await {
            Ok(Some(words)) => PixWorkarounds::parse(&String::from_utf8_lossy(&words)),
            Ok(None) | Err(_) => pix.workarounds,
        };
        let age = (self.agent.settings.now)().since(self.job.message.envelope.arrival);
        workarounds.delay_dotcrlf &= age >= pix.threshold_time;
        workarounds
    }

    /// The keywords to overlook in the reply of the server at an address.
    async fn overlooked(&self, address: &str) -> smtp::Keywords {
        let configured = &self.agent.settings.discard_ehlo_keywords;
        match configured.by_address.get(address.as_bytes(), true).await {
            Ok(Some(words)) => smtp::Keywords::parse(&String::from_utf8_lossy(&words)).0,
            Ok(None) => configured.keywords,
            Err(tables::TryLater(why)) => {
                let id = self.job.message.id;
                let parameter = configured.by_address.parameter();
                self.warn(&[format!("{id}: {parameter} map lookup error for {address}: {why}")]);
                configured.keywords
            }
        }
    }

    fn via(&self, client: &Client<Line>, uses: u32) -> Via {
        let settings = &self.agent.settings;
        let is_final = settings.protocol == Protocol::Lmtp && settings.lmtp_assume_final;
        let success = match client.features().dsn {
            true => Success::Delegated,
            false if is_final => Success::Delivered,
            false => Success::Relayed,
        };
        let server = client.server();
        Via {
            relay: server.relay.clone(),
            host: server.host.clone(),
            uses,
            success,
            ready: Some(Instant::now()),
        }
    }

    fn rcpt(&self, at: usize) -> Rcpt {
        let recipient = &self.job.recipients[at];
        let envelope = &self.job.message.envelope;
        let original = &envelope.recipients[recipient.index as usize];
        Rcpt {
            address: recipient.address.clone(),
            orcpt: original_recipient(original, envelope.smtputf8),
            notify: original.notify,
        }
    }

    /// `smtp_generic_maps` in the envelope.
    async fn apply_generic(
        &self,
        sender: &mut mail::Address,
        rcpts: &mut [Rcpt],
        server: &str,
    ) -> Result<(), Failure> {
        let generic = &self.agent.settings.rewriting.generic;
        let mut problems = Vec::new();
        for address in std::iter::once(sender).chain(rcpts.iter_mut().map(|rcpt| &mut rcpt.address)) {
            *address = generic.address(address, &mut problems).await.map_err(|failed| {
                self.warn(&[format!("{}: {failed}", self.job.message.id)]);
                let text = format!("local data error while talking to {server}");
                Failure::ours(Scope::Message, DsnStatus::new(4, 3, 0), text)
            })?;
        }
        self.warn(&problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        Ok(())
    }

    fn requires_smtputf8(&self, rcpts: &[Rcpt]) -> bool {
        let envelope = &self.job.message.envelope;
        let has_header = || envelope.extra.iter().any(|(name, _)| name == mail::SMTPUTF8_HEADER);
        envelope.smtputf8
            && (!self.job.sender.as_bytes().is_ascii()
                || rcpts.iter().any(|rcpt| !rcpt.address.as_bytes().is_ascii())
                || has_header())
    }

    /// What TLS a server is to have; None: it cannot be used.
    async fn wish(&mut self, site: &Site<'_>, what: &str) -> Option<Wish> {
        let warn = |text: String| self.agent.settings.log.warning(format_args!("{text}"));
        match self.agent.settings.tls.wish(site, &warn).await {
            Ok(wish) => Some(wish),
            Err(failure) => {
                warn(format!("{what} for {}/{}: {}", site.destination, site.host, failure.reason));
                self.trouble(failure);
                None
            }
        }
    }

    /// Mail that was tried before and is still here rather goes in the clear than not at all. With a login it does not:
    /// a server that wants one would refuse it.
    async fn may_fall_back(&self, destination: &str, host: &str) -> bool {
        let settings = &self.agent.settings;
        let age = (settings.now)().since(self.job.message.envelope.arrival);
        if age < settings.minimal_backoff_time {
            return false;
        }
        match &settings.logins {
            // a table that cannot be asked might have one
            Some(logins) => matches!(logins.find(&self.job.sender, host, destination).await, Ok(None)),
            None => true,
        }
    }
}

impl Tour {
    fn new(servers: Vec<mx::Server>, address_limit: usize, session_limit: usize) -> Tour {
        Tour { rest: servers.into(), addresses: 0, address_limit, sessions: 0, session_limit }
    }

    fn next(&mut self) -> Option<mx::Server> {
        let server = self.rest.pop_front()?;
        self.count_address();
        Some(server)
    }

    fn count_address(&mut self) {
        self.addresses += 1;
        if self.addresses == self.address_limit {
            self.rest.clear();
        }
    }

    fn count_session(&mut self) {
        self.sessions += 1;
        if self.sessions == self.session_limit {
            self.rest.clear();
        }
    }

    /// Takes out a server that mail was sent to over a connection that was there already.
    fn pass(&mut self, address: &Address) {
        let is_it =
            |server: &mx::Server| *address == Address::Inet(SocketAddr::new(server.address, server.port));
        self.rest.retain(|server| !is_it(server));
        self.count_address();
        self.count_session();
    }

    /// Those of the first one's preference.
    fn best(&self) -> Vec<mx::Server> {
        let best = self.rest.front().map(|server| server.preference);
        self.rest.iter().take_while(|server| Some(server.preference) == best).cloned().collect()
    }

    fn is_over(&self) -> bool {
        self.rest.is_empty()
    }
}
