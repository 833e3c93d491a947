//! DNS messages (RFC 1035 4): the question we send, and what a reply says about it. No sockets.
//!
//! A reply is outside data: nothing in it can panic, loop without end, or be taken for the answer to another question.

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message::RecordSection;
use domain::base::name::ToName;
use domain::base::wire::ParseError;
use domain::base::{Message, MessageBuilder, Name, ParsedName, ParsedRecord, UnknownRecordData};
use domain::rdata::{A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Srv, Txt};
use mail::dns::{Kind, Record};
use mail::hostname;

/// Octets of a UDP reply that we say we take: what crosses the Internet in one piece (RFC 9715).
const UDP_PAYLOAD: u16 = 1232;
/// Records of one answer; more are dropped (dns_rr_list_limit of Postfix).
const RECORD_LIMIT: usize = 100;
/// CNAMEs followed within one reply.
const ALIAS_LIMIT: usize = 10;

/// A question, as it is put to servers.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    name: Name<Vec<u8>>,
    kind: Kind,
}

/// The options of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// EDNS (RFC 6891); without it some very old servers answer, and nothing beyond 512 octets.
    pub(crate) edns: bool,
    /// Ask for signatures and for the AD bit (RFC 4035 3.2.1, RFC 6840 5.7).
    pub(crate) dnssec: bool,
}

/// What a datagram or a TCP message is to the one who asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// No reply to this question: to be ignored.
    Other,
    /// To be asked again over TCP.
    Truncated,
    Reply(Reply),
}

/// A reply to the question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// RCODE, with its extended bits.
    pub(crate) rcode: u16,
    /// The AD bit.
    pub(crate) authentic: bool,
    pub(crate) content: Content,
}

/// What the answer section holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Records of the kind, for the name that the aliases led to.
    Records {
        records: Vec<Record>,
        name: String,
        ttl: u32,
        notes: Vec<String>,
    },
    /// Only records that name impossible hosts.
    InvalidData {
        notes: Vec<String>,
    },
    /// Aliases whose end is not in the reply.
    Alias {
        name: String,
        ttl: u32,
    },
    /// Nothing. `ttl` is how long that holds, where the server says so (RFC 2308).
    Nothing {
        ttl: Option<u32>,
    },
    Malformed,
}

impl Question {
    /// None if `name`, in presentation form, cannot be one of the DNS.
    pub(crate) fn new(name: &str, kind: Kind) -> Option<Question> {
        let name = if name.is_empty() { "." } else { name };
        Some(Question { name: name.parse().ok()?, kind })
    }

    /// The message to send.
    pub(crate) fn to_wire(&self, id: u16, flags: Flags) -> Vec<u8> {
        let mut builder = MessageBuilder::new_vec();
        let header = builder.header_mut();
        header.set_id(id);
        header.set_rd(true);
        header.set_ad(flags.dnssec);
        let mut builder = builder.question();
        builder.push((&self.name, rtype(self.kind))).expect("a question fits into a vector");
        let mut builder = builder.additional();
        if flags.edns {
            builder
                .opt(|opt| {
                    opt.set_udp_payload_size(UDP_PAYLOAD);
                    opt.set_dnssec_ok(flags.dnssec);
                    Ok(())
                })
                .expect("an OPT record fits into a vector");
        }
        builder.finish()
    }

    /// Reads a message that came where the answer is awaited.
    pub(crate) fn read(&self, id: u16, packet: &[u8]) -> Received {
        let Ok(message) = Message::from_octets(packet) else { return Received::Other };
        let header = message.header();
        if !header.qr()
            || header.id() != id
            || header.opcode() != Opcode::QUERY
            || !self.is_asked_in(&message)
        {
            return Received::Other;
        }
        if header.tc() {
            return Received::Truncated;
        }
        let content = self.read_answer(&message).unwrap_or(Content::Malformed);
        Received::Reply(Reply { rcode: message.opt_rcode().to_int(), authentic: header.ad(), content })
    }

    fn is_asked_in(&self, message: &Message<&[u8]>) -> bool {
        match message.sole_question() {
            Ok(question) => {
                question.qtype() == rtype(self.kind)
                    && question.qclass() == Class::IN
                    && question.qname().name_eq(&self.name)
            }
            // who cannot read a question may be unable to repeat it
            Err(_) => {
                message.header_counts().qdcount() == 0
                    && matches!(message.header().rcode(), Rcode::FORMERR | Rcode::NOTIMP)
            }
        }
    }

