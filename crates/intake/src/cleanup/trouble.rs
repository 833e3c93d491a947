//! Why a message must not go on.

use mail::{DsnStatus, Reply};

/// A reason; of several, the one that comes first here counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// REJECT in header_checks or body_checks, with a status of class 4 and text: it may come again.
    Deferred(String),
    /// Virtual aliases without end.
    AliasExpansion,
    /// There is no recipient.
    NoRecipients,
    /// `hopcount_limit`
    TooManyHops,
    /// `message_size_limit`
    TooBig,
    /// REJECT, or malformed MIME: the status and text.
    Rejected(String),
    /// A table could not be asked.
    Lookup,
}

impl Trouble {
    /// What an SMTP client is told.
    pub fn reply(&self) -> Reply {
        let (code, status, text) = self.detail();
        // Postfix: what has a reason of its own is not called an error.
        let has_reason =
            matches!(self, Trouble::AliasExpansion | Trouble::Deferred(_) | Trouble::Rejected(_));
        let error = if has_reason { "" } else { "Error: " };
        Reply::new(code, status, format!("{error}{text}"))
    }

    /// What a report to the sender says.
    pub fn bounce(&self) -> (DsnStatus, &str) {
        let (_, status, text) = self.detail();
        (status, text)
    }

    /// Whether the message is to be tried again as it is: it stays in the maildrop.
    pub fn is_temporary(&self) -> bool {
        self.detail().0 < 500
    }

    /// Whether a report returns only the header of the message.
    pub fn returns_headers_only(&self) -> bool {
        matches!(self, Trouble::TooBig | Trouble::Rejected(_))
    }

    /// Whether the rest of the message is not even looked at.
    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self, Trouble::Deferred(_) | Trouble::AliasExpansion | Trouble::TooBig | Trouble::Lookup)
    }

    fn detail(&self) -> (u16, DsnStatus, &str) {
        let own = |code: u16, default: DsnStatus, reason| {
            let (status, text) = DsnStatus::split_from(reason);
            (code, status.unwrap_or(default), text)
        };
        match self {
            Trouble::Deferred(reason) => own(451, DsnStatus::new(4, 7, 1), reason),
            Trouble::Rejected(reason) => own(550, DsnStatus::new(5, 7, 1), reason),
            Trouble::AliasExpansion => (451, DsnStatus::new(4, 6, 0), "Alias expansion error"),
            Trouble::NoRecipients => (550, DsnStatus::new(5, 1, 0), "no recipients specified"),
            Trouble::TooManyHops => (554, DsnStatus::new(5, 4, 0), "too many hops"),
            Trouble::TooBig => (552, DsnStatus::new(5, 3, 4), "message file too big"),
            Trouble::Lookup => (451, DsnStatus::new(4, 3, 0), "queue file write error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What smtpd of Postfix 3.7 answers.
    #[test]
    fn replies() {
        for (trouble, expect) in [
            (Trouble::AliasExpansion, "451 4.6.0 Alias expansion error"),
            (Trouble::NoRecipients, "550 5.1.0 Error: no recipients specified"),
            (Trouble::TooManyHops, "554 5.4.0 Error: too many hops"),
            (Trouble::TooBig, "552 5.3.4 Error: message file too big"),
            (Trouble::Rejected("5.3.4 no way".into()), "550 5.3.4 no way"),
            (Trouble::Deferred("4.2.1 later".into()), "451 4.2.1 later"),
            (Trouble::Lookup, "451 4.3.0 Error: queue file write error"),
        ] {
            assert_eq!(trouble.reply().to_string(), expect);
        }
    }
}
