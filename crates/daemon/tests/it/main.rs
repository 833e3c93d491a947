//! The built server, end to end: real processes, sockets and files, as an ordinary user.

mod client;
mod damage;
mod ledger;
mod relay;
mod reload;
mod way_through;

use std::path::Path;
use testkit::Instance;

/// An instance of the server under test.
fn instance(main_cf: &str) -> Instance {
    let master = Path::new(env!("CARGO_BIN_EXE_master"));
    Instance::new(master.parent().expect("a folder"), main_cf).expect("an instance")
}

/// The files in a Maildir's `new`, with their content.
fn mailbox(instance: &Instance) -> Vec<String> {
    let entries = std::fs::read_dir(instance.new_mail()).into_iter().flatten().flatten();
    entries.map(|entry| std::fs::read_to_string(entry.path()).expect("readable")).collect()
}
