//! The resolver against a name server that misbehaves.

use super::*;
use crate::InetProtocols;
use crate::testing::NameServer;
use mail::dns::Record;

const ZONE: &str = "
    a.example A 192.0.2.1
    a.example A 192.0.2.2
    a.example AAAA 2001:db8::1
    mail.example MX 10 a.example
    text.example TXT v=spf1 -all
    alias.example CNAME b.example
    b.example CNAME a.example
    broken-alias.example CNAME nowhere.example
    loop.example CNAME pool.example
    pool.example CNAME loop.example
    servfail.example !SERVFAIL
    refused.example !REFUSED
    formerr.example !FORMERR
    silent.example !SILENT
    truncated.example A 192.0.2.3
    truncated.example !TRUNCATED
    no-tcp.example !TRUNCATED-NO-TCP
    lies.example A 192.0.2.4
    lies.example !LIES
    noise.example A 192.0.2.5
    noise.example !NOISE
    old.example A 192.0.2.6
    old.example !NO-EDNS
    signed.example A 192.0.2.7
    signed.example !SIGNED
    signed-alias.example CNAME signed.example
    signed-alias.example !SIGNED
    half-signed.example CNAME a.example
    half-signed.example !SIGNED
    from-unsigned.example CNAME signed.example
    garbage.example A 192.0.2.8
    garbage.example !GARBAGE
    x.search.example A 192.0.2.9
    only4.example A 192.0.2.10
";

fn a(last: u8) -> Record {
    Record::A([192, 0, 2, last].into())
}

#[tokio::test]
async fn every_outcome_is_told_from_the_others() {
    let server = NameServer::start(ZONE).await;
    let resolver = server.resolver();
    let long = format!("{}.example", "a".repeat(64));
    let mx = Record::Mx { preference: 10, host: "a.example".into() };
    for (name, kind, expect) in [
        ("a.example", Kind::A, Ok(vec![a(1), a(2)])),
        ("A.Example.", Kind::A, Ok(vec![a(1), a(2)])),
        ("a.example", Kind::Aaaa, Ok(vec![Record::Aaaa("2001:db8::1".parse().unwrap())])),
        ("mail.example", Kind::Mx, Ok(vec![mx])),
        ("text.example", Kind::Txt, Ok(vec![Record::Txt(b"v=spf1 -all".to_vec())])),
        ("alias.example", Kind::A, Ok(vec![a(1), a(2)])),
        ("alias.example", Kind::Mx, Err(Failure::NoData)),
        ("broken-alias.example", Kind::A, Err(Failure::NoSuchDomain)),
        ("loop.example", Kind::A, Err(Failure::AliasLoop)),
        ("mail.example", Kind::A, Err(Failure::NoData)),
        ("nowhere.example", Kind::A, Err(Failure::NoSuchDomain)),
        ("servfail.example", Kind::A, Err(Failure::ServerFailure { rcode: 2 })),
        ("refused.example", Kind::A, Err(Failure::ServerFailure { rcode: 5 })),
        ("formerr.example", Kind::A, Err(Failure::ServerFailure { rcode: 1 })),
        ("silent.example", Kind::A, Err(Failure::Timeout)),
        ("truncated.example", Kind::A, Ok(vec![a(3)])),
        ("no-tcp.example", Kind::A, Err(Failure::Timeout)),
        ("lies.example", Kind::A, Ok(vec![a(4)])),
        ("noise.example", Kind::A, Ok(vec![a(5)])),
        ("old.example", Kind::A, Ok(vec![a(6)])),
        ("garbage.example", Kind::A, Err(Failure::Malformed)),
        (&long, Kind::A, Err(Failure::InvalidName)),
        ("a..example", Kind::A, Err(Failure::InvalidName)),
        ("x", Kind::A, Err(Failure::NoSuchDomain)),
    ] {
        let lookup = resolver.lookup(name, kind).await;
        assert_eq!(lookup.outcome.map(|answer| answer.records), expect, "{name} {kind:?}");
    }
    for question in ["truncated.example A/tcp", "noise.example A/tcp"] {
        assert!(server.log().iter().any(|q| q == question), "{question}");
    }
}

#[tokio::test]
async fn a_failure_names_the_end_of_the_alias() {
    let server = NameServer::start(ZONE).await;
    for (name, expect) in
        [("broken-alias.example", "nowhere.example"), ("nowhere.example", "nowhere.example")]
    {
        assert_eq!(server.resolver().lookup(name, Kind::Mx).await.name, expect);
    }
}

#[tokio::test]
async fn the_ad_bit_counts_when_asked_for_and_for_the_whole_chain() {
    let server = NameServer::start(ZONE).await;
    let resolver = server.resolver();
    let dnssec = resolver.with(Options { dnssec: true, ..Options::default() });
    for (resolver, name, expect) in [
        (&resolver, "signed.example", false),
        (&dnssec, "signed.example", true),
        (&dnssec, "a.example", false),
        (&dnssec, "signed-alias.example", true),
        (&dnssec, "half-signed.example", false),
        (&dnssec, "from-unsigned.example", false),
    ] {
        let answer = resolver.lookup(name, Kind::A).await.outcome.unwrap();
        assert_eq!(answer.authentic, expect, "{name}");
    }
}

