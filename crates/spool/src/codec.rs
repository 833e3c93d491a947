//! Envelopes, recipients and outcomes as tagged fields.
//!
//! Tags are never used again for something else, and a field that is missing reads as its default: records of older and
//! newer versions stay readable.

use crate::wire::{
    Fields, Malformed, get_i64, get_string, get_u32, get_u64, put, put_i64, put_nested, put_nonempty, put_u64,
};
use bytes::Bytes;
use mail::{
    Address, Client, DsnStatus, Encoding, Envelope, Fate, Notify, Origin, Outcome, Recipient, Ret, Time,
};

mod tag {
    pub(super) mod envelope {
        pub(crate) const SENDER: u8 = 1;
        pub(crate) const RECIPIENT: u8 = 2;
        pub(crate) const ARRIVAL: u8 = 3;
        pub(crate) const LOCAL_UID: u8 = 4;
        pub(crate) const INTERNAL: u8 = 5;
        pub(crate) const CLIENT: u8 = 6;
        pub(crate) const ENCODING: u8 = 7;
        pub(crate) const SMTPUTF8: u8 = 8;
        pub(crate) const RET: u8 = 9;
        pub(crate) const ENVID: u8 = 10;
        pub(crate) const REWRITE_LOCAL: u8 = 11;
        pub(crate) const SIZE: u8 = 12;
        pub(crate) const CONTENT_FILTER: u8 = 13;
        pub(crate) const EXTRA: u8 = 14;
    }
    pub(super) mod client {
        pub(crate) const NAME: u8 = 1;
        pub(crate) const ADDRESS: u8 = 2;
        pub(crate) const PORT: u8 = 3;
        pub(crate) const HELO: u8 = 4;
        pub(crate) const PROTOCOL: u8 = 5;
        pub(crate) const SASL_METHOD: u8 = 6;
        pub(crate) const SASL_USERNAME: u8 = 7;
        pub(crate) const SASL_SENDER: u8 = 8;
    }
    pub(super) mod recipient {
        pub(crate) const ADDRESS: u8 = 1;
        pub(crate) const ORIGINAL: u8 = 2;
        pub(crate) const ORCPT: u8 = 3;
        pub(crate) const NOTIFY: u8 = 4;
    }
    pub(super) mod outcome {
        pub(crate) const RECIPIENT: u8 = 1;
        pub(crate) const FATE: u8 = 2;
        pub(crate) const STATUS: u8 = 3;
        pub(crate) const REASON: u8 = 4;
        pub(crate) const REMOTE_MTA: u8 = 5;
        pub(crate) const DIAGNOSTIC: u8 = 6;
        pub(crate) const AT: u8 = 7;
    }
    pub(super) mod extra {
        pub(crate) const NAME: u8 = 1;
        pub(crate) const VALUE: u8 = 2;
    }
}

pub(crate) fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    use tag::envelope as t;
    put_nonempty(out, t::SENDER, envelope.sender.as_bytes());
    for recipient in &envelope.recipients {
        put_nested(out, t::RECIPIENT, |out| put_recipient(out, recipient));
    }
    put_i64(out, t::ARRIVAL, envelope.arrival.micros());
    match envelope.origin {
        Origin::Smtp => {}
        Origin::Local { uid } => put_u64(out, t::LOCAL_UID, u64::from(uid)),
        Origin::Internal => put(out, t::INTERNAL, b""),
    }
    if envelope.client != Client::default() {
        put_nested(out, t::CLIENT, |out| put_client(out, &envelope.client));
    }
    match envelope.encoding {
        Encoding::Unspecified => {}
        Encoding::SevenBit => put(out, t::ENCODING, b"7"),
        Encoding::EightBitMime => put(out, t::ENCODING, b"8"),
    }
    if envelope.smtputf8 {
        put(out, t::SMTPUTF8, b"");
    }
    if let Some(ret) = envelope.ret {
        put(out, t::RET, if ret == Ret::Full { b"F" } else { b"H" });
    }
    if let Some(envid) = &envelope.envid {
        put(out, t::ENVID, envid);
    }
    if envelope.rewrite_local {
        put(out, t::REWRITE_LOCAL, b"");
    }
    put_u64(out, t::SIZE, envelope.size);
    if let Some(filter) = &envelope.content_filter {
        put(out, t::CONTENT_FILTER, filter.as_bytes());
    }
    for (name, value) in &envelope.extra {
        put_nested(out, t::EXTRA, |out| put_extra(out, name, value));
    }
}

