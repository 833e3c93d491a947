//! A world in memory: the tables, the zone, the routing and the policy server of a row file.

use bytes::Bytes;
use mail::dns::{Answer, Dns, Failure, Kind, Record};
use mail::keys::{Extensions, Key, Search, address_keys};
use mail::{Address, Client};
use policy::{
    Asked, Certificate, Class, Compatibility, Event, Facts, Failed, Found, HostFailure, Is, Listed,
    ListedQuery, Map, MatchList, PolicyService, Request, Resolved, Response, Restrictions, Settings, Sources,
    Subject, Table, TempfailAction, Tls, Verified,
};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct World {
    main: HashMap<String, String>,
    zone: Vec<(String, String, String)>,
    tables: HashMap<String, Vec<(String, String)>>,
    policy: HashMap<String, String>,
    pub(crate) log: Mutex<Vec<String>>,
}

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a world in memory never waits"),
    }
}

impl Clone for World {
    fn clone(&self) -> World {
        World {
            main: self.main.clone(),
            zone: self.zone.clone(),
            tables: self.tables.clone(),
            policy: self.policy.clone(),
            log: Mutex::default(),
        }
    }
}

impl World {
    /// From the sections at the top of a row file.
    pub(crate) fn new(head: &str) -> World {
        let mut world = World::default();
        let mut section: Vec<&str> = Vec::new();
        for line in head.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let two = || line.split_once([' ', '\t']).map_or((line, ""), |(a, b)| (a, b.trim()));
            match (section.as_slice(), line.strip_prefix('%')) {
                (_, Some(header)) => section = header.split(' ').collect(),
                (["main"], _) => world.set(line),
                (["zone"], _) => {
                    let (name, rest) = two();
                    let (kind, data) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
                    world.zone.push((name.into(), kind.into(), data.trim().into()));
                }
                (["table", name], _) => {
                    let is_quoted = line.starts_with('"');
                    let key_len = match is_quoted {
                        true => {
                            line.rfind('"').unwrap() + line[line.rfind('"').unwrap()..].find(' ').unwrap()
                        }
                        false => line.find([' ', '\t']).unwrap(),
                    };
                    let (key, value) = line.split_at(key_len);
                    let table = world.tables.entry(name.to_string()).or_default();
                    table.push((key.to_lowercase(), value.trim().to_owned()));
                }
                (["policy"], _) => {
                    world.policy.insert(two().0.into(), two().1.into());
                }
                _ => panic!("{line}"),
            }
        }
        world
    }

    /// Takes `name = value`.
    pub(crate) fn set(&mut self, line: &str) {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        self.main.insert(name.trim().into(), value.trim().into());
    }

    fn get(&self, name: &str) -> &str {
        self.main.get(name).map_or("", String::as_str)
    }

    /// A session with a certificate of the world's test authority, `selfsigned`, or none.
    pub(crate) fn tls(&self, certificate: &str) -> Tls {
        let is_trusted = certificate != "selfsigned";
        let subject = if is_trusted { certificate } else { "self.signed.example" };
        let is_shown = !certificate.is_empty() && self.get("smtpd_tls_ask_ccert") == "yes";
        Tls {
            protocol: "TLSv1.3".into(),
            cipher: "C".into(),
            key_bits: 256,
            certificate: is_shown.then(|| Certificate {
                is_trusted,
                subject_common_name: subject.into(),
                issuer_common_name: if is_trusted { "World Test CA" } else { subject }.into(),
                fingerprint: "F".into(),
                public_key_fingerprint: "F".into(),
            }),
        }
    }

    fn words(&self, name: &str) -> Vec<String> {
        let is_old = self.get("compatibility_level").parse::<f32>().unwrap_or(0.0) < 2.0;
        let name = match name {
            "relay_domains" if is_old && !self.main.contains_key(name) => "mydestination",
            name => name,
        };
        let value = self.get(name).replace("$myhostname", self.get("myhostname"));
        let value = value.replace("$mydomain", self.get("mydomain"));
        value.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn restrictions(&self) -> Restrictions {
        let classes = self.words("smtpd_restriction_classes");
        let is_old = self.get("compatibility_level").parse::<f32>().unwrap_or(0.0) < 1.0;
        let relay_default = "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination";
        let relay = match self.main.get("smtpd_relay_restrictions") {
            Some(value) => value,
            None if is_old => "",
            None => relay_default,
        };
        let sources = Sources {
            smtpd_client_restrictions: self.get("smtpd_client_restrictions"),
            smtpd_helo_restrictions: self.get("smtpd_helo_restrictions"),
            smtpd_sender_restrictions: self.get("smtpd_sender_restrictions"),
            smtpd_relay_restrictions: relay,
            smtpd_recipient_restrictions: self.get("smtpd_recipient_restrictions"),
            smtpd_data_restrictions: self.get("smtpd_data_restrictions"),
            smtpd_end_of_data_restrictions: self.get("smtpd_end_of_data_restrictions"),
            smtpd_etrn_restrictions: self.get("smtpd_etrn_restrictions"),
            local_header_rewrite_clients: "permit_inet_interfaces",
            smtpd_restriction_classes: classes
                .iter()
                .map(|class| (class.as_str(), self.main.get(class).map(String::as_str)))
                .collect(),
        };
        Restrictions::parse(&sources, self.settings()).0
    }

    fn settings(&self) -> Settings {
        let mut s = Settings::default();
        for (name, value) in &self.main {
            let code = || value.parse::<u16>().unwrap();
            let yes = || value == "yes";
            let action = || TempfailAction::parse(value).unwrap();
            match name.as_str() {
                "access_map_defer_code" => s.access_map_defer_code = code(),
                "access_map_reject_code" => s.access_map_reject_code = code(),
                "defer_code" => s.defer_code = code(),
                "invalid_hostname_reject_code" => s.invalid_hostname_reject_code = code(),
                "maps_rbl_reject_code" => s.maps_rbl_reject_code = code(),
                "multi_recipient_bounce_reject_code" => s.multi_recipient_bounce_reject_code = code(),
                "non_fqdn_reject_code" => s.non_fqdn_reject_code = code(),
                "plaintext_reject_code" => s.plaintext_reject_code = code(),
                "reject_code" => s.reject_code = code(),
                "relay_domains_reject_code" => s.relay_domains_reject_code = code(),
                "unknown_address_reject_code" => s.unknown_address_reject_code = code(),
                "unknown_client_reject_code" => s.unknown_client_reject_code = code(),
                "unknown_hostname_reject_code" => s.unknown_hostname_reject_code = code(),
                "unknown_local_recipient_reject_code" => s.unknown_local_recipient_reject_code = code(),
                "unverified_recipient_reject_code" => s.unverified_recipient_reject_code = code(),
                "unverified_sender_reject_code" => s.unverified_sender_reject_code = code(),
                "unverified_sender_defer_code" => s.unverified_sender_defer_code = code(),
                "unverified_recipient_reject_reason" => s.unverified_recipient_reject_reason = value.clone(),
                "unknown_address_tempfail_action" => s.unknown_address_tempfail_action = action(),
                "unknown_helo_hostname_tempfail_action" => s.unknown_helo_hostname_tempfail_action = action(),
                "unverified_sender_tempfail_action" => s.unverified_sender_tempfail_action = action(),
                "smtpd_delay_reject" => s.smtpd_delay_reject = yes(),
                "smtpd_relay_before_recipient_restrictions" => {
                    s.smtpd_relay_before_recipient_restrictions = yes();
                }
                "smtpd_reject_unlisted_sender" => s.smtpd_reject_unlisted_sender = yes(),
                "smtpd_reject_unlisted_recipient" => s.smtpd_reject_unlisted_recipient = yes(),
                "soft_bounce" => s.soft_bounce = yes(),
                "show_user_unknown_table_name" => s.show_user_unknown_table_name = yes(),
                "allow_untrusted_routing" => s.allow_untrusted_routing = yes(),
                "smtpd_tls_ask_ccert" => s.smtpd_tls_ask_ccert = yes(),
                "smtpd_sasl_auth_enable" => s.smtpd_sasl_auth_enable = yes(),
                "smtputf8_enable" => s.smtputf8_enable = yes(),
                "info_log_address_format" => s.info_log_address_internal = value == "internal",
                "smtpd_proxy_filter" => s.smtpd_proxy_filter = !value.is_empty(),
                "receive_override_options" => {
                    s.no_unknown_recipient_checks = value.contains("no_unknown_recipient_checks");
                }
                "parent_domain_matches_subdomains" => {
                    s.parent_domain_matches_subdomains = value.contains("smtpd_access_maps");
                }
                "smtpd_null_access_lookup_key" => s.smtpd_null_access_lookup_key = value.clone(),
                "default_rbl_reply" => s.default_rbl_reply = value.clone(),
                "maps_rbl_domains" => s.maps_rbl_domains = value.clone(),
                "myhostname" => s.myhostname = value.clone(),
                "recipient_delimiter" => s.recipient_delimiter = value.clone(),
                "smtpd_log_access_permit_actions" => s.smtpd_log_access_permit_actions = !value.is_empty(),
                "rbl_reply_maps" => s.rbl_reply_maps = !value.is_empty(),
                "permit_mx_backup_networks" => s.permit_mx_backup_networks = !value.is_empty(),
                "smtpd_sender_login_maps" => s.smtpd_sender_login_maps = !value.is_empty(),
                "address_verify_poll_count" => s.address_verify_poll_count = value.parse().unwrap(),
                "smtpd_policy_service_default_action" => s.policy_service.default_action = value.clone(),
                _ => {}
            }
        }
        let level: f32 = self.get("compatibility_level").parse().unwrap_or(0.0);
        s.compatibility = Compatibility {
            relay_restrictions: level < 1.0 && !self.main.contains_key("smtpd_relay_restrictions"),
            relay_before_recipient_restrictions: level < 3.6
                && !self.main.contains_key("smtpd_relay_before_recipient_restrictions"),
            relay_domains: level < 2.0 && !self.main.contains_key("relay_domains"),
            mynetworks_style: None,
            smtpd_tls_fingerprint_digest: false,
        };
        if level < 3.6 && !self.main.contains_key("smtpd_relay_before_recipient_restrictions") {
            s.smtpd_relay_before_recipient_restrictions = false;
        }
        s
    }

    /// One exact lookup in `type:name`.
    fn look_up(&self, table: &str, key: &str) -> Found {
        let key = key.to_lowercase();
        let found = |rows: &[(String, String)]| {
            rows.iter().find(|(k, _)| *k == key).map(|(_, value)| Bytes::from(value.clone()))
        };
        match table.split_once(':') {
            Some(("fail", _)) => Err(Failed::TryLater),
            Some(("static", value)) => Ok(Some(value.trim_matches(['{', '}']).to_owned().into())),
            Some(("texthash", path)) => Ok(found(&self.tables[path.trim_start_matches("/etc/postfix/")])),
            Some(("inline", rows)) => Ok(found(&inline(rows))),
            _ => Err(Failed::Misconfigured),
        }
    }

    /// A lookup in a map parameter.
    fn find_in(&self, parameter: &str, keys: &[String]) -> Found {
        let table = self.get(parameter);
        for key in keys.iter().filter(|_| !table.is_empty()) {
            if let Some(value) = self.look_up(table, key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn class(&self, domain: &str) -> Class {
        let has = |list: &str| self.words(list).iter().any(|word| word == domain);
        let is_own = |literal: &str| literal.parse().is_ok_and(is_own_address);
        match domain.trim_matches(['[', ']']) {
            literal if domain.starts_with('[') && is_own(literal) => Class::Local,
            _ if has("mydestination") => Class::Local,
            _ if has("virtual_alias_domains") => Class::VirtualAlias,
            _ if has("virtual_mailbox_domains") => Class::VirtualMailbox,
            _ if self.words("relay_domains").iter().any(|word| is_in_domain(domain, word)) => Class::Relay,
            _ => Class::Default,
        }
    }

    fn keys(&self, address: &Address) -> Vec<String> {
        let domain = String::from_utf8_lossy(address.domain().unwrap_or_default()).into_owned();
        let extensions = Extensions::new(self.get("recipient_delimiter").to_owned());
        let keys = address_keys(address, Search::ADDRESS, &extensions, self.class(&domain) == Class::Local);
        keys.iter().map(|key| String::from_utf8_lossy(&key.text).into_owned()).collect()
    }

    fn resolve_now(&self, address: &Address) -> Resolved {
        let text = String::from_utf8_lossy(address.as_bytes()).to_lowercase();
        let text = text.strip_suffix('.').unwrap_or(&text);
        let mut text = match text.contains('@') {
            true => text.to_owned(),
            false => format!("{text}@{}", self.get("myhostname")),
        };
        let mut is_routed = false;
        loop {
            let (local, domain) = text.rsplit_once('@').unwrap();
            let class = self.class(domain);
            match local.rsplit_once('%') {
                Some((user, host)) if class.is_final() => {
                    is_routed = true;
                    text = format!("{user}@{host}");
                }
                further => {
                    is_routed |= further.is_some();
                    return Resolved { class, is_routed, recipient: Address::from(text.as_str()) };
                }
            }
        }
    }

    fn records(&self, name: &str, kind: &str) -> Result<Vec<String>, Failure> {
        let name = name.to_lowercase();
        let below = format!(".{name}");
        let here: Vec<_> = self.zone.iter().filter(|(n, ..)| *n == name).collect();
        let fault =
            |k: &str| here.iter().any(|(_, fault, data)| fault == k && (data.is_empty() || data == kind));
        if fault("!SERVFAIL") {
            return Err(Failure::ServerFailure { rcode: 2 });
        }
        if fault("!TIMEOUT") {
            return Err(Failure::Timeout);
        }
        if let Some((_, _, alias)) = here.iter().find(|(_, k, _)| k == "CNAME") {
            return self.records(alias, kind);
        }
        let found: Vec<String> = here.iter().filter(|(_, k, _)| k == kind).map(|(.., d)| d.clone()).collect();
        let exists = here.iter().any(|(_, k, _)| !k.starts_with('!'))
            || self.zone.iter().any(|(n, ..)| n.ends_with(&below));
        match found.is_empty() {
            false => Ok(found),
            true if exists => Err(Failure::NoData),
            true => Err(Failure::NoSuchDomain),
        }
    }

    /// What the policy server of `record.py` answers.
    fn policy_answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(request);
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let get = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (recipient, state) = (get("recipient").unwrap_or(""), get("protocol_state").unwrap_or(""));
        let key = if recipient.is_empty() { state } else { recipient };
        let action = self.policy.get(key).or(self.policy.get("*")).map_or("DUNNO", String::as_str).to_owned();
        lines
            .iter_mut()
            .filter(|line| line.len() > "instance=".len() && line.starts_with("instance="))
            .for_each(|line| *line = "instance=I");
        self.log.lock().unwrap().push(format!("P {}", lines.join(" ")));
        match action.as_str() {
            "HANGUP" => None,
            "NOEND" => None,
            "EMPTY" => Some(b"\n".to_vec()),
            action => Some(format!("action={action}\n\n").into_bytes()),
        }
    }
}

fn is_in_domain(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// `inline:{ a=b { c = d e } }`
fn inline(rows: &str) -> Vec<(String, String)> {
    let inner = rows.trim().strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let (mut out, mut rest) = (Vec::new(), inner.trim_start());
    while !rest.is_empty() {
        let (row, behind) = match rest.strip_prefix('{') {
            Some(braced) => braced.split_once('}').unwrap(),
            None => rest.split_once([' ', ',']).unwrap_or((rest, "")),
        };
        let (key, value) = row.split_once('=').unwrap();
        out.push((key.trim().to_lowercase(), value.trim().to_owned()));
        rest = behind.trim_start_matches([' ', ',']);
    }
    out
}

/// A world's machine has these.
fn is_own_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            v4.is_loopback() || (matches!([a, b, c], [192, 0, 2] | [198, 51, 100]) && (1..100).contains(&d))
        }
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}

fn is_in_networks(address: &str, networks: &[String]) -> bool {
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return false;
    };
    networks.iter().any(|network| {
        let (base, bits) = network.split_once('/').unwrap_or((network, "32"));
        let mask = u32::MAX << (32 - bits.parse::<u32>().unwrap());
        u32::from(base.parse::<Ipv4Addr>().unwrap()) & mask == u32::from(address) & mask
    })
}

