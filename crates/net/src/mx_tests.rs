use super::*;
use crate::Services;
use crate::testing::NameServer;
use std::time::Duration;

/// The first part was put to Debian's Postfix; the texts and codes are its own.
const ZONE: &str = "
    mail.example.com A 192.0.2.1
    mx.remote.example A 192.0.2.20
    remote.example MX 10 mx.remote.example
    nullmx.example MX 0 .
    loop.example MX 10 mail.example.com
    backup.example MX 10 ghost.example
    backup.example MX 20 mail.example.com
    self.example A 192.0.2.1
    badmx.example MX 10 ghost.example
    badmx2.example MX 10 broken.example
    badmx2.example MX 20 ghost.example
    badmx3.example MX 10 ghost.example
    badmx3.example MX 20 broken.example
    nodata.example TXT x
    broken.example !SERVFAIL
    slow.example !SILENT
    mxip.example MX 10 192.0.2.20
    cn.example CNAME cn2.example
    cn2.example CNAME cn3.example
    cn3.example MX 10 mx.remote.example
    l1.example CNAME l2.example
    l2.example CNAME l1.example
    refuse.example A 192.0.2.33
    invalid.example MX 10 bad_-.example
    partly.example MX 10 bad_-.example
    partly.example MX 20 mx.remote.example
    formerr.example !FORMERR
    better.example MX 5 mx.remote.example
    better.example MX 10 mail.example.com
    better.example MX 20 refuse.example
    many.example MX 20 two.example
    many.example MX 10 one.example
    one.example A 192.0.2.11
    one.example AAAA 2001:db8::11
    two.example A 192.0.2.12
    two.example A 192.0.2.13
    two.example AAAA 2001:db8::12
    alias.example CNAME one.example
    six.example AAAA 2001:db8::6
    single.search.example A 192.0.2.50
    signed.example MX 10 signed-host.example
    signed.example !SIGNED
    signed-host.example A 192.0.2.60
    signed-host.example !SIGNED
    unsigned.example MX 10 signed-host.example
    toalias.example MX 10 alias.example
    nulls.example MX 0 .
    nulls.example MX 10 mx.remote.example
    half.example A 192.0.2.45
    half.example !SERVFAIL AAAA
";

