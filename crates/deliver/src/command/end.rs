//! What a command's end means: exit statuses of sysexits(3), signals, and status codes that it prints itself.

use crate::failure::Failure;
use mail::DsnStatus;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a command ended, with what it printed.
pub(super) struct End<'a> {
    /// As logs name it.
    pub(super) command: &'a str,
    /// None: it was ended after its time was up.
    pub(super) status: Option<ExitStatus>,
    pub(super) output: &'a [u8],
}

/// EX_USAGE to EX_CONFIG of sysexits(3), in order, and Postfix's words for them.
const SYSEXITS: [(DsnStatus, &str); 15] = [
    (DsnStatus::new(5, 3, 0), "command line usage error"),
    (DsnStatus::new(5, 6, 0), "data format error"),
    (DsnStatus::new(5, 3, 0), "cannot open input"),
    (DsnStatus::new(5, 1, 1), "user unknown"),
    (DsnStatus::new(5, 1, 2), "host name unknown"),
    (DsnStatus::new(5, 3, 0), "service unavailable"),
    (DsnStatus::new(5, 3, 0), SOFTWARE),
    (DsnStatus::new(4, 3, 0), "system resource problem"),
    (DsnStatus::new(5, 3, 0), "critical OS file missing"),
    (DsnStatus::new(5, 2, 0), "can't create user output file"),
    (DsnStatus::new(5, 3, 0), "input/output error"),
    (DsnStatus::new(4, 3, 0), "temporary failure"),
    (DsnStatus::new(5, 5, 0), "remote error in protocol"),
    (DsnStatus::new(5, 7, 0), "permission denied"),
    (DsnStatus::new(5, 3, 5), "local configuration error"),
];
const FIRST_SYSEXIT: i32 = 64;
const SOFTWARE: &str = "internal software error";

impl End<'_> {
    /// `Ok`: it took the message; what it printed.
    pub(super) fn judge(&self) -> Result<String, Failure> {
        let output = printable_output(self.output);
        let Some(status) = self.status else {
            let what = format!("Command time limit exceeded: \"{}\"", self.command);
            return Err(self.failure(DsnStatus::new(5, 3, 0), what, SOFTWARE, &output));
        };
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(output),
            (Some(code), _) => Err(self.failed(code, &output)),
            (None, signal) => {
                let what = format!("Command died with signal {}: \"{}\"", signal.unwrap_or(0), self.command);
                Err(self.failure(DsnStatus::new(4, 3, 0), what, SOFTWARE, &output))
            }
        }
    }

    fn failed(&self, code: i32, output: &str) -> Failure {
        if let (Some(status), text) = DsnStatus::split_from(output) {
            let diagnostic = Some(format!("x-unix; {text}"));
            return Failure { status, reason: text.to_owned(), diagnostic };
        }
        let sysexit = usize::try_from(code - FIRST_SYSEXIT).ok().and_then(|n| SYSEXITS.get(n));
        match sysexit {
            Some((status, text)) => self.failure(*status, (*text).to_owned(), text, output),
            None => {
                let what = format!("Command died with status {code}: \"{}\"", self.command);
                let unknown = format!("unknown mail system error {code}");
                self.failure(DsnStatus::new(5, 3, 0), what, &unknown, output)
            }
        }
    }

    /// `text` goes into the report unless the command said something.
    fn failure(&self, status: DsnStatus, what: String, text: &str, output: &str) -> Failure {
        // Postfix: output that begins with a NUL counts as some, and shows as none.
        let reason = match self.output.is_empty() {
            true => what,
            false => format!("{what}. Command output: {output}"),
        };
        let diagnostic = if self.output.is_empty() { text } else { output };
        Failure { status, reason, diagnostic: Some(format!("x-unix; {diagnostic}")) }
    }
}

/// A command's output made fit for a line: up to the first NUL; white space is a blank, what cannot be printed `_`.
fn printable_output(output: &[u8]) -> String {
    let end = memchr::memchr(0, output).unwrap_or(output.len());
    let mut text = String::with_capacity(end);
    for chunk in output[..end].utf8_chunks() {
        text.extend(chunk.valid().chars().map(|c| match c {
            '\t' | '\n' => ' ',
            c if c.is_ascii_control() => '_',
            c => c,
        }));
        text.extend(chunk.invalid().iter().map(|_| '_'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(raw_status: Option<i32>, output: &str) -> String {
        let status = raw_status.map(ExitStatus::from_raw);
        match (End { command: "/bin/x y", status, output: output.as_bytes() }).judge() {
            Ok(output) => format!("ok [{output}]"),
            Err(f) => format!("{} {} [{}]", f.status, f.reason, f.diagnostic.unwrap_or_default()),
        }
    }

    /// What local(8) of Postfix 3.7 logs of such ends.
    #[test]
    fn rows() {
        let exit = |code: i32| Some(code << 8);
        for (status, output, expect) in [
            (exit(0), "fine\n", "ok [fine ]"),
            (
                exit(1),
                "",
                "5.3.0 Command died with status 1: \"/bin/x y\" [x-unix; unknown mail system error 1]",
            ),
            (
                exit(127),
                "sh: 1: nosuch: not found\n",
                "5.3.0 Command died with status 127: \"/bin/x y\". Command output: sh: 1: nosuch: not found  \
                 [x-unix; sh: 1: nosuch: not found ]",
            ),
            (exit(64), "", "5.3.0 command line usage error [x-unix; command line usage error]"),
            (exit(67), "no\n", "5.1.1 user unknown. Command output: no  [x-unix; no ]"),
            (exit(73), "", "5.2.0 can't create user output file [x-unix; can't create user output file]"),
            (exit(75), "", "4.3.0 temporary failure [x-unix; temporary failure]"),
            (exit(78), "", "5.3.5 local configuration error [x-unix; local configuration error]"),
            (
                exit(79),
                "",
                "5.3.0 Command died with status 79: \"/bin/x y\" [x-unix; unknown mail system error 79]",
            ),
            (exit(69), "5.7.2 go away\n", "5.7.2 go away  [x-unix; go away ]"),
            (exit(69), "4.7.2 come later\n", "4.7.2 come later  [x-unix; come later ]"),
            (exit(1), "5.7.2\n", "5.7.2  [x-unix; ]"),
            (exit(1), "2.0.0 fine\n", "2.0.0 fine  [x-unix; fine ]"),
            (
                exit(70),
                "a\tb\u{1}c\u{e9}\n\n",
                "5.3.0 internal software error. Command output: a b_cé   [x-unix; a b_cé  ]",
            ),
            (exit(70), "\0x", "5.3.0 internal software error. Command output:  [x-unix; ]"),
            (Some(9), "", "4.3.0 Command died with signal 9: \"/bin/x y\" [x-unix; internal software error]"),
            (
                None,
                "wait\n",
                "5.3.0 Command time limit exceeded: \"/bin/x y\". Command output: wait  [x-unix; wait ]",
            ),
        ] {
            assert_eq!(judge(status, output), expect);
        }
    }

    #[test]
    fn output_that_is_no_text() {
        assert_eq!(printable_output(b"a\xff\xfeb\r\x7f\x00rest"), "a__b__");
    }
}
