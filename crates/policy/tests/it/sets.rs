//! Whole sets of lists: what is wrong with them at check and start, and what is not a restriction's business.

use crate::rows::bare_session;
use crate::world::{World, now};
use mail::{Client, DsnStatus, Reply};
use policy::{Command, Notice, Restrictions, Session, Settings, Severity, Sources, State};

/// Each mistake as `severity parameter: text`.
fn check(sources: &Sources<'_>, settings: Settings, expect: &[&str]) {
    let (_, found) = Restrictions::parse(sources, settings);
    let found: Vec<String> = found.iter().map(|d| format!("{:?} {d}", d.severity)).collect();
    assert_eq!(found, expect);
}

/// A set that nothing is wrong with.
fn sound<'a>() -> Sources<'a> {
    Sources { smtpd_relay_restrictions: "permit_mynetworks, reject_unauth_destination", ..Sources::default() }
}

const NEEDS_REFUSAL: &str = "Fatal smtpd_relay_restrictions: in parameter smtpd_relay_restrictions or \
    smtpd_recipient_restrictions, specify at least one working instance of: reject_unauth_destination, \
    defer_unauth_destination, reject, defer, defer_if_permit or check_relay_domains";

#[test]
fn nothing_wrong() {
    check(&sound(), Settings::default(), &[]);
    let recipient = "permit_mynetworks, defer_if_permit";
    check(
        &Sources { smtpd_recipient_restrictions: recipient, ..Sources::default() },
        Settings::default(),
        &[],
    );
    let by_class = Sources {
        smtpd_recipient_restrictions: "outer",
        smtpd_restriction_classes: vec![("outer", Some("inner")), ("inner", Some("reject"))],
        ..Sources::default()
    };
    check(&by_class, Settings::default(), &[]);
}

#[test]
fn a_host_that_would_relay_for_everybody() {
    for recipient in [
        "",
        "permit_mynetworks",
        "warn_if_reject reject",
        "check_recipient_access hash:/x",
        "permit_auth_destination",
    ] {
        let sources = Sources { smtpd_recipient_restrictions: recipient, ..Sources::default() };
        check(&sources, Settings::default(), &[NEEDS_REFUSAL]);
    }
    let sources = Sources { smtpd_recipient_restrictions: "permit, reject", ..Sources::default() };
    let ignored = "Warning smtpd_recipient_restrictions: restriction `reject' after `permit' is ignored";
    check(&sources, Settings::default(), &[ignored, NEEDS_REFUSAL]);
    let circle = Sources {
        smtpd_recipient_restrictions: "a",
        smtpd_restriction_classes: vec![("a", Some("b")), ("b", Some("a"))],
        ..Sources::default()
    };
    check(&circle, Settings::default(), &[NEEDS_REFUSAL]);
}

#[test]
fn classes() {
    let sources = Sources {
        smtpd_restriction_classes: vec![("empty", Some(" ")), ("missing", None), ("wrong", Some("nosuch"))],
        ..sound()
    };
    check(
        &sources,
        Settings::default(),
        &[
            "Error wrong: unknown smtpd restriction: \"nosuch\"",
            "Fatal smtpd_restriction_classes: restriction class `empty' needs a definition",
            "Fatal smtpd_restriction_classes: restriction class `missing' needs a definition",
        ],
    );
}

#[test]
fn too_early() {
    let sources = Sources {
        smtpd_client_restrictions: "check_sender_access hash:/x",
        smtpd_sender_restrictions: "check_recipient_access hash:/x, reject_non_fqdn_sender",
        ..sound()
    };
    check(&sources, Settings::default(), &[]);
    check(
        &sources,
        Settings { smtpd_delay_reject: false, ..Settings::default() },
        &[
            "Warning smtpd_client_restrictions: check_sender_access does nothing here while smtpd_delay_reject = no",
            "Warning smtpd_sender_restrictions: check_recipient_access does nothing here while smtpd_delay_reject = no",
        ],
    );
}