impl Facts for World {
    async fn table(&self, table: &Table, key: &Key<'_>) -> Found {
        self.look_up(&table.name, &String::from_utf8_lossy(&key.text))
    }

    async fn find(&self, map: Map, key: Asked<'_>) -> Found {
        let parameter = match map {
            Map::SenderLogin => "smtpd_sender_login_maps",
            Map::RblReply => "rbl_reply_maps",
            Map::RelayClientcerts => "relay_clientcerts",
        };
        let keys = match key {
            Asked::Key(key) => vec![String::from_utf8_lossy(key).into_owned()],
            Asked::Address(address) => self.keys(address),
        };
        self.find_in(parameter, &keys)
    }

    async fn matches(&self, list: MatchList, subject: Subject<'_>) -> Is {
        let parameter = match list {
            MatchList::Mynetworks => "mynetworks",
            MatchList::PermitMxBackupNetworks => "permit_mx_backup_networks",
            MatchList::RelayDomains => "relay_domains",
            MatchList::LogAccessPermitActions => "smtpd_log_access_permit_actions",
            MatchList::Mydestination => "mydestination",
            MatchList::MynetworksHost | MatchList::InetInterfaces | MatchList::OwnAddresses => "",
        };
        let words = self.words(parameter);
        Ok(match subject {
            Subject::Host { address, .. } => is_in_networks(address, &words),
            Subject::Address(address) => is_own_address(address),
            Subject::Name(_) if words.iter().any(|word| word == "static:all") => true,
            Subject::Name(name) if list == MatchList::RelayDomains => {
                words.iter().any(|word| is_in_domain(name, word))
            }
            Subject::Name(name) => words.iter().any(|word| word == name),
        })
    }

