//! Resolving: the class of an address, and the transport and nexthop for its mail.

use crate::settings::{Routes, Settings};
use crate::standard::{Context, position_of_last, strip_last_dot};
use crate::transport::Destination;
use crate::{NameList, Router};
use mail::Address;
use mail::header::addresses::{Spaces, Token, print_internal, scan};
use mail::header::quote;
use mail::hostname::{is_address, is_utf8_hostname, literal_address};
use mail::keys::Search;
use std::fmt;
use std::net::IpAddr;
use tables::{Maps, TryLater};

/// Why we take mail for an address (address classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `mydestination`, or our own address as a literal.
    Local,
    /// `virtual_alias_domains`: all its addresses stand for others.
    VirtualAlias,
    /// `virtual_mailbox_domains`
    VirtualMailbox,
    /// `relay_domains`
    Relay,
    /// Somebody else's.
    Default,
}

/// Where mail for one recipient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub class: Class,
    /// A service of master.cf; `error` and `retry` have the text for the sender as their nexthop.
    pub transport: String,
    /// Never empty.
    pub nexthop: String,
    /// The address to deliver to, with its domain.
    pub recipient: Address,
    /// The local part has routing of its own (`user%elsewhere@here`).
    pub is_routed: bool,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// It cannot be an address: the domain is none, or the local part begins with `-` (`allow_min_user`).
    BadAddress { recipient: Address },
    /// A table could not be asked, or the configuration makes no sense.
    TryLater(TryLater),
}

impl From<TryLater> for Unresolved {
    fn from(why: TryLater) -> Unresolved {
        Unresolved::TryLater(why)
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unresolved::BadAddress { .. } => f.write_str("5.1.3 bad address syntax"),
            Unresolved::TryLater(_) => f.write_str("4.3.0 address resolver failure"),
        }
    }
}

impl std::error::Error for Unresolved {}

/// An address with its routing resolved, before its class is known.
struct Target {
    recipient: Address,
    is_local: bool,
}

impl Router {
    /// Resolves a recipient in standard form. The sender may decide where its mail goes (`sender_dependent_…`).
    pub async fn resolve(&self, sender: &Address, recipient: &Address) -> Result<Route, Unresolved> {
        self.resolve_by(&self.settings.routes, sender, recipient).await
    }

    /// The same by other routes (address verification's).
    pub async fn resolve_by(
        &self,
        routes: &Routes,
        sender: &Address,
        recipient: &Address,
    ) -> Result<Route, Unresolved> {
        let target = self.target(recipient).await?;
        let target = self.check_domain(target).await?;
        let domain = text(target.recipient.domain().unwrap_or_default());
        let mut route = self.route_by_class(routes, sender, &target, &domain).await?;
        if route.class != Class::VirtualAlias {
            let Route { transport, nexthop, .. } = &mut route;
            let applied =
                self.apply_transport_maps(routes, &target.recipient, &domain, transport, nexthop).await;
            applied.map_err(|why| self.lookup_failure(&routes.transport_maps, why))?;
        }
        self.apply_relocated_maps(&mut route).await?;
        if !self.settings.allow_min_user && route.recipient.as_bytes().starts_with(b"-") {
            return Err(Unresolved::BadAddress { recipient: route.recipient });
        }
        Ok(route)
    }

    /// Resolves an address as a client gave it, for judging it: brought to standard form first, the recipient in
    /// lower case.
    pub async fn resolve_given(
        &self,
        sender: Option<&Address>,
        recipient: &Address,
    ) -> Result<Route, Unresolved> {
        let sender = sender.map(|sender| self.standard(sender, Context::Local)).unwrap_or_default();
        let recipient = self.standard(recipient, Context::Local);
        let mut route = self.resolve(&sender, &recipient).await?;
        route.recipient = route.recipient.folded();
        Ok(route)
    }

    /// Resolves for delivery: what cannot be resolved goes to the error transport, or to retry.
    pub async fn route(&self, sender: &Address, recipient: &Address) -> Route {
        let unresolved = match self.resolve(sender, recipient).await {
            Ok(route) => return route,
            Err(unresolved) => unresolved,
        };
        let transport = match unresolved {
            Unresolved::BadAddress { .. } => "error",
            Unresolved::TryLater(_) => "retry",
        };
        Route {
            class: Class::Default,
            transport: transport.to_string(),
            nexthop: unresolved.to_string(),
            recipient: recipient.clone(),
            is_routed: false,
        }
    }