    fn read_answer(&self, message: &Message<&[u8]>) -> Result<Content, ParseError> {
        let answer = message.answer()?;
        let mut name: ParsedName<&[u8]> = match message.first_question() {
            Some(question) => *question.qname(),
            None => return Ok(Content::Nothing { ttl: None }),
        };
        let mut found = Found::default();
        for _ in 0..ALIAS_LIMIT {
            found.collect(answer, self.kind, &name)?;
            match found.alias.take() {
                Some(target) if !found.any => name = target,
                _ => break,
            }
            found.aliases += 1;
        }
        found.into_content(&name, message)
    }
}

/// What was picked from the answer section so far.
#[derive(Default)]
struct Found<'a> {
    any: bool,
    records: Vec<Record>,
    alias: Option<ParsedName<&'a [u8]>>,
    aliases: usize,
    ttl: Option<u32>,
    notes: Vec<String>,
}

impl<'a> Found<'a> {
    /// Goes through the section once, for one name.
    fn collect(
        &mut self,
        section: RecordSection<'a, &'a [u8]>,
        kind: Kind,
        name: &ParsedName<&[u8]>,
    ) -> Result<(), ParseError> {
        for record in section {
            let record = record?;
            if record.class() != Class::IN || !record.owner().name_eq(name) {
                continue;
            }
            if record.rtype() == rtype(kind) {
                self.note_ttl(&record);
                self.any = true;
                if self.records.len() < RECORD_LIMIT {
                    self.take(record, kind, name)?;
                }
            } else if record.rtype() == Rtype::CNAME
                && self.alias.is_none()
                && let Some(alias) = record.to_record::<Cname<ParsedName<&[u8]>>>()?
            {
                self.note_ttl(&record);
                self.alias = Some(*alias.data().cname());
            }
        }
        Ok(())
    }

    /// Keeps a record unless it names an impossible host. Postfix: addresses in place of names pass, and PTR records
    /// are judged by whoever asked for them.
    fn take(
        &mut self,
        record: ParsedRecord<'a, &'a [u8]>,
        kind: Kind,
        name: &ParsedName<&[u8]>,
    ) -> Result<(), ParseError> {
        let Some(data) = read_data(record, kind)? else { return Ok(()) };
        let host = match &data {
            Record::Mx { host, .. } | Record::Ns(host) | Record::Cname(host) => host.as_str(),
            Record::Srv { target, .. } => target.as_str(),
            _ => "",
        };
        let gripe = |what| {
            let kind = kind_name(kind);
            format!("{what} domain name in resource data of {kind} record for {name}: {host:.100}")
        };
        if host.is_empty() {
            self.records.push(data);
        } else if hostname::is_address(host.as_bytes()) {
            self.notes.push(gripe("numeric"));
            self.records.push(data);
        } else if let Err(flaw) = hostname::check(host.as_bytes(), true) {
            self.notes.push(format!("valid_hostname: {flaw}: {host:.100}"));
            self.notes.push(gripe("malformed"));
        } else {
            self.records.push(data);
        }
        Ok(())
    }

    fn note_ttl(&mut self, record: &ParsedRecord<'_, &[u8]>) {
        let ttl = record.ttl().as_secs();
        self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
    }

    fn into_content(self, name: &ParsedName<&[u8]>, message: &Message<&[u8]>) -> Result<Content, ParseError> {
        let ttl = self.ttl.unwrap_or(0);
        Ok(match (self.any, self.records.is_empty(), self.aliases) {
            (true, false, _) => {
                Content::Records { records: self.records, name: presentation(name), ttl, notes: self.notes }
            }
            (true, true, _) => Content::InvalidData { notes: self.notes },
            (false, _, 0) => Content::Nothing { ttl: negative_ttl(message)? },
            (false, _, _) => Content::Alias { name: presentation(name), ttl },
        })
    }
}