pub(crate) fn get_encoding(value: &[u8]) -> Encoding {
    if value == b"7" { Encoding::SevenBit } else { Encoding::EightBitMime }
}

pub(crate) fn get_envelope(octets: &[u8]) -> Result<Envelope, Malformed> {
    use tag::envelope as t;
    let mut envelope = Envelope::default();
    for field in Fields(octets) {
        let (tag, value) = field?;
        match tag {
            t::SENDER => envelope.sender = Address::from(value),
            t::RECIPIENT => envelope.recipients.push(get_recipient(value)?),
            t::ARRIVAL => envelope.arrival = Time::from_micros(get_i64(value)?),
            t::LOCAL_UID => envelope.origin = Origin::Local { uid: get_u32(value)? },
            t::INTERNAL => envelope.origin = Origin::Internal,
            t::CLIENT => envelope.client = get_client(value)?,
            t::ENCODING => envelope.encoding = get_encoding(value),
            t::SMTPUTF8 => envelope.smtputf8 = true,
            t::RET => envelope.ret = Some(if value == b"F" { Ret::Full } else { Ret::Headers }),
            t::ENVID => envelope.envid = Some(Bytes::copy_from_slice(value)),
            t::REWRITE_LOCAL => envelope.rewrite_local = true,
            t::SIZE => envelope.size = get_u64(value)?,
            t::CONTENT_FILTER => envelope.content_filter = Some(get_string(value)?),
            t::EXTRA => envelope.extra.push(get_extra(value)?),
            _ => {}
        }
    }
    Ok(envelope)
}

pub(crate) fn put_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    use tag::recipient as t;
    put_nonempty(out, t::ADDRESS, recipient.address.as_bytes());
    if let Some(original) = &recipient.original {
        put(out, t::ORIGINAL, original.as_bytes());
    }
    if let Some(orcpt) = &recipient.orcpt {
        put(out, t::ORCPT, orcpt);
    }
    if !recipient.notify.is_unset() {
        put(out, t::NOTIFY, &[recipient.notify.bits()]);
    }
}

pub(crate) fn get_recipient(octets: &[u8]) -> Result<Recipient, Malformed> {
    use tag::recipient as t;
    let mut recipient = Recipient::default();
    for field in Fields(octets) {
        let (tag, value) = field?;
        match tag {
            t::ADDRESS => recipient.address = Address::from(value),
            t::ORIGINAL => recipient.original = Some(Address::from(value)),
            t::ORCPT => recipient.orcpt = Some(Bytes::copy_from_slice(value)),
            t::NOTIFY => recipient.notify = Notify::from_bits(*value.first().ok_or(Malformed)?),
            _ => {}
        }
    }
    Ok(recipient)
}

pub(crate) fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    use tag::outcome as t;
    put_u64(out, t::RECIPIENT, u64::from(outcome.recipient));
    put(out, t::FATE, &[fate_code(outcome.fate)]);
    let status = outcome.status;
    let ([s0, s1], [d0, d1]) = (status.subject().to_le_bytes(), status.detail().to_le_bytes());
    put(out, t::STATUS, &[status.class(), s0, s1, d0, d1]);
    put_nonempty(out, t::REASON, outcome.reason.as_bytes());
    if let Some(remote_mta) = &outcome.remote_mta {
        put(out, t::REMOTE_MTA, remote_mta.as_bytes());
    }
    if let Some(diagnostic) = &outcome.diagnostic {
        put(out, t::DIAGNOSTIC, diagnostic.as_bytes());
    }
    put_i64(out, t::AT, outcome.at.micros());
}