    fn dns(&self) -> &dyn Dns {
        self
    }

    async fn host_addresses(&self, host: &str) -> Result<Vec<IpAddr>, HostFailure> {
        if host == "mail.example.com" {
            return Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        }
        let mut addresses = Vec::new();
        let mut why = HostFailure::NotFound;
        for kind in ["A", "AAAA"] {
            match self.records(host, kind) {
                Ok(found) => addresses.extend(found.iter().map(|text| text.parse::<IpAddr>().unwrap())),
                Err(Failure::NoData) => why = HostFailure::NoAddress,
                Err(Failure::NoSuchDomain) => {}
                Err(_) => why = HostFailure::TryLater,
            }
        }
        if addresses.is_empty() { Err(why) } else { Ok(addresses) }
    }

    async fn resolve(&self, _: Option<&Address>, address: &Address) -> Result<Resolved, Failed> {
        Ok(self.resolve_now(address))
    }

    async fn listed(&self, query: ListedQuery<'_>) -> Result<Listed, Failed> {
        let resolved = self.resolve_now(query.address);
        let keys = self.keys(&resolved.recipient);
        for map in ["recipient_canonical_maps", "canonical_maps", "virtual_alias_maps"] {
            if self.find_in(map, &keys)?.is_some() {
                return Ok(Listed::Yes);
            }
        }
        let local = String::from_utf8_lossy(resolved.recipient.local()).into_owned();
        let map = match resolved.class {
            Class::Local if ["postmaster", "mailer-daemon", "double-bounce"].contains(&local.as_str()) => "",
            Class::Local => "local_recipient_maps",
            Class::VirtualMailbox => "virtual_mailbox_maps",
            Class::Relay => "relay_recipient_maps",
            Class::VirtualAlias => {
                let table = if self.get("show_user_unknown_table_name") == "no" {
                    ""
                } else {
                    " in virtual alias table"
                };
                return Ok(Listed::Error {
                    text: format!("User unknown{table}"),
                    class: Class::VirtualAlias,
                });
            }
            Class::Default => "",
        };
        match self.get(map).is_empty() || self.find_in(map, &keys)?.is_some() {
            true => Ok(Listed::Yes),
            false => Ok(Listed::No(resolved.class)),
        }
    }