#[tokio::test]
async fn another_server_is_asked_when_one_fails() {
    let good = NameServer::start(ZONE).await;
    let bad = NameServer::start("a.example !SERVFAIL\ntext.example !SILENT\n").await;
    let second = format!("nameserver [127.0.0.1]:{}\noptions timeout:1 attempts:1\n", good.address().port());
    let resolver = bad.resolver_with(&second, "", Duration::ZERO);
    assert!(resolver.lookup("a.example", Kind::A).await.outcome.is_ok());
    assert!(resolver.lookup("text.example", Kind::Txt).await.outcome.is_ok());
    assert_eq!(bad.log().len(), 2);

    // no such name is an answer: nobody else is asked
    assert_eq!(resolver.lookup("a.b", Kind::A).await.outcome, Err(Failure::NoSuchDomain));
    assert_eq!(good.log().len(), 2);
}

#[tokio::test]
async fn rotation_spreads_the_questions() {
    let (one, two) = (NameServer::start(ZONE).await, NameServer::start(ZONE).await);
    let second = format!("nameserver [127.0.0.1]:{}\noptions rotate\n", two.address().port());
    let resolver = one.resolver_with(&second, "", Duration::ZERO);
    for _ in 0..4 {
        resolver.lookup("a.example", Kind::A).await.outcome.unwrap();
    }
    assert_eq!((one.log().len(), two.log().len()), (2, 2));
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    std::fs::write(&path, format!("nameserver [127.0.0.1]:{port}\noptions attempts:1 timeout:1\n")).unwrap();
    let resolver = Resolver::new(Sources { resolv_conf: path, ..Sources::default() });
    let start = Instant::now();
    assert_eq!(resolver.lookup("a.example", Kind::A).await.outcome, Err(Failure::Timeout));
    assert!(start.elapsed() < Duration::from_millis(900), "a refusal needs no waiting");
}

#[tokio::test]
async fn answers_are_kept_and_failures_are_not() {
    let server = NameServer::start(ZONE).await;
    let resolver = server.resolver_with("options attempts:1\n", "", Duration::from_secs(5));
    for name in [
        "a.example",
        "A.EXAMPLE",
        "nowhere.example",
        "nowhere.example",
        "servfail.example",
        "servfail.example",
    ] {
        let _ = resolver.lookup(name, Kind::A).await;
    }
    let expect = ["a.example A", "nowhere.example A", "servfail.example A", "servfail.example A"];
    assert_eq!(server.log(), expect);
}

#[tokio::test]
async fn many_questions_at_once() {
    let server = NameServer::start(ZONE).await;
    let resolver = server.resolver();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let resolver = resolver.clone();
        tasks.spawn(async move { resolver.lookup("a.example", Kind::A).await.outcome });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert!(outcome.unwrap().is_ok());
    }
}

#[tokio::test]
async fn native_lookups_know_hosts_and_search_domains() {
    let server = NameServer::start(ZONE).await;
    let hosts = "192.0.2.77 a.example mail\n::7 mail\n192.0.2.78 only4.example\n";
    let resolver =
        server.resolver_with("options timeout:1 attempts:1\nsearch search.example\n", hosts, Duration::ZERO);
    let ipv4 = InetProtocols { ipv4: true, ipv6: false };
    let ipv6 = InetProtocols { ipv4: false, ipv6: true };
    for (name, protocols, expect) in [
        ("mail", InetProtocols::ALL, Ok("192.0.2.77 ::7")),
        ("a.example", ipv4, Ok("192.0.2.77")),
        ("a.example", ipv6, Ok("2001:db8::1")),
        ("only4.example", InetProtocols::ALL, Ok("192.0.2.78")),
        ("x", ipv4, Ok("192.0.2.9")),
        ("192.0.2.1", ipv4, Ok("192.0.2.1")),
        ("mail.example", ipv4, Err(NativeError::NoAddress)),
        ("nowhere.example", InetProtocols::ALL, Err(NativeError::Unknown)),
        ("servfail.example", InetProtocols::ALL, Err(NativeError::TryAgain)),
    ] {
        let found = resolver.native_addresses(name, protocols).await;
        let found = found.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(found, expect.map(str::to_string), "{name}");
    }
}

