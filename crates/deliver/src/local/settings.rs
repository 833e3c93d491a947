//! local(8)'s parameters and tables.

use super::course::Origin;
use mail::keys::Extensions;
use params::service::Local;
use params::{Diagnostic, Service, View, p};
use std::sync::Arc;
use tables::{Maps, Table};

/// local(8)'s parameters, for one service of master.cf.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The transport's name: master.cf's first field.
    pub(super) transport: String,
    /// `name/type`, by which delivery processes know the service.
    pub(super) service: String,
    pub(super) local: Local,
    pub(super) extensions: Extensions,
    pub(super) line_length_limit: usize,
    pub(super) enable_original_recipient: bool,
}

/// local(8)'s tables, open.
#[derive(Default)]
pub struct Tables {
    /// Those of `alias_maps`, each under the name that the parameter has for it, in order.
    pub alias_maps: Vec<(String, Arc<dyn Table>)>,
    pub mailbox_command_maps: Maps,
    pub mailbox_transport_maps: Maps,
    pub fallback_transport_maps: Maps,
}

/// Lists that may name commands and files.
const ORIGINS: [&str; 3] = ["alias", "forward", "include"];
/// Deliveries that get a Delivered-To: header.
const DELIVERIES: [&str; 3] = ["command", "file", "forward"];

impl Settings {
    /// Those of a service of master.cf; `view` is the service's own.
    pub fn read(view: &View, service: &Service, mistakes: &mut Vec<Diagnostic>) -> Settings {
        let local: Local = view.load(mistakes);
        for (name, words, known) in [
            ("allow_mail_to_commands", &local.allow_mail_to_commands, &ORIGINS),
            ("allow_mail_to_files", &local.allow_mail_to_files, &ORIGINS),
            ("prepend_delivered_header", &local.prepend_delivered_header, &DELIVERIES),
        ] {
            for word in words.iter().filter(|word| !known.contains(&word.as_str())) {
                let all = words.join(", ");
                mistakes.push(Diagnostic::fatal(format!("unknown {name} value \"{word}\" in \"{all}\"")));
            }
        }
        Settings {
            transport: service.name().to_owned(),
            service: service.name_space(),
            extensions: Extensions {
                owner_request_special: local.owner_request_special,
                double_bounce_sender: view.get(p::double_bounce_sender, mistakes).into(),
                ..Extensions::new(local.recipient_delimiter.clone())
            },
            line_length_limit: view.get(p::line_length_limit, mistakes).max(1) as usize,
            enable_original_recipient: view.get(p::enable_original_recipient, mistakes),
            local,
        }
    }

    /// Why the service cannot work, in the words in which Postfix's gives up.
    pub fn defect(&self, message_size_limit: i64) -> Option<String> {
        let mailbox = self.local.mailbox_size_limit;
        if mailbox > 0 && message_size_limit <= 0 {
            return Some(
                "configuration error: mailbox_size_limit is limited but message_size_limit is unlimited"
                    .into(),
            );
        }
        if mailbox > 0 && mailbox < message_size_limit {
            return Some("configuration error: mailbox_size_limit is smaller than message_size_limit".into());
        }
        None
    }

    pub(super) fn propagates(&self, origin: Origin) -> bool {
        has(&self.local.propagate_unmatched_extensions, origin.word())
    }

    pub(super) fn allows_commands(&self, origin: Option<Origin>) -> bool {
        origin.is_some_and(|origin| has(&self.local.allow_mail_to_commands, origin.word()))
    }

    pub(super) fn allows_files(&self, origin: Option<Origin>) -> bool {
        origin.is_some_and(|origin| has(&self.local.allow_mail_to_files, origin.word()))
    }

    pub(super) fn prepends_delivered_header(&self, delivery: &str) -> bool {
        has(&self.local.prepend_delivered_header, delivery)
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|w| w.eq_ignore_ascii_case(word))
}
