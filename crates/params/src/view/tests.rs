use super::*;
use crate::diagnostic::Severity;
use crate::p;

fn view(main: &str, master: &str) -> View {
    let (main, mistakes) = MainCf::parse("/etc/postfix/main.cf", main.as_bytes());
    assert_eq!(mistakes, []);
    let master = MasterCf::parse("/etc/postfix/master.cf", master.as_bytes());
    let interface = |a: &str, prefix| Interface { address: a.parse().unwrap(), prefix };
    let host = HostFacts {
        hostname: "mail.example.com".into(),
        interfaces: vec![interface("127.0.0.1", 8), interface("192.0.2.1", 24)],
        first_lines: [("/etc/mailname".to_string(), Ok(" origin.example \n".to_string()))].into(),
        process_name: "postconf".into(),
        process_id: 7,
        config_directory: "/etc/postfix".into(),
        ..HostFacts::default()
    };
    View::new(Config { main, master, host })
}

fn get<P: Param>(view: &View, param: P) -> Value<P> {
    let mut mistakes = Vec::new();
    let value = view.get(param, &mut mistakes);
    assert_eq!(mistakes, []);
    value
}

#[test]
fn who_wins() {
    let view = view(
        "smtpd_timeout = 10\nrelayhost = [a]",
        "x inet n - n - - smtpd -o smtpd_timeout=20s -o smtpd_timeout=30",
    );
    assert_eq!(get(&view, p::smtpd_timeout).as_secs(), 10);
    let service = &view.config().master.services[0];
    let smtpd = view.for_service(service);
    assert_eq!(get(&smtpd, p::smtpd_timeout).as_secs(), 30);
    assert_eq!(get(&smtpd, p::relayhost), "[a]");
    assert_eq!(get(&smtpd.with("stress", "yes"), p::smtpd_hard_error_limit), 1);
    assert_eq!(get(&smtpd, p::smtpd_hard_error_limit), 20);
}

#[test]
fn computed() {
    let v = view("", "");
    assert_eq!(get(&v, p::myhostname), "mail.example.com");
    assert_eq!(get(&v, p::mydomain), "example.com");
    assert_eq!(v.lookup("mynetworks").unwrap(), "127.0.0.0/8 192.0.2.0/24");
    assert_eq!(v.expand("$process_name $process_id $service_name.").unwrap(), "postconf 7 .");
    assert_eq!(
        view("mydomain = b.example\nmyhostname = a.$mydomain", "").expand("$myhostname").unwrap(),
        "a.b.example"
    );
    assert_eq!(view("myhostname = a.b.c", "").expand("$mydomain").unwrap(), "b.c");
    assert_eq!(view("myhostname = a", "").expand("$mydomain").unwrap(), "localdomain");
    assert_eq!(
        view("compatibility_level = 3.6", "").lookup("mynetworks").unwrap(),
        "127.0.0.1/32 192.0.2.1/32"
    );
    let v = view("myorigin = /etc/mailname", "");
    assert_eq!(get(&v, p::myorigin), "origin.example");
    assert_eq!(v.expand("$myorigin").unwrap(), "/etc/mailname");
}

#[test]
fn service_names() {
    let v = view("", "submission inet n - n - - smtpd -o syslog_name=postfix/$service_name");
    let smtpd = v.for_service(&v.config().master.services[0]);
    assert_eq!(get(&smtpd, p::syslog_name), "postfix/submission");
    assert_eq!(get(&v, p::syslog_name), "postfix");
    assert_eq!(smtpd.expand("$process_name").unwrap(), "smtpd");
}

#[test]
fn twins() {
    let v = view("lmtp_connect_timeout = 3", "lmtp unix - - n - - lmtp\nsmtp unix - - n - - smtp");
    let connect =
        |i: usize| get(&v.for_service(&v.config().master.services[i]), p::smtp_connect_timeout).as_secs();
    assert_eq!((connect(0), connect(1)), (3, 30));
}

