//! Reloads: what is new is taken up, what is broken is refused, and nobody is cut off.

use crate::client::Client;
use crate::instance;
use nix::sys::signal::Signal;

#[test]
fn open_sessions_survive_and_new_ones_see_what_is_new() {
    let instance = instance("");
    let server = instance.start().expect("started");
    let mut before = Client::connect(instance.listens).expect("connected");
    before.say("EHLO client.example").expect("a reply");

    instance.configure("myhostname = other.example.test\n").expect("written");
    server.signal(Signal::SIGHUP).expect("signalled");
    assert!(
        instance.wait_until(|| instance.log_text().contains("reload -- version")),
        "{}",
        instance.log_text()
    );

    let reply = before.say("NOOP").expect("still served");
    assert_eq!(reply, "250 2.0.0 Ok");
    assert_eq!(before.say("HELO client.example").expect("still served"), "250 mail.example.test");
    let mut after = Client::connect(instance.listens).expect("connected");
    assert_eq!(after.say("HELO client.example").expect("a reply"), "250 other.example.test");
    server.stop().expect("stopped");
}

#[test]
fn a_broken_configuration_is_refused_and_the_old_one_goes_on() {
    let instance = instance("");
    let server = instance.start().expect("started");
    let mistakes = [
        ("message_size_limit = lots\n", "bad numerical configuration: message_size_limit = lots"),
        ("this is no setting\n", "missing '=' after attribute name: \"this is no setting\""),
        (
            "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit\n",
            "in parameter smtpd_relay_restrictions",
        ),
    ];
    for (refused_before, (broken, said)) in mistakes.into_iter().enumerate() {
        instance.configure(broken).expect("written");
        server.signal(Signal::SIGHUP).expect("signalled");
        let is_refused = || instance.log_text().matches("reload refused").count() == refused_before + 1;
        assert!(instance.wait_until(is_refused), "{broken}\n{}", instance.log_text());
        assert!(instance.log_text().contains(said), "{said}\n{}", instance.log_text());
        let mut client = Client::connect(instance.listens).expect("still served");
        assert_eq!(client.say("HELO client.example").expect("a reply"), "250 mail.example.test");
    }
    server.stop().expect("stopped");
}
