use super::*;
use domain::base::Ttl;
use domain::base::iana::{TlsaCertificateUsage, TlsaMatchingType, TlsaSelector};
use domain::base::message_builder::AnswerBuilder;
use domain::rdata::Tlsa;
use proptest::prelude::*;

const ID: u16 = 0x4711;

fn question(kind: Kind) -> Question {
    Question::new("Mail.Example.com", kind).unwrap()
}

fn name(text: &str) -> Name<Vec<u8>> {
    text.parse().unwrap()
}

/// A reply to the question for `mail.example.com`, filled in by `fill`.
fn reply(kind: Kind, fill: impl FnOnce(&mut AnswerBuilder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(ID);
    builder.header_mut().set_qr(true);
    builder.header_mut().set_ad(true);
    let mut builder = builder.question();
    builder.push((name("mail.example.com"), rtype(kind))).unwrap();
    let mut builder = builder.answer();
    fill(&mut builder);
    builder.finish()
}

fn ttl(secs: u32) -> Ttl {
    Ttl::from_secs(secs)
}

fn content(kind: Kind, fill: impl FnOnce(&mut AnswerBuilder<Vec<u8>>)) -> Content {
    match question(kind).read(ID, &reply(kind, fill)) {
        Received::Reply(reply) => reply.content,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_asks_what_it_should() {
    for (flags, additional) in [
        (Flags { edns: false, dnssec: false }, 0),
        (Flags { edns: true, dnssec: false }, 1),
        (Flags { edns: true, dnssec: true }, 1),
    ] {
        let wire = question(Kind::Mx).to_wire(ID, flags);
        let message = Message::from_octets(&wire).unwrap();
        assert_eq!((message.header().id(), message.header().rd()), (ID, true));
        assert_eq!(message.header().ad(), flags.dnssec);
        assert_eq!(message.header_counts().arcount(), additional);
        assert_eq!(message.opt().is_some_and(|opt| opt.dnssec_ok()), flags.dnssec);
        assert_eq!(message.sole_question().unwrap().qtype(), Rtype::MX);
    }
    for no_name in ["a..b", &"a".repeat(64), &["abcdefghi"; 30].join("."), "\u{e9}.example"] {
        assert!(Question::new(no_name, Kind::A).is_none(), "{no_name}");
    }
}

#[test]
fn every_kind_of_record() {
    let at = || name("mail.example.com");
    let one = |kind, fill: &dyn Fn(&mut AnswerBuilder<Vec<u8>>)| match content(kind, fill) {
        Content::Records { mut records, .. } if records.len() == 1 => records.remove(0),
        other => panic!("{kind:?} {other:?}"),
    };
    let host = || "mx.example.com".to_string();
    assert_eq!(
        one(Kind::A, &|b| b.push((at(), ttl(1), A::from_octets(192, 0, 2, 1))).unwrap()),
        Record::A([192, 0, 2, 1].into())
    );
    assert_eq!(
        one(Kind::Aaaa, &|b| b.push((at(), ttl(1), Aaaa::new("::1".parse().unwrap()))).unwrap()),
        Record::Aaaa("::1".parse().unwrap())
    );
    assert_eq!(
        one(Kind::Mx, &|b| b.push((at(), ttl(1), Mx::new(10, name("mx.example.com")))).unwrap()),
        Record::Mx { preference: 10, host: host() }
    );
    assert_eq!(
        one(Kind::Mx, &|b| b.push((at(), ttl(1), Mx::new(0, name(".")))).unwrap()),
        Record::Mx { preference: 0, host: String::new() }
    );
    assert_eq!(
        one(Kind::Ns, &|b| b.push((at(), ttl(1), Ns::new(name("mx.example.com")))).unwrap()),
        Record::Ns(host())
    );
    assert_eq!(
        one(Kind::Ptr, &|b| b.push((at(), ttl(1), Ptr::new(name("mx.example.com")))).unwrap()),
        Record::Ptr(host())
    );
    assert_eq!(
        one(Kind::Cname, &|b| b.push((at(), ttl(1), Cname::new(name("mx.example.com")))).unwrap()),
        Record::Cname(host())
    );
    let strings = || Txt::from_octets(b"\x03abc\x02de".to_vec()).unwrap();
    assert_eq!(
        one(Kind::Txt, &|b| b.push((at(), ttl(1), strings())).unwrap()),
        Record::Txt(b"abcde".to_vec())
    );
    assert_eq!(
        one(Kind::Srv, &|b| b.push((at(), ttl(1), Srv::new(1, 2, 25, name("mx.example.com")))).unwrap()),
        Record::Srv { priority: 1, weight: 2, port: 25, target: host() }
    );
    let tlsa = || {
        let usage = TlsaCertificateUsage::from_int(3);
        Tlsa::new(usage, TlsaSelector::from_int(1), TlsaMatchingType::from_int(1), vec![7u8; 32])
    };
    assert_eq!(
        one(Kind::Tlsa, &|b| b.push((at(), ttl(1), tlsa())).unwrap()),
        Record::Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
    );
}

#[test]
fn aliases_are_followed_in_any_order() {
    let got = content(Kind::A, |b| {
        b.push((name("c.example"), ttl(60), A::from_octets(192, 0, 2, 1))).unwrap();
        b.push((name("b.example"), ttl(5), Cname::new(name("c.example")))).unwrap();
        b.push((name("mail.example.com"), ttl(50), Cname::new(name("b.example")))).unwrap();
        b.push((name("stranger.example"), ttl(1), A::from_octets(192, 0, 2, 66))).unwrap();
    });
    let records = vec![Record::A([192, 0, 2, 1].into())];
    assert_eq!(got, Content::Records { records, name: "c.example".into(), ttl: 5, notes: vec![] });

    let got = content(Kind::A, |b| {
        b.push((name("mail.example.com"), ttl(50), Cname::new(name("b.example")))).unwrap();
    });
    assert_eq!(got, Content::Alias { name: "b.example".into(), ttl: 50 });
}

#[test]
fn an_alias_loop_ends() {
    let got = content(Kind::A, |b| {
        b.push((name("mail.example.com"), ttl(9), Cname::new(name("b.example")))).unwrap();
        b.push((name("b.example"), ttl(9), Cname::new(name("mail.example.com")))).unwrap();
    });
    assert!(matches!(got, Content::Alias { .. }), "{got:?}");
}

#[test]
fn names_that_are_none_are_dropped_with_a_note() {
    let mx = |host: &str| Mx::new(10, name(host));
    let got = content(Kind::Mx, |b| {
        b.push((name("mail.example.com"), ttl(9), mx("bad_-.example"))).unwrap();
        b.push((name("mail.example.com"), ttl(9), mx("192.0.2.20"))).unwrap();
    });
    let notes = vec![
        "valid_hostname: misplaced hyphen: bad_-.example".to_string(),
        "malformed domain name in resource data of MX record for mail.example.com: bad_-.example".into(),
        "numeric domain name in resource data of MX record for mail.example.com: 192.0.2.20".into(),
    ];
    let records = vec![Record::Mx { preference: 10, host: "192.0.2.20".into() }];
    assert_eq!(
        got,
        Content::Records { records, name: "mail.example.com".into(), ttl: 9, notes: notes.clone() }
    );

    let got = content(Kind::Mx, |b| b.push((name("mail.example.com"), ttl(9), mx("bad_-.example"))).unwrap());
    assert_eq!(got, Content::InvalidData { notes: notes[..2].to_vec() });
}

#[test]
fn nothing_has_a_ttl_if_the_server_says_so() {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(ID);
    builder.header_mut().set_qr(true);
    builder.header_mut().set_rcode(Rcode::NXDOMAIN);
    let mut builder = builder.question();
    builder.push((name("mail.example.com"), Rtype::A)).unwrap();
    let mut builder = builder.authority();
    let soa = Soa::new(name("ns.example"), name("admin.example"), 1.into(), ttl(1), ttl(1), ttl(1), ttl(30));
    builder.push((name("example.com"), ttl(600), soa)).unwrap();
    let expect = Reply { rcode: 3, authentic: false, content: Content::Nothing { ttl: Some(30) } };
    assert_eq!(question(Kind::A).read(ID, &builder.finish()), Received::Reply(expect));
    assert_eq!(content(Kind::A, |_| ()), Content::Nothing { ttl: None });
}

#[test]
fn what_is_not_the_answer_is_ignored() {
    let good = reply(Kind::A, |_| ());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        change(&mut packet);
        question(Kind::A).read(ID, &packet)
    };
    assert!(matches!(changed(&|_| ()), Received::Reply(_)));
    for (case, received) in [
        ("another id", changed(&|p| p[1] ^= 1)),
        ("a query", changed(&|p| p[2] &= 0x7f)),
        ("another opcode", changed(&|p| p[2] |= 0x28)),
        ("another name", changed(&|p| p[14] ^= 1)),
        ("another type", changed(&|p| *p.last_chunk_mut::<3>().unwrap() = [15, 0, 1])),
        ("another class", changed(&|p| *p.last_mut().unwrap() = 3)),
        ("cut off", changed(&|p| p.truncate(11))),
        ("no question", changed(&|p| p[5] = 0)),
        ("two questions", changed(&|p| p[5] = 2)),
    ] {
        assert_eq!(received, Received::Other, "{case}");
    }
    assert_eq!(changed(&|p| p[2] |= 2), Received::Truncated);
    let no_question = changed(&|p| {
        p.truncate(12);
        p[5] = 0;
        p[3] |= 1;
    });
    assert!(matches!(no_question, Received::Reply(Reply { rcode: 1, .. })), "{no_question:?}");
}

#[test]
fn a_name_may_have_odd_octets() {
    let got = content(Kind::Cname, |b| {
        b.push((name("mail.example.com"), ttl(9), Cname::new(name("a\\.b\\010.example")))).unwrap();
    });
    assert!(matches!(got, Content::InvalidData { .. }), "{got:?}");
}

proptest! {
    #[test]
    fn no_packet_panics(mut packet in prop::collection::vec(any::<u8>(), 0..600), keep_head: bool) {
        if keep_head {
            let mut head = reply(Kind::Mx, |_| ());
            head[7] = packet.first().copied().unwrap_or(0);
            head.append(&mut packet);
            packet = head;
        }
        fuzz_dns_reply(&packet);
    }

    /// A real reply with any octets changed.
    #[test]
    fn no_damage_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut packet = reply(Kind::Mx, |b| {
            b.push((name("mail.example.com"), ttl(50), Cname::new(name("b.example")))).unwrap();
            b.push((name("b.example"), ttl(9), Mx::new(10, name("mx.b.example")))).unwrap();
            b.push((name("b.example"), ttl(9), Mx::new(20, name(".")))).unwrap();
        });
        for (at, value) in changes {
            let at = at.index(packet.len());
            packet[at] = value;
        }
        fuzz_dns_reply(&packet);
    }
}