    async fn verify(&self, address: &Address) -> Result<Verified, Failed> {
        let address = address.to_string();
        let (key, result) =
            match self.tables.get("probes").and_then(|rows| rows.iter().find(|(k, _)| *k == address)) {
                Some((key, result)) => (key, result),
                None => return Ok(Verified::Deliverable),
            };
        match result.split_once(' ').unwrap_or((result, "")) {
            ("undeliverable", why) => Ok(Verified::Undeliverable(why.into())),
            ("deferred", why) => Ok(Verified::Deferred(why.into())),
            ("pending", why) => Ok(Verified::Pending(why.into())),
            _ => panic!("{key} {result}"),
        }
    }

    async fn ask(&self, service: &PolicyService, request: &Request<'_>) -> Result<Bytes, Failed> {
        if service.endpoint != "inet:127.0.0.1:9999" {
            return Err(Failed::TryLater);
        }
        for _ in 0..service.settings.try_limit {
            if let Some(wire) = self.policy_answer(&request.to_wire()) {
                match Response::default().receive(&wire) {
                    Ok(Some(action)) => return Ok(action),
                    Ok(None) => {}
                    Err(why) => {
                        let line = format!("L warning: {why} from 127.0.0.1:9999");
                        self.log.lock().unwrap().push(line);
                    }
                }
            }
        }
        Err(Failed::TryLater)
    }

