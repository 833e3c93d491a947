//! The addresses in a header field, rewritten in place.

use crate::canonical::{MapFailed, Place, Problem};
use crate::{Context, Router};
use mail::header::addresses::{Spaces, Token, print_external, scan};
use mail::header::{AddressList, Field, Role};

impl Router {
    /// What cleanup does to a header with addresses: standard form, canonical maps, masquerading. A field in which
    /// nothing changes stays as it was written; another is printed anew, folded, comments behind their addresses.
    ///
    /// `maps`: false where `receive_override_options = no_address_mappings` leaves standard form alone.
    pub async fn rewrite_header(
        &self,
        field: &mut Field,
        role: Role,
        context: Context,
        maps: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<(), MapFailed> {
        let place = match role {
            Role::Sender => Place::HeaderSender,
            Role::Recipient => Place::HeaderRecipient,
            Role::NoAddresses => return Ok(()),
        };
        let maps = maps && self.has_canonical(place);
        let mut list = AddressList::parse(field.raw_value(), self.settings.header_address_token_limit);
        let mut is_changed = false;
        for tokens in list.addresses_mut() {
            let given = print_external(tokens, Spaces::None);
            let mut address = self.standard_external(&given, context);
            is_changed |= address != given;
            if maps {
                let standard = address.clone();
                address = self.canonical_external(address, place, problems).await?;
                is_changed |= address != standard;
            }
            replace(tokens, &address);
        }
        if is_changed {
            field.set_addresses(&list);
        }
        Ok(())
    }
}

pub(crate) fn replace(tokens: &mut Vec<Token>, external: &[u8]) {
    // No longer than a header or a line of a table.
    *tokens = scan(external, usize::MAX);
}
