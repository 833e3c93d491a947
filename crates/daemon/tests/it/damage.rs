//! Content that goes bad on the disk: it is put aside, told, and nobody gets a part of it.

use crate::client::Client;
use crate::{instance, mailbox};
use nix::sys::signal::Signal;
use std::os::unix::fs::FileExt;
use testkit::Instance;

/// Changes one octet of the only large body in the queue.
fn damage_body(instance: &Instance) {
    let bodies = instance.folder().join("queue/queue/bodies");
    let entry = std::fs::read_dir(bodies).expect("a folder").flatten().next().expect("a large body");
    let file = std::fs::OpenOptions::new().write(true).open(entry.path()).expect("its file");
    file.write_all_at(b"#", 300_000).expect("written");
}

#[test]
fn a_damaged_body_is_put_aside() {
    let soon = "queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n";
    let instance = instance(&format!("{soon}defer_transports = local\n"));
    let server = instance.start().expect("started");
    let mut client = Client::connect(instance.listens).expect("connected");
    client.say("EHLO client.example").expect("a reply");
    let recipient = format!("{}@example.test", instance.user);
    let content = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(40_000));
    let reply = client.send("a@remote.example", &recipient, &content).expect("a reply");
    assert!(reply.starts_with("250 "), "{reply}");
    let is_deferred = || instance.log_text().contains("status=deferred (deferred transport)");
    assert!(instance.wait_until(is_deferred), "{}", instance.log_text());

    damage_body(&instance);
    instance.configure(soon).expect("written");
    server.signal(Signal::SIGHUP).expect("signalled");
    assert!(instance.wait_until(|| instance.log_text().contains("reload -- version")));
    let corrupt = instance.folder().join("queue/queue/corrupt");
    let is_aside = || std::fs::read_dir(&corrupt).is_ok_and(|files| files.count() == 2);
    assert!(instance.wait_until(is_aside), "{}", instance.log_text());
    let is_told = || instance.log_text().contains("spool: damaged: message ");
    assert!(instance.wait_until(is_told), "{}", instance.log_text());
    let bodies = instance.folder().join("queue/queue/bodies");
    assert!(instance.wait_until(|| std::fs::read_dir(&bodies).is_ok_and(|files| files.count() == 0)));
    assert_eq!(mailbox(&instance), Vec::<String>::new());
    server.stop().expect("stopped");
}
