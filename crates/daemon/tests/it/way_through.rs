//! A message's way: taken over SMTP, kept, delivered.

use crate::client::Client;
use crate::{instance, mailbox};

#[test]
fn a_message_reaches_a_mailbox() {
    let instance = instance("");
    let server = instance.start().expect("started");
    let mut client = Client::connect(instance.listens).expect("connected");
    client.say("EHLO client.example").expect("a reply");
    let to = format!("{}@example.test", instance.user);
    let reply = client.send("a@client.example", &to, "Subject: hi\r\n\r\nhello\r\n..dot").expect("a reply");
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    assert!(instance.wait_until(|| mailbox(&instance).len() == 1), "{}", instance.log_text());
    let mail = &mailbox(&instance)[0];
    assert!(
        mail.starts_with("Return-Path: <a@client.example>\n") && mail.ends_with("\n\nhello\n.dot\n"),
        "{mail}"
    );
    let id = reply.rsplit(' ').next().expect("an id");
    for line in [
        format!("{id}: client=localhost[127.0.0.1]"),
        format!("{id}: from=<a@client.example>, size="),
        format!("{id}: to=<{to}>, relay=local, delay="),
        format!("{id}: removed"),
    ] {
        assert!(
            instance.wait_until(|| instance.log_text().contains(&line)),
            "{line} in\n{}",
            instance.log_text()
        );
    }
    server.stop().expect("stopped");
}

#[test]
fn what_waits_outlives_a_stop_and_a_start() {
    // No transport of this name: the message is deferred.
    let instance = instance("relay_transport = nowhere\ndefault_transport = nowhere\n");
    let server = instance.start().expect("started");
    let mut client = Client::connect(instance.listens).expect("connected");
    client.say("EHLO client.example").expect("a reply");
    let reply =
        client.send("a@client.example", "b@remote.example", "Subject: hi\r\n\r\nhello").expect("a reply");
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(
        instance.wait_until(|| instance.log_text().contains("status=deferred (mail transport unavailable)"))
    );
    server.stop().expect("stopped");

    let server = instance.start().expect("started again");
    let queue = listing(&instance);
    assert_eq!(queue.len(), 1, "{queue:?}");
    assert_eq!(queue[0].sender, b"a@client.example");
    assert_eq!(queue[0].recipients[0].address, b"b@remote.example");
    assert_eq!(queue[0].recipients[0].reason, b"mail transport unavailable");
    server.stop().expect("stopped");
}

/// What mailq would show.
fn listing(instance: &testkit::Instance) -> Vec<spool::showq::Entry> {
    let socket = instance.folder().join("queue").join(spool::control::SHOWQ_SOCKET);
    let stream = std::os::unix::net::UnixStream::connect(socket).expect("connected");
    let mut stream = std::io::BufReader::new(stream);
    spool::showq::decode_preamble(&mut stream).expect("a listing");
    std::iter::from_fn(|| spool::showq::decode(&mut stream).expect("an entry")).collect()
}