    /// Whether mail for the domain ends here: `mydestination`, or a literal with an address of ours.
    pub async fn is_local(&self, domain: &[u8]) -> Result<bool, TryLater> {
        let domain = domain.strip_suffix(b".").unwrap_or(domain);
        if domain.is_empty() || domain.ends_with(b".") {
            return Ok(false);
        }
        if self.list_has(("mydestination", &self.settings.mydestination), domain).await? {
            return Ok(true);
        }
        Ok(literal(domain).is_some_and(|address| self.settings.own_addresses.contains(&address)))
    }

    /// Follows an address through our own domains: `user%other@here` is `user@other`, `"user@other"@here` too.
    async fn target(&self, address: &Address) -> Result<Target, Unresolved> {
        if let Some(domain) = plain_domain(address.as_bytes()) {
            return Ok(Target { recipient: address.clone(), is_local: self.is_local(domain).await? });
        }
        let mut tokens = scan(&quote(address.as_bytes()), usize::MAX);
        let mut own_domain = Vec::new();
        // Each turn takes a domain off, or settles. The bound is Postfix's.
        for _ in 0..address.as_bytes().len() + 100 {
            strip_dot_or_null_domain(&mut tokens, &self.settings);
            if let Some(at) = position_of_last(&tokens, b'@') {
                let domain = print_internal(&tokens[at + 1..], Spaces::None);
                if !domain.is_empty() && !self.is_local(&domain).await? {
                    return Ok(Target { recipient: internal(&tokens), is_local: false });
                }
                own_domain = tokens.split_off(at);
            }
            if has_routing(&tokens, &self.settings) || expose_quoted_routing(&mut tokens, &self.settings) {
                self.standardise(&mut tokens, Context::Local);
            } else if tokens.is_empty() || matches!(&tokens[..], [Token::Quoted(text)] if text.is_empty()) {
                tokens = scan(self.settings.empty_address_recipient.as_bytes(), usize::MAX);
            } else if own_domain.is_empty() {
                tokens.extend(scan(format!("@{}", self.settings.myhostname).as_bytes(), usize::MAX));
            } else {
                tokens.append(&mut own_domain);
                return Ok(Target { recipient: internal(&tokens), is_local: true });
            }
        }
        let why = format!("resolve_addr: <{}>: giving up", text(address.as_bytes()));
        self.warn(&why);
        Err(TryLater(why).into())
    }

    /// Refuses what is no domain; makes a literal of a numerical one (`resolve_numeric_domain`).
    async fn check_domain(&self, target: Target) -> Result<Target, Unresolved> {
        let settings = &*self.settings;
        let Target { recipient, is_local } = target;
        let domain = recipient.domain().unwrap_or_default();
        if domain.starts_with(b"[") {
            if literal(domain).is_some() {
                return Ok(Target { recipient, is_local });
            }
        } else if settings.smtputf8_enable && std::str::from_utf8(recipient.as_bytes()).is_err() {
            return Err(Unresolved::BadAddress { recipient });
        } else if is_utf8_hostname(domain, settings.smtputf8_enable) {
            return Ok(Target { recipient, is_local });
        } else if settings.resolve_numeric_domain && is_address(domain) {
            let literal = [b"[", domain, b"]"].concat();
            let is_local = is_local || self.is_local(&literal).await?;
            return Ok(Target { recipient: Address::from_parts(recipient.local(), &literal), is_local });
        }
        Err(Unresolved::BadAddress { recipient })
    }

