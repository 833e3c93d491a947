//! The table of restriction names.

/// A restriction's name and what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// As written in main.cf; case does not matter.
    pub name: &'static str,
    /// What it must know. Before that is known it does nothing.
    pub needs: Needs,
    pub(crate) takes: Takes,
    /// What to write instead of an old spelling that is bound to go.
    pub instead: Option<&'static str>,
}

/// What must be known before a restriction can say anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    Client,
    Helo,
    Sender,
    Recipient,
    Etrn,
}

/// What follows a name, and what the two make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing(Plain),
    /// `type:table`
    Table(Access),
    /// `type:table`, searched for the servers of a domain.
    ServerTable(Whose, ServerRecord),
    /// `domain` or `domain=pattern`
    DnsList(DnsList),
    /// `transport:server` or `{ transport:server, … }`
    Server,
    /// Seconds.
    Number,
}

/// A restriction that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Permit,
    Defer,
    Reject,
    DeferIfPermit,
    DeferIfReject,
    WarnIfReject,
    RejectUnauthPipelining,
    RejectPlaintextSession,
    RejectMultiRecipientBounce,
    RejectUnknownClientHostname,
    RejectUnknownReverseClientHostname,
    PermitInetInterfaces,
    PermitMynetworks,
    PermitSaslAuthenticated,
    PermitTlsAllClientcerts,
    PermitTlsClientcerts,
    RejectMapsRbl,
    RejectInvalidHeloHostname,
    RejectNonFqdnHeloHostname,
    RejectUnknownHeloHostname,
    PermitNakedIpAddress,
    RejectNonFqdnSender,
    RejectUnknownSenderDomain,
    RejectUnlistedSender,
    RejectUnverifiedSender,
    RejectSenderLoginMismatch,
    RejectAuthenticatedSenderLoginMismatch,
    RejectKnownSenderLoginMismatch,
    RejectUnauthenticatedSenderLoginMismatch,
    PermitAuthDestination,
    PermitMxBackup,
    RejectUnauthDestination,
    DeferUnauthDestination,
    CheckRelayDomains,
    RejectNonFqdnRecipient,
    RejectUnknownRecipientDomain,
    RejectUnlistedRecipient,
    RejectUnverifiedRecipient,
}

/// What an access table is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Client,
    ReverseClient,
    Certificate,
    Sasl,
    Helo,
    Sender,
    Recipient,
    Etrn,
}

/// Whose servers, or which name in a DNS list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Client,
    ReverseClient,
    Helo,
    Sender,
    Recipient,
}

/// Which servers of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerRecord {
    Mx,
    Ns,
    A,
}

/// What is looked up in a DNS list, and what a hit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsList {
    RejectAddress,
    PermitAddress,
    RejectDomain(Whose),
    PermitClientDomain,
}

impl Name {
    /// Finds a name.
    pub fn find(name: &str) -> Option<&'static Name> {
        NAMES.iter().find(|known| known.name.eq_ignore_ascii_case(name))
    }

    /// The name that differs least from what was written, if it is near.
    pub fn nearest(written: &str) -> Option<&'static str> {
        let written = written.to_ascii_lowercase();
        let distance = |name: &'static str| (edits(written.as_bytes(), name.as_bytes()), name);
        let (edits, name) = NAMES.iter().map(|known| distance(known.name)).min()?;
        (edits <= 1 + written.len() / 8).then_some(name)
    }
}

/// How many octets must be put in, taken out or changed (Levenshtein).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

const fn name(name: &'static str, needs: Needs, takes: Takes) -> Name {
    Name { name, needs, takes, instead: None }
}

const fn old(name: &'static str, needs: Needs, takes: Takes, instead: &'static str) -> Name {
    Name { name, needs, takes, instead: Some(instead) }
}