fn settings() -> Settings {
    Settings {
        protocol: Protocol::Smtp,
        inet_protocols: InetProtocols::ALL,
        dns_support: DnsSupport::Enabled,
        host_lookup: HostLookup { dns: true, native: false },
        defnames: false,
        dnsrch: false,
        address_preference: AddressPreference::Any,
        randomize_addresses: false,
        mx_address_limit: 5,
        balance_inet_protocols: true,
        ignore_mx_lookup_error: false,
        dnssec_behind_insecure_mx: false,
        defer_if_no_mx_address_found: false,
        own_addresses: vec!["127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap()],
    }
}

async fn locate(server: &NameServer, settings: Settings, nexthop: &str) -> Result<Servers, NoServers> {
    let hosts = "192.0.2.70 listed.example\n";
    let conf = "options timeout:1 attempts:1\nsearch search.example\n";
    let resolver = server.resolver_with(conf, hosts, Duration::ZERO);
    let nexthop = Nexthop::parse(nexthop, "25", &Services::from_file("/nonexistent")).unwrap();
    Locator::new(resolver, settings).locate(&nexthop).await
}

fn printed(outcome: &Result<Servers, NoServers>) -> String {
    match outcome {
        Ok(servers) => {
            let one = |server: &Server| format!("{}[{}]:{}", server.host, server.address, server.port);
            servers.list.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Err(no) => format!("{} {}", no.status, no.reason),
    }
}

const NOT_FOUND: &str = "Host or domain name not found. Name service error for";

#[tokio::test]
async fn every_end_has_postfix_words() {
    let server = NameServer::start(ZONE).await;
    for (nexthop, expect) in [
        ("remote.example", "mx.remote.example[192.0.2.20]:25".to_string()),
        ("nullmx.example", "5.1.0 Domain nullmx.example does not accept mail (nullMX)".into()),
        ("loop.example", "5.4.6 mail for loop.example loops back to myself".into()),
        ("backup.example", "4.4.4 unable to find primary relay for backup.example".into()),
        ("self.example", "5.4.6 mail for self.example loops back to myself".into()),
        ("badmx.example", format!("5.4.4 {NOT_FOUND} name=ghost.example type=AAAA: Host not found")),
        ("badmx2.example", format!("4.4.4 {NOT_FOUND} name=ghost.example type=AAAA: Host not found")),
        ("badmx3.example", format!("4.4.3 {NOT_FOUND} name=broken.example type=AAAA: Host not found, try again")),
        (
            "nodata.example",
            format!("5.4.4 {NOT_FOUND} name=nodata.example type=AAAA: Host found but no data record of requested type"),
        ),
        ("nx.example", format!("5.4.4 {NOT_FOUND} name=nx.example type=AAAA: Host not found")),
        ("broken.example", format!("4.4.3 {NOT_FOUND} name=broken.example type=MX: Host not found, try again")),
        ("slow.example", format!("4.4.3 {NOT_FOUND} name=slow.example type=MX: Host not found, try again")),
        ("mxip.example", "192.0.2.20[192.0.2.20]:25".into()),
        ("cn.example", "mx.remote.example[192.0.2.20]:25".into()),
        ("l1.example", "5.4.4 Name server loop for l1.example".into()),
        ("refuse.example", "refuse.example[192.0.2.33]:25".into()),
        ("[203.0.113.9]", "203.0.113.9[203.0.113.9]:25".into()),
        ("[IPv6:2001:db8::1]", "2001:db8::1[2001:db8::1]:25".into()),
        ("203.0.113.9", "203.0.113.9[203.0.113.9]:25".into()),
        ("[192.0.2.1]", "5.4.6 mail for 192.0.2.1 loops back to myself".into()),
        ("[192.0.2.1]:26", "192.0.2.1[192.0.2.1]:26".into()),
        ("[remote.example]", format!("5.4.4 {NOT_FOUND} name=remote.example type=AAAA: Host found but no data record of requested type")),
        ("better.example", "mx.remote.example[192.0.2.20]:25".into()),
        ("formerr.example", format!("5.4.3 {NOT_FOUND} name=formerr.example type=MX: Non-recoverable error")),
        (
            "invalid.example",
            "5.4.4 Name service error for name=invalid.example type=MX: Malformed or unexpected name server reply".into(),
        ),
        ("partly.example", "mx.remote.example[192.0.2.20]:25".into()),
        ("toalias.example", "alias.example[192.0.2.11]:25 alias.example[2001:db8::11]:25".into()),
        ("nulls.example", "5.1.0 Domain nulls.example does not accept mail (nullMX)".into()),
        ("[half.example]", "half.example[192.0.2.45]:25".into()),
        ("alias.example:587", "alias.example[192.0.2.11]:587 alias.example[2001:db8::11]:587".into()),
    ] {
        assert_eq!(printed(&locate(&server, settings(), nexthop).await), expect, "{nexthop}");
    }
}

#[tokio::test]
async fn warnings_are_postfix_too() {
    let server = NameServer::start(ZONE).await;
    for (nexthop, expect) in [
        ("remote.example", &[][..]),
        ("badmx.example", &["no MX host for badmx.example has a valid address record"]),
        ("mxip.example", &["numeric domain name in resource data of MX record for mxip.example: 192.0.2.20"]),
        // once for MX, once for A, once for AAAA
        ("l1.example", &["dns_lookup: Name server loop for l1.example"; 3]),
        (
            "partly.example",
            &[
                "valid_hostname: misplaced hyphen: bad_-.example",
                "malformed domain name in resource data of MX record for partly.example: bad_-.example",
            ],
        ),
    ] {
        let warnings = match locate(&server, settings(), nexthop).await {
            Ok(servers) => servers.warnings,
            Err(no) => no.warnings,
        };
        assert_eq!(warnings, expect, "{nexthop}");
    }
}

#[tokio::test]
async fn settings_change_the_list() {
    let server = NameServer::start(ZONE).await;
    let s = settings;
    let prefer = |address_preference| Settings { address_preference, ..s() };
    let protocols = |ipv4, ipv6| Settings { inet_protocols: InetProtocols { ipv4, ipv6 }, ..s() };
    let lookup = |dns, native| Settings { host_lookup: HostLookup { dns, native }, ..s() };
    let own = |address: &str| Settings { own_addresses: vec![address.parse().unwrap()], ..s() };
    let no_ipv6 =
        format!("5.4.4 {NOT_FOUND} name=six.example type=A: Host found but no data record of requested type");
    for (case, settings, nexthop, expect) in [
        (
            "any",
            s(),
            "many.example",
            "one.example[192.0.2.11]:25 one.example[2001:db8::11]:25 two.example[192.0.2.12]:25 \
             two.example[192.0.2.13]:25 two.example[2001:db8::12]:25",
        ),
        (
            "ipv6 first",
            prefer(AddressPreference::Ipv6),
            "many.example",
            "one.example[2001:db8::11]:25 one.example[192.0.2.11]:25 two.example[2001:db8::12]:25 \
             two.example[192.0.2.12]:25 two.example[192.0.2.13]:25",
        ),
        (
            "ipv4 first",
            prefer(AddressPreference::Ipv4),
            "many.example",
            "one.example[192.0.2.11]:25 one.example[2001:db8::11]:25 two.example[192.0.2.12]:25 \
             two.example[192.0.2.13]:25 two.example[2001:db8::12]:25",
        ),
        (
            "ipv4 only",
            protocols(true, false),
            "many.example",
            "one.example[192.0.2.11]:25 two.example[192.0.2.12]:25 two.example[192.0.2.13]:25",
        ),
        ("no address of the family", protocols(true, false), "six.example", &no_ipv6),
        (
            "we are the second exchanger",
            own("192.0.2.13"),
            "many.example",
            "one.example[192.0.2.11]:25 one.example[2001:db8::11]:25",
        ),
        (
            "lmtp has no exchangers and no loops",
            Settings { protocol: Protocol::Lmtp, ..own("192.0.2.33") },
            "refuse.example",
            "refuse.example[192.0.2.33]:25",
        ),
        (
            "no dns",
            Settings { dns_support: DnsSupport::Disabled, ..s() },
            "listed.example",
            "listed.example[192.0.2.70]:25",
        ),
        ("dns, then native", lookup(true, true), "listed.example", "listed.example[192.0.2.70]:25"),
        ("native only", lookup(false, true), "[refuse.example]", "refuse.example[192.0.2.33]:25"),
        (
            "native, unknown",
            lookup(false, true),
            "nx.example",
            "5.4.4 unable to look up host nx.example: Name or service not known",
        ),
        (
            "native, later",
            lookup(false, true),
            "[broken.example]",
            "4.4.4 unable to look up host broken.example: Temporary failure in name resolution",
        ),
        ("native, search domain", lookup(false, true), "[single]", "single[192.0.2.50]:25"),
        ("res_defnames", Settings { defnames: true, ..s() }, "[single]", "single[192.0.2.50]:25"),
        (
            "ignore_mx_lookup_error",
            Settings { ignore_mx_lookup_error: true, ..s() },
            "broken.example",
            "4.4.3 Host or domain name not found. Name service error for name=broken.example type=AAAA: Host not found, \
             try again",
        ),
        (
            "smtp_defer_if_no_mx_address_found",
            Settings { defer_if_no_mx_address_found: true, ..s() },
            "badmx.example",
            "4.4.4 Host or domain name not found. Name service error for name=ghost.example type=AAAA: Host not found",
        ),
    ] {
        assert_eq!(printed(&locate(&server, settings, nexthop).await), expect, "{case}");
    }
}

#[tokio::test]
async fn loops_are_marked() {
    let server = NameServer::start(ZONE).await;
    for (nexthop, is_loop, is_mx_host) in [
        ("loop.example", true, true),
        ("self.example", true, false),
        ("backup.example", false, true),
        ("nx.example", false, false),
    ] {
        let no = locate(&server, settings(), nexthop).await.unwrap_err();
        assert_eq!((no.is_loop, no.is_mx_host), (is_loop, is_mx_host), "{nexthop}");
    }
    assert!(locate(&server, settings(), "better.example").await.unwrap().is_mx_host);
}

#[tokio::test]
async fn signatures_count_with_dnssec() {
    let server = NameServer::start(ZONE).await;
    let dnssec = || Settings { dns_support: DnsSupport::Dnssec, ..settings() };
    let behind = || Settings { dnssec_behind_insecure_mx: true, ..dnssec() };
    for (settings, nexthop, expect) in [
        (settings(), "signed.example", (Some(false), false)),
        (dnssec(), "signed.example", (Some(true), true)),
        (dnssec(), "unsigned.example", (Some(false), false)),
        (behind(), "unsigned.example", (Some(false), true)),
        (dnssec(), "[signed-host.example]", (None, true)),
    ] {
        let servers = locate(&server, settings, nexthop).await.unwrap();
        let exchanged = servers.exchanged.map(|owner| owner.is_authentic);
        assert_eq!((exchanged, servers.list[0].is_authentic), expect, "{nexthop}");
    }
}

#[test]
fn both_families_get_room() {
    let server = |at: usize, family: char| Server {
        host: at.to_string(),
        canonical_host: String::new(),
        address: if family == '4' { "192.0.2.1" } else { "2001:db8::1" }.parse().unwrap(),
        port: 25,
        preference: 0,
        is_authentic: false,
    };
    for (families, limit, expect) in [
        ("6666644", 5, "66644"),
        ("6444444", 5, "64444"),
        ("4666666", 5, "46666"),
        ("444666", 5, "44466"),
        ("666444", 5, "66644"),
        ("666444", 4, "6644"),
        ("4444444", 5, "4444444"),
        ("46", 5, "46"),
        ("46", 1, "4"),
        ("64", 1, "6"),
    ] {
        let mut list: Vec<Server> =
            families.chars().enumerate().map(|(at, family)| server(at, family)).collect();
        balance(&mut list, limit);
        let got: String = list.iter().map(|s| if s.address.is_ipv4() { '4' } else { '6' }).collect();
        assert_eq!(got, expect, "{families} {limit}");
        assert!(list.windows(2).all(|pair| pair[0].host < pair[1].host), "order is kept");
    }
}

#[tokio::test]
async fn equals_are_shuffled_and_better_ones_stay_in_front() {
    let zone: String = (0..8).map(|n| format!("all.example A 192.0.2.{}\n", 30 + n)).collect();
    let mx = "all.example MX 20 far.example\nfar.example A 192.0.2.99\nall.example MX 10 all.example\n";
    let server = NameServer::start(&(zone + mx)).await;
    let shuffling = || Settings { randomize_addresses: true, ..settings() };
    let mut orders = std::collections::HashSet::new();
    for _ in 0..20 {
        let servers = locate(&server, shuffling(), "all.example").await.unwrap();
        assert_eq!(servers.list.last().unwrap().host, "far.example");
        orders.insert(printed(&Ok(servers)));
    }
    assert!(orders.len() > 10, "{}", orders.len());
}