pub(crate) fn get_outcome(octets: &[u8]) -> Result<Outcome, Malformed> {
    use tag::outcome as t;
    let (mut recipient, mut fate, mut status) = (None, None, None);
    let (mut reason, mut remote_mta, mut diagnostic, mut at) = (String::new(), None, None, Time::default());
    for field in Fields(octets) {
        let (tag, value) = field?;
        match tag {
            t::RECIPIENT => recipient = Some(get_u32(value)?),
            t::FATE => fate = Some(get_fate(value)?),
            t::STATUS => status = Some(get_status(value)?),
            t::REASON => reason = get_string(value)?,
            t::REMOTE_MTA => remote_mta = Some(get_string(value)?),
            t::DIAGNOSTIC => diagnostic = Some(get_string(value)?),
            t::AT => at = Time::from_micros(get_i64(value)?),
            _ => {}
        }
    }
    Ok(Outcome {
        recipient: recipient.ok_or(Malformed)?,
        fate: fate.ok_or(Malformed)?,
        status: status.ok_or(Malformed)?,
        reason,
        remote_mta,
        diagnostic,
        at,
    })
}

fn fate_code(fate: Fate) -> u8 {
    match fate {
        Fate::Sent => b'S',
        Fate::Deferred => b'D',
        Fate::Bounced => b'B',
    }
}

fn get_fate(value: &[u8]) -> Result<Fate, Malformed> {
    match value {
        b"S" => Ok(Fate::Sent),
        b"D" => Ok(Fate::Deferred),
        b"B" => Ok(Fate::Bounced),
        _ => Err(Malformed),
    }
}

fn get_status(value: &[u8]) -> Result<DsnStatus, Malformed> {
    let &[class, s0, s1, d0, d1] = value else { return Err(Malformed) };
    let (subject, detail) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([d0, d1]));
    if !matches!(class, 2 | 4 | 5) || subject > 999 || detail > 999 {
        return Err(Malformed);
    }
    Ok(DsnStatus::new(class, subject, detail))
}

pub(crate) fn put_client(out: &mut Vec<u8>, client: &Client) {
    use tag::client as t;
    put_nonempty(out, t::NAME, client.name.as_bytes());
    put_nonempty(out, t::ADDRESS, client.address.as_bytes());
    put_u64(out, t::PORT, u64::from(client.port));
    put_nonempty(out, t::HELO, client.helo.as_bytes());
    put_nonempty(out, t::PROTOCOL, client.protocol.as_bytes());
    put_nonempty(out, t::SASL_METHOD, client.sasl_method.as_bytes());
    put_nonempty(out, t::SASL_USERNAME, client.sasl_username.as_bytes());
    put_nonempty(out, t::SASL_SENDER, client.sasl_sender.as_bytes());
}

pub(crate) fn get_client(octets: &[u8]) -> Result<Client, Malformed> {
    use tag::client as t;
    let mut client = Client::default();
    for field in Fields(octets) {
        let (tag, value) = field?;
        match tag {
            t::NAME => client.name = get_string(value)?,
            t::ADDRESS => client.address = get_string(value)?,
            t::PORT => client.port = get_u32(value)?.try_into().map_err(|_| Malformed)?,
            t::HELO => client.helo = get_string(value)?,
            t::PROTOCOL => client.protocol = get_string(value)?,
            t::SASL_METHOD => client.sasl_method = get_string(value)?,
            t::SASL_USERNAME => client.sasl_username = get_string(value)?,
            t::SASL_SENDER => client.sasl_sender = get_string(value)?,
            _ => {}
        }
    }
    Ok(client)
}

pub(crate) fn put_extra(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    put(out, tag::extra::NAME, name.as_bytes());
    put(out, tag::extra::VALUE, value);
}