    /// Class, transport and nexthop as the class has them.
    async fn route_by_class(
        &self,
        routes: &Routes,
        sender: &Address,
        target: &Target,
        domain: &str,
    ) -> Result<Route, Unresolved> {
        let settings = &*self.settings;
        let class = self.class_of_target(target, domain).await?;
        let default_destination;
        let (destination, nexthop) = match class {
            Class::Local => (routes.local_transport.as_str(), domain.to_string()),
            Class::VirtualMailbox => (routes.virtual_transport.as_str(), domain.to_string()),
            Class::VirtualAlias => {
                let table =
                    if settings.show_user_unknown_table_name { " in virtual alias table" } else { "" };
                ("error", format!("5.1.1 User unknown{table}"))
            }
            Class::Relay => (routes.relay_transport.as_str(), self.relay(routes, sender, domain).await?),
            Class::Default => {
                default_destination = self.default_transport(routes, sender).await?;
                (default_destination.as_str(), self.relay(routes, sender, domain).await?)
            }
        };
        let destination = Destination::parse(destination);
        if destination.transport.is_empty() {
            let parameter = transport_parameter(class);
            let why = format!("parameter {parameter}: null transport is not allowed");
            self.warn(&why);
            return Err(TryLater(why).into());
        }
        let nexthop = if destination.nexthop.is_empty() { nexthop } else { destination.nexthop.to_string() };
        Ok(Route {
            class,
            transport: destination.transport.to_string(),
            nexthop,
            is_routed: is_routed(target.recipient.as_bytes(), domain.as_bytes()),
            recipient: target.recipient.clone(),
        })
    }

    async fn class_of_target(&self, target: &Target, domain: &str) -> Result<Class, Unresolved> {
        let settings = &*self.settings;
        let name = domain.as_bytes();
        let alias = ("virtual_alias_domains", &settings.virtual_alias_domains);
        let mailbox = ("virtual_mailbox_domains", &settings.virtual_mailbox_domains);
        let relay = ("relay_domains", &settings.relay_domains);
        if target.is_local {
            self.warn_of_both("mydestination", &[alias, mailbox], domain).await;
            return Ok(Class::Local);
        }
        if self.class_list_has(alias, name).await? {
            self.warn_of_both(alias.0, &[mailbox, relay], domain).await;
            return Ok(Class::VirtualAlias);
        }
        if self.class_list_has(mailbox, name).await? {
            self.warn_of_both(mailbox.0, &[relay], domain).await;
            return Ok(Class::VirtualMailbox);
        }
        Ok(if self.class_list_has(relay, name).await? { Class::Relay } else { Class::Default })
    }

    async fn class_list_has(&self, list: (&str, &NameList), name: &[u8]) -> Result<bool, TryLater> {
        self.list_has(list, name).await.inspect_err(|_| self.warn(&format!("{} lookup failure", list.0)))
    }

    pub(crate) async fn list_has(
        &self,
        (parameter, list): (&str, &NameList),
        name: &[u8],
    ) -> Result<bool, TryLater> {
        list.has(name).await.inspect_err(|why| self.warn(&format!("{parameter}: {why}")))
    }

    /// `helpful_warnings`: a domain that is in two lists has the class of the first.
    async fn warn_of_both(&self, first: &str, others: &[(&str, &NameList)], domain: &str) {
        if !self.settings.helpful_warnings {
            return;
        }
        for other in others {
            // Only a warning hangs on it: a list that cannot be asked counts as one without the domain.
            if self.list_has(*other, domain.as_bytes()).await == Ok(true) {
                self.warn(&format!("do not list domain {domain} in BOTH {first} and {}", other.0));
            }
        }
    }

    /// `sender_dependent_default_transport_maps`, else `default_transport`.
    async fn default_transport(&self, routes: &Routes, sender: &Address) -> Result<String, Unresolved> {
        let maps = &routes.sender_dependent_default_transport_maps;
        let null_key = &self.settings.empty_address_default_transport_maps_lookup_key;
        let found = self.find_by_sender(maps, null_key, sender).await?;
        Ok(found.unwrap_or_else(|| routes.default_transport.clone()))
    }

    /// `sender_dependent_relayhost_maps`, else `relayhost`, else the domain itself.
    async fn relay(&self, routes: &Routes, sender: &Address, domain: &str) -> Result<String, Unresolved> {
        let maps = &routes.sender_dependent_relayhost_maps;
        let null_key = &self.settings.empty_address_relayhost_maps_lookup_key;
        Ok(match self.find_by_sender(maps, null_key, sender).await? {
            Some(relay) => relay,
            None if routes.relayhost.is_empty() => domain.to_string(),
            None => routes.relayhost.clone(),
        })
    }

    /// `DUNNO` counts as not found.
    async fn find_by_sender(
        &self,
        maps: &Maps,
        null_key: &str,
        sender: &Address,
    ) -> Result<Option<String>, Unresolved> {
        let key = if sender.is_null() { Address::from(null_key) } else { sender.clone() };
        let found = self.find_address(maps, &key, Search::ADDRESS).await;
        let found = found.map_err(|why| self.lookup_failure(maps, why))?;
        let value = found.map(|hit| text(&hit.value));
        Ok(value.filter(|value| !value.eq_ignore_ascii_case("DUNNO")))
    }