/// Every name of Postfix 3.7, the older spellings that it takes without a word among them.
pub static NAMES: &[Name] = {
    use Needs::*;
    use Plain::*;
    use Takes::*;
    &[
        name("permit", Client, Nothing(Permit)),
        name("defer", Client, Nothing(Defer)),
        name("reject", Client, Nothing(Reject)),
        name("defer_if_permit", Client, Nothing(DeferIfPermit)),
        name("defer_if_reject", Client, Nothing(DeferIfReject)),
        name("warn_if_reject", Client, Nothing(WarnIfReject)),
        name("sleep", Client, Number),
        name("check_policy_service", Client, Server),
        name("reject_multi_recipient_bounce", Recipient, Nothing(RejectMultiRecipientBounce)),
        name("reject_plaintext_session", Client, Nothing(RejectPlaintextSession)),
        name("reject_unauth_pipelining", Client, Nothing(RejectUnauthPipelining)),
        // the client
        name("check_client_access", Client, Table(Access::Client)),
        name("check_client_a_access", Client, ServerTable(Whose::Client, ServerRecord::A)),
        name("check_client_mx_access", Client, ServerTable(Whose::Client, ServerRecord::Mx)),
        name("check_client_ns_access", Client, ServerTable(Whose::Client, ServerRecord::Ns)),
        name("check_reverse_client_hostname_access", Client, Table(Access::ReverseClient)),
        name(
            "check_reverse_client_hostname_a_access",
            Client,
            ServerTable(Whose::ReverseClient, ServerRecord::A),
        ),
        name(
            "check_reverse_client_hostname_mx_access",
            Client,
            ServerTable(Whose::ReverseClient, ServerRecord::Mx),
        ),
        name(
            "check_reverse_client_hostname_ns_access",
            Client,
            ServerTable(Whose::ReverseClient, ServerRecord::Ns),
        ),
        name("check_ccert_access", Client, Table(Access::Certificate)),
        name("check_sasl_access", Client, Table(Access::Sasl)),
        name("permit_inet_interfaces", Client, Nothing(PermitInetInterfaces)),
        name("permit_mynetworks", Client, Nothing(PermitMynetworks)),
        name("permit_sasl_authenticated", Client, Nothing(PermitSaslAuthenticated)),
        name("permit_tls_all_clientcerts", Client, Nothing(PermitTlsAllClientcerts)),
        name("permit_tls_clientcerts", Client, Nothing(PermitTlsClientcerts)),
        name("reject_rbl_client", Client, DnsList(self::DnsList::RejectAddress)),
        name("reject_rbl", Client, DnsList(self::DnsList::RejectAddress)),
        name("permit_dnswl_client", Client, DnsList(self::DnsList::PermitAddress)),
        name("reject_rhsbl_client", Client, DnsList(self::DnsList::RejectDomain(Whose::Client))),
        name("permit_rhswl_client", Client, DnsList(self::DnsList::PermitClientDomain)),
        name(
            "reject_rhsbl_reverse_client",
            Client,
            DnsList(self::DnsList::RejectDomain(Whose::ReverseClient)),
        ),
        name("reject_unknown_client_hostname", Client, Nothing(RejectUnknownClientHostname)),
        name("reject_unknown_client", Client, Nothing(RejectUnknownClientHostname)),
        name("reject_unknown_reverse_client_hostname", Client, Nothing(RejectUnknownReverseClientHostname)),
        old("reject_maps_rbl", Client, Nothing(RejectMapsRbl), "reject_rbl_client domain-name"),
        // HELO and EHLO
        name("check_helo_access", Helo, Table(Access::Helo)),
        name("check_helo_a_access", Helo, ServerTable(Whose::Helo, ServerRecord::A)),
        name("check_helo_mx_access", Helo, ServerTable(Whose::Helo, ServerRecord::Mx)),
        name("check_helo_ns_access", Helo, ServerTable(Whose::Helo, ServerRecord::Ns)),
        name("reject_invalid_helo_hostname", Helo, Nothing(RejectInvalidHeloHostname)),
        name("reject_invalid_hostname", Helo, Nothing(RejectInvalidHeloHostname)),
        name("reject_non_fqdn_helo_hostname", Helo, Nothing(RejectNonFqdnHeloHostname)),
        name("reject_non_fqdn_hostname", Helo, Nothing(RejectNonFqdnHeloHostname)),
        name("reject_unknown_helo_hostname", Helo, Nothing(RejectUnknownHeloHostname)),
        name("reject_unknown_hostname", Helo, Nothing(RejectUnknownHeloHostname)),
        name("reject_rhsbl_helo", Helo, DnsList(self::DnsList::RejectDomain(Whose::Helo))),
        old("permit_naked_ip_address", Helo, Nothing(PermitNakedIpAddress), "permit_mynetworks"),
        // MAIL FROM
        name("check_sender_access", Sender, Table(Access::Sender)),
        name("check_sender_a_access", Sender, ServerTable(Whose::Sender, ServerRecord::A)),
        name("check_sender_mx_access", Sender, ServerTable(Whose::Sender, ServerRecord::Mx)),
        name("check_sender_ns_access", Sender, ServerTable(Whose::Sender, ServerRecord::Ns)),
        name("reject_non_fqdn_sender", Sender, Nothing(RejectNonFqdnSender)),
        name("reject_rhsbl_sender", Sender, DnsList(self::DnsList::RejectDomain(Whose::Sender))),
        name("reject_unknown_sender_domain", Sender, Nothing(RejectUnknownSenderDomain)),
        name("reject_unknown_address", Sender, Nothing(RejectUnknownSenderDomain)),
        name("reject_unlisted_sender", Sender, Nothing(RejectUnlistedSender)),
        name("reject_unverified_sender", Sender, Nothing(RejectUnverifiedSender)),
        name("reject_sender_login_mismatch", Sender, Nothing(RejectSenderLoginMismatch)),
        name(
            "reject_authenticated_sender_login_mismatch",
            Sender,
            Nothing(RejectAuthenticatedSenderLoginMismatch),
        ),
        name("reject_known_sender_login_mismatch", Sender, Nothing(RejectKnownSenderLoginMismatch)),
        name(
            "reject_unauthenticated_sender_login_mismatch",
            Sender,
            Nothing(RejectUnauthenticatedSenderLoginMismatch),
        ),
        // RCPT TO
        name("check_recipient_access", Recipient, Table(Access::Recipient)),
        name("check_recipient_a_access", Recipient, ServerTable(Whose::Recipient, ServerRecord::A)),
        name("check_recipient_mx_access", Recipient, ServerTable(Whose::Recipient, ServerRecord::Mx)),
        name("check_recipient_ns_access", Recipient, ServerTable(Whose::Recipient, ServerRecord::Ns)),
        name("permit_auth_destination", Recipient, Nothing(PermitAuthDestination)),
        name("permit_mx_backup", Recipient, Nothing(PermitMxBackup)),
        name("reject_unauth_destination", Recipient, Nothing(RejectUnauthDestination)),
        name("defer_unauth_destination", Recipient, Nothing(DeferUnauthDestination)),
        name("reject_non_fqdn_recipient", Recipient, Nothing(RejectNonFqdnRecipient)),
        name("reject_rhsbl_recipient", Recipient, DnsList(self::DnsList::RejectDomain(Whose::Recipient))),
        name("reject_unknown_recipient_domain", Recipient, Nothing(RejectUnknownRecipientDomain)),
        name("reject_unlisted_recipient", Recipient, Nothing(RejectUnlistedRecipient)),
        name("check_recipient_maps", Recipient, Nothing(RejectUnlistedRecipient)),
        name("reject_unverified_recipient", Recipient, Nothing(RejectUnverifiedRecipient)),
        old("check_relay_domains", Recipient, Nothing(CheckRelayDomains), "reject_unauth_destination"),
        // ETRN
        name("check_etrn_access", Etrn, Table(Access::Etrn)),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once() {
        for (n, known) in NAMES.iter().enumerate() {
            let found = NAMES.iter().position(|other| other.name.eq_ignore_ascii_case(known.name));
            assert_eq!(found, Some(n), "{}", known.name);
        }
    }

    #[test]
    fn near_names() {
        for (written, expect) in [
            ("permit_mynetwork", Some("permit_mynetworks")),
            ("reject_unauth_destinations", Some("reject_unauth_destination")),
            ("Reject_unknown_sender_domian", Some("reject_unknown_sender_domain")),
            ("my_own_class", None),
            ("", None),
        ] {
            assert_eq!(Name::nearest(written), expect, "{written}");
        }
    }
}
