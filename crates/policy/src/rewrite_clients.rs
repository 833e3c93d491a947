//! `local_header_rewrite_clients`: whose mail gets its headers completed. A list with few words of its own.

use crate::diagnostic::{Diagnostic, Severity};
use crate::facts::Table;
use crate::list::Vocabulary;
use crate::text::words;

/// The parsed list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RewriteClients(pub(crate) Vec<RewriteClient>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RewriteClient {
    PermitInetInterfaces,
    PermitMynetworks,
    PermitSaslAuthenticated,
    PermitTlsAllClientcerts,
    PermitTlsClientcerts,
    /// The client's address is looked up, and that alone.
    AddressMap(Table),
    /// Passed over, with a warning.
    Unknown(String),
}

impl RewriteClients {
    pub(crate) fn parse(text: &str, vocabulary: &mut Vocabulary) -> (RewriteClients, Vec<Diagnostic>) {
        let parameter = "local_header_rewrite_clients";
        let (mut clients, mut found) = (Vec::new(), Vec::new());
        for span in words(text) {
            let word = &text[span.clone()];
            // Postfix: check_address_map is the word for what a table does without it.
            if word.eq_ignore_ascii_case("check_address_map") {
                continue;
            }
            let client = RewriteClient::from_word(word, vocabulary);
            if let RewriteClient::Unknown(word) = &client {
                let text = format!("parameter {parameter}: invalid request: {word}");
                let parameter = parameter.to_owned();
                found.push(Diagnostic { parameter, span, severity: Severity::Warning, text });
            }
            clients.push(client);
        }
        (RewriteClients(clients), found)
    }
}

impl RewriteClient {
    fn from_word(word: &str, vocabulary: &mut Vocabulary) -> RewriteClient {
        match word.to_ascii_lowercase().as_str() {
            _ if word.contains(':') => RewriteClient::AddressMap(vocabulary.table(word)),
            "permit_inet_interfaces" => RewriteClient::PermitInetInterfaces,
            "permit_mynetworks" => RewriteClient::PermitMynetworks,
            "permit_sasl_authenticated" => RewriteClient::PermitSaslAuthenticated,
            "permit_tls_all_clientcerts" => RewriteClient::PermitTlsAllClientcerts,
            "permit_tls_clientcerts" => RewriteClient::PermitTlsClientcerts,
            _ => RewriteClient::Unknown(word.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let mut vocabulary = Vocabulary::default();
        let text = "permit_mynetworks, check_address_map hash:/x hash:/x nonsense";
        let (clients, found) = RewriteClients::parse(text, &mut vocabulary);
        let table = || RewriteClient::AddressMap(Table { name: "hash:/x".into(), index: 0 });
        let unknown = RewriteClient::Unknown("nonsense".into());
        assert_eq!(clients.0, [RewriteClient::PermitMynetworks, table(), table(), unknown]);
        assert_eq!(found[0].text, "parameter local_header_rewrite_clients: invalid request: nonsense");
        assert_eq!(&text[found[0].span.clone()], "nonsense");
    }
}
