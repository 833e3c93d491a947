//! What of a submission may come from any user.

use crate::program::Program;
use maillog::printable;
use nix::unistd::getuid;
use spool::maildrop::Submission;

/// Whether an attribute may have a value.
type Takes = fn(&[u8]) -> bool;

/// Attributes that users may set, and to what (`rewrite_context`: `sendmail -G`; `trace_flags`: `-bv` and `-v`;
/// `verp_delims`: `-XV`).
const ATTRIBUTES: [(&str, Takes); 3] = [
    ("rewrite_context", |value| matches!(value, b"local" | b"remote")),
    ("trace_flags", |value| matches!(value, b"512" | b"1024")),
    ("verp_delims", |value| value.len() == 2),
];

/// The submission without what its user may not set. An error if it cannot be one.
pub(super) fn checked(program: &Program, submission: &Submission) -> Result<Submission, String> {
    // That it was in the queue before is not for users to say.
    let mut submission = Submission { requeued: None, ..submission.clone() };
    check_lines(&submission)?;
    submission.extra.retain(|(name, value)| {
        let is_allowed = ATTRIBUTES.iter().any(|(known, takes)| known == name && takes(value));
        if !is_allowed {
            let shown = (printable(name.as_bytes()), printable(value));
            program.warning(&format!("uid={}: ignoring attribute record: {}={}", getuid(), shown.0, shown.1));
        }
        is_allowed
    });
    if submission.sender.is_none() || submission.recipients.is_empty() {
        return Err("no sender or no recipients".to_owned());
    }
    Ok(submission)
}

/// Nothing of an envelope has line ends or NULs.
fn check_lines(submission: &Submission) -> Result<(), String> {
    let recipients = submission.recipients.iter().flat_map(|r| {
        let original = r.original.iter().map(|o| ("original_recipient", o.as_bytes()));
        let orcpt = r.orcpt.iter().map(|o| ("dsn_original_recipient", &o[..]));
        [("recipient", r.address.as_bytes())].into_iter().chain(original).chain(orcpt)
    });
    let sender = submission.sender.iter().map(|s| ("sender", s.as_bytes()));
    let full_name = submission.full_name.iter().map(|n| ("sender_fullname", &n[..]));
    let envid = submission.envid.iter().map(|e| ("dsn_envelope_id", &e[..]));
    let extra = submission
        .extra
        .iter()
        .flat_map(|(name, value)| [("named_attribute", name.as_bytes()), ("named_attribute", &value[..])]);
    for (what, text) in sender.chain(recipients).chain(full_name).chain(envid).chain(extra) {
        if text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(format!("null or line break in '{what}' record type: {}", printable(text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;
    use mail::{Address, Recipient};

    fn good() -> Submission {
        let recipients = vec![Recipient { address: Address::from("bob"), ..Recipient::default() }];
        Submission { sender: Some(Address::from("me")), recipients, ..Submission::default() }
    }

    fn check(submission: &Submission) -> Result<Submission, String> {
        let program = Program::new("postdrop".into(), Vec::new(), 1, Voice::Stderr);
        checked(&program, submission)
    }

    #[test]
    fn attributes() {
        let given = [
            ("rewrite_context", "remote", true),
            ("rewrite_context", "inherited", false),
            ("trace_flags", "512", true),
            ("trace_flags", "1024", true),
            ("trace_flags", "256", false),
            ("verp_delims", "+=", true),
            ("verp_delims", "+=-", false),
            ("redirect_to", "x@y", false),
        ];
        let extra = |all: bool| {
            let chosen = given.iter().filter(move |(.., is_kept)| all || *is_kept);
            chosen.map(|(name, value, _)| (name.to_string(), (*value).into())).collect::<Vec<_>>()
        };
        let cleaned = check(&Submission { extra: extra(true), ..good() }).expect("it has a recipient");
        assert_eq!(cleaned.extra, extra(false));
    }

    #[test]
    fn refusals() {
        let bad = Recipient { address: Address::from("a\nb"), ..Recipient::default() };
        for (submission, why) in [
            (Submission { sender: None, ..good() }, "no sender or no recipients"),
            (Submission { recipients: Vec::new(), ..good() }, "no sender or no recipients"),
            (
                Submission { recipients: vec![bad], ..good() },
                "null or line break in 'recipient' record type: a?b",
            ),
            (
                Submission { full_name: Some("x\r".into()), ..good() },
                "null or line break in 'sender_fullname' record type: x?",
            ),
            (
                Submission { sender: Some(Address::from("x\0")), ..good() },
                "null or line break in 'sender' record type: x?",
            ),
            (
                Submission { envid: Some("x\n".into()), ..good() },
                "null or line break in 'dsn_envelope_id' record type: x?",
            ),
        ] {
            assert_eq!(check(&submission), Err(why.to_owned()));
        }
        assert_eq!(check(&good()), Ok(good()));
    }
}
