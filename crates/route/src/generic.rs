//! `smtp_generic_maps`: addresses as the world is to see them, when mail leaves by SMTP.

use crate::Router;
use crate::canonical::{MapFailed, Problem};
use crate::headers::replace;
use mail::Address;
use mail::header::addresses::{Spaces, print_external};
use mail::header::{AddressList, Field, Role, quote, unquote};
use tables::Maps;

/// The maps of one transport.
#[derive(Clone)]
pub struct Generic {
    router: Router,
    maps: Maps,
    /// `propagate_unmatched_extensions` has `generic`.
    propagate: bool,
}

impl Generic {
    /// `maps` is `smtp_generic_maps` or `lmtp_generic_maps`.
    /// `propagate` puts extensions that were not found back (`propagate_unmatched_extensions` has `generic`).
    pub fn new(router: Router, maps: Maps, propagate: bool) -> Generic {
        Generic { router, maps, propagate }
    }

    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// Rewrites an envelope address; `problems` are for the log. The null sender stays null.
    pub async fn address(
        &self,
        address: &Address,
        problems: &mut Vec<Problem>,
    ) -> Result<Address, MapFailed> {
        if address.is_null() || self.is_empty() {
            return Ok(address.clone());
        }
        Ok(self.find(address, problems).await?.unwrap_or_else(|| address.clone()))
    }

    /// Rewrites the addresses in a header that has some. A field in which none is found stays as it is.
    pub async fn header(&self, field: &mut Field, problems: &mut Vec<Problem>) -> Result<(), MapFailed> {
        let has_addresses = field.known().is_some_and(|name| name.role() != Role::NoAddresses);
        if self.is_empty() || !has_addresses {
            return Ok(());
        }
        let mut list = AddressList::parse(field.raw_value(), usize::MAX);
        let mut is_changed = false;
        for tokens in list.addresses_mut() {
            let given = print_external(tokens, Spaces::None);
            if let Some(address) = self.find(&Address::new(unquote(&given)), problems).await? {
                is_changed = true;
                replace(tokens, &quote(address.as_bytes()));
            }
        }
        if is_changed {
            field.set_addresses(&list);
        }
        Ok(())
    }

    /// Looks an address up, once.
    async fn find(
        &self,
        address: &Address,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Address>, MapFailed> {
        let (maps, parameter) = (&self.maps, self.maps.parameter());
        let results = self.router.map_address(address, maps, self.propagate).await;
        let failed = |why| MapFailed { parameter, address: quote(address.as_bytes()), why };
        let Some(mut results) = results.map_err(failed)? else { return Ok(None) };
        if results.len() > 1 {
            problems.push(Problem::ManyGeneric { parameter, address: quote(address.as_bytes()) });
        }
        Ok(Some(results.swap_remove(0)))
    }
}
