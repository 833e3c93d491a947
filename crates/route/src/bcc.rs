//! Automatic BCC recipients: `always_bcc`, `sender_bcc_maps`, `recipient_bcc_maps`.

use crate::Router;
use crate::canonical::MapFailed;
use mail::Address;
use mail::header::unquote;
use mail::keys::Search;
use tables::Maps;

impl Router {
    /// Who gets a copy of what this sender sends.
    pub async fn sender_bcc(&self, sender: &Address) -> Result<Option<Address>, MapFailed> {
        self.bcc(&self.settings.sender_bcc_maps, sender).await
    }

    /// Who gets a copy of what this recipient gets.
    pub async fn recipient_bcc(&self, recipient: &Address) -> Result<Option<Address>, MapFailed> {
        self.bcc(&self.settings.recipient_bcc_maps, recipient).await
    }

    /// `always_bcc`.
    pub fn always_bcc(&self) -> Option<Address> {
        let always_bcc = &self.settings.always_bcc;
        (!always_bcc.is_empty()).then(|| Address::from(always_bcc.as_str()))
    }

    async fn bcc(&self, maps: &Maps, address: &Address) -> Result<Option<Address>, MapFailed> {
        let found = self.find_address(maps, address, Search::ADDRESS).await;
        let failed = |why| MapFailed { parameter: maps.parameter(), address: Vec::new(), why };
        Ok(found.map_err(failed)?.map(|hit| Address::new(unquote(&hit.value))))
    }
}
