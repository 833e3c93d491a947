//! `smtpd -S`, which `sendmail -bs` becomes: an SMTP session on standard input and output, as the user who called it.

use crate::worker::{clock, smtpd_config};
use instance::Instance;
use intake::smtpd::Clock;
use intake::smtpd::stand_alone::{NoPostdrop, StandAlone};
use logger::{Logger, Target};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use params::{Diagnostic, View, p, service};
use smtp::server::TlsLevel;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tables::{OpenContext, Table};

/// Octets of input that are taken at once.
const CHUNK_SIZE: usize = 8 << 10;

/// Serves the session. `args` are those of smtpd(8): without `-S` a server is meant, of which there is none by that name.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let directory = instance::directory(None);
    let log = Logger::direct(Target::syslog("mail").unwrap_or(Target::Nowhere), "postfix/smtpd");
    let fail = |log: &Logger, why: &str| {
        log.fatal(format_args!("{why}"));
        ExitCode::FAILURE
    };
    if !args.iter().any(|arg| arg == "-S") {
        return fail(&log, "no transport type specified");
    }
    let instance = match Instance::read(&directory, "smtpd") {
        Ok(instance) => instance,
        Err(why) => return fail(&log, &why.to_string()),
    };
    let log = open_log(&instance.view);
    match serve(&instance.view, &directory, log.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(&log, &why),
    }
}

fn serve(view: &View, directory: &str, log: Logger) -> Result<(), String> {
    let mut mistakes = Vec::new();
    let smtpd: service::Smtpd = view.load(&mut mistakes);
    let service = stand_alone(view, &smtpd, directory, log, &mut mistakes);
    if let Some(mistake) = mistakes.iter().find(|mistake| mistake.is_fatal()) {
        return Err(mistake.message.clone());
    }
    let postdrop = service.postdrop.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let served = runtime.block_on(service.serve(|| read_within(smtpd.smtpd_timeout), io::stdout().lock()));
    served.map_err(|NoPostdrop| format!("unable to execute {postdrop}"))
}

fn stand_alone(
    view: &View,
    smtpd: &service::Smtpd,
    directory: &str,
    log: Logger,
    mistakes: &mut Vec<Diagnostic>,
) -> StandAlone {
    let (words, tables) = forbidden(&smtpd.smtpd_forbidden_commands);
    let (noop_words, _) = forbidden(&smtpd.smtpd_noop_commands);
    let command_directory = view.get(p::command_directory, mistakes);
    StandAlone {
        config: Arc::new(smtpd_config(view, mistakes, smtpd, TlsLevel::None, noop_words)),
        smtpd_forbidden_commands: words,
        smtpd_forbidden_tables: tables,
        mail_name: view.get(p::mail_name, mistakes),
        postdrop: Path::new(&command_directory).join("postdrop"),
        environment: vec![("MAIL_CONFIG".into(), directory.into())],
        log,
        clock: Clock { now: clock::now, date: clock::date, stamp: clock::stamp },
    }
}

/// Words and tables of a list of commands. What this user cannot read stands for nothing.
fn forbidden(list: &params::MatchList) -> (Vec<String>, Vec<Arc<dyn Table>>) {
    use params::list::Pattern;
    let read = |name: &str| std::fs::read_to_string(name).map_err(|e| e.to_string());
    let context = OpenContext::plain(Arc::new(|_, _: &str| {}));
    let (mut words, mut tables) = (Vec::new(), Vec::new());
    for item in list.with_files(&read).items.into_iter().filter(|item| item.matches) {
        match item.pattern {
            Pattern::Name(word) => words.push(word),
            Pattern::Table(spec) => tables.extend(tables::open(&spec, &context).ok()),
            Pattern::Network(_) | Pattern::File(_) | Pattern::Broken(_) => {}
        }
    }
    (words, tables)
}

/// Waits for standard input, as long as `smtpd_timeout` says.
fn read_within(smtpd_timeout: Duration) -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    let timeout = PollTimeout::try_from(smtpd_timeout).unwrap_or(PollTimeout::MAX);
    let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    if poll(&mut waiting, timeout)? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut octets = vec![0; CHUNK_SIZE];
    // Not through the buffer of `stdin`, of which poll knows nothing.
    let length = std::fs::File::from(stdin.as_fd().try_clone_to_owned()?).read(&mut octets)?;
    octets.truncate(length);
    Ok(octets)
}

/// As far as this user may: with `maillog_file` through the server's socket.
fn open_log(view: &View) -> Logger {
    let mut told = Vec::new();
    let socket = Path::new(&view.get(p::queue_directory, &mut told)).join(spool::control::POSTLOG_SOCKET);
    let target = match view.get(p::maillog_file, &mut told).is_empty() {
        true => crate::log_target(view),
        false => Target::postlog(&socket).map_err(|e| e.to_string()).or_else(|_| crate::log_target(view)),
    };
    let syslog_name = view.get(p::syslog_name, &mut told);
    Logger::direct(target.unwrap_or(Target::Nowhere), &format!("{syslog_name}/smtpd"))
}
