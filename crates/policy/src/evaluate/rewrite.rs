//! `local_header_rewrite_clients`: whose headers are rewritten as local mail's.

use super::Evaluation;
use crate::event::Warning;
use crate::facts::{Facts, Failed, Is};
use crate::rewrite_clients::RewriteClient;
use crate::state::{Notice, Refusal};
use mail::keys::Key;
use mail::{DsnStatus, Reply};
use std::borrow::Cow;

impl<F: Facts> Evaluation<'_, F> {
    pub(crate) async fn rewrites_headers(&mut self) -> Result<bool, Reply> {
        let rules = self.rules;
        for client in &rules.rewrite_clients.0 {
            match self.is_rewrite_client(client).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(Failed::Misconfigured) => return Err(self.server_error()),
                Err(Failed::TryLater) => {
                    return Err(self.refuse(Refusal {
                        notice: Notice::Resource,
                        code: 451,
                        status: DsnStatus::new(4, 3, 0),
                        text: b"Temporary lookup error".to_vec(),
                    }));
                }
            }
        }
        Ok(false)
    }

    async fn is_rewrite_client(&self, client: &RewriteClient) -> Is {
        match client {
            RewriteClient::PermitInetInterfaces => self.is_own_address().await,
            RewriteClient::PermitMynetworks => self.is_in_mynetworks().await,
            RewriteClient::PermitSaslAuthenticated => Ok(self.is_logged_in()),
            RewriteClient::PermitTlsAllClientcerts => self.has_permitted_certificate(true).await,
            RewriteClient::PermitTlsClientcerts => self.has_permitted_certificate(false).await,
            RewriteClient::AddressMap(table) => {
                let text = Cow::Borrowed(self.session.client.address.as_bytes());
                let key = Key { text, is_whole: true, extension: None };
                self.facts.table(table, &key).await.map(|found| found.is_some())
            }
            RewriteClient::Unknown(word) => {
                self.warn(Warning::RewriteClients(word));
                Ok(false)
            }
        }
    }
}
