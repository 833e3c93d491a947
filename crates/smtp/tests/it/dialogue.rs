//! Dialogue files: `dialogues/NAME.smtp`, recorded from Postfix by `tests/record.py`, and `dialogues/ours/NAME.smtp`,
//! where we mean to differ.
//!
//! ```text
//! # a comment; `# whole` says that it matters which octets come together
//! config: smtpd_helo_required = yes
//! S: 220 mail.example.com ESMTP Postfix     what the server says: a line of a reply, or [closed]
//! C: EHLO a.example                         what the client sends at once, with CRLF, then waits
//! C: a\r\n.\r\n                             with escapes for line ends: as it stands
//! C: NOOP \(x*3000)                         repeated text
//! C: [eof]                                  also [tls] and [timeout]
//! L: disconnect from …                      lines that smtpd logs
//! ```
//! Escapes: `\r \n \t \0 \\ \xHH \(TEXT*COUNT)`; `*` ends a line of which the rest is not fixed.

use std::path::PathBuf;

/// One file.
pub(crate) struct Dialogue {
    pub(crate) name: String,
    pub(crate) is_whole: bool,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) turns: Vec<Turn>,
    pub(crate) log: Vec<String>,
}

/// What the client does, and what the server says then. The first one is the greeting.
pub(crate) struct Turn {
    pub(crate) client: Client,
    pub(crate) server: Vec<String>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Client {
    Connects,
    Sends(Vec<u8>),
    ShakesHands,
    Leaves,
    IsSilent,
}

/// All files, in order.
pub(crate) fn all() -> Vec<Dialogue> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let files = |folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        files(folder.join("ours")).chain(files(folder)).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &PathBuf) -> Dialogue {
    let mut dialogue = Dialogue {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        is_whole: false,
        config: Vec::new(),
        turns: vec![Turn { client: Client::Connects, server: Vec::new() }],
        log: Vec::new(),
    };
    for line in std::fs::read_to_string(path).unwrap().lines() {
        match line.split_once(": ").unwrap_or((line, "")) {
            ("C" | "C:", text) => dialogue.turns.push(Turn { client: client(text), server: Vec::new() }),
            ("S", text) => dialogue.turns.last_mut().unwrap().server.push(text.to_owned()),
            ("L", text) => dialogue.log.push(text.to_owned()),
            ("config", setting) => {
                let (name, value) = setting.split_once('=').unwrap();
                dialogue.config.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            ("# whole", _) => dialogue.is_whole = true,
            _ => assert!(line.starts_with('#'), "{}: {line}", path.display()),
        }
    }
    dialogue
}

fn client(text: &str) -> Client {
    match text {
        "[eof]" => Client::Leaves,
        "[tls]" => Client::ShakesHands,
        "[timeout]" => Client::IsSilent,
        _ => {
            let mut octets = unescape(text);
            if !text.contains("\\r") && !text.contains("\\n") {
                octets.extend_from_slice(b"\r\n");
            }
            Client::Sends(octets)
        }
    }
}

pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (&kind, tail) = rest.split_first().unwrap();
        rest = tail;
        match kind {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'x' => {
                let (hex, tail) = rest.split_at(2);
                rest = tail;
                out.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            }
            b'(' => {
                let close = rest.iter().position(|b| *b == b')').unwrap();
                let (what, count) = std::str::from_utf8(&rest[..close]).unwrap().rsplit_once('*').unwrap();
                rest = &rest[close + 1..];
                out.extend(unescape(what).repeat(count.parse().unwrap()));
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether a line is as recorded.
pub(crate) fn matches(expect: &str, line: &str) -> bool {
    match expect.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => expect == line,
    }
}