pub(crate) fn get_extra(octets: &[u8]) -> Result<(String, Bytes), Malformed> {
    let (mut name, mut text) = (String::new(), Bytes::new());
    for field in Fields(octets) {
        match field? {
            (tag::extra::NAME, value) => name = get_string(value)?,
            (tag::extra::VALUE, value) => text = Bytes::copy_from_slice(value),
            _ => {}
        }
    }
    Ok((name, text))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_recipient() -> impl Strategy<Value = Recipient> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
        let option = || proptest::option::of(bytes());
        (bytes(), option(), option(), 0..16u8).prop_map(|(address, original, orcpt, notify)| Recipient {
            address: Address::new(address),
            original: original.map(Address::new),
            orcpt: orcpt.map(Bytes::from),
            notify: Notify::from_bits(notify),
        })
    }

    pub(crate) fn any_encoding() -> impl Strategy<Value = Encoding> {
        prop_oneof![Just(Encoding::Unspecified), Just(Encoding::SevenBit), Just(Encoding::EightBitMime)]
    }

    pub(crate) fn any_outcome() -> impl Strategy<Value = Outcome> {
        let fate = prop_oneof![Just(Fate::Sent), Just(Fate::Deferred), Just(Fate::Bounced)];
        let status = (prop_oneof![Just(2u8), Just(4), Just(5)], 0..1000u16, 0..1000u16)
            .prop_map(|(class, subject, detail)| DsnStatus::new(class, subject, detail));
        let texts = (".{0,99}", proptest::option::of(".{0,99}"), proptest::option::of(".{0,300}"));
        (any::<u32>(), fate, status, texts, any::<i64>()).prop_map(|(recipient, fate, status, texts, at)| {
            let (reason, remote_mta, diagnostic) = texts;
            Outcome { recipient, fate, status, reason, remote_mta, diagnostic, at: Time::from_micros(at) }
        })
    }

    fn any_client() -> impl Strategy<Value = Client> {
        let texts = proptest::array::uniform7(".{0,20}");
        (texts, any::<u16>()).prop_map(|(texts, port)| {
            let [name, address, helo, protocol, sasl_method, sasl_username, sasl_sender] = texts;
            Client { name, address, port, helo, protocol, sasl_method, sasl_username, sasl_sender }
        })
    }

    pub(crate) fn any_envelope() -> impl Strategy<Value = Envelope> {
        let origin = prop_oneof![
            Just(Origin::Smtp),
            Just(Origin::Internal),
            any::<u32>().prop_map(|uid| Origin::Local { uid })
        ];
        let ret = proptest::option::of(prop_oneof![Just(Ret::Full), Just(Ret::Headers)]);
        let bytes = || proptest::collection::vec(any::<u8>(), 0..99);
        let people = (bytes(), proptest::collection::vec(any_recipient(), 0..5), any_client(), origin);
        let numbers = (any::<i64>(), any::<u64>(), any_encoding(), any::<[bool; 2]>());
        let options = (ret, proptest::option::of(bytes()), proptest::option::of(".{0,20}"));
        let extra = proptest::collection::vec((".{0,20}", bytes()), 0..3);
        (people, numbers, options, extra).prop_map(|(people, numbers, options, extra)| {
            let (sender, recipients, client, origin) = people;
            let (arrival, size, encoding, [smtputf8, rewrite_local]) = numbers;
            let (ret, envid, content_filter) = options;
            Envelope {
                sender: Address::new(sender),
                recipients,
                arrival: Time::from_micros(arrival),
                origin,
                client,
                encoding,
                smtputf8,
                ret,
                envid: envid.map(Bytes::from),
                rewrite_local,
                size,
                content_filter,
                extra: extra.into_iter().map(|(name, value)| (name, value.into())).collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn envelopes_come_back(envelope in any_envelope()) {
            let mut out = Vec::new();
            put_envelope(&mut out, &envelope);
            prop_assert_eq!(get_envelope(&out), Ok(envelope.clone()));
            // A field of a later version is skipped.
            put(&mut out, 200, b"?");
            prop_assert_eq!(get_envelope(&out), Ok(envelope));
        }

        #[test]
        fn outcomes_come_back(outcome in any_outcome()) {
            let mut out = Vec::new();
            put_outcome(&mut out, &outcome);
            prop_assert_eq!(get_outcome(&out), Ok(outcome));
        }

        #[test]
        fn garbage_is_no_panic(octets: Vec<u8>) {
            let _ = (get_envelope(&octets), get_outcome(&octets), get_recipient(&octets));
        }
    }
}