/// RFC 2308 5: the lesser of the SOA record's TTL and its MINIMUM field.
fn negative_ttl(message: &Message<&[u8]>) -> Result<Option<u32>, ParseError> {
    let mut authorities = message.authority()?.limit_to_in::<Soa<ParsedName<&[u8]>>>();
    let soa = authorities.next().transpose()?;
    Ok(soa.map(|soa| soa.ttl().as_secs().min(soa.data().minimum().as_secs())))
}

fn read_data<'a>(record: ParsedRecord<'a, &'a [u8]>, kind: Kind) -> Result<Option<Record>, ParseError> {
    type Host<'a> = ParsedName<&'a [u8]>;
    macro_rules! data {
        ($type:ty, $data:ident => $record:expr) => {
            record.to_record::<$type>()?.map(|record| {
                let $data = record.data();
                $record
            })
        };
    }
    Ok(match kind {
        Kind::A => data!(A, data => Record::A(data.addr())),
        Kind::Aaaa => data!(Aaaa, data => Record::Aaaa(data.addr())),
        Kind::Mx => data!(Mx<Host>, data => Record::Mx {
            preference: data.preference(),
            host: presentation(data.exchange()),
        }),
        Kind::Ns => data!(Ns<Host>, data => Record::Ns(presentation(data.nsdname()))),
        Kind::Ptr => data!(Ptr<Host>, data => Record::Ptr(presentation(data.ptrdname()))),
        Kind::Cname => data!(Cname<Host>, data => Record::Cname(presentation(data.cname()))),
        Kind::Txt => data!(Txt<&[u8]>, data => Record::Txt(data.iter().flatten().copied().collect())),
        Kind::Srv => data!(Srv<Host>, data => Record::Srv {
            priority: data.priority(),
            weight: data.weight(),
            port: data.port(),
            target: presentation(data.target()),
        }),
        // Tlsa has a parser of its own in `domain` that its generic record reader does not reach
        Kind::Tlsa => {
            record.to_record::<UnknownRecordData<&[u8]>>()?.and_then(|record| read_tlsa(record.data().data()))
        }
        Kind::Soa => data!(Soa<Host>, data => Record::Soa(presentation(data.mname()))),
    })
}

/// None if it is too short to be one (RFC 6698 2.1).
fn read_tlsa(data: &[u8]) -> Option<Record> {
    let (&[usage, selector, matching], data) = data.split_first_chunk()?;
    Some(Record::Tlsa { usage, selector, matching, data: data.to_vec() })
}

/// Without the last dot; the root is the empty string.
fn presentation(name: &ParsedName<&[u8]>) -> String {
    if name.is_root() { String::new() } else { name.to_string() }
}

fn rtype(kind: Kind) -> Rtype {
    match kind {
        Kind::A => Rtype::A,
        Kind::Aaaa => Rtype::AAAA,
        Kind::Mx => Rtype::MX,
        Kind::Ns => Rtype::NS,
        Kind::Ptr => Rtype::PTR,
        Kind::Txt => Rtype::TXT,
        Kind::Srv => Rtype::SRV,
        Kind::Tlsa => Rtype::TLSA,
        Kind::Cname => Rtype::CNAME,
        Kind::Soa => Rtype::SOA,
    }
}

/// As Postfix names record types in texts.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::A => "A",
        Kind::Aaaa => "AAAA",
        Kind::Mx => "MX",
        Kind::Ns => "NS",
        Kind::Ptr => "PTR",
        Kind::Txt => "TXT",
        Kind::Srv => "SRV",
        Kind::Tlsa => "TLSA",
        Kind::Cname => "CNAME",
        Kind::Soa => "SOA",
    }
}

/// Reads any octets as a reply to questions of every kind. Panics only if this room has a bug.
pub fn fuzz_dns_reply(data: &[u8]) {
    const KINDS: [Kind; 10] = [
        Kind::A,
        Kind::Aaaa,
        Kind::Mx,
        Kind::Ns,
        Kind::Ptr,
        Kind::Txt,
        Kind::Srv,
        Kind::Tlsa,
        Kind::Cname,
        Kind::Soa,
    ];
    let id = data.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for kind in KINDS {
        let asked =
            Message::from_octets(data).ok().and_then(|m| m.first_question().map(|q| q.qname().to_string()));
        if let Some(question) = Question::new(asked.as_deref().unwrap_or("example.com"), kind) {
            question.read(id, data);
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