/// Seen on Debian's Postfix, but for the temporary failure: there the C library turns it into "Name or service not known"
/// when a search domain has no such name, and a client is refused for good because a name server was down for a moment.
#[tokio::test]
async fn clients_have_the_names_that_lead_back_to_them() {
    let server = NameServer::start(
        "33.2.0.192.in-addr.arpa PTR nowhere.example
        34.2.0.192.in-addr.arpa PTR other.example
        other.example A 192.0.2.99
        35.2.0.192.in-addr.arpa PTR broken.example
        broken.example !SERVFAIL
        36.2.0.192.in-addr.arpa PTR 192.0.2.36
        37.2.0.192.in-addr.arpa PTR bad_-.example
        38.2.0.192.in-addr.arpa !SERVFAIL
        39.2.0.192.in-addr.arpa PTR a.example
        39.2.0.192.in-addr.arpa PTR b.example
        a.example A 192.0.2.39
        40.2.0.192.in-addr.arpa CNAME 40.sub.example
        40.sub.example PTR c.example
        c.example CNAME d.example
        d.example A 192.0.2.40
        41.2.0.192.in-addr.arpa PTR E.Example
        e.example A 192.0.2.41
        42.2.0.192.in-addr.arpa PTR nodata.example
        nodata.example TXT x
        1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR six.example
        six.example AAAA 2001:db8::1",
    )
    .await;
    let hosts =
        "192.0.2.43 hosts.example alias.example\n192.0.2.44 hosts2.example\n192.0.2.45 hosts2.example\n";
    let resolver =
        server.resolver_with("options timeout:1 attempts:1\nsearch search.example\n", hosts, Duration::ZERO);
    use NameStatus::{Forged, Ok, Permanent, Temporary};
    for (address, name, status, reverse, reverse_status, warning) in [
        (
            "192.0.2.33",
            "unknown",
            Forged,
            "nowhere.example",
            Ok,
            "hostname nowhere.example does not resolve to address 192.0.2.33: Name or service not known",
        ),
        (
            "192.0.2.34",
            "unknown",
            Forged,
            "other.example",
            Ok,
            "hostname other.example does not resolve to address 192.0.2.34",
        ),
        (
            "192.0.2.35",
            "unknown",
            Temporary,
            "broken.example",
            Ok,
            "hostname broken.example does not resolve to address 192.0.2.35: Temporary failure in name resolution",
        ),
        ("192.0.2.36", "unknown", Permanent, "unknown", Permanent, "numeric hostname: 192.0.2.36"),
        (
            "192.0.2.37",
            "unknown",
            Permanent,
            "unknown",
            Permanent,
            "valid_hostname: misplaced hyphen: bad_-.example",
        ),
        ("192.0.2.38", "unknown", Temporary, "unknown", Temporary, ""),
        ("192.0.2.39", "a.example", Ok, "a.example", Ok, ""),
        ("192.0.2.40", "c.example", Ok, "c.example", Ok, ""),
        ("192.0.2.41", "E.Example", Ok, "E.Example", Ok, ""),
        (
            "192.0.2.42",
            "unknown",
            Forged,
            "nodata.example",
            Ok,
            "hostname nodata.example does not resolve to address 192.0.2.42: No address associated with hostname",
        ),
        ("192.0.2.43", "hosts.example", Ok, "hosts.example", Ok, ""),
        ("192.0.2.45", "hosts2.example", Ok, "hosts2.example", Ok, ""),
        ("192.0.2.46", "unknown", Permanent, "unknown", Permanent, ""),
        ("2001:db8::1", "six.example", Ok, "six.example", Ok, ""),
    ] {
        let expect = ClientName {
            name: name.into(),
            name_status: status,
            reverse_name: reverse.into(),
            reverse_name_status: reverse_status,
            warnings: if warning.is_empty() { vec![] } else { vec![warning.into()] },
        };
        assert_eq!(resolver.client_name(address.parse().unwrap()).await, expect, "{address}");
    }
}

fn resolver(resolv_conf: &str) -> (Resolver, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    std::fs::write(&path, resolv_conf).unwrap();
    (Resolver::new(Sources { resolv_conf: path, ..Sources::default() }), folder)
}

#[test]
fn names_are_searched_as_the_c_library_does() {
    let off = Options::default();
    let defnames = Options { defnames: true, ..off };
    let dnsrch = Options { dnsrch: true, ..off };
    let both = Options { dnsrch: true, ..defnames };
    let (plain, _a) = resolver("search a.example b.example\n");
    let (ndots, _b) = resolver("search a.example\noptions ndots:2\n");
    for (resolver, name, options, expect) in [
        (&plain, "x", off, "x"),
        (&plain, "x.y", off, "x.y"),
        (&plain, "x", defnames, "x.a.example x"),
        (&plain, "x.y", defnames, "x.y"),
        (&plain, "x", dnsrch, "x"),
        (&plain, "x.y", dnsrch, "x.y x.y.a.example x.y.b.example"),
        (&plain, "x", both, "x.a.example x.b.example x"),
        (&plain, "x.y", both, "x.y x.y.a.example x.y.b.example"),
        (&plain, "x.y.", both, "x.y."),
        (&ndots, "x.y", both, "x.y.a.example x.y"),
        (&ndots, "x.y.z", both, "x.y.z x.y.z.a.example"),
        (&ndots, "x.y", off, "x.y"),
    ] {
        let plan = resolver.with(options).search_plan(name);
        assert_eq!(plan.candidates.join(" "), expect, "{name} {options:?}");
    }
}