#[test]
fn transports() {
    let v = view("slow_destination_rate_delay = 1m\ndefault_destination_recipient_limit = 7", "");
    let mut mistakes = Vec::new();
    assert_eq!(v.get_of_transport("slow", transport::destination_rate_delay, &mut mistakes).as_secs(), 60);
    assert_eq!(v.get_of_transport("slow", transport::destination_recipient_limit, &mut mistakes), 7);
    assert_eq!(v.get_of_transport("local", transport::destination_concurrency_limit, &mut mistakes), 2);
    assert_eq!(v.get_of_transport("slow", transport::time_limit, &mut mistakes).as_secs(), 1000);
    assert_eq!(mistakes, []);
}

#[test]
fn mistakes_are_placed_and_told_once() {
    let v = view(
        "# size\nmessage_size_limit = 10485760 # ten\n",
        "a inet n - n - - smtpd -o smtpd_helo_required=maybe",
    );
    let mut mistakes = Vec::new();
    let smtpd = v.for_service(&v.config().master.services[0]);
    assert_eq!(v.get(p::message_size_limit, &mut mistakes), 10_240_000);
    smtpd.get(p::message_size_limit, &mut mistakes);
    assert!(!smtpd.get(p::smtpd_helo_required, &mut mistakes));
    let said: Vec<_> = mistakes.iter().map(|d| d.to_string()).collect();
    assert_eq!(
        said,
        [
            "fatal: bad numerical configuration: message_size_limit = 10485760 # ten",
            "fatal: bad boolean configuration: smtpd_helo_required = maybe"
        ]
    );
    assert_eq!(mistakes[0].place, Some(Place { file: "/etc/postfix/main.cf".into(), line: 2, span: 30..35 }));
    assert_eq!(mistakes[1].place, Some(Place { file: "/etc/postfix/master.cf".into(), line: 1, span: 0..0 }));
}

#[test]
fn other_mistakes() {
    let said = |main: &str| {
        let mut mistakes = Vec::new();
        let v = view(main, "");
        v.get(p::mynetworks, &mut mistakes);
        v.get(p::myorigin, &mut mistakes);
        mistakes.iter().map(|d| d.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        said("inet_interfaces = all # x"),
        ["fatal: config variable inet_interfaces: host not found: all"]
    );
    assert_eq!(
        said("mynetworks_style = any"),
        ["fatal: unknown mynetworks mask style value \"any\" in \"any\""]
    );
    assert_eq!(said("inet_protocols = ipv5"), ["fatal: unknown inet_protocols value \"ipv5\" in \"ipv5\""]);
    assert_eq!(
        said("mynetworks = 127.0.0.0/8 # x"),
        ["warning: mynetworks: comment at end of line is not supported: # x"]
    );
    assert_eq!(said("myorigin ="), ["fatal: bad string length 0 < 1: myorigin = "]);
    assert_eq!(
        said("myorigin = ${x"),
        [
            "warning: truncated macro reference: \"${x\"",
            "fatal: dictionary mail_dict: macro processing error"
        ]
    );
    assert_eq!(said("compatibility_level = x"), ["fatal: malformed compatibility level syntax: \"x\""]);
}

#[test]
fn checks_by_name() {
    let v = view("smtpd_timeout = never\nfast_destination_rate_delay = x", "");
    let mut mistakes = Vec::new();
    v.check("smtpd_timeout", find("smtpd_timeout").unwrap(), &mut mistakes);
    let (_, spec) = transport::find("fast_destination_rate_delay").unwrap();
    v.check("fast_destination_rate_delay", spec, &mut mistakes);
    let said: Vec<_> = mistakes.iter().map(|d| (d.severity, d.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (Severity::Fatal, "parameter smtpd_timeout: bad time value or unit: never"),
            (Severity::Fatal, "parameter fast_destination_rate_delay: bad time value or unit: x")
        ]
    );
}

#[test]
fn host_names() {
    let v = view("inet_interfaces = mail.example.com, 192.0.2.1 [::1]\nproxy_interfaces = nat.example", "");
    assert_eq!(v.host_names(), ["mail.example.com", "nat.example"]);
}
