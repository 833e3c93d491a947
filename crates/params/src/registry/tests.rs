use super::*;
use crate::view::{Config, View};

#[test]
fn declarations_are_whole() {
    let mut names = std::collections::HashSet::new();
    for spec in all() {
        assert!(names.insert(spec.name), "{} is declared twice", spec.name);
        assert!(
            !spec.doc.is_empty() && spec.doc.ends_with('.') && !spec.doc.starts_with(' '),
            "{}",
            spec.name
        );
        assert!(spec.max == 0 || spec.min <= spec.max, "{}", spec.name);
    }
}

#[test]
fn defaults_are_good() {
    let view = View::new(Config::default());
    let mut mistakes = Vec::new();
    // The one needs the host; the other has to be set before virtual(8) starts.
    for spec in all().filter(|s| !matches!(s.name, "mynetworks" | "virtual_mailbox_base")) {
        view.check(spec.name, spec, &mut mistakes);
    }
    assert_eq!(mistakes, []);
}

#[test]
fn names_of_types() {
    assert_eq!(p::smtpd_timeout::SPEC.name, "smtpd_timeout");
    assert_eq!(p::_2bounce_notice_recipient::SPEC.name, "2bounce_notice_recipient");
    assert_eq!(p::smtp_helo_name::LMTP.name, "lmtp_lhlo_name");
    assert_eq!(find("smtp_tls_CAfile").map(|s| s.kind), Some("text"));
    assert!(find("smtpd_timeout").is_some_and(Spec::is_stress_dependent));
    assert!(find("no_such_parameter").is_none());
}

#[test]
fn names_of_transports() {
    for (name, expect) in [
        ("smtp_destination_rate_delay", Some(("smtp", "destination_rate_delay"))),
        ("x_extra_recipient_limit", Some(("x", "extra_recipient_limit"))),
        ("x_destination_recipient_limit", Some(("x", "destination_recipient_limit"))),
        ("policy-spf_time_limit", Some(("policy-spf", "time_limit"))),
        ("recipient_limit", None),
        ("other", None),
    ] {
        assert_eq!(transport::find(name).map(|(t, s)| (t, s.name)), expect, "{name}");
    }
    assert_eq!(transport::of_program("spawn").map(|s| s.name).collect::<Vec<_>>(), ["time_limit"]);
    assert_eq!(transport::of_program("pipe").count(), 17);
    assert_eq!(transport::of_program("smtp").count(), 16);
    assert_eq!(transport::of_program("cleanup").count(), 0);
}
