//! Mail for elsewhere, through a provider with TLS and a login.

use crate::client::Client;
use crate::instance;
use std::time::Duration;
use testkit::{Certificate, Instance, Provider, Settings};

const PATIENCE: Duration = Duration::from_secs(20);

fn provider() -> Provider {
    let certificate = Certificate::self_signed("relay.isp.example").expect("a certificate");
    let login = ("office".to_owned(), "correct:horse".to_owned());
    Provider::start(Settings { name: "relay.isp.example".into(), login, certificate }).expect("a provider")
}

/// Relays through the provider, with a password.
fn relaying_to(provider: &Provider, password: &str, more: &str) -> Instance {
    let instance = instance("");
    let relay = format!("[{}]:{}", provider.address.ip(), provider.address.port());
    let secret =
        instance.write_secret("relay_password", &format!("{relay} office:{password}\n")).expect("written");
    let secret = secret.display();
    instance
        .configure(&format!(
            "relayhost = {relay}\nsmtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1\n\
             smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{secret}\n\
             smtp_sasl_security_options = noanonymous\n{more}"
        ))
        .expect("configured");
    instance
}

fn submit(instance: &Instance, subject: &str) {
    let mut client = Client::connect(instance.listens).expect("connected");
    client.say("EHLO client.example").expect("a reply");
    let message = format!("Subject: {subject}\r\n\r\nhello");
    let reply = client.send("a@example.test", "b@remote.example", &message).expect("a reply");
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
}

#[test]
fn relays_over_tls_with_a_login() {
    let provider = provider();
    let instance = relaying_to(&provider, "correct:horse", "");
    let server = instance.start().expect("started");
    submit(&instance, "one");
    let taken = provider.wait_for(1, PATIENCE);
    let taken = taken.unwrap_or_else(|| panic!("nothing came:\n{}", instance.log_text()));
    assert_eq!((taken[0].user.as_str(), taken[0].over_tls), ("office", true));
    assert_eq!(taken[0].recipients, ["b@remote.example"]);
    let relay = format!("127.0.0.1[127.0.0.1]:{}", provider.address.port());
    let tls = format!("TLS connection established to {relay}: TLSv1.3 with cipher");
    let sent = format!("to=<b@remote.example>, relay={relay}, delay=");
    for line in [&*tls, &*sent, "status=sent (250 ", ": removed"] {
        let has_line = || instance.log_text().contains(line);
        assert!(instance.wait_until(has_line), "{line} in\n{}", instance.log_text());
    }
    assert!(!instance.log_text().contains("horse"), "a password in the log");
    server.stop().expect("stopped");
}

#[test]
fn a_refused_login_defers_and_shows_no_password() {
    let provider = provider();
    let instance = relaying_to(&provider, "wrong:pony", "");
    let server = instance.start().expect("started");
    submit(&instance, "one");
    let said = "status=deferred (SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535";
    let is_said = || instance.log_text().contains(said);
    assert!(instance.wait_until(is_said), "{}", instance.log_text());
    assert!(!instance.log_text().contains("pony"), "a password in the log");
    server.stop().expect("stopped");
}

#[test]
fn a_busy_destination_keeps_its_connections() {
    let provider = provider();
    let more = "smtp_tls_connection_reuse = yes\nsmtp_connection_cache_destinations = 127.0.0.1\n";
    let instance = relaying_to(&provider, "correct:horse", more);
    let server = instance.start().expect("started");
    for number in 1..=3 {
        submit(&instance, &number.to_string());
        assert!(provider.wait_for(number, PATIENCE).is_some(), "{}", instance.log_text());
    }
    assert!(instance.wait_until(|| instance.log_text().contains("conn_use=3")), "{}", instance.log_text());
    server.stop().expect("stopped");
}
