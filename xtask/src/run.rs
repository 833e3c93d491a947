//! `make run`: a private instance under an ordinary user, a provider to relay to, and a message that goes through both.

mod client;

use client::Client;
use nix::sys::signal::{SigSet, Signal};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Certificate, Instance, Provider, Settings};

/// How long each stage may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The login at the provider.
const LOGIN: (&str, &str) = ("office", "correct:horse");

const REMOTE: &str = "somebody@remote.example";

/// Runs until Ctrl-C; with `is_once` until the message has arrived.
pub(crate) fn run(is_once: bool) -> Result<String, String> {
    let stop = blocked_signals()?;
    let provider = start_provider()?;
    let instance = prepare(&provider).map_err(|e| format!("preparing the instance: {e}"))?;
    say(&format!(
        "An instance of Oxipost for user {} in {}\n    configuration: {}\n    takes mail on: {}\n    relays to:     a provider's submission server on {}\n",
        instance.user,
        instance.folder().display(),
        instance.folder().join("etc/main.cf").display(),
        instance.listens,
        provider.address
    ));
    let server = instance.start().map_err(|e| e.to_string())?;
    if let Err(why) = show(&instance, &provider) {
        return Err(format!("{why}\nThe mail log:\n{}", indent(&instance.log_text())));
    }
    if !is_once {
        say(&further(&instance));
        // Only a failure of the system itself can come back here without a signal; ending is right then, too.
        let _ = stop.wait();
        say("\nStopping.");
    }
    server.stop().map_err(|e| format!("stopping: {e}"))?;
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
    let login = (LOGIN.0.to_owned(), LOGIN.1.to_owned());
    let settings = Settings { name: "relay.isp.example".into(), login, certificate };
    Provider::start(settings).map_err(|e| format!("the provider: {e}"))
}

/// Relays through the provider, with STARTTLS and a login, as a how-to would set it up.
fn prepare(provider: &Provider) -> std::io::Result<Instance> {
    let programs = copied_programs()?;
    let instance = Instance::new(&programs, "")?;
    let relay = format!("[{}]:{}", provider.address.ip(), provider.address.port());
    let password = instance.write_secret("relay_password", &format!("{relay} {}:{}\n", LOGIN.0, LOGIN.1))?;
    let built = instance.command("postmap").arg(format!("hash:{}", password.display())).status()?;
    if !built.success() {
        return Err(std::io::Error::other("postmap failed"));
    }
    instance.configure(&format!(
        "
# the provider: submission port, STARTTLS, login
relayhost = {relay}
smtp_tls_security_level = encrypt
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:{}
smtp_sasl_security_options = noanonymous
",
        password.display()
    ))?;
    Ok(instance)
}

/// The build, copied to where any user may run it: a checkout may be in a home directory that nobody else may enter.
fn copied_programs() -> std::io::Result<PathBuf> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let built = std::env::current_exe()?;
    let built = built.parent().unwrap_or(Path::new("."));
    let folder = std::env::temp_dir().join(format!("oxipost-programs-{}", nix::unistd::geteuid()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755))?;
    for program in ["master", "oxipost", "postdrop", "postqueue"] {
        std::fs::copy(built.join(program), folder.join(program))?;
    }
    for name in ["sendmail", "mailq", "postmap", "postconf", "postfix", "postsuper", "postcat"] {
        symlink("oxipost", folder.join(name))?;
    }
    Ok(folder)
}

/// Sends the message and shows what becomes of it.
fn show(instance: &Instance, provider: &Provider) -> Result<(), String> {
    say("A message over SMTP, to one recipient behind the provider and to one here:\n");
    let local = format!("{}@example.test", instance.user);
    let mut client = Client::connect(instance.listens, PATIENCE)?;
    client.send_message(&local, &[REMOTE, &local])?;

    let taken = provider.wait_for(1, PATIENCE).ok_or("the provider has not got the message")?;
    let taken = taken.first().ok_or("the provider has not got the message")?;
    say(&format!(
        "\nThe provider has it: for {}, by login {}, {} TLS:\n{}",
        taken.recipients.join(", "),
        taken.user,
        if taken.over_tls { "over" } else { "without" },
        indent(&String::from_utf8_lossy(&taken.content))
    ));
    let delivered = delivered(instance).ok_or("the local recipient has not got the message")?;
    say(&format!("The local recipient's copy lies in\n    {}\n", delivered.display()));
    instance.wait_until(|| instance.log_text().contains(": removed"));
    say(&format!("The mail log, {}:\n{}", instance.log_file().display(), indent(&instance.log_text())));
    Ok(())
}

fn delivered(instance: &Instance) -> Option<PathBuf> {
    let mut found = None;
    instance.wait_until(|| {
        let entries = std::fs::read_dir(instance.new_mail()).into_iter().flatten().flatten();
        found = entries.map(|entry| entry.path()).next();
        found.is_some()
    });
    found
}

fn further(instance: &Instance) -> String {
    let etc = instance.folder().join("etc");
    let programs = instance.command("x").get_program().to_owned();
    let programs = Path::new(&programs).parent().unwrap_or(Path::new(".")).display().to_string();
    format!(
        "It keeps serving until Ctrl-C. In another terminal, for example:\n    MAIL_CONFIG={etc} {programs}/mailq\n    MAIL_CONFIG={etc} {programs}/postconf -n\n    printf 'Subject: hi\\n\\nhi\\n' | MAIL_CONFIG={etc} {programs}/sendmail you@remote.example\n",
        etc = etc.display()
    )
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn say(text: &str) {
    // A closed terminal is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{text}");
}
