//! What is asked of postsuper: its command line.

use crate::getopt;
use crate::program::{Fatal, Program};
use spool::Admin;
use spool::showq::Queue;

const SPEC: &str = "c:d:e:f:h:H:pr:sSv";

/// Postfix's queues without messages, whose names are taken all the same.
const OTHER_QUEUES: [&str; 4] = ["trace", "defer", "bounce", "flush"];

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// `-c`
    pub(super) config_directory: Option<String>,
    /// `-p`, also if nothing was asked for. What `-s` would mend cannot break here.
    pub(super) purges: bool,
    /// In the order in which they were given.
    pub(super) steps: Vec<(Vec<Action>, Target)>,
    /// None: all.
    queues: Option<Vec<Queue>>,
}

/// What a step is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Id(String),
    /// `-`: ids on standard input.
    Listed,
    All,
}

/// What can be done to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Requeue,
    Delete,
    Expire,
    Hold,
    Release,
}

impl Action {
    pub(super) const COUNT: usize = 5;
    /// In the order of Postfix's report.
    pub(super) const REPORTED: [Action; Action::COUNT] =
        [Action::Requeue, Action::Delete, Action::Expire, Action::Hold, Action::Release];

    /// Whether it can be done to the messages of a queue at all.
    pub(super) fn is_for(self, queue: Queue) -> bool {
        match self {
            Action::Delete => true,
            Action::Requeue | Action::Expire => queue != Queue::Maildrop,
            Action::Hold => !matches!(queue, Queue::Maildrop | Queue::Hold),
            Action::Release => queue == Queue::Hold,
        }
    }

    pub(super) fn admin(self) -> Admin {
        match self {
            Action::Requeue => Admin::Requeue,
            Action::Delete => Admin::Delete,
            Action::Expire => Admin::Expire,
            Action::Hold => Admin::Hold,
            Action::Release => Admin::Release,
        }
    }

    /// What is said of a message.
    pub(super) fn done(self) -> &'static str {
        match self {
            Action::Requeue => "requeued",
            Action::Delete => "removed",
            Action::Expire => "expired",
            Action::Hold => "placed on hold",
            Action::Release => "released from hold",
        }
    }

    /// What is said of all.
    pub(super) fn summary(self) -> &'static str {
        match self {
            Action::Requeue => "Requeued",
            Action::Delete => "Deleted",
            Action::Expire => "Force-expired",
            Action::Hold => "Placed on hold",
            Action::Release => "Released from hold",
        }
    }
}

impl Request {
    pub(super) fn read(program: &Program) -> Result<Request, Fatal> {
        let parsed = getopt::parse(&program.text_args(), SPEC);
        let mut request = Request { config_directory: None, purges: false, steps: Vec::new(), queues: None };
        let mut asks = false;
        for (letter, value) in parsed.options {
            let value = value.unwrap_or_default();
            let actions = match letter {
                'd' => vec![Action::Delete],
                'e' => vec![Action::Expire],
                'f' => vec![Action::Expire, Action::Release],
                'h' => vec![Action::Hold],
                'H' => vec![Action::Release],
                'r' => vec![Action::Requeue],
                'c' if !value.starts_with('/') => {
                    return Err(Fatal::new("-c requires absolute pathname"));
                }
                'c' => {
                    request.config_directory = Some(value);
                    continue;
                }
                'p' => {
                    request.purges = true;
                    continue;
                }
                's' | 'S' => {
                    asks = true;
                    continue;
                }
                _ => continue,
            };
            let target = match value.as_str() {
                "ALL" => Target::All,
                "-" => Target::Listed,
                _ => Target::Id(value),
            };
            request.steps.push((actions, target));
        }
        if let Some(complaint) = parsed.complaint {
            program.complain(&complaint);
            return Err(usage(program));
        }
        request.purges |= !asks && request.steps.is_empty();
        request.queues = read_queues(&parsed.operands)?;
        Ok(request)
    }

    /// Whether the request is about a queue.
    pub(super) fn names(&self, queue: Queue) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains(&queue))
    }
}

/// The folder that `-c` names, of a command line that may be wrong.
pub(super) fn config_directory(program: &Program) -> Option<String> {
    let options = getopt::parse(&program.text_args(), SPEC).options;
    options.into_iter().rev().find_map(|(letter, value)| value.filter(|_| letter == 'c'))
}

fn read_queues(names: &[String]) -> Result<Option<Vec<Queue>>, Fatal> {
    let mut queues = Vec::new();
    for name in names {
        match Queue::parse(name.as_bytes()) {
            Some(queue) => queues.push(queue),
            None if OTHER_QUEUES.contains(&name.as_str()) => {}
            None => return Err(Fatal::new(format!("invalid directory name: {name}"))),
        }
    }
    Ok((!names.is_empty()).then_some(queues))
}

fn usage(program: &Program) -> Fatal {
    Fatal::new(format!(
        "usage: {} [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] \
         [-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] \
         [-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure fix)] \
         [-S (redundant structure fix)][-v (verbose)] [queue...]",
        program.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Voice;
    use std::ffi::OsString;

    fn read(args: &[&str]) -> Result<Request, String> {
        let args = args.iter().map(OsString::from).collect();
        let program = Program::new("postsuper".into(), args, 1, Voice::Stderr);
        Request::read(&program).map_err(|fatal| fatal.message)
    }

    #[test]
    fn steps_in_their_order() {
        let request = read(&["-r", "AB", "-c", "/x", "-h", "ALL", "-f", "-", "hold", "trace"]).expect("good");
        assert_eq!(
            request.steps,
            [
                (vec![Action::Requeue], Target::Id("AB".into())),
                (vec![Action::Hold], Target::All),
                (vec![Action::Expire, Action::Release], Target::Listed),
            ]
        );
        assert_eq!(request.config_directory.as_deref(), Some("/x"));
        assert!(request.names(Queue::Hold) && !request.names(Queue::Deferred) && !request.purges);
    }

    #[test]
    fn upkeep() {
        for (args, purges) in
            [(&[][..], true), (&["-p"], true), (&["-s"], false), (&["-s", "-p"], true), (&["-d", "A"], false)]
        {
            assert_eq!(read(args).map(|r| r.purges), Ok(purges), "{args:?}");
        }
    }

    #[test]
    fn refusals() {
        for (args, why) in [
            (&["-d", "x", "foo"][..], "invalid directory name: foo"),
            (&["-s", "corrupt"], "invalid directory name: corrupt"),
            (&["-c", "x"], "-c requires absolute pathname"),
        ] {
            assert_eq!(read(args), Err(why.to_owned()));
        }
        for args in [&["-Z"][..], &["-d"]] {
            assert!(read(args).is_err_and(|why| why.starts_with("usage: postsuper [-c config_dir] [-d")));
        }
    }
}