#[test]
fn tables_of_all_lists() {
    let sources = Sources {
        smtpd_client_restrictions: "check_client_access hash:/a, hash:/b",
        smtpd_data_restrictions: "check_ccert_access { hash:/a search_order=cert_fingerprint }",
        local_header_rewrite_clients: "check_address_map hash:/c",
        smtpd_restriction_classes: vec![("class", Some("check_sender_ns_access hash:/d"))],
        ..sound()
    };
    let (restrictions, found) = Restrictions::parse(&sources, Settings::default());
    assert!(found.iter().all(|d| d.severity < Severity::Error), "{found:?}");
    assert_eq!(restrictions.tables(), ["hash:/a", "hash:/b", "hash:/d", "hash:/c"]);
}

/// `local_header_rewrite_clients = permit_inet_interfaces`: Postfix completes headers for these alone.
#[test]
fn whose_headers_are_rewritten() {
    let world = World::new("%main\nmynetworks = 192.0.2.0/28\n%table clients\n203.0.113.5 x\n");
    for (list, peer, expect) in [
        ("", "127.0.0.1", Ok(false)),
        ("permit_inet_interfaces", "127.0.0.1", Ok(true)),
        ("permit_inet_interfaces", "203.0.113.5", Ok(false)),
        ("permit_mynetworks", "192.0.2.9", Ok(true)),
        ("permit_sasl_authenticated, permit_tls_clientcerts", "192.0.2.9", Ok(false)),
        ("check_address_map texthash:/etc/postfix/clients", "203.0.113.5", Ok(true)),
        ("texthash:/etc/postfix/clients", "203.0.113.6", Ok(false)),
        ("fail:oops, static:x", "203.0.113.6", Err("451 4.3.0 Temporary lookup error")),
        ("nonsense, static:x", "203.0.113.6", Ok(true)),
    ] {
        let sources = Sources { local_header_rewrite_clients: list, ..sound() };
        let (restrictions, _) = Restrictions::parse(&sources, Settings::default());
        let client = Client { address: peer.into(), ..Client::default() };
        let session = Session { peer: peer.parse().ok(), command: Command::Mail, ..bare_session(&client) };
        let got = now(restrictions.rewrites_headers(&session, &mut State::default(), &world));
        assert_eq!(got.map_err(|reply| reply.to_string()), expect.map_err(str::to_owned), "{list} {peer}");
    }
}

/// Sizes and queue space are refused by others, with the same log line and under `soft_bounce`.
#[test]
fn refusals_of_others() {
    let world = World::new("%main\n");
    let client = Client { protocol: "ESMTP".into(), helo: "c".into(), ..Client::default() };
    let sender = mail::Address::from("x@y.example");
    let session = Session {
        command: Command::Mail,
        namaddr: "unknown[192.0.2.9]",
        sender: Some(&sender),
        ..bare_session(&client)
    };
    for (soft_bounce, expect) in [
        (false, "552 5.3.4 Message size exceeds fixed limit"),
        (true, "452 4.3.4 Message size exceeds fixed limit"),
    ] {
        let (restrictions, _) =
            Restrictions::parse(&sound(), Settings { soft_bounce, ..Settings::default() });
        let mut state = State::default();
        let reply = Reply::new(552, DsnStatus::new(5, 3, 4), "Message size exceeds fixed limit");
        let reply = restrictions.refuse(&session, &mut state, &world, Notice::Policy, reply);
        assert_eq!(reply.to_string(), expect);
        assert!(state.notices.contains(Notice::Policy));
        let line = format!(
            "L NOQUEUE: reject: MAIL from unknown[192.0.2.9]: {expect}; from=<x@y.example> proto=ESMTP helo=<c>"
        );
        assert_eq!(std::mem::take(&mut *world.log.lock().unwrap()), [line]);
    }
}

