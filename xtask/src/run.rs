//! `make run`: a private instance under an ordinary user, a provider to relay to, and a message that goes through both.

mod client;
mod site;

use client::Client;
use nix::sys::signal::{SigSet, Signal};
use site::Site;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::{Certificate, Provider, Settings};

/// How long each stage may take.
const PATIENCE: Duration = Duration::from_secs(20);

const REMOTE: &str = "somebody@remote.example";

/// Runs until Ctrl-C; with `--once` until the message has arrived.
pub(crate) fn run(is_once: bool) -> Result<String, String> {
    let stop = blocked_signals()?;
    let provider = start_provider()?;
    let site = Site::prepare(provider.address).map_err(|e| format!("preparing the instance: {e}"))?;
    say(&format!(
        "An instance of Oxipost for {} in {}\n  main.cf:    {}\n  listens on: {}\n  relays to:  a provider's submission server on {}\n",
        site.user,
        site.folder().display(),
        site.folder().join("etc/main.cf").display(),
        site.listens,
        provider.address
    ));
    let mut server = site.start().map_err(|e| format!("starting {}: {e}", site.program().display()))?;
    let shown = show(&site, &provider);
    if let Err(why) = shown {
        say(&format!("The mail log:\n{}", site.log_text()));
        server.stop();
        return Err(why);
    }
    if !is_once {
        say(&further(&site));
        // Only a failure of the system itself can come back here without a signal; ending is right then, too.
        let _ = stop.wait();
        say("\nStopping.");
    }
    server.stop();
    Ok("The instance has ended; its folder is removed.".into())
}

/// The signals that end the demonstration, held back from now on.
fn blocked_signals() -> Result<SigSet, String> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block().map_err(|e| format!("signals: {e}"))?;
    Ok(set)
}

fn start_provider() -> Result<Provider, String> {
    let certificate =
        Certificate::self_signed("relay.isp.example").map_err(|e| format!("a certificate: {e}"))?;
    let login = (site::LOGIN.0.to_owned(), site::LOGIN.1.to_owned());
    let settings = Settings { name: "relay.isp.example".into(), login, certificate };
    Provider::start(settings).map_err(|e| format!("the provider: {e}"))
}

/// Sends the message and shows what becomes of it.
fn show(site: &Site, provider: &Provider) -> Result<(), String> {
    say("A message over SMTP, to one recipient behind the provider and to one here:\n");
    let local = format!("{}@example.test", site.user);
    let mut client = Client::connect(site.listens, PATIENCE)?;
    client.send_message(&format!("{}@example.test", site.user), &[REMOTE, &local])?;

    let taken = provider.wait_for(1, PATIENCE).ok_or("the provider has not got the message")?;
    let taken = taken.first().ok_or("the provider has not got the message")?;
    say(&format!(
        "\nThe provider has it: for {}, by login {}, {} TLS:\n{}",
        taken.recipients.join(", "),
        taken.user,
        if taken.over_tls { "over" } else { "without" },
        indent(&String::from_utf8_lossy(&taken.content))
    ));
    let delivered =
        wait_for_file(&site.new_mail(), PATIENCE).ok_or("the local recipient has not got the message")?;
    say(&format!("The local recipient's copy lies in\n    {}\n", delivered.display()));
    wait_until(PATIENCE, || site.log_text().contains(": removed"));
    say(&format!("The mail log, {}:\n{}", site.log_file().display(), indent(&site.log_text())));
    Ok(())
}

fn further(site: &Site) -> String {
    let (programs, etc) = (site.folder().join("bin"), site.folder().join("etc"));
    format!(
        "It keeps serving on {} until Ctrl-C. In another terminal, for example:\n    {}/mailq\n    MAIL_CONFIG={} {}/sendmail -v you@remote.example < message\n",
        site.listens,
        programs.display(),
        etc.display(),
        programs.display()
    )
    .replace("/mailq", &format!("/postqueue -c {} -p", etc.display()))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn wait_for_file(folder: &Path, patience: Duration) -> Option<std::path::PathBuf> {
    let mut found = None;
    wait_until(patience, || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found = entries.map(|entry| entry.path()).next();
        found.is_some()
    });
    found
}

/// Asks again and again until it holds; false if it never does.
fn wait_until(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn say(text: &str) {
    // A closed terminal is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{text}");
}
