//! Canonical maps and masquerading: addresses one by one, in envelopes and headers.

use crate::standard::Context;
use crate::{Classes, Router};
use mail::Address;
use mail::header::addresses::Spaces;
use mail::header::{AddressList, quote, unquote};
use mail::keys::Search;
use std::fmt;
use tables::{Hit, Maps, TryLater};

/// How often a map is asked about its own results. It has no parameter.
const MAX_RECURSION: usize = 10;

/// Where an address stands, of those that canonical maps and masquerading tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    EnvelopeSender,
    EnvelopeRecipient,
    HeaderSender,
    HeaderRecipient,
}

/// What went wrong with an address. Prints what `cleanup` logs behind the queue id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A map that should give one address gave more; the first was taken.
    ManyResults { parameter: &'static str, address: Vec<u8> },
    /// The same of `smtp_generic_maps`, as the SMTP client logs it.
    ManyGeneric { parameter: &'static str, address: Vec<u8> },
    /// A map did not come to an end with an address; what it had come to was taken.
    TooDeep { parameter: &'static str, address: Vec<u8> },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::ManyResults { parameter, address } => {
                let address = String::from_utf8_lossy(address);
                write!(f, "multi-valued {parameter} entry for {address}")
            }
            Problem::ManyGeneric { parameter, address } => {
                let address = String::from_utf8_lossy(address);
                write!(f, "multi-valued {parameter} result for {address}")
            }
            Problem::TooDeep { parameter, address } => {
                let address = String::from_utf8_lossy(address);
                write!(
                    f,
                    "unreasonable {parameter} map nesting for {address} -- message not accepted, try again later"
                )
            }
        }
    }
}

/// A table could not be asked: the message is not accepted for now. Prints what `cleanup` logs behind the queue id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFailed {
    pub parameter: &'static str,
    /// The address looked for, in external form; empty where Postfix names none.
    pub address: Vec<u8>,
    /// What the table said.
    pub why: TryLater,
}

impl fmt::Display for MapFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.address.is_empty() { "" } else { " for " };
        let address = String::from_utf8_lossy(&self.address);
        write!(
            f,
            "{} map lookup problem{of}{address} -- message not accepted, try again later",
            self.parameter
        )
    }
}

impl std::error::Error for MapFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

impl Place {
    fn is_sender(self) -> bool {
        matches!(self, Place::EnvelopeSender | Place::HeaderSender)
    }

    fn is_in(self, classes: Classes) -> bool {
        match self {
            Place::EnvelopeSender => classes.envelope_sender,
            Place::EnvelopeRecipient => classes.envelope_recipient,
            Place::HeaderSender => classes.header_sender,
            Place::HeaderRecipient => classes.header_recipient,
        }
    }
}

impl Router {
    /// Whether [`Router::canonical_external`] may change anything there.
    pub fn has_canonical(&self, place: Place) -> bool {
        let settings = &*self.settings;
        self.canonical_maps_at(place).into_iter().flatten().next().is_some()
            || (!settings.masquerade_domains.is_empty() && place.is_in(settings.masquerade_classes))
    }

