//! The header names that mean something to a mail system (RFC 5322 3.6, RFC 2045, and custom).

/// A header that is treated in some special way somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    ApparentlyTo,
    Bcc,
    Cc,
    ContentDescription,
    ContentDisposition,
    ContentId,
    ContentLength,
    ContentTransferEncoding,
    ContentType,
    Date,
    DeliveredTo,
    DispositionNotificationTo,
    ErrorsTo,
    From,
    MailFollowupTo,
    MessageId,
    MimeVersion,
    Received,
    ReplyTo,
    ResentBcc,
    ResentCc,
    ResentDate,
    ResentFrom,
    ResentMessageId,
    ResentReplyTo,
    ResentSender,
    ResentTo,
    ReturnPath,
    ReturnReceiptTo,
    Sender,
    To,
}

/// What the addresses in a header are, for rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Rewritten as header senders (canonical_classes `header_sender`).
    Sender,
    /// Rewritten as header recipients.
    Recipient,
    /// It holds no addresses.
    NoAddresses,
}

const ALL: &[(&str, Name)] = &[
    ("Apparently-To", Name::ApparentlyTo),
    ("Bcc", Name::Bcc),
    ("Cc", Name::Cc),
    ("Content-Description", Name::ContentDescription),
    ("Content-Disposition", Name::ContentDisposition),
    ("Content-ID", Name::ContentId),
    ("Content-Length", Name::ContentLength),
    ("Content-Transfer-Encoding", Name::ContentTransferEncoding),
    ("Content-Type", Name::ContentType),
    ("Date", Name::Date),
    ("Delivered-To", Name::DeliveredTo),
    ("Disposition-Notification-To", Name::DispositionNotificationTo),
    ("Errors-To", Name::ErrorsTo),
    ("From", Name::From),
    ("Mail-Followup-To", Name::MailFollowupTo),
    ("Message-Id", Name::MessageId),
    ("MIME-Version", Name::MimeVersion),
    ("Received", Name::Received),
    ("Reply-To", Name::ReplyTo),
    ("Resent-Bcc", Name::ResentBcc),
    ("Resent-Cc", Name::ResentCc),
    ("Resent-Date", Name::ResentDate),
    ("Resent-From", Name::ResentFrom),
    ("Resent-Message-Id", Name::ResentMessageId),
    ("Resent-Reply-To", Name::ResentReplyTo),
    ("Resent-Sender", Name::ResentSender),
    ("Resent-To", Name::ResentTo),
    ("Return-Path", Name::ReturnPath),
    ("Return-Receipt-To", Name::ReturnReceiptTo),
    ("Sender", Name::Sender),
    ("To", Name::To),
];

impl Name {
    /// Finds a name, in whatever case.
    pub fn of(name: &[u8]) -> Option<Name> {
        ALL.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(_, name)| *name)
    }

    /// As it is commonly written.
    pub fn as_str(self) -> &'static str {
        ALL[self as usize].0
    }

    pub fn role(self) -> Role {
        use Name::*;
        match self {
            DispositionNotificationTo
            | ErrorsTo
            | From
            | MailFollowupTo
            | ReplyTo
            | ResentFrom
            | ResentSender
            | ReturnPath
            | ReturnReceiptTo
            | Sender => Role::Sender,
            // Postfix: Resent-Reply-To is a recipient header, Reply-To a sender header.
            ApparentlyTo | Bcc | Cc | ResentBcc | ResentCc | ResentReplyTo | ResentTo | To => Role::Recipient,
            _ => Role::NoAddresses,
        }
    }

    /// Whether `sendmail -t` takes recipients from it.
    pub fn names_recipients(self) -> bool {
        use Name::*;
        matches!(self, Bcc | Cc | To | ResentBcc | ResentCc | ResentTo)
    }

    /// Whether it belongs to a resent block (RFC 5322 3.6.6).
    pub fn is_resent(self) -> bool {
        self.as_str().starts_with("Resent-")
    }

    /// Whether it describes content (RFC 2045). Content-Length does not.
    pub fn is_mime(self) -> bool {
        use Name::*;
        matches!(
            self,
            ContentDescription
                | ContentDisposition
                | ContentId
                | ContentTransferEncoding
                | ContentType
                | MimeVersion
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        for (index, (text, name)) in ALL.iter().enumerate() {
            assert_eq!(*name as usize, index, "{text}");
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), Some(*name));
            assert_eq!(name.as_str(), *text);
        }
        assert_eq!(Name::of(b"Subject"), None);
    }

    #[test]
    fn kinds() {
        assert_eq!(Name::ResentReplyTo.role(), Role::Recipient);
        assert_eq!(Name::ReplyTo.role(), Role::Sender);
        assert_eq!(Name::Date.role(), Role::NoAddresses);
        assert!(Name::ResentDate.is_resent() && !Name::Date.is_resent());
        assert!(Name::MimeVersion.is_mime() && !Name::ContentLength.is_mime());
        assert!(Name::Bcc.names_recipients() && !Name::ApparentlyTo.names_recipients());
    }
}
