//! A mail system of a test's own, in a temporary folder, and its commands.

use mail::{Address, DsnStatus, Envelope, Fate, Outcome, QueueId, Recipient, Time};
use spool::{ReadonlySpool, SegmentSpool, Spool};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Site {
    folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What is said and nothing else.
pub(crate) fn said(status: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { status: Some(status), stdout: stdout.into(), stderr: stderr.into() }
}

impl Site {
    /// `main_cf` is added to what every test needs.
    pub(crate) fn new(main_cf: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().expect("a folder") };
        for folder in ["queue", "maildrop", "public", "private", "pid"] {
            std::fs::create_dir_all(site.path(folder)).expect("a folder");
        }
        for socket in ["qmgr", "pickup", "showq", "flush"] {
            site.leave_socket(socket);
        }
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).expect("users").expect("this user");
        let binaries = Path::new(env!("CARGO_BIN_EXE_postdrop")).parent().expect("a folder");
        let binaries = format!("command_directory = {}\n", binaries.display());
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\n{}mail_owner = {}\n\
             maillog_file = {}\nmaillog_file_prefixes = /\nmyhostname = mail.example.com\n{main_cf}\n",
            site.folder.path().display(),
            if main_cf.contains("command_directory") { "" } else { &binaries },
            user.name,
            site.path("log").display(),
        );
        std::fs::write(site.path("main.cf"), text).expect("written");
        site
    }

    /// What a server leaves of a socket of its.
    fn leave_socket(&self, name: &str) {
        drop(UnixListener::bind(self.path("public").join(name)).expect("a socket"));
    }

    /// Listens at a socket, as a server does.
    pub(crate) fn listen(&self, socket: &str) -> UnixListener {
        let path = self.path(socket);
        // It is not there, or what was left there.
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).expect("a socket")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command, by its name.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = S>) -> Command {
        let program = match name {
            "postdrop" => env!("CARGO_BIN_EXE_postdrop"),
            "postqueue" => env!("CARGO_BIN_EXE_postqueue"),
            _ => env!("CARGO_BIN_EXE_oxipost"),
        };
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(args)
            .env("MAIL_CONFIG", self.folder.path())
            .env("TZ", "UTC")
            .env_remove("NAME");
        command
    }

    pub(crate) fn run(&self, name: &str, args: &[&str], input: &[u8]) -> Ended {
        finish(start(self.command(name, args)), input)
    }

    /// The log, without time, host and process numbers.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let line = |line: &str| {
            let (head, message) = line.split_once("]: ").expect("a line of a log");
            let tag = head.rsplit(' ').next().and_then(|tag| tag.split('[').next()).expect("a tag");
            format!("{tag}: {message}")
        };
        text.lines().map(line).collect()
    }

    /// Makes messages: of each its recipients and why they are deferred, if they are.
    pub(crate) fn queue(&self, messages: &[&[(&str, &str)]]) -> Vec<QueueId> {
        let options = spool::Options { segment_size: 1 << 20, ..spool::Options::default() };
        let spool = SegmentSpool::open(self.path("queue"), options).expect("free");
        let mut ids = Vec::new();
        for recipients in messages {
            let arrival = Time::from_secs(1_795_572_725);
            let mut draft = spool.draft(arrival, 0).expect("there is room");
            draft.head_mut().extend_from_slice(b"Subject: x\r\n\r\nhi\r\n");
            let recipient = |(address, _): &(&str, &str)| Recipient {
                address: Address::from(*address),
                ..Recipient::default()
            };
            let envelope = Envelope {
                sender: Address::from("a@example.com"),
                recipients: recipients.iter().map(recipient).collect(),
                arrival,
                origin: mail::Origin::Local { uid: 0 },
                rewrite_local: true,
                size: 1500,
                ..Envelope::default()
            };
            let id = draft.id();
            spool.commit(draft, envelope).wait().expect("durable");
            let outcomes: Vec<Outcome> = recipients.iter().enumerate().filter_map(deferral).collect();
            if !outcomes.is_empty() {
                spool.record(id, &outcomes, Some(arrival));
            }
            ids.push(id);
        }
        ids
    }

    /// What the spool holds: `ID`, then `!` if it is held, `#` if it is expired; in order of the ids.
    pub(crate) fn states(&self) -> Vec<String> {
        let spool = ReadonlySpool::open(self.path("queue")).expect("a spool");
        let mark = |is_so, mark| if is_so { mark } else { "" };
        let state = |s: spool::Summary| format!("{}{}{}", s.id, mark(s.held, "!"), mark(s.expired, "#"));
        let mut states: Vec<String> = spool.summaries().map(state).collect();
        states.sort();
        states
    }
}

fn deferral((index, (_, reason)): (usize, &(&str, &str))) -> Option<Outcome> {
    (!reason.is_empty()).then(|| Outcome {
        recipient: index as u32,
        fate: Fate::Deferred,
        status: DsnStatus::new(4, 0, 0),
        reason: (*reason).into(),
        remote_mta: None,
        diagnostic: None,
        at: Time::from_secs(0),
    })
}

/// Starts a command whose input and output are ours.
pub(crate) fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program is built")
}

pub(crate) fn finish(mut child: Child, input: &[u8]) -> Ended {
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A command may have ended before it has read everything.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |octets| String::from_utf8(octets).expect("text");
    Ended { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
