//! `smtp_generic_maps`: addresses as the world is to see them, when mail leaves by SMTP.

use crate::Router;
use crate::canonical::{MapFailed, Problem};
use mail::Address;
use mail::header::{quote, unquote};

impl Router {
    pub fn has_generic(&self) -> bool {
        !self.settings.smtp_generic_maps.is_empty()
    }

    /// Looks an external address up once; `problems` are for the log.
    pub async fn generic_external(
        &self,
        external: Vec<u8>,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<u8>, MapFailed> {
        let maps = &self.settings.smtp_generic_maps;
        let parameter = maps.parameter();
        let internal = Address::new(unquote(&external));
        let results = self.map_address(&internal, maps, self.settings.propagate_generic).await;
        let failed = |why| MapFailed { parameter, address: external.clone(), why };
        let Some(mut results) = results.map_err(failed)? else { return Ok(external) };
        if results.len() > 1 {
            problems.push(Problem::ManyGeneric { parameter, address: external });
        }
        Ok(quote(results.swap_remove(0).as_bytes()))
    }

    /// The same for an envelope address. The null sender stays null.
    pub async fn generic(
        &self,
        address: &Address,
        problems: &mut Vec<Problem>,
    ) -> Result<Address, MapFailed> {
        if address.is_null() || !self.has_generic() {
            return Ok(address.clone());
        }
        let external = self.generic_external(quote(address.as_bytes()), problems).await?;
        Ok(Address::new(unquote(&external)))
    }
}