    async fn sleep(&self, _: Duration) {}

    fn localtime(&self) -> String {
        "Nov 25 01:02:03".into()
    }

    fn log(&self, event: &Event<'_>) {
        self.log.lock().unwrap().push(format!("L {event}"));
    }
}

impl Dns for World {
    fn query<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>> {
        let answer = || {
            let type_name = format!("{kind:?}").to_uppercase();
            let records = self.records(name, &type_name)?;
            let record = |data: String| match kind {
                Kind::A => Record::A(data.parse().unwrap()),
                Kind::Aaaa => Record::Aaaa(data.parse().unwrap()),
                Kind::Ns => Record::Ns(data),
                Kind::Txt => Record::Txt(data.trim_matches('"').as_bytes().to_vec()),
                Kind::Mx => {
                    let (preference, host) = data.split_once(' ').unwrap();
                    Record::Mx {
                        preference: preference.parse().unwrap(),
                        host: host.trim_end_matches('.').into(),
                    }
                }
                _ => panic!("{kind:?}"),
            };
            let records = records.into_iter().map(record).collect();
            Ok(Answer { records, name: name.into(), authentic: false, ttl: 60 })
        };
        let answer = answer();
        Box::pin(async move { answer })
    }
}

/// What intake does with these futures.
#[test]
fn an_evaluation_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let world = World::default();
    let restrictions = world.restrictions();
    let client = Client::default();
    let session = crate::rows::bare_session(&client);
    let mut state = policy::State::default();
    is_send(&restrictions.rcpt(&session, &mut state, &world));
}