/// A list that answers "not you" lists nobody. Postfix takes it for a listing.
#[test]
fn lists_that_refuse_to_answer() {
    let world = World::new("%main\n%zone\n9.2.0.192.bl.example A 127.255.255.254\n");
    let client = Client { address: "192.0.2.9".into(), ..Client::default() };
    let session = bare_session(&client);
    let query = "9.2.0.192.bl.example: 127.255.255.254";
    let why = format!("L warning: {query} is not a listing: the list refuses to answer this resolver");
    for (list, log) in [
        ("reject_rbl_client bl.example", vec![why]),
        ("reject_rbl_client bl.example=127.255.255.254", vec![]),
    ] {
        let sources = Sources { smtpd_client_restrictions: list, ..sound() };
        let settings = Settings { smtpd_delay_reject: false, ..Settings::default() };
        let (restrictions, _) = Restrictions::parse(&sources, settings);
        let answer = now(restrictions.connect(&session, &mut State::default(), &world));
        assert_eq!(answer.is_ok(), !log.is_empty(), "{list}");
        let said = std::mem::take(&mut *world.log.lock().unwrap());
        assert!(log.iter().all(|line| said.contains(line)), "{said:?}");
    }
}

/// A class that holds itself ends. (Postfix's smtpd dies of it.)
#[test]
fn a_class_in_a_circle() {
    let world = World::new("%main\n");
    let sources = Sources {
        smtpd_client_restrictions: "round",
        smtpd_restriction_classes: vec![("round", Some("warn_if_reject round, round"))],
        ..sound()
    };
    let settings = Settings { smtpd_delay_reject: false, ..Settings::default() };
    let (restrictions, _) = Restrictions::parse(&sources, settings);
    let client = Client::default();
    let answer = now(restrictions.connect(&bare_session(&client), &mut State::default(), &world));
    assert_eq!(answer.unwrap_err().to_string(), "451 4.3.5 Server configuration error");
}

proptest::proptest! {
    /// Whatever the lists and the table say, every question is answered, and with a reply that refuses.
    #[test]
    fn an_evaluation_ends(
        lists in proptest::array::uniform3(list()),
        entry in list(),
        class in list(),
        delay: bool,
    ) {
        let world = World::new(&format!("%main\n%table t\nx {entry} \n%zone\nx.example A 192.0.2.9\n"));
        let [client, recipient, data] = &lists;
        let sources = Sources {
            smtpd_client_restrictions: client,
            smtpd_recipient_restrictions: recipient,
            smtpd_data_restrictions: data,
            smtpd_restriction_classes: vec![("class", Some(&class))],
            ..Sources::default()
        };
        let settings = Settings { smtpd_delay_reject: delay, ..Settings::default() };
        let (restrictions, _) = Restrictions::parse(&sources, settings);
        let peer = Client { name: "x".into(), address: "192.0.2.9".into(), helo: "x".into(), ..Client::default() };
        let address = mail::Address::from("x@x");
        let session = Session { sender: Some(&address), recipient: Some(&address), ..bare_session(&peer) };
        let mut state = State::default();
        for (command, step) in [(Command::Connect, 0), (Command::Rcpt, 1), (Command::Data, 2)] {
            let session = Session { command, ..session };
            let answer = match step {
                0 => now(restrictions.connect(&session, &mut state, &world)),
                1 => now(restrictions.rcpt(&session, &mut state, &world)),
                _ => now(restrictions.data(&session, &mut state, &world)),
            };
            if let Err(reply) = answer {
                proptest::prop_assert!((400..600).contains(&reply.code));
                proptest::prop_assert_eq!(reply.status.map(|s| u16::from(s.class())), Some(reply.code / 100));
            }
        }
    }
}

/// Words that belong in a list, and some that do not.
fn list() -> impl proptest::strategy::Strategy<Value = String> {
    let words = policy::NAMES.iter().map(|name| name.name.to_owned());
    let others =
        ["class", "texthash:/etc/postfix/t", "fail:x", "x.example", "x.example=127.0.0.1", "3", "nosuch"];
    let values = ["REJECT", "450", "OK", "HOLD", "DISCARD", "4.1.1", "inet:127.0.0.1:9999"];
    let all: Vec<String> = words.chain(others.into_iter().chain(values).map(str::to_owned)).collect();
    let words = proptest::collection::vec(proptest::sample::select(all), 0..8);
    proptest::strategy::Strategy::prop_map(words, |words| words.join(" "))
}