    /// Canonical maps, then masquerading, for an address in external, standard form. `problems` are for the log.
    pub async fn canonical_external(
        &self,
        external: Vec<u8>,
        place: Place,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<u8>, MapFailed> {
        let mut address = external;
        for maps in self.canonical_maps_at(place).into_iter().flatten() {
            address = self.map_one_to_one(address, maps, problems).await?;
        }
        if place.is_in(self.settings.masquerade_classes) {
            address = self.masquerade(address).await?;
        }
        Ok(address)
    }

    /// The same for an internal address. The null address stays null unless a map has `""` for it.
    pub async fn canonical(
        &self,
        address: Address,
        place: Place,
        problems: &mut Vec<Problem>,
    ) -> Result<Address, MapFailed> {
        if !self.has_canonical(place) {
            return Ok(address);
        }
        let external = self.canonical_external(quote(address.as_bytes()), place, problems).await?;
        Ok(Address::new(unquote(&external)))
    }

    fn canonical_maps_at(&self, place: Place) -> [Option<&Maps>; 2] {
        let settings = &*self.settings;
        let (own, own_classes) = if place.is_sender() {
            (&settings.sender_canonical_maps, settings.sender_canonical_classes)
        } else {
            (&settings.recipient_canonical_maps, settings.recipient_canonical_classes)
        };
        let all = (&settings.canonical_maps, settings.canonical_classes);
        [(own, own_classes), all]
            .map(|(maps, classes)| (!maps.is_empty() && place.is_in(classes)).then_some(maps))
    }

    /// Asks a map about an address and then about what it gave, until it knows no more or repeats itself.
    async fn map_one_to_one(
        &self,
        external: Vec<u8>,
        maps: &Maps,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<u8>, MapFailed> {
        let parameter = maps.parameter();
        let mut address = external;
        for _ in 0..MAX_RECURSION {
            let internal = Address::new(unquote(&address));
            let results = self.map_address(&internal, maps, self.settings.propagate_canonical).await;
            let failed = |why| MapFailed { parameter, address: address.clone(), why };
            let Some(mut results) = results.map_err(failed)? else { return Ok(address) };
            if results.len() > 1 {
                problems.push(Problem::ManyResults { parameter, address: address.clone() });
            }
            let result = quote(results.swap_remove(0).as_bytes());
            let is_same = result.eq_ignore_ascii_case(&address);
            address = result;
            if is_same {
                return Ok(address);
            }
        }
        problems.push(Problem::TooDeep { parameter, address: address.clone() });
        Ok(address)
    }

    /// Looks an address up and reads what is found as a list of addresses: in standard form, `@domain` with the local
    /// part put before it, the extension put back if `propagate`. None: not found; otherwise at least one.
    pub(crate) async fn map_address(
        &self,
        address: &Address,
        maps: &Maps,
        propagate: bool,
    ) -> Result<Option<Vec<Address>>, TryLater> {
        let Some(hit) = self.find_address(maps, address, Search::REWRITE).await? else { return Ok(None) };
        let extension = if propagate { &hit.extension[..] } else { b"" };
        let results: Vec<_> = match hit.value.strip_prefix(b"@") {
            Some(_) => {
                let local = address.local();
                let bare = &local[..local.len() - hit.extension.len()];
                self.read_addresses(&quote(&[bare, &hit.value].concat()), extension)
            }
            None => self.read_addresses(&hit.value, extension),
        };
        if results.is_empty() {
            let value = String::from_utf8_lossy(&hit.value);
            let why =
                format!("{} lookup of {address} returns non-address result \"{value}\"", maps.parameter());
            self.warn(&why);
            return Err(TryLater(why));
        }
        Ok(Some(results))
    }

    /// [`Maps::find`], with the bare local part as a key if the domain is ours.
    pub async fn find_address(
        &self,
        maps: &Maps,
        address: &Address,
        search: Search,
    ) -> Result<Option<Hit>, TryLater> {
        if maps.is_empty() {
            return Ok(None);
        }
        let found = self.find_in(maps, address, search).await;
        found.inspect_err(|why| self.warn_of_failure(why))
    }

    async fn find_in(&self, maps: &Maps, address: &Address, search: Search) -> Result<Option<Hit>, TryLater> {
        if address.is_null() {
            // Postfix: the null address is looked up in its external form.
            let found = maps.get(b"\"\"", true).await?;
            return Ok(found.map(|value| Hit { value, extension: Vec::new() }));
        }
        let is_local = match address.domain().filter(|_| search.local_part_if_local) {
            Some(domain) => self.is_origin_or_local(domain).await?,
            None => false,
        };
        maps.find(address, search, &self.settings.recipient_delimiter, is_local).await
    }

    async fn is_origin_or_local(&self, domain: &[u8]) -> Result<bool, TryLater> {
        if domain.eq_ignore_ascii_case(self.settings.myorigin.as_bytes()) {
            return Ok(true);
        }
        self.is_local(domain).await
    }

    /// The addresses in a table's right side.
    fn read_addresses(&self, value: &[u8], extension: &[u8]) -> Vec<Address> {
        if value.is_empty() || value == b"<>" {
            return vec![Address::new(extension.to_vec())];
        }
        // A right side is a line of a table: no longer than the table's own limits.
        let list = AddressList::parse(value, usize::MAX);
        let complete = |tokens: &[_]| {
            let external = mail::header::addresses::print_external(tokens, Spaces::None);
            let internal = unquote(&self.standard_external(&external, Context::Local));
            let at = memchr::memrchr(b'@', &internal).unwrap_or(internal.len());
            Address::new([&internal[..at], extension, &internal[at..]].concat())
        };
        list.addresses().map(complete).collect()
    }

    /// `masquerade_domains`: `user@host.example.com` becomes `user@example.com`. The first domain that fits decides.
    async fn masquerade(&self, external: Vec<u8>) -> Result<Vec<u8>, MapFailed> {
        let settings = &*self.settings;
        let Some(at) = memchr::memrchr(b'@', &external) else { return Ok(external) };
        if settings.masquerade_domains.is_empty() {
            return Ok(external);
        }
        let failed = |why| MapFailed { parameter: "masquerade_exceptions", address: Vec::new(), why };
        let exceptions = ("masquerade_exceptions", &settings.masquerade_exceptions);
        if self.list_has(exceptions, &external[..at]).await.map_err(failed)? {
            return Ok(external);
        }
        let name = external[at + 1..].to_ascii_lowercase();
        for masquerade in &settings.masquerade_domains {
            let domain = masquerade.domain.as_bytes();
            match name.strip_suffix(domain) {
                _ if domain.is_empty() => {}
                Some(head) if head.ends_with(b".") && masquerade.strips => {
                    return Ok([&external[..=at], domain].concat());
                }
                Some(head) if head.is_empty() || head.ends_with(b".") => break,
                _ => {}
            }
        }
        Ok(external)
    }
}
