use super::*;
use crate::{Config, HostFacts, Interface, MainCf, MasterCf, View};

fn view(main: &str, master: &str) -> View {
    let (main, _) = MainCf::parse("main.cf", main.as_bytes());
    let loopback = Interface { address: "127.0.0.1".parse().unwrap(), prefix: 8 };
    let host = HostFacts { hostname: "a.example".into(), interfaces: vec![loopback], ..HostFacts::default() };
    View::new(Config { main, master: MasterCf::parse("master.cf", master.as_bytes()), host })
}

#[test]
fn all_groups_load() {
    let v = view("", "");
    let mut mistakes = Vec::new();
    let common: Common = v.load(&mut mistakes);
    assert_eq!((common.myhostname.as_str(), common.message_size_limit), ("a.example", 10_240_000));
    assert_eq!(common.mydestination.items.len(), 3);
    let smtpd: Smtpd = v.load(&mut mistakes);
    assert_eq!(smtpd.smtpd_banner, "a.example ESMTP Oxipost");
    assert_eq!(smtpd.smtpd_timeout.as_secs(), 300);
    v.load::<Rewrite>(&mut mistakes);
    v.load::<Routing>(&mut mistakes);
    v.load::<SmtpdTls>(&mut mistakes);
    v.load::<Smtp>(&mut mistakes);
    v.load::<SmtpTls>(&mut mistakes);
    v.load::<Cleanup>(&mut mistakes);
    v.load::<Local>(&mut mistakes);
    v.load::<Pipe>(&mut mistakes);
    let qmgr: Qmgr = v.load(&mut mistakes);
    assert_eq!(qmgr.maximal_queue_lifetime.as_secs(), 5 * 86_400);
    let bounce: Bounce = v.load(&mut mistakes);
    assert_eq!(bounce._2bounce_notice_recipient, "postmaster");
    assert_eq!(mistakes, []);
    view("virtual_mailbox_base = /v", "").load::<Virtual>(&mut mistakes);
    assert_eq!(mistakes, []);
}

#[test]
fn lmtp_reads_its_own() {
    let v = view(
        "smtp_tls_security_level = may\nlmtp_lhlo_name = l.example",
        "l unix - - n - - lmtp\ns unix - - n - - smtp",
    );
    let mut mistakes = Vec::new();
    let services = &v.config().master.services;
    let [lmtp, smtp]: [Smtp; 2] = [0, 1].map(|i| v.for_service(&services[i]).load(&mut mistakes));
    assert_eq!((lmtp.smtp_helo_name.as_str(), smtp.smtp_helo_name.as_str()), ("l.example", "a.example"));
    assert_eq!((lmtp.smtp_tcp_port.as_str(), smtp.smtp_tcp_port.as_str()), ("24", "smtp"));
    let tls: SmtpTls = v.for_service(&services[0]).load(&mut mistakes);
    assert_eq!(tls.smtp_tls_security_level, "");
    assert_eq!(mistakes, []);
}

#[test]
fn transports() {
    let v = view("slow_destination_concurrency_limit = 2\nslow_recipient_refill_limit = 0", "");
    let mut mistakes = Vec::new();
    let slow = Transport::read(&v, "slow", &mut mistakes);
    assert_eq!(slow.destination_concurrency_limit, 2);
    assert_eq!(slow.initial_destination_concurrency, 5);
    assert_eq!(slow.recipient_refill_limit, 100);
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].to_string(), "fatal: invalid slow_recipient_refill_limit parameter value 0 < 1");
    assert_eq!(Transport::read(&v, "local", &mut mistakes).destination_recipient_limit, 1);
}