    /// `relocated_maps`: the new address goes back to the sender.
    async fn apply_relocated_maps(&self, route: &mut Route) -> Result<(), Unresolved> {
        let maps = &self.settings.relocated_maps;
        let found = self.find_address(maps, &route.recipient, Search::ADDRESS).await;
        if let Some(hit) = found.map_err(|why| self.lookup_failure(maps, why))? {
            route.transport = "error".to_string();
            route.nexthop = format!("5.1.6 User has moved to {}", text(&hit.value));
        }
        Ok(())
    }

    fn lookup_failure(&self, maps: &Maps, why: TryLater) -> Unresolved {
        self.warn(&format!("{} lookup failure", maps.parameter()));
        Unresolved::TryLater(why)
    }
}

fn transport_parameter(class: Class) -> &'static str {
    match class {
        Class::Local => "local_transport",
        Class::VirtualMailbox => "virtual_transport",
        Class::Relay => "relay_transport",
        Class::VirtualAlias | Class::Default => "default_transport",
    }
}

/// The domain of `user@domain` if nothing in the address needs a second look.
fn plain_domain(address: &[u8]) -> Option<&[u8]> {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'=' | b'-');
    let at = memchr::memchr(b'@', address)?;
    let (local, domain) = (&address[..at], &address[at + 1..]);
    let is_word = |part: &[u8]| !part.is_empty() && part.iter().all(is_plain) && !part.ends_with(b".");
    (is_word(local) && is_word(domain)).then_some(domain)
}

fn internal(tokens: &[Token]) -> Address {
    Address::new(print_internal(tokens, Spaces::None))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The address in a domain literal (RFC 5321 4.1.3).
fn literal(domain: &[u8]) -> Option<IpAddr> {
    let inner = domain.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let address = std::str::from_utf8(literal_address(inner)?).ok()?;
    // Postfix takes leading zeros in IPv4 numbers, as decimal.
    let without_zeros = |number: &str| number.parse::<u8>().map(|n| n.to_string());
    address.parse().ok().or_else(|| {
        let numbers: Result<Vec<_>, _> = address.split('.').map(without_zeros).collect();
        numbers.ok()?.join(".").parse().ok()
    })
}

fn strip_dot_or_null_domain(tokens: &mut Vec<Token>, settings: &Settings) {
    if position_of_last(tokens, b'@').is_some() {
        strip_last_dot(tokens);
    }
    if settings.resolve_null_domain && tokens.last() == Some(&Token::Special(b'@')) {
        tokens.pop();
    }
}

/// Whether a local part leads elsewhere by itself.
fn has_routing(tokens: &[Token], settings: &Settings) -> bool {
    let has = |special| tokens.contains(&Token::Special(special));
    has(b'@') || (settings.swap_bangpath && has(b'!')) || (settings.allow_percent_hack && has(b'%'))
}

/// `resolve_dequoted_address`: takes the quotes off a local part that leads elsewhere without them.
fn expose_quoted_routing(tokens: &mut Vec<Token>, settings: &Settings) -> bool {
    let [Token::Quoted(local)] = &mut tokens[..] else { return false };
    if !settings.resolve_dequoted_address {
        return false;
    }
    let is_at = memchr::memchr(b'@', local).is_some();
    let percent = memchr::memrchr(b'%', local).filter(|_| settings.allow_percent_hack && !is_at);
    if let Some(percent) = percent {
        local[percent] = b'@';
    }
    let has_domain = is_at || percent.is_some();
    let has_bang = settings.swap_bangpath && local.contains(&b'!');
    if !has_domain && !has_bang {
        return false;
    }
    let external = if has_domain { quote(local) } else { local.clone() };
    *tokens = scan(&external, usize::MAX);
    true
}

/// Whether an operator comes before the last `@`.
fn is_routed(recipient: &[u8], domain: &[u8]) -> bool {
    let first = recipient.iter().position(|b| matches!(b, b'@' | b'!' | b'%'));
    first.is_some_and(|first| &recipient[first + 1..] != domain)
}
